"""Where the configuration's text comes from: BATCHCTL_CONFIG, or by hand `--config FILE|-` or `--config-json
TEXT`."""

import sys
from collections.abc import Mapping
from pathlib import Path

from batchctl_etl.errors import BadConfig


def document(environ: Mapping[str, str], *, file: str | None, text: str | None) -> tuple[str, str]:
    """The JSON text and the name of its origin, for messages. Raises `BadConfig` if there is none."""
    if text is not None:
        return text, "--config-json"
    if file == "-":
        return sys.stdin.read(), "standard input"
    if file is not None:
        try:
            return Path(file).read_text(encoding="utf-8"), file
        except OSError as error:
            raise BadConfig([f"--config {file}: cannot be read: {error.strerror}"]) from error
        except UnicodeDecodeError as error:
            raise BadConfig([f"--config {file}: is not UTF-8"]) from error
    if "BATCHCTL_CONFIG" not in environ:
        raise BadConfig(["no configuration: set BATCHCTL_CONFIG, or use --config FILE or --config-json TEXT"])
    return environ["BATCHCTL_CONFIG"], "BATCHCTL_CONFIG"
