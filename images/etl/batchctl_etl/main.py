"""The command `etl`: reads the configuration, runs one stage, writes its report. The only `except` for users.

Data libraries are imported by the stage that needs them: `etl --help` is instant.
"""

import argparse
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from batchctl_etl import __version__, console
from batchctl_etl.datasets.command import add_datasets, run_datasets
from batchctl_etl.delta.command import add_delta, run_delta
from batchctl_etl.errors import EtlError, QualityFailed
from batchctl_etl.report import Report, write_report
from batchctl_etl.state.command import add_state, run_state

STAGES = {
    "extract": "copy bytes from a file or a web server to a file",
    "transform": "run rows from files through one SELECT to a file",
    "load": "put rows from a file into a folder of Parquet files, a file or a table",
}


class Terminated(BaseException):
    """SIGTERM arrived: clean up and go."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `etl` with `arguments` (default: the process's own). 0 done, 1 failed, 2 wrong configuration, 3 a
    quality gate stayed closed, 128+n signal n. As the process's own command it does not return: it ends it."""
    exit_code = _main(arguments)
    if arguments is None:
        # Arrow may still read ahead, in a thread of its own, from a stream of ours that nobody wants any more. A
        # Python that winds down meets that thread, and crashes or hangs.
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(exit_code)
    return exit_code


def _main(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # Looking for some takes time, and we have none.
    if sys.platform == "linux":
        # Arrow's own choice, mimalloc, keeps what was freed: half as much memory again.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    signal.signal(signal.SIGTERM, _terminate)
    started = time.monotonic()
    try:
        if options.stage == "show":
            return _show(options)
        if options.stage == "delta":
            return run_delta(options)
        if options.stage == "state":
            return run_state(options)
        if options.stage == "datasets":
            return run_datasets(options)
        report = _run(options)
        report_file = os.environ.get("BATCHCTL_REPORT")
        if report_file:
            write_report(Path(report_file), report)
    except EtlError as error:
        if isinstance(error, QualityFailed):
            _report_checks(error)
        for line in error.lines:
            console.story(f"{options.stage}: {line}")
        return error.exit_code
    except OSError as error:
        console.story(
            f"{options.stage}: {error}"
        )  # The machine's trouble: no room for a temporary folder, say.
        return EtlError.exit_code
    except KeyboardInterrupt:
        console.story(f"{options.stage}: interrupted")
        return 128 + signal.SIGINT
    except Terminated:
        console.story(f"{options.stage}: terminated")
        return 128 + signal.SIGTERM
    console.story(f"{options.stage}: {_summary(report)}; {time.monotonic() - started:.2f} s")
    console.answer(json.dumps(report.as_json()))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="etl", description="The first stages of a pipeline.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"etl {__version__}")
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)
    for name, purpose in STAGES.items():
        stage = stages.add_parser(
            name, help=purpose, description=f"{purpose.capitalize()}.", allow_abbrev=False
        )
        source = stage.add_mutually_exclusive_group()
        source.add_argument(
            "--config", metavar="FILE", help="configuration in place of BATCHCTL_CONFIG; - is stdin"
        )
        source.add_argument("--config-json", metavar="TEXT", help="the same, as JSON text")
    add_delta(stages)
    add_state(stages)
    add_datasets(stages)
    show = stages.add_parser(
        "show", help="print rows of what was loaded", description="Print rows of what was loaded."
    )
    show.add_argument(
        "file", metavar="FILE", help="a DuckDB or SQLite database, a data file, or a folder of Parquet files"
    )
    show.add_argument("sql", metavar="SQL", nargs="?", help="a SELECT; a data file is called `data` in it")
    show.add_argument("--rows", type=int, default=20, metavar="N", help="at most so many rows (default 20)")
    return parser


def _show(options: argparse.Namespace) -> int:
    from batchctl_etl.stages.show import show

    for line in show(options.file, options.sql, rows=options.rows):
        console.answer(line)
    return 0


def _run(options: argparse.Namespace) -> Report:
    from batchctl_etl.config.document import document
    from batchctl_etl.config.strict import parse
    from batchctl_etl.identity import load_id, origin

    text, place = document(os.environ, file=options.config, text=options.config_json)
    by_hand = f"by-hand-{uuid.uuid4().hex}"
    if options.stage == "extract":
        from batchctl_etl.config.extract import ExtractConfig

        extract_config = parse(ExtractConfig, text, origin=place)
        from batchctl_etl.stages.extract import extract

        identity = load_id(os.environ, configured=None, otherwise=by_hand)
        return extract(extract_config, load_id=identity, origin=origin(os.environ))
    if options.stage == "transform":
        from batchctl_etl.config.transform import TransformConfig

        transform_config = parse(TransformConfig, text, origin=place)
        from batchctl_etl.stages.transform import transform

        identity = load_id(os.environ, configured=None, otherwise=by_hand)
        return transform(transform_config, load_id=identity, at=datetime.now(UTC), origin=origin(os.environ))
    from batchctl_etl.config.load import LoadConfig

    load_config = parse(LoadConfig, text, origin=place)
    from batchctl_etl.stages.load import load

    identity = load_id(os.environ, configured=load_config.load_id, otherwise=by_hand)
    return load(load_config, load_id=identity, at=datetime.now(UTC), origin=origin(os.environ))


def _report_checks(error: QualityFailed) -> None:
    """The results of the checks are for the run's record, and the more so if they failed."""
    report_file = os.environ.get("BATCHCTL_REPORT")
    if report_file:
        with suppress(EtlError):
            write_report(Path(report_file), Report(extra={"checks": list(error.checks)}))


def _summary(report: Report) -> str:
    counts = {"rows in": report.rows_read, "rows out": report.rows_written}
    counts |= {"bytes in": report.bytes_read, "bytes out": report.bytes_written}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count is not None)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # A second one must not disturb the cleaning up.
    raise Terminated


if __name__ == "__main__":
    sys.exit(main())
