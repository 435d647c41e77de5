"""Makes the samples that are made up: vendor/*.zip and turnstile/*.txt. Always the same: `python3 jobspecs/samples/make.py`.

Nothing here is real but the forms: JSON lines in zip archives, and the two forms of New York's turnstile files.
"""

import io
import json
import zipfile
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

HERE = Path(__file__).parent
NEW_FORM = date(2014, 10, 18)
"""From this Saturday on, turnstile files have a header and one reading in a line."""


def vendor_archives() -> dict[str, dict[str, list[dict[str, object]]]]:
    """Archive -> member -> rows. Some rows are wrong, as a vendor's are."""
    customers: list[dict[str, object]] = []
    for number in range(1, 41):
        day = date(2025, 1, 1) + timedelta(days=number * 5)
        form = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y")[number % 3]
        name = f"Customer {number}" if number % 7 else f"Käufer “{number}”,\nLtd."
        customers.append({"customer_id": number, "name": name, "signup": day.strftime(form)})
    customers[10]["signup"] = "soon"
    products = [
        {
            "sku": f"P{n:03}",
            "title": f"Product {n}",
            "price": f"{n},{n % 100:02} EUR",
            "updated": "2025-06-01",
        }
        for n in range(1, 21)
    ]
    updates = [
        {"sku": f"P{n:03}", "title": f"Product {n}", "price": f"1.{n:03},50 EUR", "updated": "2025-07-01"}
        for n in (3, 5)
    ]
    orders: list[dict[str, object]] = []
    lines: list[dict[str, object]] = []
    for number in range(1, 121):
        orders.append(
            {
                "order_id": f"O{number:04}",
                "customer_id": number % 40 + 1 if number != 60 else 999,
                "ordered_at": f"2025-08-{number % 28 + 1:02}T{number % 24:02}:30:00{'Z' if number % 2 else '+02:00'}",
                "paid": "yes" if number % 3 else "no",
            }
        )
        for line in range(1, number % 4 + 2):
            sku = f"P{(number * line) % 20 + 1:03}"
            lines.append(
                {"order_id": f"O{number:04}", "line": line, "sku": sku, "quantity": (number + line) % 5 + 1}
            )
    return {
        "customers": {"customers.jsonl": customers},
        "orders": {"orders.jsonl": orders, "order_lines.jsonl": lines},
        "products": {"products/2025-06.jsonl": list(products), "products/2025-07.jsonl": list(updates)},
    }


def zipped(members: dict[str, list[dict[str, object]]]) -> bytes:
    """A zip archive of JSON lines."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, rows in members.items():
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            archive.writestr(zipfile.ZipInfo(name), text.encode(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


Reading = tuple[datetime, str, int, int]
TURNSTILES = (
    ("A002", "R051", "02-00-00", "59 ST", "NQR456", "BMT"),
    ("R238", "R046", "00-03-01", "GRD CNTRL-42 ST", "4567S", "IRT"),
)


def readings(number: int, saturday: date) -> list[Reading]:
    """Those of the week before `saturday`, every four hours; the counters never go back."""
    first = saturday - timedelta(days=7)
    found = []
    for step in range(42):
        moment = datetime.combine(first, time(3), UTC) + timedelta(hours=4 * step)
        passed = (moment - datetime(2014, 1, 1, tzinfo=UTC)).total_seconds() / 14400
        kind = "RECOVR AUD" if step == 17 and number == 1 else "REGULAR"
        found.append(
            (moment, kind, int(4_000_000 + number * 1000 + passed * 97), int(1_300_000 + passed * 31))
        )
    return found


def turnstile_file(saturday: date) -> str:
    """The file of a Saturday, in the form of its time."""
    lines: list[str] = []
    if saturday >= NEW_FORM:
        lines.append("C/A,UNIT,SCP,STATION,LINENAME,DIVISION,DATE,TIME,DESC,ENTRIES,EXITS".ljust(130))
    for number, turnstile in enumerate(TURNSTILES):
        week = readings(number, saturday)
        lines += _new_lines(turnstile, week) if saturday >= NEW_FORM else _old_lines(turnstile, week)
    return "\n".join(lines) + "\n"


def _new_lines(turnstile: tuple[str, ...], week: list[Reading]) -> Iterable[str]:
    for moment, kind, entries, exits in week:
        yield ",".join(
            [*turnstile, f"{moment:%m/%d/%Y,%H:%M:%S}", kind, f"{entries:010}", f"{exits:010}".ljust(60)]
        )


def _old_lines(turnstile: tuple[str, ...], week: list[Reading]) -> Iterable[str]:
    for start in range(0, len(week), 8):
        parts = [
            f"{m:%m-%d-%y,%H:%M:%S},{kind},{entries:09},{exits:09}"
            for m, kind, entries, exits in week[start : start + 8]
        ]
        yield ",".join([*turnstile[:3], *parts])


SATURDAYS = tuple(date(2014, 10, day) for day in (4, 11, 18, 25))


def main() -> None:
    """Write all files."""
    for name, members in vendor_archives().items():
        (HERE / "vendor" / f"{name}.zip").write_bytes(zipped(members))
    for saturday in SATURDAYS:
        (HERE / "turnstile" / f"turnstile_{saturday:%y%m%d}.txt").write_text(turnstile_file(saturday))


if __name__ == "__main__":
    main()
