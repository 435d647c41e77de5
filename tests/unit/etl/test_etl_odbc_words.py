"""What is said to SQL Server, which no test has: its statements, word for word; and what drivers are asked for."""

import pyarrow as pa
import pytest
from batchctl_etl.config.odbc import SqlDialect
from batchctl_etl.odbc.connection import _explained, _secrets
from batchctl_etl.odbc.dialects import database_of
from batchctl_etl.odbc.row_number import ROW
from batchctl_etl.odbc.source import asked_schema, given_schema
from batchctl_etl.tables.statements import table_creation

SERVER = database_of(SqlDialect.MSSQL, None)
WORDS = SERVER.dialect
SOURCE = {"id": "bigint", 'a "b"': "nvarchar(max)"}
TARGET = {"id": ("ID", "int"), 'a "b"': ('a "b"', "nvarchar(50)")}


def test_merge():
    assert WORDS.merge_of_stage("prices", ["id"], SOURCE, TARGET) == (
        'MERGE INTO "dbo"."prices" WITH (HOLDLOCK) AS old USING #batchctl_stage AS new ON (old."ID" = new."id") '
        'WHEN MATCHED THEN UPDATE SET "a ""b""" = new."a ""b""" '
        'WHEN NOT MATCHED BY TARGET THEN INSERT ("ID", "a ""b""") VALUES (new."id", new."a ""b""");',
    )


def test_merge_of_nothing_but_the_key():
    [text] = WORDS.merge_of_stage("t", ["id"], {"id": "int"}, {"id": ("id", "int")})
    assert "WHEN MATCHED" not in text
    assert text.endswith('WHEN NOT MATCHED BY TARGET THEN INSERT ("id") VALUES (new."id");')


def test_tables():
    assert SERVER.stage_creation({"a": "int", ROW: "BIGINT"}) == (
        'CREATE TABLE #batchctl_stage ("a" int, "_batchctl_row" BIGINT)'
    )
    assert (
        table_creation(WORDS.table("odd ] name"), {"a b": "bit"})
        == 'CREATE TABLE "dbo"."odd ] name" ("a b" bit)'
    )
    assert WORDS.ledger_creation() == (
        'IF OBJECT_ID(N\'"dbo"."_batchctl_loads"\', N\'U\') IS NULL CREATE TABLE "dbo"."_batchctl_loads" '
        '(load_id nvarchar(300) NOT NULL, "table" nvarchar(128) NOT NULL, "rows" bigint NOT NULL, '
        '"at" datetime2(6) NOT NULL, PRIMARY KEY (load_id, "table"))'
    )
    assert "IDENTITY" not in WORDS.ledger_creation().upper()


def test_loads():
    assert WORDS.insertion_of_stage("t", SOURCE, TARGET) == (
        'INSERT INTO "dbo"."t" ("ID", "a ""b""") SELECT "id", "a ""b""" FROM #batchctl_stage'
    )
    assert WORDS.ledger_lookup() == (
        'SELECT "rows" FROM "dbo"."_batchctl_loads" WHERE load_id = ? AND "table" = ?'
    )
    assert WORDS.duplicate_key(["id"]) == (
        'SELECT TOP 1 CAST("id" AS nvarchar(400)), count_big(*) AS n FROM #batchctl_stage '
        'GROUP BY "id" HAVING count_big(*) > 1'
    )
    assert WORDS.deletion_of_all_but_the_last(["id"]) == (
        'DELETE FROM #batchctl_stage WHERE "_batchctl_row" NOT IN '
        '(SELECT max("_batchctl_row") FROM #batchctl_stage GROUP BY "id")'
    )
    assert WORDS.rows_without_key(["id"]) == 'SELECT count(*) FROM #batchctl_stage WHERE "id" IS NULL'
    [wait] = database_of(SqlDialect.MSSQL, "it's").waiting_for_others("t")
    assert wait.startswith("DECLARE @got int; EXEC @got = sp_getapplock @Resource = N'batchctl-etl it''s.t'")
    assert SERVER.beginning(1.5) == ["SET XACT_ABORT ON", "SET LOCK_TIMEOUT 1500"]


@pytest.mark.parametrize(
    ("kind", "declared"),
    [
        (pa.bool_(), "bit"),
        (pa.int8(), "smallint"),
        (pa.uint8(), "tinyint"),
        (pa.int32(), "int"),
        (pa.uint32(), "bigint"),
        (pa.uint64(), "decimal(20,0)"),
        (pa.float32(), "real"),
        (pa.float64(), "float(53)"),
        (pa.decimal128(38, 10), "decimal(38,10)"),
        (pa.string(), "nvarchar(max)"),
        (pa.binary(), "varbinary(max)"),
        (pa.date32(), "date"),
        (pa.time64("us"), "time(6)"),
        (pa.timestamp("us"), "datetime2(6)"),
        (pa.timestamp("us", "UTC"), "datetimeoffset(6)"),
        (pa.list_(pa.int8()), None),
        (pa.decimal256(50, 1), None),
    ],
    ids=str,
)
def test_types(kind, declared):
    assert SERVER.declared_type(kind) == declared


@pytest.mark.parametrize(
    ("source", "table", "fits"),
    [
        ("bigint", "int", True),
        ("int", "decimal(5,0)", True),
        ("decimal(10,2)", "decimal(12,4)", True),
        ("decimal(10,2)", "decimal(12,1)", False),
        ("nvarchar(max)", "nvarchar(50)", True),
        ("nvarchar(max)", "varchar(50)", False),
        ("float(53)", "real", False),
        ("real", "float(53)", True),
        ("datetime2(6)", "datetime2(7)", True),
        ("datetime2(6)", "datetime", False),
        ("date", "datetime2(7)", True),
    ],
)
def test_what_goes_into_what(source, table, fits):
    assert SERVER.fits(source, table) is fits


def test_drivers_are_not_believed_about_moments_and_decimals():
    told = pa.schema(
        [
            *[("t", pa.timestamp("s")), ("d", pa.date32()), ("n", pa.decimal128(28, 6))],
            *[("f", pa.float32()), ("k", pa.time32("s")), ("i", pa.int32())],
        ]
    )
    assert asked_schema(told).types == [*[pa.string()] * 3, pa.float64(), pa.string(), pa.int64()]
    assert given_schema(told).types[:4] == [
        pa.timestamp("us"),
        pa.date32(),
        pa.decimal128(28, 6),
        pa.float64(),
    ]


def test_secrets_of_a_connection_string():
    assert _secrets("Server=x;UID=a;PWD={p;}}w};Password=q") == ["{p;}}w}", "p;}}w", "q"]


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("State: 23000, Native error: 2627, Message: [M][S]Violation of PRIMARY KEY", "(23000)", "merge"),
        (
            "State: 08S01, Native error: 0, Message: Communication link failure",
            "(08S01)",
            "run the task again",
        ),
        (
            "State: HY000, Native error: 5, Message: [SQLite]database is locked (5)",
            "(HY000)",
            "another process",
        ),
        ("State: IM002, Native error: 0, Message: Data source name not found", "(IM002)", "odbcinst"),
        ("something else", "something else", ""),
    ],
)
def test_messages(text, what, remedy):
    found = _explained(text)
    assert what in found[0]
    assert remedy in found[1]
