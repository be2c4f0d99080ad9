"""No verb destroys what it reads: every verb with outputs, against outputs that are inputs under another name."""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fusion_pipeline.cli import outputs
from fusion_pipeline.cli.dispatch import command_of, run
from fusion_pipeline.cli.errors import UserError
from fusion_pipeline.cli.outputs import PATHS, READ, Output, refuse_overwriting
from fusion_pipeline.cli.verbs import VERBS

CONTENT = b"what the user has"


def commands() -> Iterator[tuple[str, Any]]:
    """Every verb and sub-verb with its click command."""

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        for sub, found in (inner or {}).items():
            yield from walk(f"{name} {sub}", found)

    for verb in VERBS:
        yield from walk(verb, command_of(verb))


def path_parameters(command: Any) -> set[str]:
    """Those of a verb's function that are annotated with a path."""

    def names_path(kind: Any) -> bool:
        return kind is Path or any(names_path(part) for part in typing.get_args(kind))

    function = command.callback.__wrapped__
    return {name for name, kind in typing.get_type_hints(function).items() if name != "return" and names_path(kind)}


def test_every_path_of_every_verb_is_in_the_table() -> None:
    missing = {
        name: sorted(path_parameters(command) - set(PATHS.get(name, {})))
        for name, command in commands() if path_parameters(command) - set(PATHS.get(name, {}))
    }  # fmt: skip
    assert missing == {}, "add them to fusion_pipeline/cli/outputs.py: what the verb does with each path"


def test_the_table_names_only_what_there_is() -> None:
    known = {name: {parameter.name for parameter in command.params} for name, command in commands()}
    assert {
        name: set(table) - known.get(name, set()) for name, table in PATHS.items() if set(table) - known[name]
    } == {}


# Of each verb that writes, a command line: IN is the input, OUT the output. Nothing else of it matters to the guard.
LINES = {
    "demo": "demo --out OUT --picture IN", "replay": "replay IN --out OUT", "replay picture": "replay IN --picture OUT",
    "replay check": "replay a.mcap --check IN --out OUT", "replay rig": "replay a.mcap --rig IN --out OUT",
    "replay model": "replay a.mcap --model IN --out OUT", "record": "record IN --out OUT",
    "record rig": "record a.py --rig IN --out OUT", "sim": "sim city_street --rig IN -o OUT",
    "sim picture": "sim city_street --rig IN --picture OUT", "sim sound": "sim city_street --sound IN@1,2 -o OUT",
    "eval": "eval IN --out OUT", "eval card": "eval IN --card OUT", "eval model": "eval simulated --model IN --out OUT",
    "eval two": "eval simulated --out IN --card OUT", "export": "export IN OUT", "adapt": "adapt IN OUT",
    "adapt weights": "adapt a.mcap OUT --weights IN", "log recover": "log recover IN OUT", "log cut": "log cut IN OUT",
    "log thin": "log thin IN OUT --every a=2", "log merge": "log merge a.mcap IN -o OUT",
    "log convert": "log convert IN OUT", "log plot": "log plot IN OUT", "log video": "log video IN OUT",
    "log video boxes": "log video a.mcap OUT --boxes IN", "log export": "log export IN OUT --as parquet",
    "log export log": "log export a.jsonl OUT --as nuscenes --log IN", "bench": "",
    "log export rig": "log export a.jsonl OUT --as kitti-tracking --rig IN",
}  # fmt: skip


def as_it_is(path: Path) -> str:
    return str(path)


def relative(path: Path) -> str:
    return os.path.relpath(path)


def dotted(path: Path) -> str:
    return f"{path.parent}/./../{path.parent.name}/{path.name}"


def link(path: Path) -> str:
    path.with_name("link.mcap").symlink_to(path.name)
    return str(path.with_name("link.mcap"))


def hard_link(path: Path) -> str:
    path.with_name("hard.mcap").hardlink_to(path)
    return str(path.with_name("hard.mcap"))


def through_a_linked_folder(path: Path) -> str:
    path.parent.with_name("linked").symlink_to(path.parent)
    return str(path.parent.with_name("linked") / path.name)


