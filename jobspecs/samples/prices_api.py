"""A web API of made-up prices, for `prices.yaml`: `python3 jobspecs/samples/prices_api.py 8900`.

`GET /prices?code=WHEAT&day=2026-01-19` answers {"data": [{"day", "open", "high", "low", "close"}]}, nothing for weekends
and some holidays. The same day always has the same prices.
"""

import json
import sys
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zlib import crc32

CODES = {"WHEAT": 210, "OATS": 180, "RICE": 340}


def answer(code: str, day: date) -> dict[str, Any]:
    """The prices of a day; decimals, as text."""
    if day.weekday() > 4 or (day.month, day.day) in {(1, 1), (12, 25)}:
        return {"data": []}
    opening, closing, up, down = (
        Decimal(crc32(f"{code} {day} {what}".encode()) % 2000) / 100
        for what in ("open", "close", "high", "low")
    )
    start, end = CODES[code] + opening, CODES[code] + closing
    row = {
        "day": str(day),
        "open": start,
        "high": max(start, end) + up,
        "low": min(start, end) - down,
        "close": end,
    }
    return {"data": [row]}


class Handler(BaseHTTPRequestHandler):
    """One request, one answer."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with prices, or 400."""
        query = parse_qs(urlsplit(self.path).query)
        try:
            found = answer(query["code"][0], date.fromisoformat(query["day"][0]))
            self.reply(200, json.dumps(found, default=float).encode())
        except (KeyError, ValueError) as error:
            self.reply(400, json.dumps({"error": str(error)}).encode())

    def reply(self, status: int, body: bytes) -> None:
        """Send it all."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing of requests."""


def main() -> None:
    """Serve until Ctrl-C; the first line of output says where."""
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8900), Handler)
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
