"""The JSON Schema of a jobspec, for editors. `jobspecs/jobspec.schema.json` is this, checked in; a test compares them."""

from typing import Any

from batchctl.spec.jobspec import Jobspec


def json_schema() -> dict[str, Any]:
    """The schema, draft 2020-12."""
    schema = Jobspec.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "batchctl jobspec"}