SPELLINGS = (as_it_is, relative, dotted, link, hard_link, through_a_linked_folder)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("line", [line for line in LINES.values() if line])
def test_an_output_that_is_the_input_is_refused(
    line: str, spelling: Callable[[Path], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "in" / "drive.mcap"
    given.parent.mkdir()
    given.write_bytes(CONTENT)
    out = spelling(given)
    before = sorted(given.parent.iterdir())
    assert run([out if word == "OUT" else word.replace("IN", str(given)) for word in line.split()]) == 2
    said = capsys.readouterr().err
    assert "write to another place" in said or "name two files" in said, said
    assert len(said.strip().splitlines()) == 1
    assert given.read_bytes() == CONTENT
    assert sorted(given.parent.iterdir()) == before


def test_the_lines_above_leave_no_verb_with_outputs_out() -> None:
    writes = {name for name, table in PATHS.items() if any(use is not READ for use in table.values())}
    tried = {name for name in PATHS if any(key == name or key.startswith(f"{name} ") for key in LINES)}
    assert writes - tried == {"launch", "fleet run", "train", "log images"}, "folders; their tests are below"


@pytest.mark.parametrize(
    "line",
    [
        "log images IN IN", "log images IN/image_02 IN", "eval IN --pictures IN", "eval IN --plots IN/..",
        "train IN --from IN/last.pt", "fleet run convert --logs IN --out IN",
        "log export a.jsonl IN --as kitti --log IN",
        "eval IN --cache IN", "log images IN IN/image_02", "launch IN/config.json --logs IN",
    ],
)  # fmt: skip
def test_a_folder_that_is_or_holds_the_input_is_refused(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "drive"
    (folder / "image_02").mkdir(parents=True)
    for name in ("image_02/000001.png", "last.pt", "config.json"):
        (folder / name).write_bytes(CONTENT)
    assert run([word.replace("IN", str(folder)) for word in line.split()]) == 2
    assert "write to another place" in capsys.readouterr().err
    assert sorted(p.name for p in folder.rglob("*")) == ["000001.png", "config.json", "image_02", "last.pt"]
    assert all((folder / name).read_bytes() == CONTENT for name in ("image_02/000001.png", "last.pt", "config.json"))


def refused(out: Path, given: Path, folder: bool = False) -> bool:
    try:
        refuse_overwriting([Output("the output", out, folder)], [given])
    except UserError:
        return True
    return False


def test_every_file_of_an_input_counts(tmp_path: Path) -> None:
    drive = tmp_path / "day" / "drive_sync"
    (drive / "velodyne_points" / "data").mkdir(parents=True)
    scan, day = drive / "velodyne_points" / "data" / "0.bin", tmp_path / "day" / "calib_cam_to_cam.txt"
    elsewhere, bag = tmp_path / "elsewhere.bin", tmp_path / "bag"
    bag.mkdir()
    for file in (
        scan,
        day,
        elsewhere,
        bag / "bag_0.mcap",
        bag / "metadata.yaml",
        tmp_path / "a.db3",
        tmp_path / "a.db3-wal",
    ):
        file.write_bytes(CONTENT)
    (drive / "linked.bin").symlink_to(elsewhere)
    assert refused(scan, drive)
    assert refused(day, drive)
    assert refused(elsewhere, drive), "a file that the folder links to"
    assert refused(bag / "metadata.yaml", bag)
    assert refused(bag / "whole.mcap", bag), "it would be read as a part of the recording from then on"
    assert refused(tmp_path / "a.db3-wal", tmp_path / "a.db3")
    assert not refused(tmp_path / "out.mcap", drive)
    assert not refused(drive / "new.mcap", drive)
    assert not refused(drive / "shots", drive, folder=True)
    assert refused(drive / "velodyne_points", drive, folder=True), "it holds files of the input"


def test_the_files_that_a_manifest_names_count(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("drive.pcap", "pictures/1.png", "sound.wav", "model.onnx"):
        (tmp_path / name).write_bytes(CONTENT)
    manifest = tmp_path / "log.toml"
    manifest.write_text('[lidar.top]\npcap = "drive.pcap"\n[camera.front]\npictures = "pictures/*.png"\n'
                        '[audio.roof]\nsound = "./sound.wav"\nnote = "no [path at all"\n')  # fmt: skip
    for name in ("drive.pcap", "pictures/1.png", "sound.wav", "log.toml"):
        assert refused(tmp_path / name, manifest), name
    assert not refused(tmp_path / "model.onnx", manifest)


def test_a_scene_within_a_data_set_counts_as_the_data_set(tmp_path: Path) -> None:
    (tmp_path / "v1.0-mini").mkdir()
    (tmp_path / "samples").mkdir()
    for name in ("v1.0-mini/sample.json", "samples/1.jpg"):
        (tmp_path / name).write_bytes(CONTENT)
        assert refused(tmp_path / name, tmp_path / "v1.0-mini" / "scene-0061")


def test_another_case_of_letters_is_the_same_file_where_the_file_system_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "Drive.mcap"
    given.write_bytes(CONTENT)
    assert not refused(tmp_path / "drive.MCAP", given), "on this file system they are two"
    real = Path.stat

    def folded(path: Path, **options: Any) -> os.stat_result:
        """As of a file system that does not tell cases apart."""
        same = [found for found in path.parent.iterdir() if found.name.lower() == path.name.lower()]
        return real(same[0] if same else path, **options)

    monkeypatch.setattr(outputs.Path, "stat", folded)
    assert refused(tmp_path / "drive.MCAP", given)


def test_devices_are_no_loss(tmp_path: Path) -> None:
    refuse_overwriting([Output("a", Path("/dev/null")), Output("b", Path("/dev/null"))], [Path("/dev/null")])
