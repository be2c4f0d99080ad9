"""Packets, sound files and picture folders as one log, described by a small TOML file.

    rig = "rig.toml"                      # a rig file as of calibration/rigs; may be left out

    [lidar.top]
    pcap = "drive.pcap"                   # stamps are the capture's own; pcapng too
    model = "VLP-16"                      # a Velodyne, Hesai or RoboSense; or `metadata = "os1.json"` for an Ouster
    angles = "xt32.csv"                   # a Hesai's correction file; or a RoboSense's, which else sends its angles
    sender = "192.168.1.201"              # of several LiDARs in the capture the one at this address
    port = 2368                           # and the one that sends to this port; both may be left out

    [camera.front]
    pictures = "front/*.jpg"              # in the order of their names
    stamps = "front/timestamps.txt"       # line n is of picture n, ns since 1970; or `names = "ns"`, "us", "ms" or "s"
                                          # where the names are the stamps; or `start_ns` and `rate_hz`
    [audio.roof]
    sound = "roof.wav"
    start_ns = 1700000000000000000        # of the first sample

Paths are relative to the file. `delay_ms` of a sensor is from its capture to its arrival.
"""

from __future__ import annotations

import heapq
import ipaddress
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from fusion_pipeline.checks import nearest
from fusion_pipeline.clock import LAST_NS
from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.manifest_streams import Read, Span, Streams
from fusion_pipeline.logs.reader import LogError, within
from fusion_pipeline.messages import Message
from fusion_pipeline.rig import Rig, RigError

KEYS: Mapping[str, Mapping[str, type]] = {
    "lidar": {
        "pcap": str,
        "model": str,
        "calibration": str,
        "angles": str,
        "metadata": str,
        "sender": str,
        "port": int,
    },
    "camera": {"pictures": str, "stamps": str, "names": str, "start_ns": int, "rate_hz": float, "delay_ms": float},
    "audio": {"sound": str, "start_ns": int, "delay_ms": float},
}
# Lowest and highest of numbers; a rate must be above its lowest.
RANGES = {"port": (1, 65535), "start_ns": (0, LAST_NS), "rate_hz": (0.0, 1e6), "delay_ms": (0.0, 60_000.0)}


class ManifestLog:
    """The sensors of a manifest, in order of arrival."""

    def __init__(self, path: Path) -> None:
        """Check the manifest and look at the files' ends. Raises LogError."""
        self.path = path
        self.refused: Counter[tuple[str, str]] = Counter()
        self.findings = Findings()
        table = _table(path)
        self.rig = _rig(path, table.pop("rig", None))
        streams = Streams(path, self.refused, self.findings)
        self._streams: dict[str, Read] = {}
        spans = []
        for kind, entries in table.items():
            for name, entry in entries.items():
                if not re.fullmatch(r"\w[\w.-]*", name):
                    raise LogError(f"{path}: [{kind}.{name!r}]: a sensor's name is of letters, digits, _, - and .")
                topic = f"{kind}/{name}"
                self._streams[topic], span = _stream(streams, kind, topic, entry)
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


def _stream(streams: Streams, kind: str, topic: str, entry: Mapping[str, Any]) -> tuple[Read, Span]:
    where = f"{streams.path}, [{topic.replace('/', '.')}]"
    for key, value in entry.items():
        if key not in KEYS[kind]:
            raise LogError(f"{where}: {nearest('key', key, KEYS[kind])}")
        if fault := _fault(key, value, KEYS[kind][key]):
            raise LogError(f"{where}: {key} = {_short(value)} {fault}")
    make = {"lidar": streams.packets, "camera": streams.pictures, "audio": streams.sound}[kind]
    try:
        read, span = make(topic, entry)
        if span[1] > LAST_NS:
            raise ValueError("its last stamp is later than any clock's; correct start_ns and the rate")
        return read, span
    except KeyError as error:
        raise LogError(f"{where} lacks {error.args[0]!r}") from None
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, LogError):
            raise
        raise LogError(f"{where}: {error}") from None
    except OSError as error:
        raise LogError(f"{where}: {error.filename} cannot be read: {error.strerror}") from None


def _fault(key: str, value: Any, kind: type) -> str:
    """What is wrong with a value; "" for a good one."""
    if kind is str:
        if not isinstance(value, str) or not value or "\0" in value:
            return "is no text"
        if key == "sender":
            try:
                ipaddress.ip_address(value)
            except ValueError:
                return "is no IP address, such as 192.168.1.201"
        return ""
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        return "is no whole number" if kind is int else "is no number"
    low, high = RANGES[key]
    if (low < value if key == "rate_hz" else low <= value) and value <= high:  # never true of NaN
        return ""
    return "is not above 0, or higher than any camera's" if key == "rate_hz" else f"is not within {low:g} to {high:g}"


def _short(value: Any) -> str:
    """A value as it can be shown."""
    try:
        return repr(str(value)[:60])
    except ValueError:  # Python writes no more than 4,300 digits
        return "a number of thousands of digits"


def _table(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise LogError(f"manifest {path} cannot be read: {error}") from None
    for key in table:
        if key not in ("rig", *KEYS):
            raise LogError(f"manifest {path}: {nearest('key', key, ('rig', *KEYS))}")
    for kind in KEYS:
        if kind in table and not (
            isinstance(table[kind], dict) and all(isinstance(e, dict) for e in table[kind].values())
        ):
            raise LogError(f"manifest {path}: write [{kind}.NAME] above the {kind}'s keys")
    return table


def _rig(path: Path, name: Any) -> Rig:
    if name is None:
        return Rig(path.stem)
    if fault := _fault("rig", name, str):
        raise LogError(f"manifest {path}: rig = {_short(name)} {fault}; write the path of a rig file")
    try:
        return Rig.load(path.parent / name)
    except RigError as error:
        raise LogError(f"manifest {path}: {error}") from None
