"""`etl delta history|vacuum|optimize URL`: the command line, without the library until one is called."""

import argparse
import json
from typing import Any

from batchctl_etl.console import answer


def add_delta(stages: Any) -> None:
    """Add the command to the parser's `stages`."""
    delta = stages.add_parser(
        "delta", help="look after a Delta table", description="Look after a Delta table."
    )
    verbs = delta.add_subparsers(dest="verb", metavar="VERB", required=True)
    history = _verb(verbs, "history", "print what made each version, the newest first")
    history.add_argument("--limit", type=int, default=20, metavar="N", help="so many versions (default 20)")
    history.add_argument(
        "-o", dest="output", choices=["table", "json"], default="table", help="default: table"
    )
    vacuum = _verb(verbs, "vacuum", "delete the files that no version of the last week needs")
    vacuum.add_argument("--retention-hours", type=int, metavar="N", help="default: the table's own, or 168")
    vacuum.add_argument("--dry-run", action="store_true", help="only name them")
    vacuum.add_argument("--force", action="store_true", help="also with fewer than 168 hours")
    optimize = _verb(verbs, "optimize", "write small files together as larger ones")
    optimize.add_argument(
        "--z-order",
        default="",
        metavar="COLUMN,COLUMN",
        help="all files, sorted so that these are found fast",
    )


def _verb(verbs: Any, name: str, purpose: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=purpose, description=f"{purpose.capitalize()}.", allow_abbrev=False
    )
    verb.add_argument("url", metavar="URL", help="the table's folder: a path, file:///… or az://…")
    return verb


def run_delta(options: argparse.Namespace) -> int:
    """Do what was asked for; stdout is the answer. Raises `WorkFailed`, `BadConfig`."""
    from batchctl_etl.delta import upkeep
    from batchctl_etl.errors import BadConfig

    try:
        if options.verb == "history":
            _show(upkeep.history(options.url, limit=options.limit), options.output)
            return 0
        if options.verb == "vacuum":
            done = upkeep.vacuum(
                options.url,
                retention_hours=options.retention_hours,
                dry_run=options.dry_run,
                force=options.force,
            )
        else:
            columns = [name for name in options.z_order.split(",") if name]
            done = upkeep.optimize(options.url, z_order=columns)
    except ValueError as error:
        raise BadConfig([str(error)]) from error
    answer(json.dumps(done))
    return 0


def _show(versions: list[dict[str, Any]], output: str) -> None:
    if output == "json":
        answer(json.dumps(versions))
        return
    from batchctl_etl.stages.show import lines_of

    names = list(versions[0])
    for line in lines_of(names, [list(version.values()) for version in versions]):
        answer(line)
