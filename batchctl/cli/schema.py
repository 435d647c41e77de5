"""`batchctl schema`"""

from batchctl.cli import console


def schema() -> None:
    """Print the JSON Schema of a jobspec, for editors."""
    from batchctl.spec.json_schema import json_schema

    console.structured(json_schema(), "json")
