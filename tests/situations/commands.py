"""The command line: outputs, round trips, wrong settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import containers
from recordings import camera, drive, lidar, mcap, odometry, ordered
from situation import Outcome, Situation, evaluated, verb

DESTROYS = "an output that may be an input"
FAILS = "a test that cannot fail"
NOTHING = "success that made nothing"
KNOWN = "known before the start, told after it"
BOTH = "written and read by two rules"


def kept(folder: Path, *arguments: str, source: Callable[[Path], Path] = lambda f: mcap(f / "x.mcap", drive())
         ) -> Outcome:  # fmt: skip
    """Run a verb in `folder`; `code` 2 and `right` only where the recording is what it was."""
    path = source(folder)
    before = path.read_bytes()
    here = Path.cwd()
    os.chdir(folder)
    try:
        done = verb(*arguments)
    finally:
        os.chdir(here)
    if not path.is_file() or path.read_bytes() != before:
        return Outcome(99, "the recording is destroyed: " + done.said)
    return done


def linked(folder: Path) -> Path:
    path = mcap(folder / "x.mcap", drive())
    (folder / "link.mcap").symlink_to(path)
    os.link(path, folder / "hard.mcap")
    return path


def converted(folder: Path, path: Path) -> Outcome:
    """What `convert` made, checked; with the numbers of both in `said` where they differ."""
    before = {topic: len(found) for topic, found in evaluated(path).messages.items()}
    done = verb("log", "convert", path, folder / "out.mcap")
    if done.code not in (0, 3):
        return done
    after = evaluated(folder / "out.mcap")
    counts = {topic: len(found) for topic, found in after.messages.items()}
    return after if counts == before else Outcome(98, f"{before} became {counts}")


def _reference(folder: Path) -> Outcome:
    mcap(folder / "x.mcap", drive())
    (folder / "ref.jsonl").write_text('{"a": 1}\n')
    done = verb("replay", folder / "x.mcap", "--check", folder / "ref.jsonl", "--out", folder / "ref.jsonl")
    return done if (folder / "ref.jsonl").read_text() == '{"a": 1}\n' else Outcome(99, "the reference is lost")


def _directory(folder: Path) -> Outcome:
    mcap(folder / "x.mcap", drive())
    return verb("log", "convert", folder / "x.mcap", folder / "no" / "such" / "out.mcap")


def _lines(folder: Path) -> Outcome:
    place = containers._parts(folder, "mcap")
    before = {file.name: file.read_bytes() for file in place.iterdir()}
    done = verb("log", "merge", place, "-o", place / "drive_1.mcap")
    same = before == {file.name: file.read_bytes() for file in place.iterdir()}
    return done if same else Outcome(99, "a part is destroyed")


def said(*words: str) -> Callable[[Outcome], object]:
    return lambda found: all(word in found.said for word in words) and "bug" not in found.said


SITUATIONS = [
    *(Situation(f"`log {' '.join(arguments)}`", "own", DESTROYS, "refused", code=2,
                make=lambda f, arguments=arguments: kept(f, "log", *arguments, source=linked))
      for arguments in (
          ("convert", "x.mcap", "x.mcap"), ("convert", "x.mcap", "./x.mcap"), ("convert", "x.mcap", "link.mcap"),
          ("convert", "hard.mcap", "x.mcap"), ("cut", "x.mcap", "x.mcap", "--start", "1"),
          ("recover", "x.mcap", "x.mcap"), ("export", "x.mcap", "x.mcap", "--as", "parquet"))),
    Situation("`log merge` of a folder into one of its parts", "own", DESTROYS, "refused", code=2, make=_lines),
    Situation("`replay --check ref --out ref`", "own", FAILS, "refused", code=2, make=_reference),
    Situation("`log convert` into a folder that is not there", "own", NOTHING, "the folder is made", make=_directory),
    Situation("odometry alone, converted", "own", BOTH, "opens again, or nothing is written",
              make=lambda f: converted(f, mcap(f / "x.mcap", odometry()))),
    Situation("a camera alone, converted", "own", BOTH, "opens again",
              make=lambda f: converted(f, mcap(f / "x.mcap", camera()))),
    Situation("a LiDAR and a camera, converted", "own", BOTH, "the same messages",
              make=lambda f: converted(f, mcap(f / "x.mcap", drive()))),
    Situation("a recording without places, converted", "own", BOTH, "the same messages, the same verdict", code=3,
              make=lambda f: converted(f, mcap(f / "x.mcap", ordered([*lidar(), *camera()])))),
    Situation("a name of a finding that there is not", "own", KNOWN, "refused", code=2, right=said("did you mean"),
              make=lambda f: kept(f, "log", "check", "x.mcap", "--allow", "gapp")),
    Situation("a topic that is not in the recording", "own", KNOWN, "refused", code=2, right=said("/points"),
              make=lambda f: kept(f, "log", "cut", "x.mcap", "out.mcap", "--topic", "lidar/rear")),
    Situation("a part that begins after the end of the recording", "own", NOTHING, "refused", code=2,
              make=lambda f: kept(f, "log", "cut", "x.mcap", "out.mcap", "--start", "900")),
    Situation("replay of a recording without places", "rosbag2#1234", "missing knowledge replaced by a default",
              "refused", code=2, right=said("no-transform"),
              make=lambda f: kept(f, "replay", "x.mcap", "--out", "o.jsonl",
                                  source=lambda g: mcap(g / "x.mcap", ordered([*lidar(), *camera()])))),
    Situation("a rig file with a wrong key", "own", "calibration guessed or ignored", "refused; says which", code=2,
              right=said("mak"), make=lambda f: _rig(f, "mak = 1\n")),
    Situation("a rig of another vehicle", "own", "calibration guessed or ignored", "refused", code=2,
              make=lambda f: _rig(f, '[lidar.rear]\nvehicle_from_sensor = { translation_m = [0.0, 0.0, 1.0] }\n')),
]  # fmt: skip


def _rig(folder: Path, text: str) -> Outcome:
    (folder / "rig.toml").write_text('name = "mine"\n' + text)
    return kept(folder, "replay", "x.mcap", "--rig", "rig.toml", "--out", "o.jsonl")
