"""The only module that prints: stdout is the answer, stderr is the story."""

import sys


def answer(line: str) -> None:
    """One line of output that a program may read."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def story(line: str) -> None:
    """One line for the people who watch."""
    sys.stderr.write(f"etl: {line}\n")
    sys.stderr.flush()
