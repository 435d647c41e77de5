"""`etl state show|reset URL`: the command line, without a library until one is called."""

import argparse
import json
from typing import Any

from batchctl_etl.console import answer


def add_state(stages: Any) -> None:
    """Add the command to the parser's `stages`."""
    state = stages.add_parser(
        "state", help="look at a watermark, or reset it", description="Look at a watermark, or reset it."
    )
    verbs = state.add_subparsers(dest="verb", metavar="VERB", required=True)
    show = _verb(verbs, "show", "print how far a source has been read")
    show.add_argument("-o", dest="output", choices=["text", "json"], default="text", help="default: text")
    reset = _verb(verbs, "reset", "read everything again, or what comes after a value")
    reset.add_argument("--to", metavar="VALUE", help="of the column: the next run reads what is greater")


def _verb(verbs: Any, name: str, purpose: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=purpose, description=f"{purpose.capitalize()}.", allow_abbrev=False
    )
    verb.add_argument("url", metavar="URL", help="the watermark's file: a path, file:///… or az://…")
    return verb


def run_state(options: argparse.Namespace) -> int:
    """Do what was asked for; stdout is the answer. Raises `WorkFailed`, `BadConfig`."""
    from batchctl_etl.errors import BadConfig
    from batchctl_etl.state import listing
    from batchctl_etl.storage.locations import HttpLocation, location

    try:
        if isinstance(location(options.url), HttpLocation):
            raise BadConfig(["a watermark is a file on disk or in Azure"])
    except ValueError as error:
        raise BadConfig([str(error)]) from None
    if options.verb == "reset":
        answer(listing.reset_state(options.url, options.to))
    elif options.output == "json":
        answer(json.dumps(listing.state_json(options.url)))
    else:
        for line in listing.state_lines(options.url):
            answer(line)
    return 0
