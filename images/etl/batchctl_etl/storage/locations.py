"""What a URL names. Pure: nothing is opened and nobody is asked.

A URL is `file:///absolute/path` (percent-encoded), a bare path relative to the working directory,
`az://account/container/blob`, or `http(s)://…`; one that ends in `/` names a folder. In files and blobs, `*`
and `?` stand for characters of one name, `**` for any folders.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, kw_only=True)
class FileLocation:
    """A file, or a folder if the URL ended in `/`."""

    path: Path
    is_folder: bool


@dataclass(frozen=True, kw_only=True)
class HttpLocation:
    """Something a web server has."""

    url: str


@dataclass(frozen=True, kw_only=True)
class BlobLocation:
    """A blob, or all blobs whose names begin with `name` if the URL ended in `/`."""

    account: str
    container: str
    name: str
    is_folder: bool

    @property
    def url(self) -> str:
        return f"az://{self.account}/{self.container}/{self.name}"


Location = FileLocation | HttpLocation | BlobLocation


def location(url: str) -> Location:
    """Raises `ValueError`, with a message for the user, if the URL names nothing that `etl` can reach."""
    scheme, separator, rest = url.partition("://")
    if not url or "\0" in url:
        raise ValueError("a URL may not be empty or hold a zero byte")
    if not separator:
        return FileLocation(path=Path(url), is_folder=url.endswith("/"))
    if scheme == "file":
        host, slash, path = rest.partition("/")
        if host not in {"", "localhost"} or not slash:
            raise ValueError(
                f"{url!r}: a file URL has three slashes and an absolute path: file:///data/x.csv"
            )
        return FileLocation(path=Path(unquote("/" + path)), is_folder=url.endswith("/"))
    if scheme in {"http", "https"}:
        if not urlsplit(url).hostname:
            raise ValueError(f"{shown(url)!r}: the host is missing")
        return HttpLocation(url=url)
    if scheme == "az":
        return _blob(url, rest)
    if scheme in {"raw", "staging", "curated"}:
        raise ValueError(
            f"{url!r}: a lake zone is resolved by batchctl; by hand, write the folder it stands for"
        )
    raise ValueError(
        f"{shown(url)!r}: {scheme}:// is not supported; write file:///…, a path, az://…, http://… or https://…"
    )


def _blob(url: str, rest: str) -> BlobLocation:
    account, _, path = rest.partition("/")
    container, _, name = path.partition("/")
    if not re.fullmatch(r"[a-z0-9]{3,24}", account):
        raise ValueError(
            f"{url!r}: write az://account/container/blob; an account is 3 to 24 letters and digits"
        )
    if not re.fullmatch(r"\$?[a-z0-9](-?[a-z0-9])+", container):
        raise ValueError(f"{url!r}: write az://account/container/blob; the container's name is not one")
    return BlobLocation(
        account=account, container=container, name=name, is_folder=not name or name.endswith("/")
    )


def is_pattern(url: str) -> bool:
    """Whether the URL stands for every file or blob that it matches."""
    where = location(url)
    return not isinstance(where, HttpLocation) and bool(re.search(r"[*?]", url))


def pattern_regex(pattern: str) -> re.Pattern[str]:
    """The paths that a pattern stands for: `**/` is any folders, and no wildcard stands for a leading dot."""
    parts = {"**/": r"(?:(?!\.)[^/]+/)*", "*": r"[^/]*", "?": r"[^/]"}
    regex = ""
    for piece in re.split(r"(\*\*/|\*|\?)", pattern):
        at_start = not regex or regex.endswith(("/", "/)*"))
        regex += (r"(?!\.)" if at_start and piece in {"*", "?"} else "") + parts.get(piece, re.escape(piece))
    return re.compile(regex)


def base_name(url: str) -> str:
    """The last part of the URL's path, decoded; empty if it ends in `/`."""
    where = location(url)
    if isinstance(where, FileLocation):
        return "" if where.is_folder else where.path.name
    if isinstance(where, BlobLocation):
        return where.name.rpartition("/")[2]
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    return "" if "/" in name or name in {".", ".."} else name


def shown(url: str) -> str:
    """The URL as it may be shown: without the user's password and the query, which may hold a token."""
    if "://" not in url or url.startswith(("file:", "az:")):
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" + ("?…" if parts.query else "")
