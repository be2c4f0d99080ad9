"""The packets, pictures and sounds that a manifest names, as streams of messages with their stamps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.clock import LAST_NS, SECOND_NS
from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.files import Item, rising
from fusion_pipeline.logs.kitti_files import read_picture
from fusion_pipeline.logs.reader import FormError, LogError
from fusion_pipeline.messages import AudioChunk, Header, Message

UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": SECOND_NS}
CHUNK_S = 0.02
NUMBERS = re.compile(r"([^0-9]*)([0-9]*)")
Read = Callable[[int], Iterator[Message]]  # messages that arrive from a time on, or a little earlier
Span = tuple[int, int]  # arrival of the first message and of the last
Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Streams:
    """Makes the streams of one manifest; what is left out and what is found is noted on the way."""

    path: Path
    refused: Counter[tuple[str, str]]
    findings: Findings

    def packets(self, topic: str, entry: Entry) -> tuple[Read, Span]:
        """A LiDAR's packets in a pcap file, put together to scans. Raises LogError."""
        from fusion_pipeline.logs.capture_lidars import lidar_of, told_by
        from fusion_pipeline.logs.capture_streams import chosen
        from fusion_pipeline.sensors.packets import Packet, nothing_found, stream_of
        from fusion_pipeline.sensors.pcap import datagrams, once
        from fusion_pipeline.sensors.retry import SetupError

        file, unread = self._file(entry["pcap"]), Counter[str]()
        sender, port = str(entry.get("sender", "")), int(entry.get("port", 0))
        name = topic.partition("/")[2]
        try:
            lidar = lidar_of(name, entry, self._file)
        except LogError:
            raise
        except (SetupError, ValueError) as error:
            raise LogError(f"{self.path}, [lidar.{name}]: {error}") from None
        try:
            streams, span, others = chosen(datagrams(file, unread), sender, port, lidar.fits)
            lidar = told_by(lidar, name, entry, datagrams(file), {stream[0] for stream in streams})
        except SetupError as error:
            raise LogError(str(error)) from None
        if not streams:
            raise LogError(nothing_found(file, sender, port, unread))
        if lidar.nominal:
            self.findings.add("nominal-angles", topic, lidar.nominal)
        if others:
            self.findings.add("mixed-senders", topic, others)
        for reason, count in unread.items():
            self.findings.add("unread-packets", topic, reason, count)

        def scans(_: int) -> Iterator[Message]:
            counts: Counter[str] = Counter()
            twice: Counter[str] = Counter()
            turn = lidar.turns(counts)
            for datagram in once(datagrams(file), twice):
                if stream_of(datagram) in streams:
                    yield from _whole(turn.take(Packet(datagram.stamp_ns, datagram.payload)))
            yield from _whole(turn.finish())
            for reason, count in counts.items():
                self.refused[topic, reason.removeprefix("refused: ")] += count
            for reason, count in twice.items():
                self.findings.add("repeated-packets", topic, reason, count)

        return scans, span

    def pictures(self, topic: str, entry: Entry) -> tuple[Read, Span]:
        """A camera's picture files. Raises LogError, and ValueError or KeyError for what the entry lacks."""
        try:
            found = [file for file in self.path.parent.glob(str(entry["pictures"])) if file.is_file()]
        except (ValueError, NotImplementedError, IndexError):
            raise ValueError(f"pictures = {entry['pictures']!r} is no pattern below the manifest's folder") from None
        files = sorted(found, key=lambda file: by_numbers(str(file)))
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
                    self.refused[topic, error.of_file()] += 1
                except OSError:
                    self.refused[topic, "file missing"] += 1

        return frames, (items[0].arrival_ns, items[-1].arrival_ns)

    def _stamps(self, entry: Entry, files: list[Path]) -> list[int | None]:
        if "stamps" in entry:
            file = self._file(entry["stamps"])
            lines = file.read_text(errors="replace").split("\n")
            while lines and not lines[-1].strip():
                lines.pop()
            if len(lines) != len(files):
                raise ValueError(f"{entry['stamps']} has {len(lines)} stamps for {len(files)} pictures")
            return [_stamp(file, number, text) for number, text in enumerate(lines, 1)]
        if "names" in entry:
            unit = UNITS.get(str(entry["names"]))
            if unit is None:
                raise ValueError(f"names = {entry['names']!r} is unknown; known: {', '.join(UNITS)}")
            found = [_decimal(file.stem, unit) for file in files]
            order = np.argsort(found, kind="stable")
            files[:] = [files[k] for k in order]
            return [found[k] for k in order]
        period, begin = SECOND_NS / float(entry["rate_hz"]), int(entry["start_ns"])
        return [begin + round(k * period) for k in range(len(files))]

    def sound(self, topic: str, entry: Entry) -> tuple[Read, Span]:
        """A sound file in chunks of 20 ms. Raises LogError."""
        from fusion_pipeline.sensors.retry import SetupError
        from fusion_pipeline.sensors.sound_reader import DamagedSoundError, SoundReader

        file, begin = self._file(entry["sound"]), int(entry["start_ns"])
        delay = round(float(entry.get("delay_ms", 0.0)) * 1e6)
        try:
            with SoundReader(file) as opened:
                rate, length, promised = opened.rate_hz, opened.frames, opened.promised
        except SetupError as error:
            raise LogError(str(error)) from None
        block = max(1, round(rate * CHUNK_S))
        if length > promised:
            self.findings.add("longer-than-header", topic, f"{length} samples, where its header says {promised}")

        def end_of(samples: int) -> int:
            return begin + samples * SECOND_NS // rate + delay

        def chunks(start_ns: int) -> Iterator[Message]:
            place = max(0, ((start_ns - begin - delay) * rate // SECOND_NS // block - 1) * block)
            sought = False
            with SoundReader(file) as sound:
                while True:
                    try:
                        if place and not sought:  # what lies before damage is read where nothing is passed over
                            sound.seek(place)
                        sought = True
                        pcm = sound.read(block)
                    except DamagedSoundError:
                        self.refused[topic, "damaged sound"] += 1
                        return
                    if not len(pcm):
                        break
                    at = begin + place * SECOND_NS // rate
                    place += len(pcm)
                    yield AudioChunk(Header(topic, at, end_of(place), topic), rate, pcm)
                if sound.clipped:
                    self.findings.add("clipped-sound", topic, "samples beyond full scale (1.0)", sound.clipped)
                if sound.not_finite:
                    self.findings.add("broken-samples", topic, "not finite", sound.not_finite)
            if place < max(length, promised):
                self.refused[topic, "cut off"] += 1

        return chunks, (end_of(min(block, length)), end_of(length))

    def _file(self, name: Any) -> Path:
        file = self.path.parent / str(name)
        if not file.is_file():
            what = "is no file" if file.exists() else "does not exist"
            raise LogError(f"{file}, which {self.path} names, {what}")
        return file


def _whole(found: Any) -> Iterator[Message]:
    if found is None or isinstance(found, Iterator):
        yield from (scan for scan in found or () if scan is not None)
    else:
        yield found


def _stamp(file: Path, number: int, text: str) -> int | None:
    """Of a line; None for an empty one, whose picture has no stamp."""
    if not text.strip():
        return None
    if not text.strip().isdecimal() or int(text) > LAST_NS:
        raise ValueError(f"{file}, line {number}: {text.strip()[:40]!r} is no time in ns since 1970")
    return int(text)


def by_numbers(name: str) -> tuple[tuple[str, int], ...]:
    """A key that sorts names by the numbers in them, as people count: 2.jpg before 10.jpg."""
    return tuple((text, int(digits or 0)) for text, digits in NUMBERS.findall(name))


def _decimal(text: str, unit: int) -> int:
    """A time in a file's name, exact to the last digit."""
    whole, _, fraction = text.partition(".")
    if unit == 1 and fraction.strip("0"):
        raise ValueError(f"the name {text!r} is no whole number of ns; are its names in s?")
    if not whole.isdigit() or (fraction and not fraction.isdigit()):
        raise ValueError(f"the name {text!r} is no time")
    value = int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
    if value > LAST_NS:
        raise ValueError(f"the name {text!r} is no time in this unit")
    return value
