"""A container registry: which of our images it has, their digests and sizes; deleting them. Pushing is the engine's.

The API: OCI distribution-spec 1.1. It needs no Docker Engine, so a plan can be made where there is none.
"""

import re
from typing import TYPE_CHECKING

from batchctl.errors import Refused, TargetError
from batchctl.plan.images import CONTEXT_LABEL, OCI, StoredImage, is_our_tag
from batchctl.targets.registry_http import RegistryHttp
from batchctl.targets.registry_sign_in import Credentials

if TYPE_CHECKING:
    from requests import Response

_MANIFESTS = {
    "Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Registry:
    """The registry at `host`, as the user of `credentials`. A `path` is a repository without the host.

    Every method raises NotAuthenticated, Unreachable, and UsageError for a path that the registry does not allow.
    """

    def __init__(self, host: str, credentials: Credentials | None = None) -> None:
        self.host = host
        self.credentials = credentials
        self._http = RegistryHttp(host, credentials)

    def __enter__(self) -> "Registry":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def digest(self, path: str, tag: str) -> str | None:
        """The digest of the manifest of `path:tag`; None if there is none."""
        answer = self._http.ask("HEAD", path, f"manifests/{tag}", headers=_MANIFESTS)
        return None if answer is None else _digest_of(answer)

    def tags(self, path: str) -> list[str]:
        """Every tag of the repository; none if there is no such repository."""
        found: list[str] = []
        query = "n=1000"
        while query:
            answer = self._http.ask("GET", path, f"tags/list?{query}")
            if answer is None:
                break
            found += answer.json().get("tags") or []
            query = answer.links.get("next", {}).get("url", "").partition("?")[2]
        return found

    def images(self, path: str, name: str) -> list[StoredImage]:
        """The images of ours in the repository: those with a tag of ours and our label."""
        found = (self._image(path, name, tag) for tag in self.tags(path) if is_our_tag(tag))
        return [image for image in found if image is not None]

    def layers(self, path: str, tag: str) -> dict[str, int]:
        """The layers of `path:tag`, digest -> packed bytes; none if there is no such image."""
        answer = self._http.ask("GET", path, f"manifests/{tag}", headers=_MANIFESTS)
        manifest = answer.json() if answer is not None else {}
        return {layer["digest"]: layer["size"] for layer in manifest.get("layers", [])}

    def delete(self, path: str, digest: str) -> None:
        """Delete a manifest and with it its tags. Fine if there is none. Raises Refused if the registry deletes nothing."""
        answer = self._http.ask("DELETE", path, f"manifests/{digest}", allowed=(405,))
        if answer is not None and answer.status_code == 405:
            raise Refused(
                f"{self.host} does not allow deleting",
                hint="storage.delete.enabled: true in its configuration",
            )

    def check_push(self, path: str) -> None:
        """Raise what is in the way of a push to the repository, if anything is: an upload is begun, and taken back."""
        answer = self._http.ask("POST", path, "blobs/uploads/")
        upload = answer.headers.get("Location", "") if answer is not None else ""
        if upload.startswith("/"):
            upload = self._http.root + upload
        if upload.startswith(self._http.root):
            self._http.send("DELETE", upload, path, {})

    def _image(self, path: str, name: str, tag: str) -> StoredImage | None:
        answer = self._http.ask("GET", path, f"manifests/{tag}", headers=_MANIFESTS)
        manifest = answer.json() if answer is not None else {}
        if answer is None or "config" not in manifest:  # an index of several platforms is not of our making
            return None
        config = self._http.ask("GET", path, f"blobs/{manifest['config']['digest']}")
        made = config.json() if config is not None else {}
        labels = (made.get("config") or {}).get("Labels") or {}
        if CONTEXT_LABEL not in labels:
            return None
        return StoredImage(
            name=name,
            repository=f"{self.host}/{path}",
            tag=tag,
            digest=_digest_of(answer),
            size=None,
            download=sum(layer["size"] for layer in manifest["layers"]),
            created=labels.get(f"{OCI}created") or f"{made.get('created', '')[:19]}Z",
            engine=False,
            registry=True,
        )


def _digest_of(answer: "Response") -> str:
    digest = answer.headers.get("Docker-Content-Digest", "")
    if not _DIGEST.fullmatch(digest):
        raise TargetError(f"{answer.url}: the registry names no digest of its manifest")
    return digest
