"""The context of a build: what is sent, and that its digest tells exactly that."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from batchctl.errors import Conflict, UsageError
from batchctl.targets.build_context import build_context


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "context"
    (made / "src").mkdir(parents=True)
    (made / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (made / "src" / "main.py").write_text("print()\n")
    return made


def digest(folder: Path, **more: object) -> str:
    return build_context(folder, **more).digest  # type: ignore[arg-type]


def sent(folder: Path, dockerfile: str = "Dockerfile") -> dict[str, tarfile.TarInfo]:
    to = io.BytesIO()
    build_context(folder, dockerfile).write_tar(to)
    to.seek(0)
    with tarfile.open(fileobj=to) as tar:
        return {info.name: info for info in tar}


def test_the_same_content_has_the_same_digest_anywhere(folder: Path, tmp_path: Path) -> None:
    before = digest(folder)
    other = tmp_path / "elsewhere"
    folder.rename(other)
    os.utime(other / "Dockerfile", (1, 1))
    (other / "src" / "main.py").chmod(0o600)
    assert digest(other) == before


@pytest.mark.parametrize("change", ["content", "name", "executable", "file", "folder", "link"])
def test_whatever_is_sent_is_told(folder: Path, change: str) -> None:
    before = digest(folder)
    main = folder / "src" / "main.py"
    match change:
        case "content":
            main.write_text("print(1)\n")
        case "name":
            main.rename(main.with_name("other.py"))
        case "executable":
            main.chmod(0o755)
        case "file":
            (folder / "empty").touch()
        case "folder":
            (folder / "empty").mkdir()
        case "link":
            content = main.read_text()
            main.unlink()
            main.symlink_to("real.py")
            (folder / "src" / "real.py").write_text(content)
    assert digest(folder) != before


def test_bytes_cannot_move_from_one_file_to_the_next(folder: Path) -> None:
    (folder / "a").write_text("xy")
    (folder / "b").write_text("z")
    before = digest(folder)
    (folder / "a").write_text("x")
    (folder / "b").write_text("yz")
    assert digest(folder) != before


def test_build_args_and_the_dockerfile_s_name_count(folder: Path) -> None:
    (folder / "Other").write_text((folder / "Dockerfile").read_text())
    made = {digest(folder), digest(folder, dockerfile="Other"), digest(folder, build_args={"A": "1"}),
            digest(folder, build_args={"A": "2"})}  # fmt: skip
    assert len(made) == 4
    assert digest(folder, build_args={"A": "1", "B": "2"}) == digest(folder, build_args={"B": "2", "A": "1"})
    assert digest(folder, dockerfile="./Other") == digest(folder, dockerfile="Other")


def test_dockerignore(folder: Path) -> None:
    (folder / ".dockerignore").write_text("# a comment\n\n*.log\n**/*.pyc\n!keep.log\nDockerfile\n")
    for name in ("noise.log", "keep.log", "src/x.pyc"):
        (folder / name).touch()
    assert set(sent(folder)) == {"Dockerfile", "keep.log", "src", "src/main.py"}


def test_a_dockerfile_s_own_dockerignore_goes_first(folder: Path) -> None:
    (folder / ".dockerignore").write_text("src\n")
    (folder / "docker").mkdir()
    (folder / "docker" / "Other").write_text("FROM scratch\n")
    (folder / "docker" / "Other.dockerignore").write_text("*\n!src\n")
    assert set(sent(folder, "docker/Other")) >= {"docker/Other", "src", "src/main.py"}
    assert not {"Dockerfile", ".dockerignore", "docker/Other.dockerignore"} & set(
        sent(folder, "docker/Other")
    )
    assert "src" not in sent(folder)


def test_what_is_sent_tells_nothing_of_this_machine(folder: Path) -> None:
    (folder / "run").touch(mode=0o700)
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    found = sent(folder)
    assert {(info.uid, info.gid, info.uname, info.mtime) for info in found.values()} == {
        (0, 0, "", 946_684_800)
    }
    assert (found["run"].mode, found["Dockerfile"].mode, found["src"].mode) == (0o755, 0o644, 0o755)
    assert (found["link"].issym(), found["link"].linkname) == (True, "/etc/passwd")
    assert "pipe" not in found


def test_a_file_that_changes_meanwhile_is_noticed(folder: Path) -> None:
    for change in (lambda f: f.write_text("other()\n"), lambda f: f.write_text(""), lambda f: f.unlink()):
        (folder / "src" / "main.py").write_text("print()\n")
        context = build_context(folder)
        change(folder / "src" / "main.py")
        with pytest.raises(Conflict, match="while"):
            context.write_tar(io.BytesIO())


@pytest.mark.parametrize(
    ("name", "dockerfile", "message"),
    [
        ("nowhere", "Dockerfile", "there is no folder"),
        ("context", "Nothing", "there is no Nothing in"),
        ("context", "../Dockerfile", "is not in its context"),
        ("context", "/etc/passwd", "is not in its context"),
        ("context", "src", "there is no src in"),
    ],
)
def test_what_cannot_be_built(folder: Path, name: str, dockerfile: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_context(folder.with_name(name), dockerfile)
