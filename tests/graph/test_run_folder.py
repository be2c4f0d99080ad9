"""Folders of sockets: private, marked, and never someone else's."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import pytest

from fusion_pipeline import rundir
from fusion_pipeline.rundir import MARK, MARK_TEXT, RunFolderError, SocketFolder, running_graphs


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`fusion-UID` in a $TMPDIR of the test's own, not made yet; there is no $XDG_RUNTIME_DIR."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"fusion-{os.getuid()}"


def test_what_was_there_before_is_neither_deleted_nor_changed(shared: Path) -> None:
    (shared / "thesis").mkdir(parents=True)
    (shared / "thesis" / "chapter.txt").write_text("all of it")
    (shared / "looks" / "lock").parent.mkdir()
    (shared / "looks" / "lock").write_text("")
    (shared / "empty").mkdir()
    (shared / "notes.txt").write_text("notes")
    shared.chmod(0o755)
    for place in (*shared.rglob("*"), shared):
        os.utime(place, (time.time() - 9999, time.time() - 9999))
    SocketFolder().remove()
    SocketFolder().remove()
    assert (shared / "thesis" / "chapter.txt").read_text() == "all of it"
    assert {path.name for path in shared.iterdir()} == {"thesis", "looks", "empty", "notes.txt"}
    assert shared.stat().st_mode & 0o777 == 0o755


def test_a_marked_folder_of_a_dead_owner_is_swept_and_one_of_a_living_owner_is_not(shared: Path) -> None:
    alive = SocketFolder()
    dead = shared / "tmpdead"
    dead.mkdir()
    (dead / MARK).write_text(MARK_TEXT)
    (dead / "lock").write_text("")
    try:
        after = SocketFolder()
        assert after.swept == 1
        assert not dead.exists()
        assert alive.path.is_dir()
        after.remove()
    finally:
        alive.remove()


@pytest.mark.parametrize("aim", ["folder", "nothing"])
def test_a_link_in_its_place_is_refused_and_its_aim_untouched(shared: Path, tmp_path: Path, aim: str) -> None:
    target = tmp_path / "target"
    if aim == "folder":
        target.mkdir(mode=0o755)
        (target / "kept.txt").write_text("kept")
    shared.symlink_to(target)
    with pytest.raises(RunFolderError, match="is a link"):
        SocketFolder()
    assert aim == "nothing" or [path.name for path in target.iterdir()] == ["kept.txt"]


def test_a_file_or_a_folder_open_to_others_in_its_place_is_refused(shared: Path) -> None:
    shared.write_text("a file")
    with pytest.raises(RunFolderError, match="is no folder"):
        SocketFolder()
    shared.unlink()
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(RunFolderError, match="written by others"):
        SocketFolder()


def test_a_link_among_the_folders_is_not_followed(shared: Path, tmp_path: Path) -> None:
    shared.mkdir(mode=0o700)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / MARK).write_text(MARK_TEXT)
    (precious / "lock").write_text("")
    (shared / "tmplink").symlink_to(precious)
    SocketFolder().remove()
    assert (precious / MARK).is_file()


def test_the_private_runtime_folder_is_taken_where_there_is_one(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "run"
    private.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(private))
    folder = SocketFolder()
    assert folder.path.parent == private / "fusion"
    folder.remove()
    private.chmod(0o755)  # not private
    folder = SocketFolder()
    assert folder.path.parent == shared
    folder.remove()


def test_graphs_are_found_in_both_places_and_a_card_of_another_user_is_not_believed(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SocketFolder()
    folder.announce("graph", {}, {}, {}, tmp_path)
    private = tmp_path / "run"
    private.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(private))
    assert [card.name for card in running_graphs()] == ["graph"]
    monkeypatch.setattr(rundir.os, "getuid", lambda: os.geteuid() + 1)
    assert running_graphs() == []
    monkeypatch.undo()
    folder.remove()


def test_a_card_that_is_a_link_is_not_read(shared: Path, tmp_path: Path) -> None:
    folder = SocketFolder()
    written = tmp_path / "card.json"
    written.write_text(json.dumps({"name": "planted", "pid": os.getpid(), "endpoints": {}, "writer_of": {}}))
    (folder.path / "graph.json").symlink_to(written)
    assert running_graphs() == []
    folder.remove()


def test_a_path_that_is_too_long_for_a_socket_is_one_line_that_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    folder = SocketFolder()
    with pytest.raises(RunFolderError, match=r"107; set TMPDIR"):
        folder.endpoint("detector")
    folder.remove()
