"""Values in a command and in a URL: the one must still be words, the other must stay in its lake zone."""

from datetime import UTC, datetime

import pytest

from batchctl.errors import UsageError
from batchctl.plan import Pipeline, Site, expand
from batchctl.spec import loads

NOW = datetime(2026, 1, 10, 6, 0, tzinfo=UTC)


def command(written: str, value: str) -> str:
    spec = loads(
        f"name: p\nparameters: {{v: {{}}}}\npool: {{target_dedicated_nodes: 1}}\n"
        f"tasks:\n  - id: a\n    command: {written}\n".encode()
    )
    pipeline = Pipeline(spec=spec, site=Site(target="t", zones={}, runs_url="az://a/runs/"))
    return str(expand(pipeline, {"v": value}, NOW, run="p-1").tasks[0]["commandLine"])


def test_a_value_with_a_quote_is_refused_before_anything_is_created() -> None:
    with pytest.raises(UsageError, match="cannot be split into words") as caught:
        command("echo {{ params.v }}", "it's")
    assert "| quote }}" in caught.value.hint


def test_a_quoted_value_is_one_word() -> None:
    assert command("echo {{ params.v | quote }}", "it's").endswith("""echo 'it'"'"'s'""")


def test_quotes_that_have_their_end() -> None:
    assert command("""echo "{{ params.v }}" """, "it's").endswith('echo "it\'s"')


@pytest.mark.parametrize("value", ["..", "../x", "a/..", "a/%2e./x"])
def test_a_value_that_leads_out_of_a_lake_zone_is_refused(value: str) -> None:
    spec = loads(
        b"name: p\nparameters: {v: {}}\npool: {target_dedicated_nodes: 1}\n"
        b"tasks:\n  - {id: a, command: c, with: {sink: {url: 'raw://p/{{ params.v }}/'}, note: 'a/..'}}\n"
    )
    site = Site(target="t", zones={"raw": "az://a/raw/"}, runs_url="az://a/runs/")
    with pytest.raises(UsageError, match=r"a: 'raw://p/.*' leads out of raw://"):
        expand(Pipeline(spec=spec, site=site), {"v": value}, NOW, run="p-1")
    assert expand(Pipeline(spec=spec, site=site), {"v": "..x"}, NOW, run="p-1").tasks
