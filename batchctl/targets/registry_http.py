"""HTTP to a container registry: who we are, patience while it is busy, and its errors -> ours. It knows no images.

The sign-in: basic, or distribution's token authentication, where a 401 names a realm that gives a token for one repository.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from batchctl.errors import NotAuthenticated, TargetError, Unreachable, UsageError
from batchctl.targets.registry_sign_in import TOKEN_USER, Credentials, is_loopback

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_SECONDS = 30


class _Busy(Exception):
    pass


class RegistryHttp:
    """Requests to the registry at `host`, as the user of `credentials`."""

    def __init__(self, host: str, credentials: Credentials | None) -> None:
        import requests

        self.host = host
        self.root = f"{'http' if is_loopback(host) else 'https'}://{host}"
        self._credentials = credentials
        self._session = requests.Session()
        self._tokens: dict[str, str] = {}

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def ask(
        self,
        method: str,
        path: str,
        rest: str,
        *,
        headers: Mapping[str, str] | None = None,
        allowed: tuple[int, ...] = (),
    ) -> "Response | None":
        """The answer for `rest` of the repository `path`; None for 404. What is not good and not `allowed` is raised:
        NotAuthenticated, UsageError for a name, Unreachable, TargetError."""
        answer = self.send(method, f"{self.root}/v2/{path}/{rest}", path, headers or {})
        if answer.status_code == 404:
            return None
        if answer.ok or answer.status_code in allowed:
            return answer
        raise self._refused(path, answer)

    def send(self, method: str, url: str, path: str, headers: Mapping[str, str]) -> "Response":
        """The answer, whatever it is, signed in for the repository `path`. Raises Unreachable."""
        answer = self._once(method, url, headers=headers, auth=self._signed(path))
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status_code == 401 and challenge.lower().startswith("bearer "):
            self._tokens[path] = self._token(challenge, path)
            answer = self._once(method, url, headers=headers, auth=self._signed(path))
        return answer

    def _signed(self, path: str) -> "Callable[[PreparedRequest], PreparedRequest]":
        from requests.auth import HTTPBasicAuth

        token, mine = self._tokens.get(path), self._credentials
        if token is None and mine and mine.username and mine.username != TOKEN_USER:
            return HTTPBasicAuth(mine.username, mine.password)

        def signed(request: "PreparedRequest") -> "PreparedRequest":
            if token is not None:
                request.headers["Authorization"] = f"Bearer {token}"
            return request  # and, being asked, keeps requests from taking a password out of ~/.netrc

        return signed

    def _token(self, challenge: str, path: str) -> str:
        """A token for what the 401 asks for, from the realm it names (distribution: auth/token, auth/oauth)."""
        from requests.auth import HTTPBasicAuth
        from requests.utils import parse_dict_header

        asked: dict[str, str | None] = parse_dict_header(  # type: ignore[no-untyped-call]
            challenge[len("bearer ") :]
        )
        realm = asked.get("realm") or ""
        if not realm.startswith("https://") and not (is_loopback(self.host) and realm.startswith("http://")):
            raise NotAuthenticated(f"{self.host} asks us to sign in at {realm!r}, which is not encrypted")
        wanted = {
            "service": asked.get("service") or self.host,
            "scope": asked.get("scope") or f"repository:{path}:pull",
        }
        mine = self._credentials
        if mine and mine.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": mine.identity_token,
                "client_id": "batchctl",
            }
            answer = self._once("POST", realm, data=wanted | form)
        else:
            basic = HTTPBasicAuth(mine.username, mine.password) if mine else None
            answer = self._once("GET", realm, params=wanted, auth=basic)
        if not answer.ok:
            raise self._refused(path, answer)
        document = _document(answer)
        token = document.get("token") or document.get("access_token")
        if not token:
            raise TargetError(f"{self.host} gives no token to sign in with")
        return str(token)

    def _once(self, method: str, url: str, **more: Any) -> "Response":
        """One request, tried again while the registry is busy. Raises Unreachable."""
        import requests
        import stamina
        from stamina.instrumentation import set_on_retry_hooks

        set_on_retry_hooks([])
        answers: list[Response] = []
        try:
            for attempt in stamina.retry_context(on=_Busy, attempts=4, wait_initial=0.2, wait_max=5):
                with attempt:
                    answers.append(self._session.request(method, url, timeout=_SECONDS, **more))
                    if answers[-1].status_code in _BUSY:
                        raise _Busy
        except _Busy:
            pass  # the last answer is the one to tell
        except requests.RequestException as error:
            hint = (
                "start it: docker-registry serve CONFIG" if is_loopback(self.host) else "is its name right?"
            )
            raise Unreachable(
                f"no registry answers at {self.host} ({type(error).__name__})", hint=hint
            ) from None
        return answers[-1]

    def _refused(self, path: str, answer: "Response") -> TargetError | UsageError:
        errors = _document(answer).get("errors")
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
        code, said = str(first.get("code", "")), str(first.get("message", ""))
        text = f"{code}: {said}" if code else f"HTTP {answer.status_code}"
        if answer.status_code in (401, 403):
            mine = self._credentials
            who = f" as {mine.username}" if mine and mine.username not in ("", TOKEN_USER) else ""
            return NotAuthenticated(
                f"{self.host} does not let us use {path}{who}: {text}",
                hint=f"docker login {self.host}; az login for a registry of Azure's; or registry_username "
                "with BATCHCTL_REGISTRY_PASSWORD",
                code=code,
            )
        if code == "NAME_INVALID":
            return UsageError(
                f"{self.host} does not allow the name {path}: {said}",
                hint="use lower-case letters and digits",
            )
        if answer.status_code in _BUSY:
            return Unreachable(
                f"the registry {self.host} is in trouble: {text}", hint="try again later", code=code
            )
        return TargetError(f"{self.host}: {path}: {text}", code=code)


def _document(answer: "Response") -> dict[str, Any]:
    """The answer's JSON object; empty for anything else. Errors come as `{"errors": [{"code", "message"}]}`."""
    import requests

    try:
        document = answer.json()
    except requests.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
