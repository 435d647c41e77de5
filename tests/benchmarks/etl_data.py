"""The data of the ETL benchmark, made anew each time: rows like TPC-H's lineitem, JSON lines in a zip, a wide CSV."""

import csv
import json
import zipfile
from pathlib import Path

import psycopg

ROWS = 6_000_000
"""Of lineitem, at scale 1."""
OBJECTS = 6_000_000
WIDE_ROWS, WIDE_COLUMNS = 90_000, 600

LINEITEM = """
CREATE TABLE lineitem AS SELECT
  (i / 4)::bigint AS l_orderkey, (i * 7919 % 200000)::int AS l_partkey, (i * 104729 % 10000)::int AS l_suppkey,
  (i % 7 + 1)::int AS l_linenumber, (i * 31 % 50 + 1)::numeric(15,2) AS l_quantity,
  (900 + i * 7919 % 9500000 / 100.0)::numeric(15,2) AS l_extendedprice,
  (CASE WHEN i % 1000 = 0 THEN NULL ELSE i % 11 / 100.0 END)::numeric(15,2) AS l_discount,
  CASE i % 5000 WHEN 1 THEN 'NaN'::float8 WHEN 2 THEN 'infinity'::float8 ELSE i % 9 / 100.0 END AS l_tax,
  (ARRAY['A','N','R'])[i % 3 + 1]::char(1) AS l_returnflag, (ARRAY['O','F'])[i % 2 + 1]::char(1) AS l_linestatus,
  date '1992-01-02' + (i * 37 % 2500)::int AS l_shipdate, date '1992-01-31' + (i * 41 % 2500)::int AS l_commitdate,
  timestamp '1992-01-04' + i % 99991 * interval '1.000001 s' AS l_receiptdate,
  (ARRAY['DELIVER IN PERSON','COLLECT COD','NONE','TAKE BACK RETURN'])[i % 4 + 1] AS l_shipinstruct,
  (ARRAY['AIR','FOB','MAIL','RAIL','REG AIR','SHIP','TRUCK'])[i % 7 + 1] AS l_shipmode,
  CASE i % 997 WHEN 1 THEN '' WHEN 2 THEN E'a\\n"b"' WHEN 3 THEN NULL
    ELSE substr(md5(i::text) || md5((i + 1)::text), 1, 10 + (i % 34)::int) END AS l_comment
FROM generate_series(1::bigint, %s) AS i
"""
SUMS = """
SELECT count(*), sum(l_orderkey)::bigint, sum(l_extendedprice)::text, count(l_discount),
  count(*) FILTER (WHERE l_tax = 'NaN'::float8), count(*) FILTER (WHERE l_tax = 'infinity'::float8),
  count(*) FILTER (WHERE l_comment = ''), count(l_comment), sum(length(l_comment))::bigint,
  max(l_receiptdate)::text, min(l_shipdate)::text FROM {}
"""
"""What must be the same wherever the rows arrive; a text both PostgreSQL and DuckDB understand."""


def make_lineitem(dsn: str, scale: float) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(LINEITEM.replace("%s", str(int(ROWS * scale))).encode())
        connection.execute("VACUUM ANALYZE lineitem")


def make_json_lines(path: Path, scale: float) -> int:
    """How many objects there are."""
    count = int(OBJECTS * scale)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("rows.jsonl", "w", force_zip64=True) as file,
    ):
        for first in range(0, count, 10_000):
            rows = range(first, min(first + 10_000, count))
            file.write("".join(_object(i) for i in rows).encode())
    return count


def _object(i: int) -> str:
    item = {
        "id": i,
        "name": f"customer {i * 7919 % 99991}",
        "price": i % 10_000 / 100,
        "day": f"2026-{i % 12 + 1:02}-{i % 28 + 1:02}",
        "active": i % 3 == 0,
        "text": f'line {i}, "quoted", {"x" * (i % 60)}',
        "missing": None if i % 2 else i,
    }
    return json.dumps(item) + "\n"


def make_wide_csv(path: Path, scale: float) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", *(f"w{column:04}" for column in range(WIDE_COLUMNS))])
        for row in range(int(WIDE_ROWS * scale)):
            writer.writerow(
                [f"k{row}", *((row * 31 + column * 17) % 10_007 / 100 for column in range(WIDE_COLUMNS))]
            )


def make_long_csv(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write("id,name,price,day\n")
        for first in range(0, rows, 10_000):
            block = range(first, min(first + 10_000, rows))
            file.write(
                "".join(
                    f"{i},name {i * 7919 % 99991},{i % 10000 / 100},2026-01-{i % 28 + 1:02}\n" for i in block
                )
            )
