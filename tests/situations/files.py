"""Sound, captures of packets, folders of pictures."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
from pcap_files import write_pcap
from situation import Outcome, Situation
from test_lidar_captures import two_lidars
from velodyne_packets import turns as velodyne_turns

SAMPLES = "a sample format read without its scale"
FORM = "a valid form taken for damage"
EMPTY = "an unknown case answered as an empty one"
APART = "streams told apart by half of their address"
JOIN = "a list joined by position is compacted before the join"
RATE = 16_000
TONE = (np.sin(np.arange(RATE) * 0.2)[:, None] * (0.5, 0.25)).astype(np.float64)
RIG = 'name = "mine"\n[audio.roof]\nmicrophones_m = [%s]\nvehicle_from_sensor = { translation_m = [0.0, 0.0, 1.5] }\n'


def sound(folder: Path, name: str, change: Any = lambda data: data, tone: Any = TONE, rate: int = RATE,
          microphones: int = 2, **form: Any) -> Path:  # fmt: skip
    """A recording of a second in one file, and its manifest."""
    soundfile.write(folder / name, tone, rate, **form)
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    (folder / "rig.toml").write_text(RIG % ", ".join(["[0.0, 0.0, 0.0]"] * microphones))
    (folder / "x.toml").write_text(
        f'rig = "rig.toml"\n[audio.roof]\nsound = "{name}"\nstart_ns = 1700000000000000000\n'
    )
    return folder / "x.toml"


def pcm(found: Outcome) -> Any:
    return np.concatenate([m.pcm for m in found.messages["audio/roof"]]) / 32768  # type: ignore[union-attr]


def as_loud(within: float = 2e-4) -> Any:
    return lambda found: pcm(found).shape == TONE.shape and float(np.abs(pcm(found) - TONE).max()) < within


def _sizes(riff: int, data: int) -> Any:
    def change(written: bytes) -> bytes:
        made = bytearray(written)
        struct.pack_into("<I", made, 4, riff)
        struct.pack_into("<I", made, made.index(b"data") + 4, data)
        return bytes(made)

    return change


def _listed(written: bytes) -> bytes:
    """With a chunk before the samples, as ffmpeg and field recorders write them."""
    at = written.index(b"data")
    extra = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 13) + b"Lavf60.16.100" + b"\0"
    made = bytearray(written[:at] + extra + written[at:])
    struct.pack_into("<I", made, 4, len(made) - 8)
    return bytes(made)


def capture(folder: Path, change: Any = lambda data: data, keys: str = "", count: float = 3.0) -> Path:
    """A VLP-16 in a room of 20 m."""
    packets = [(1_700_000_000 + us * 1e-6, data) for us, data in velodyne_turns(count, lambda laser, angle: 20.0)]
    path = write_pcap(folder / "x.pcap", packets)
    path.write_bytes(change(path.read_bytes()))
    (folder / "x.toml").write_text(f'[lidar.top]\npcap = "x.pcap"\nmodel = "VLP-16"\n{keys}\n')
    return folder / "x.toml"


def _records(data: bytes) -> list[tuple[bytes, bytes]]:
    """(head, packet) of a little-endian pcap."""
    at, found = 24, []
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        found.append((data[at : at + 16], data[at + 16 : at + 16 + size]))
        at += 16 + size
    return found


def _linked(link: int, packet: Any) -> Any:
    def change(data: bytes) -> bytes:
        body = b""
        for head, old in _records(data):
            made = packet(old[14:])
            body += head[:8] + struct.pack("<II", len(made), len(made)) + made
        return data[:20] + struct.pack("<I", link) + body

    return change


def _nanoseconds(data: bytes) -> bytes:
    body = b""
    for head, packet in _records(data):
        seconds, micro = struct.unpack_from("<II", head)
        body += struct.pack("<II", seconds, micro * 1000) + head[8:] + packet
    return struct.pack("<I", 0xA1B23C4D) + data[4:24] + body


def _big(data: bytes) -> bytes:
    head = struct.pack(">IHHiIII", *struct.unpack("<IHHiIII", data[:24]))
    return head + b"".join(struct.pack(">IIII", *struct.unpack("<IIII", h)) + packet for h, packet in _records(data))


def _ng(data: bytes) -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    made = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 1, 0, 0))
    for head, packet in _records(data):
        seconds, micro = struct.unpack_from("<II", head)
        ticks = seconds * 10**6 + micro
        made += block(6, struct.pack("<IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), len(packet)) + packet)
    return made


def _snapped(data: bytes) -> bytes:
    body = b"".join(h[:8] + struct.pack("<II", 96, len(p)) + p[:96] for h, p in _records(data))
    return data[:24] + body


def whole(found: Outcome) -> bool:
    """The room, all of it."""
    return sum(len(s.xyz_m) for s in found.scans) > 70_000 and all(
        np.allclose(np.linalg.norm(s.xyz_m, axis=1), 20.0, atol=0.2) for s in found.scans)  # fmt: skip


def _two(folder: Path, keys: str) -> Path:
    two_lidars(folder / "x.pcap")
    (folder / "x.toml").write_text(f'[lidar.top]\npcap = "x.pcap"\nmodel = "VLP-16"\n{keys}\n')
    return folder / "x.toml"


def _stamped(folder: Path, lines: list[str], files: int) -> Path:
    (folder / "front").mkdir()
    for k in range(files):
        cv2.imwrite(str(folder / "front" / f"{k:06d}.png"), np.full((24, 32, 3), 20 + k, np.uint8))
    (folder / "times.txt").write_text("\n".join(lines) + "\n")
    (folder / "x.toml").write_text('[camera.front]\npictures = "front/*.png"\nstamps = "times.txt"\n')
    return folder / "x.toml"


LINES = [f"{1_700_000_000_000_000_000 + k * 100_000_000}" for k in range(20)]


def numbered(found: Outcome) -> bool:
    """Whether each picture has the stamp of its line: picture k is of grey 20 + k."""
    return all(abs((f.header.capture_ns - 1_700_000_000 * 10**9) / 1e8 - (int(f.data[0, 0, 0]) - 20)) < 0.01
               for f in found.frames)  # fmt: skip


SITUATIONS = [
    *(Situation(f"WAV of {subtype}", source, SAMPLES, "as loud as it was written",
                make=lambda f, subtype=subtype: sound(f, "a.wav", subtype=subtype), right=as_loud(within))
      for subtype, source, within in (
          ("PCM_U8", "audio.cpp#319", 0.01), ("PCM_24", "scipy#6852", 2e-4), ("PCM_32", "AudioFile#29", 2e-4),
          ("FLOAT", "python-soundfile#241", 2e-4), ("DOUBLE", "audio.cpp#319", 2e-4), ("ULAW", "audio.cpp#319", 0.02),
          ("ALAW", "audio.cpp#319", 0.02))),
    Situation("WAV in the extensible form", "wavefile#11", SAMPLES, "read", right=as_loud(),
              make=lambda f: sound(f, "a.wav", format="WAVEX", subtype="PCM_24")),
    Situation("float WAV beyond full scale", "own", SAMPLES, "clipped, and a warning",
              has=("clipped-sound",), make=lambda f: sound(f, "a.wav", tone=TONE * 8, subtype="FLOAT")),
    Situation("FLAC of 24 bits", "own", SAMPLES, "read", right=as_loud(),
              make=lambda f: sound(f, "a.flac", subtype="PCM_24")),
    Situation("WAV that was written to a pipe", "own", FORM, "whole", right=as_loud(),
              make=lambda f: sound(f, "a.wav", _sizes(0xFFFFFFFF, 0xFFFFFFFF), subtype="PCM_16")),
    Situation("WAV longer than its header says", "own", FORM, "read whole, and a warning", right=as_loud(),
              has=("longer-than-header",), make=lambda f: sound(f, "a.wav", _sizes(8036, 8000), subtype="PCM_16")),
    Situation("WAV shorter than its header says", "own", FORM, "an error", code=3,
              make=lambda f: sound(f, "a.wav", _sizes(640_036, 640_000), subtype="PCM_16")),
    Situation("WAV with ffmpeg's chunk before the samples", "own", FORM, "read", right=as_loud(),
              make=lambda f: sound(f, "a.wav", _listed, subtype="PCM_16")),
    Situation("RF64", "own", FORM, "read", right=as_loud(),
              make=lambda f: sound(f, "a.wav", format="RF64", subtype="PCM_16")),
    Situation("a microphone that is not connected", "own", "success that made nothing", "a warning",
              has=("silent-sound",), make=lambda f: sound(f, "a.wav", tone=TONE * (1, 0), subtype="PCM_16")),
    Situation("two channels, four microphones in the rig", "own", "what is not known is guessed", "an error", code=3,
              has=("microphone-count",), make=lambda f: sound(f, "a.wav", microphones=4, subtype="PCM_16")),
    Situation("a capture with nanoseconds", "own", EMPTY, "read", right=whole,
              make=lambda f: capture(f, _nanoseconds)),
    Situation("a capture with the high byte first", "own", EMPTY, "read", right=whole,
              make=lambda f: capture(f, _big)),
    Situation("a capture as pcapng", "Pcap.Net#53", EMPTY, "read", right=whole, make=lambda f: capture(f, _ng)),
    Situation("a capture of `-i any`, Linux cooked", "ouster-sdk#265", EMPTY, "read", right=whole,
              make=lambda f: capture(f, _linked(113, lambda ip: bytes(14) + b"\x08\x00" + ip))),
    Situation("a capture of raw IP", "ouster-sdk#265", EMPTY, "read", right=whole,
              make=lambda f: capture(f, _linked(101, lambda ip: ip))),
    Situation("a capture with VLAN tags", "own", EMPTY, "read", right=whole,
              make=lambda f: capture(f, _linked(1, lambda ip: bytes(12) + b"\x81\x00\x00\x05\x08\x00" + ip))),
    Situation("a capture of radio frames", "ouster-sdk#265", EMPTY, "refused by its link type", code=2,
              make=lambda f: capture(f, _linked(105, lambda ip: ip))),
    Situation("a capture cut to 96 bytes of each packet", "own", EMPTY, "refused", code=2,
              make=lambda f: capture(f, _snapped)),
    Situation("two VLP-16 in one capture, none named", "ouster-sdk#634", APART, "one is read; an error", code=3,
              has=("mixed-senders",), make=lambda f: _two(f, "")),
    Situation("two VLP-16 in one capture, one named by its port", "ouster-sdk#634", APART, "that one",
              make=lambda f: _two(f, "port = 2369"), lacks=("mixed-senders",),
              right=lambda o: all(np.allclose(np.linalg.norm(s.xyz_m, axis=1), 5, atol=0.2) for s in o.scans)),
    Situation("stamps of pictures with a blank line", "kitti2bag#4", JOIN, "line n is of picture n; a warning",
              right=numbered, has=("irregular-rate",),
              make=lambda f: _stamped(f, ["" if k == 7 else line for k, line in enumerate(LINES)], 20)),
    Situation("fewer stamps than pictures", "own", JOIN, "refused", code=2,
              make=lambda f: _stamped(f, LINES[:15], 20)),
    Situation("more stamps than pictures", "own", JOIN, "refused", code=2,
              make=lambda f: _stamped(f, LINES, 15)),
    Situation("stamps in seconds where nanoseconds are asked for", "own",
              "unit or clock guessed from the size of a number", "refused", code=2,
              make=lambda f: _stamped(f, [str(int(line) / 1e9) for line in LINES], 20)),
]  # fmt: skip
