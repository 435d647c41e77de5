"""Names, places in Dockerfiles, and what may be removed: values only."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from batchctl.errors import UsageError
from batchctl.plan.images import (
    StoredImage,
    image_labels,
    is_our_tag,
    merged,
    removable,
    repository,
    split_reference,
    step_line,
    tag_of,
)

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("registry", "name", "whole"),
    [
        ("", "etl", "etl"),
        ("localhost:5000", "etl", "localhost:5000/etl"),
        ("acr.azurecr.io/team", "etl-2_x.y", "acr.azurecr.io/team/etl-2_x.y"),
        ("[::1]:5000", "a/b", "[::1]:5000/a/b"),
    ],
)
def test_a_repository(registry: str, name: str, whole: str) -> None:
    assert repository(registry, name) == whole


@pytest.mark.parametrize(
    "name", ["ETL", "", "-etl", "etl-", "a..b", "a b", "a:b", "a@b", "ä", "x" * 260, "etl\n"]
)
def test_a_name_that_no_registry_takes(name: str) -> None:
    with pytest.raises(UsageError):
        repository("localhost:5000", name)


@pytest.mark.parametrize(
    "registry", ["https://acr.azurecr.io", "acr.azurecr.io/", "a b", "localhost:port", "x/Y"]
)
def test_what_is_no_registry(registry: str) -> None:
    with pytest.raises(UsageError, match="is not a registry"):
        repository(registry, "etl")


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("localhost:5000/etl:1", ("localhost:5000", "etl", "1")),
        ("localhost/etl", ("localhost", "etl", "latest")),
        ("acr.azurecr.io/team/etl", ("acr.azurecr.io", "team/etl", "latest")),
        (f"acr.azurecr.io/etl:1@{DIGEST}", ("acr.azurecr.io", "etl", DIGEST)),
        ("python:3.12", ("registry-1.docker.io", "library/python", "3.12")),
        ("python", ("registry-1.docker.io", "library/python", "latest")),
        ("apache/airflow:2", ("registry-1.docker.io", "apache/airflow", "2")),
    ],
)
def test_the_parts_of_a_reference(reference: str, parts: tuple[str, str, str]) -> None:
    assert split_reference(reference) == parts


def test_a_tag_is_the_digest_s_beginning() -> None:
    assert tag_of(DIGEST) == "ab" * 8
    assert is_our_tag(tag_of(DIGEST))
    assert not any(is_our_tag(tag) for tag in ("latest", "v1", "ab" * 9, "AB" * 8, ""))


def test_labels_are_only_what_is_known() -> None:
    labels = image_labels("etl", DIGEST, created=datetime(2026, 1, 31, 6, tzinfo=UTC))
    assert labels == {
        "io.batchctl.image": "etl",
        "io.batchctl.context": DIGEST,
        "org.opencontainers.image.title": "etl",
        "org.opencontainers.image.created": "2026-01-31T06:00:00Z",
    }


def test_the_line_of_a_step() -> None:
    text = (
        "# syntax=x\nARG A=1\n\nFROM scratch AS one\nRUN a \\\n  # inside\n\n  && b\n  # between\nCOPY x /\n"
    )
    assert [step_line(text, step) for step in range(7)] == [
        (0, ""), (2, "ARG A=1"), (4, "FROM scratch AS one"), (5, "RUN a \\"), (10, "COPY x /"), (0, ""), (0, ""),
    ]  # fmt: skip


def image(number: int, **more: object) -> StoredImage:
    made = StoredImage(
        name="etl", repository="localhost:5000/etl", tag=f"{number:016x}", digest=f"sha256:{number:064x}", size=1,
        download=1, created=f"2026-01-{number:02}T00:00:00Z", engine=True, registry=True,
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def gone(images: list[StoredImage], bodies: list[str], keep: int) -> list[int]:
    return sorted(int(one.tag, 16) for one in removable(images, bodies, keep))


def test_the_newest_of_each_repository_stay() -> None:
    images = [image(n) for n in (3, 1, 4, 2)] + [image(9, repository="localhost:5000/other")]
    assert gone(images, [], 2) == [1, 2]
    assert gone(images, [], 0) == [1, 2, 3, 4, 9]
    assert gone(images, [], 5) == []


def test_what_a_body_names_stays_however_old() -> None:
    images = [image(n) for n in (1, 2, 3, 4)]
    by_digest = f'{{"imageName": "localhost:5000/etl@{images[0].digest}"}}'
    inside_a_variable = f'"{{\\"images\\": {{\\"etl\\": \\"x@{images[1].digest}\\"}}}}"'
    by_tag = f'["{images[2].reference}"]'
    assert gone(images, [by_digest, inside_a_variable, by_tag], 0) == [4]


def test_what_a_body_names_by_its_id_stays() -> None:
    old = image(1, digest="", id=f"sha256:{77:064x}")
    assert gone([old, image(2)], [], 1) == [1]
    assert gone([old, image(2)], [f'{{"imageName": "{old.id}"}}'], 1) == []


def test_a_tag_whose_digest_is_needed_under_another_tag_stays() -> None:
    images = [image(1, digest=image(2).digest), image(2), image(3, digest=""), image(4, digest="")]
    assert gone(images, [], 0) == [1, 2, 3, 4]
    assert gone(images, [image(2).reference], 0) == [3, 4]
    assert gone(images, ['""'], 0) == [1, 2, 3, 4]


def test_engine_and_registry_are_one_list() -> None:
    here = [image(1, registry=False, digest="", download=None), image(2, registry=False, download=None)]
    there = [image(2, engine=False, size=None), image(3, engine=False, size=None)]
    rows = [
        (int(one.tag, 16), one.engine, one.registry, one.size, one.download) for one in merged(here, there)
    ]
    assert rows == [(3, False, True, None, 1), (2, True, True, 1, 1), (1, True, False, 1, None)]
