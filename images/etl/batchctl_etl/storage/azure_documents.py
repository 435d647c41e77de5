"""Small blobs that are replaced only if they are still what was read."""

import uuid
from typing import Any

from batchctl_etl.errors import Changed
from batchctl_etl.storage.azure_client import azure_errors, container_client
from batchctl_etl.storage.locations import BlobLocation


def read_blob(where: BlobLocation) -> tuple[bytes | None, str | None]:
    """The bytes and the ETag; `None` twice if there is no such blob. Raises `WorkFailed`."""
    from azure.core.exceptions import ResourceNotFoundError

    with container_client(where) as container, azure_errors(where.url, "read"):
        try:
            found = container.get_blob_client(where.name).download_blob()
        except ResourceNotFoundError as error:
            if _has_no_container(error):
                raise
            return None, None
        return found.readall(), str(found.properties.etag)


def replace_blob(where: BlobLocation, body: bytes, *, expected: str | None) -> None:
    """Write the blob if its ETag is `expected`, or, if that is `None`, if there is none.

    Raises `Changed`, `WorkFailed`.
    """
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError

    condition: dict[str, Any] = {"overwrite": False, "metadata": {"written": uuid.uuid4().hex}}
    if expected is not None:
        condition |= {"overwrite": True, "etag": expected, "match_condition": MatchConditions.IfNotModified}
    failure: Exception
    with container_client(where) as container, azure_errors(where.url, "written"):
        try:
            container.get_blob_client(where.name).upload_blob(body, **condition)
            return
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError) as error:
            if _has_no_container(error):
                raise
            failure = error
        # An answer that was lost is asked for again by the SDK, and then our own writing is in the way.
        try:
            found = container.get_blob_client(where.name).get_blob_properties().metadata
        except ResourceNotFoundError:
            found = {}
    if found != condition["metadata"]:
        raise Changed from failure


def _has_no_container(error: Exception) -> bool:
    found = getattr(error, "error_code", None)
    return getattr(found, "value", found) == "ContainerNotFound"
