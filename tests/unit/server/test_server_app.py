"""The application when something of ours is broken."""

from datetime import UTC, datetime
from pathlib import Path

import anyio
import httpx

from batchctl.server import DEV_ACCOUNT, DEV_KEY
from batchctl.server.batch.app import Service, build_app
from batchctl.server.batch.auth import signature, string_to_sign
from batchctl.server.batch.store import Store
from batchctl.server.disk import Ballast


def test_a_bug_is_an_internal_error_in_batchs_shape(tmp_path: Path) -> None:
    store = Store(":memory:")
    store.do("DROP TABLE pools")
    service = Service(
        store=store,
        ballast=Ballast(tmp_path / "ballast"),
        endpoint="http://here",
        account=DEV_ACCOUNT,
        key=DEV_KEY,
        nodes=tmp_path,
        clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        changed=lambda: None,
        seen=lambda: None,
        drop=lambda _: None,
    )
    headers = {"ocp-date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    query = "api-version=2025-06-01"
    text = string_to_sign("GET", "/pools", query, headers, account=DEV_ACCOUNT, content_length="")
    headers["Authorization"] = f"SharedKey {DEV_ACCOUNT}:{signature(text, DEV_KEY)}"

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(build_app(service), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get(f"/pools?{query}", headers=headers)

    answer = anyio.run(ask)
    store.close()
    assert (answer.status_code, answer.json()["code"]) == (500, "InternalError")
    assert "no such table" not in answer.text
