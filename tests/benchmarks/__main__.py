"""`make bench`: every measured promise, as a ratio against its reference in the same run. Prints tables; fails nothing.

python -m tests.benchmarks [NAME...]      startup, submit, service, durability, fuzz, schedule, real_clock, images, containers, etl
"""

import sys

from tests.benchmarks import (
    containers,
    durability,
    etl,
    fuzz,
    images,
    real_clock,
    schedule,
    service,
    startup,
    submit,
)
from tests.benchmarks.table import print_table

BENCHMARKS = {
    "startup": startup.rows,
    "submit": submit.rows,
    "service": service.rows,
    "durability": durability.rows,
    "fuzz": fuzz.rows,
    "schedule": schedule.rows,
    "real_clock": real_clock.rows,
    "images": images.rows,
    "containers": containers.rows,
    "etl": etl.rows,
}


def main(names: list[str]) -> None:
    for name in names or BENCHMARKS:
        print(f"\n## {name}\n")
        print_table(BENCHMARKS[name]())


if __name__ == "__main__":
    main(sys.argv[1:])
