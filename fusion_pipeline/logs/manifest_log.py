"""Packets, sound files and picture folders as one log, described by a small TOML file.

    rig = "rig.toml"                      # a rig file as of calibration/rigs; may be left out

    [lidar.top]
    pcap = "drive.pcap"                   # stamps are the capture's own
    model = "VLP-16"                      # a Velodyne; or `metadata = "os1.json"` for an Ouster

    [camera.front]
    pictures = "front/*.jpg"              # in the order of their names
    stamps = "front/timestamps.txt"       # a line each, ns since 1970; or `names = "ns"`, "us", "ms" or "s"
                                          # where the names are the stamps; or `start_ns` and `rate_hz`
    [audio.roof]
    sound = "roof.wav"
    start_ns = 1700000000000000000        # of the first sample

Paths are relative to the file. `delay_ms` of a sensor is from its capture to its arrival.
"""

from __future__ import annotations

import heapq
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.clock import LAST_NS, SECOND_NS
from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.files import Item, rising
from fusion_pipeline.logs.kitti_files import read_picture
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.reader import FormError, LogError, within
from fusion_pipeline.messages import AudioChunk, Header, Message
from fusion_pipeline.rig import Rig, RigError

UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": SECOND_NS}
CHUNK_S = 0.02
KEYS = {
    "lidar": {"pcap", "model", "calibration", "metadata", "sender"},
    "camera": {"pictures", "stamps", "names", "start_ns", "rate_hz", "delay_ms"},
    "audio": {"sound", "start_ns", "delay_ms"},
}


