"""`etl datasets list|show|diff CATALOGUE`: the command line, without a library until one is called."""

import argparse
import json
from typing import Any

from batchctl_etl.console import answer, story


def add_datasets(stages: Any) -> None:
    """Add the command to the parser's `stages`."""
    purpose = "look at the datasets that stages have registered"
    datasets = stages.add_parser("datasets", help=purpose, description=f"{purpose.capitalize()}.")
    verbs = datasets.add_subparsers(dest="verb", metavar="VERB", required=True)
    _verb(verbs, "list", "print the newest version of each dataset")
    show = _verb(verbs, "show", "print a version of a dataset: its columns, its place, its producer")
    show.add_argument("name", metavar="NAME", help="the dataset")
    show.add_argument("--version", metavar="ID", help="or the beginning of it; default: the newest")
    diff = _verb(verbs, "diff", "print how two versions of a dataset differ")
    diff.add_argument("name", metavar="NAME", help="the dataset")
    diff.add_argument("old", metavar="OLD", nargs="?", help="an id; default: the one before NEW")
    diff.add_argument("new", metavar="NEW", nargs="?", help="an id; default: the newest")


def _verb(verbs: Any, name: str, purpose: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=purpose, description=f"{purpose.capitalize()}.", allow_abbrev=False
    )
    verb.add_argument("catalogue", metavar="CATALOGUE", help="its folder: a path, file:///… or az://…")
    verb.add_argument("-o", dest="output", choices=["table", "json"], default="table", help="default: table")
    return verb


def run_datasets(options: argparse.Namespace) -> int:
    """Do what was asked for; stdout is the answer. Raises `WorkFailed`, `BadConfig`."""
    from batchctl_etl.datasets import listing
    from batchctl_etl.stages.show import lines_of

    catalogue, as_data = _folder(options.catalogue), options.output == "json"
    if options.verb == "list":
        if as_data:
            answer(json.dumps([listing.as_json(item) for item in listing.newest_versions(catalogue)]))
            return 0
        names, rows = listing.listed(catalogue)
        if not rows:
            story(f"datasets: no stage has registered a dataset in {catalogue}")
        lines = lines_of(names, rows)
    elif options.verb == "show":
        version, versions = listing.shown(catalogue, options.name, options.version)
        if as_data:
            answer(json.dumps(listing.as_json(version) | {"versions": versions}))
            return 0
        lines = listing.shown_lines(version, versions)
    else:
        old, new = listing.two_versions(catalogue, options.name, options.old, options.new)
        found = listing.difference(old, new)
        if as_data:
            answer(json.dumps(found))
            return 0
        lines = listing.difference_lines(found)
    for line in lines:
        answer(line)
    return 0


def _folder(url: str) -> str:
    from batchctl_etl.errors import BadConfig
    from batchctl_etl.storage.locations import HttpLocation, location

    try:
        if isinstance(location(url), HttpLocation):
            raise BadConfig(["a catalogue is a folder on disk or in Azure"])
    except ValueError as error:
        raise BadConfig([str(error)]) from None
    return url if url.endswith("/") else f"{url}/"
