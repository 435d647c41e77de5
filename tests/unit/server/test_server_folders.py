"""The folders of nodes and tasks, whatever tasks have done to them."""

import errno
import os
from pathlib import Path

import pytest

from batchctl.server.batch.runner import folders
from batchctl.server.batch.runner.site import NODE_FOLDERS, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "nodes").mkdir()
    return Site(
        nodes=tmp_path / "nodes",
        trash=tmp_path / "trash",
        container_note=tmp_path / "containers",
        account="devaccount",
        endpoint="http://127.0.0.1:1",
        base={},
        auto_storage=None,
        output_folder=None,
    )


def test_a_node_gets_its_folders_back(site: Site) -> None:
    root = site.nodes / "n"
    root.write_text("in the way")
    folders.make_node(site, "n")
    (root / "shared").rmdir()
    (root / "shared").symlink_to("nowhere")
    (root / "startup" / "kept").write_text("")
    folders.make_node(site, "n")
    assert sorted(path.name for path in root.iterdir() if path.is_dir()) == sorted(NODE_FOLDERS)
    assert (root / "startup" / "kept").exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC])
def test_what_cannot_be_moved_is_deleted(site: Site, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def rename(_: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number), str(target))

    tree = site.nodes / "n" / "workitems" / "j"
    (tree / "wd").mkdir(parents=True)
    monkeypatch.setattr(Path, "rename", rename)
    folders.throw_away(site, tree)
    assert not tree.exists()


def test_files_and_links_leave_the_trash_too(site: Site) -> None:
    (site.nodes / "file").write_text("x")
    (site.nodes / "link").symlink_to(site.nodes)
    folders.throw_away(site, site.nodes / "file")
    folders.throw_away(site, site.nodes / "link")
    folders.throw_away(site, site.nodes / "nothing" / "there")
    assert len(list(site.trash.iterdir())) == 2
    assert folders.empty_trash(site) == []
    assert site.nodes.is_dir()