class ManifestLog:
    """The sensors of a manifest, in order of arrival."""

    def __init__(self, path: Path) -> None:
        """Check the manifest and look at the files' ends. Raises LogError."""
        self.path = path
        self.refused: Counter[tuple[str, str]] = Counter()
        self.findings = Findings()
        table = _table(path)
        self.rig = _rig(path, table.pop("rig", None))
        self._streams: dict[str, Callable[[int], Iterator[Message]]] = {}
        spans = []
        for kind, entries in table.items():
            for name, entry in entries.items():
                stream, span = self._stream(kind, f"{kind}/{name}", entry)
                self._streams[f"{kind}/{name}"] = stream
                spans.append(span)
        if not spans:
            raise LogError(f"{path} names no sensor; add a [lidar.NAME], [camera.NAME] or [audio.NAME] table")
        self.topics = tuple(self._streams)
        self.start_ns, self.end_ns = min(a for a, _ in spans), max(b for _, b in spans)

    def messages(
        self, start_ns: int | None = None, end_ns: int | None = None, topics: Collection[str] | None = None
    ) -> Iterator[Message]:
        """In order of arrival; what is damaged is counted and passed over. Packets are decoded from their beginning."""
        wanted = [self._streams[t](start_ns or 0) for t in self.topics if topics is None or t in topics]
        yield from within(heapq.merge(*wanted, key=lambda m: m.header.arrival_ns), start_ns, end_ns, None)

    def labels(self) -> Iterator[Labels]:
        """A manifest names none."""
        yield from ()

    def _stream(
        self, kind: str, topic: str, entry: Mapping[str, Any]
    ) -> tuple[Callable[[int], Iterator[Message]], tuple[int, int]]:
        where = f"{self.path}, [{topic.replace('/', '.')}]"
        unknown = set(entry) - KEYS[kind]
        if unknown:
            raise LogError(f"{where}: unknown key {sorted(unknown)[0]!r}; known: {', '.join(sorted(KEYS[kind]))}")
        try:
            if kind == "lidar":
                return self._packets(topic, entry)
            return self._pictures(topic, entry) if kind == "camera" else self._sound(topic, entry)
        except KeyError as error:
            raise LogError(f"{where} lacks {error.args[0]!r}") from None
        except (TypeError, ValueError) as error:
            raise LogError(f"{where}: {error}") from None

    def _file(self, name: Any) -> Path:
        file = self.path.parent / str(name)
        if not file.is_file():
            raise LogError(f"{file}, which {self.path} names, does not exist")
        return file

    def _packets(
        self, topic: str, entry: Mapping[str, Any]
    ) -> tuple[Callable[[int], Iterator[Message]], tuple[int, int]]:
        from fusion_pipeline.sensors.pcap import datagrams
        from fusion_pipeline.sensors.retry import SetupError

        file = self._file(entry["pcap"])
        try:
            times = [datagram.stamp_ns for datagram in datagrams(file)]
        except SetupError as error:
            raise LogError(str(error)) from None
        if not times:
            raise LogError(f"{file} holds no UDP packet")
        self._turns(topic, entry, Counter())  # says now what it would say later

        def scans(_: int) -> Iterator[Message]:
            from fusion_pipeline.sensors.packets import Packet

            counts: Counter[str] = Counter()
            turn = self._turns(topic, entry, counts)
            for datagram in datagrams(file):
                if entry.get("sender", datagram.sender) == datagram.sender:
                    yield from _whole(turn.take(Packet(datagram.stamp_ns, datagram.payload)))
            yield from _whole(turn.finish())
            for reason, count in counts.items():
                self.refused[topic, reason.removeprefix("refused: ")] += count

        return scans, (min(times), max(times))

    def _turns(self, topic: str, entry: Mapping[str, Any], counts: Counter[str]) -> Any:
        from fusion_pipeline.sensors.retry import SetupError

        name = topic.partition("/")[2]
        try:
            if "metadata" in entry:
                from fusion_pipeline.sensors.ouster import OusterConfig
                from fusion_pipeline.sensors.ouster import turns as ouster_turns

                text = self._file(entry["metadata"]).read_text(encoding="utf-8")
                return ouster_turns(OusterConfig(source="pcap", name=name), text, counts)
            from fusion_pipeline.sensors.velodyne import VelodyneConfig, turns

            calibration = self._file(entry["calibration"]) if "calibration" in entry else None
            config = VelodyneConfig(source="pcap", name=name, model=str(entry["model"]), calibration=calibration)
            return turns(config, counts)
        except SetupError as error:
            raise LogError(f"{self.path}, [lidar.{name}]: {error}") from None

    def _pictures(
        self, topic: str, entry: Mapping[str, Any]
    ) -> tuple[Callable[[int], Iterator[Message]], tuple[int, int]]:
        files = sorted(self.path.parent.glob(str(entry["pictures"])))
        if not files:
            raise ValueError(f"no picture is named {entry['pictures']}")
        delay = round(float(entry.get("delay_ms", 0.0)) * 1e6)
        items = []
        for number, stamp in rising(self._stamps(entry, files), topic, self.refused):
            read = partial(read_picture, files[number], topic, stamp, stamp + delay)
            items.append(Item(stamp + delay, topic, read))

        def frames(start_ns: int) -> Iterator[Message]:
            for item in items:
                if item.arrival_ns < start_ns:
                    continue
                try:
                    yield item.read()
                except FormError as error:
                    self.refused[topic, f"file damaged: {error}"] += 1
                except OSError:
                    self.refused[topic, "file missing"] += 1

        return frames, (items[0].arrival_ns, items[-1].arrival_ns)

    def _stamps(self, entry: Mapping[str, Any], files: list[Path]) -> list[int]:
        if "stamps" in entry:
            lines = [text for text in self._file(entry["stamps"]).read_text().split() if text]
            if len(lines) != len(files):
                raise ValueError(f"{entry['stamps']} has {len(lines)} stamps for {len(files)} pictures")
            return [int(text) for text in lines]
        if "names" in entry:
            unit = UNITS.get(str(entry["names"]))
            if unit is None:
                raise ValueError(f"names = {entry['names']!r} is unknown; known: {', '.join(UNITS)}")
            found = [_decimal(file.stem, unit) for file in files]
            order = np.argsort(found, kind="stable")
            files[:] = [files[k] for k in order]
            return [found[k] for k in order]
        period = SECOND_NS / float(entry["rate_hz"])
        return [int(entry["start_ns"]) + round(k * period) for k in range(len(files))]

    def _sound(
        self, topic: str, entry: Mapping[str, Any]
    ) -> tuple[Callable[[int], Iterator[Message]], tuple[int, int]]:
        import soundfile

        file, begin = self._file(entry["sound"]), int(entry["start_ns"])
        delay = round(float(entry.get("delay_ms", 0.0)) * 1e6)
        try:
            info = soundfile.info(str(file))
        except (RuntimeError, OSError) as error:
            raise LogError(f"{file} is no sound file that can be read: {error}") from None
        rate, block = int(info.samplerate), max(1, round(info.samplerate * CHUNK_S))

        def end_of(samples: int) -> int:
            return begin + samples * SECOND_NS // rate + delay

        def chunks(start_ns: int) -> Iterator[Message]:
            place = max(0, ((start_ns - begin - delay) * rate // SECOND_NS // block - 1) * block)
            with soundfile.SoundFile(str(file)) as sound:
                sound.seek(min(place, len(sound)))
                while True:
                    try:
                        pcm = sound.read(block, dtype="int16", always_2d=True)
                    except RuntimeError:
                        self.refused[topic, "damaged sound"] += 1
                        return
                    if not len(pcm):
                        break
                    at = begin + place * SECOND_NS // rate
                    place += len(pcm)
                    yield AudioChunk(Header(topic, at, end_of(place), topic), rate, np.asarray(pcm, np.int16))
            if place < info.frames:
                self.refused[topic, "cut off"] += 1

        return chunks, (end_of(min(block, info.frames)), end_of(info.frames))


def _table(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LogError(f"manifest {path} cannot be read: {error}") from None
    unknown = set(table) - {"rig", *KEYS}
    if unknown:
        raise LogError(f"manifest {path}: unknown key {sorted(unknown)[0]!r}; known: rig, {', '.join(KEYS)}")
    for kind in KEYS:
        if kind in table and not (
            isinstance(table[kind], dict) and all(isinstance(e, dict) for e in table[kind].values())
        ):
            raise LogError(f"manifest {path}: write [{kind}.NAME] above the {kind}'s keys")
    return table


def _rig(path: Path, name: Any) -> Rig:
    if name is None:
        return Rig(path.stem)
    try:
        return Rig.load(path.parent / str(name))
    except RigError as error:
        raise LogError(f"manifest {path}: {error}") from None


def _whole(found: Any) -> Iterator[Message]:
    if found is None or isinstance(found, Iterator):
        yield from (scan for scan in found or () if scan is not None)
    else:
        yield found


def _decimal(text: str, unit: int) -> int:
    """A time in a file's name, exact to the last digit."""
    whole, _, fraction = text.partition(".")
    if not whole.isdigit() or (fraction and not fraction.isdigit()):
        raise ValueError(f"the name {text!r} is no time")
    value = int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
    if value > LAST_NS:
        raise ValueError(f"the name {text!r} is no time in this unit")
    return value
