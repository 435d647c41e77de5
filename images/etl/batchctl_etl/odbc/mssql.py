"""SQL Server: its words for a load (T-SQL). Pure: text in, text out.

Names are in double quotes, which every ODBC connection understands (QUOTED_IDENTIFIER is ON there).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.types as kinds

from batchctl_etl.config.table import LEDGER
from batchctl_etl.odbc.moments import is_zoned, zoned_text
from batchctl_etl.odbc.row_number import ROW
from batchctl_etl.tables.statements import Dialect, Target, listed, quoted, table_creation

STAGE = "#batchctl_stage"
_DECLARED = (
    (kinds.is_boolean, "bit"),
    (kinds.is_uint8, "tinyint"),
    (kinds.is_int8, "smallint"),
    (kinds.is_int16, "smallint"),
    (kinds.is_uint16, "int"),
    (kinds.is_int32, "int"),
    (kinds.is_uint32, "bigint"),
    (kinds.is_int64, "bigint"),
    (kinds.is_uint64, "decimal(20,0)"),
    (kinds.is_float32, "real"),
    (kinds.is_float64, "float(53)"),
    (kinds.is_string, "nvarchar(max)"),
    (kinds.is_binary, "varbinary(max)"),
    (kinds.is_large_binary, "varbinary(max)"),
    (kinds.is_date32, "date"),
    (kinds.is_time, "time(6)"),
)
_WHOLE = ("tinyint", "smallint", "int", "bigint")


class TransactSql(Dialect):
    """The statements that SQL Server words otherwise."""

    def duplicate_key(self, key: Sequence[str]) -> str:
        texts = ", ".join(f"CAST({quoted(name)} AS nvarchar(400))" for name in key)
        return (
            f"SELECT TOP 1 {texts}, count_big(*) AS n FROM {self.stage} "
            f"GROUP BY {listed(key)} HAVING count_big(*) > 1"
        )

    def merge_of_stage(
        self, table: str, key: Sequence[str], source: Mapping[str, str], target: Target
    ) -> tuple[str, ...]:
        there = {name: quoted(target[name][0]) for name in source}
        same = " AND ".join(f"old.{there[name]} = new.{quoted(name)}" for name in key)
        changed = ", ".join(f"{there[name]} = new.{quoted(name)}" for name in source if name not in key)
        update = f"WHEN MATCHED THEN UPDATE SET {changed} " if changed else ""
        values = ", ".join(f"new.{quoted(name)}" for name in source)
        return (
            # HOLDLOCK: without it, two merges at once insert a key twice.
            f"MERGE INTO {self.table(table)} WITH (HOLDLOCK) AS old USING {self.stage} AS new ON ({same}) {update}"
            f"WHEN NOT MATCHED BY TARGET THEN INSERT ({', '.join(there.values())}) VALUES ({values});",
        )

    def ledger_creation(self) -> str:
        name = self.table(LEDGER).replace("'", "''")
        return (
            f"IF OBJECT_ID(N'{name}', N'U') IS NULL CREATE TABLE {self.table(LEDGER)} "
            '(load_id nvarchar(300) NOT NULL, "table" nvarchar(128) NOT NULL, "rows" bigint NOT NULL, '
            '"at" datetime2(6) NOT NULL, PRIMARY KEY (load_id, "table"))'
        )


@dataclass(frozen=True)
class SqlServer:
    """SQL Server and Azure SQL."""

    schema: str

    @property
    def dialect(self) -> Dialect:
        return TransactSql(stage=STAGE, target=f"{quoted(self.schema)}.", row=quoted(ROW))

    def beginning(self, lock_timeout_seconds: float) -> list[str]:
        # XACT_ABORT: any error ends the whole transaction, as it does elsewhere.
        return ["SET XACT_ABORT ON", f"SET LOCK_TIMEOUT {int(lock_timeout_seconds * 1000)}"]

    def stage_creation(self, columns: Mapping[str, str]) -> str:
        return table_creation(STAGE, columns)

    def declared_type(self, kind: pa.DataType) -> str | None:
        if kinds.is_decimal128(kind):
            return f"decimal({kind.precision},{kind.scale})"
        if kinds.is_timestamp(kind):
            return "datetimeoffset(6)" if kind.tz else "datetime2(6)"
        return next((declared for is_kind, declared in _DECLARED if is_kind(kind)), None)

    def stored_schema(self, schema: pa.Schema) -> pa.Schema:
        carried = {pa.uint64(): pa.decimal128(20, 0), pa.uint32(): pa.int64(), pa.uint16(): pa.int32()}
        return pa.schema(
            [
                field.with_type(pa.string() if is_zoned(field.type) else carried.get(field.type, field.type))
                for field in schema
            ]
        )

    def stored(self, column: pa.Array, kind: pa.DataType) -> pa.Array:
        return zoned_text(column) if is_zoned(column.type) else column.cast(kind)

    def waiting_for_others(self, table: str) -> list[str]:
        name = f"batchctl-etl {self.schema}.{table}"[:255].replace("'", "''")
        lock = f"EXEC @got = sp_getapplock @Resource = N'{name}', @LockMode = 'Exclusive'"
        return [f"DECLARE @got int; {lock}; IF @got < 0 THROW 50000, 'another load has the table', 1"]

    def columns_query(self, table: str) -> tuple[str, list[str]]:
        return (
            "SELECT CAST(c.name AS nvarchar(128)) AS name, CAST(t.name + CASE "
            "WHEN t.name IN ('decimal', 'numeric') THEN CONCAT('(', c.precision, ',', c.scale, ')') "
            "WHEN t.name IN ('datetime2', 'datetimeoffset', 'time') THEN CONCAT('(', c.scale, ')') "
            "WHEN t.name = 'float' THEN CONCAT('(', c.precision, ')') "
            "WHEN t.name IN ('varchar', 'nvarchar', 'char', 'nchar', 'varbinary', 'binary') THEN CONCAT('(', "
            "CASE WHEN c.max_length < 0 THEN 'max' WHEN t.name LIKE 'n%' THEN CAST(c.max_length / 2 AS varchar(9)) "
            "ELSE CAST(c.max_length AS varchar(9)) END, ')') ELSE '' END AS nvarchar(128)) AS kind "
            "FROM sys.columns c JOIN sys.types t ON t.user_type_id = c.system_type_id "
            "WHERE c.object_id = OBJECT_ID(?) AND c.is_computed = 0 ORDER BY c.column_id",
            [f"{quoted(self.schema)}.{quoted(table)}"],
        )

    def fits(self, source: str, table: str) -> bool:
        if source == table:
            return True
        here, there = (re.fullmatch(r"(?:decimal|numeric)\((\d+),(\d+)\)", kind) for kind in (source, table))
        if source in _WHOLE:
            return table in {*_WHOLE, "real", "float(53)"} or there is not None
        if here and there:
            return int(here[2]) <= int(there[2])  # Fewer digits after the point would be rounded in silence.
        if source == "nvarchar(max)":
            return bool(re.fullmatch(r"n(var)?char\(\w+\)", table))  # varchar would turn letters into ?
        if source == "varbinary(max)":
            return table.startswith("varbinary(")
        return (source, table) in {
            ("real", "float(53)"),
            ("date", "datetime2(6)"),
            ("date", "datetime2(7)"),
        } or (
            # Seven digits hold six.
            source.endswith("(6)") and table == source.replace("(6)", "(7)")
        )
