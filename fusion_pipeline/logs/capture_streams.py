"""Which packets of a capture are one LiDAR's, where several devices speak in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fusion_pipeline.sensors.packets import OTHERS_NAMED, Stream, stream_name, stream_of
from fusion_pipeline.sensors.pcap import Datagram

TRIED = 8  # packets of a stream that are looked at before it counts as none of a LiDAR


@dataclass(slots=True)
class _Stream:
    first_ns: int
    last_ns: int
    packets: int = 0
    tried: int = 0
    fits: bool = False


def chosen(
    captured: Iterable[Datagram], sender: str, port: int, fits: Callable[[bytes], bool]
) -> tuple[frozenset[Stream], tuple[int, int], str]:
    """The streams to read, their first and last stamp, and what other LiDARs send at the same time.

    The LiDAR is the first stream with a packet that `fits`. One from the same address to the same port that begins
    after its end is the same device, started anew. Where none fits all are read, for the driver to say why not.
    Raises SetupError.
    """
    found: dict[Stream, _Stream] = {}
    for datagram in captured:
        if (sender and datagram.sender != sender) or (port and datagram.port != port):
            continue
        stream = stream_of(datagram)
        if (seen := found.get(stream)) is None:
            seen = found[stream] = _Stream(datagram.stamp_ns, datagram.stamp_ns)
        seen.first_ns, seen.last_ns = min(seen.first_ns, datagram.stamp_ns), max(seen.last_ns, datagram.stamp_ns)
        seen.packets += 1
        if not seen.fits and seen.tried < TRIED:
            seen.tried, seen.fits = seen.tried + 1, fits(datagram.payload)
    wanted = {stream for stream, seen in found.items() if seen.fits}
    if not wanted:
        wanted, others = set(found), ""
    else:
        first = next(stream for stream in found if stream in wanted)
        mine, last_ns = {first}, found[first].last_ns
        for stream, seen in found.items():
            if stream in wanted - mine and stream[::2] == first[::2] and seen.first_ns > last_ns:
                mine.add(stream)
                last_ns = seen.last_ns
        others, wanted = _others(found, wanted - mine, first), mine
    spans = [found[stream] for stream in wanted]
    ends = (min(s.first_ns for s in spans), max(s.last_ns for s in spans)) if spans else (0, 0)
    return frozenset(wanted), ends, others


def _others(found: dict[Stream, _Stream], others: set[Stream], first: Stream) -> str:
    if not others:
        return ""
    named = [f"{stream_name(stream)} ({found[stream].packets} packets)" for stream in found if stream in others]
    more = f" and {len(named) - OTHERS_NAMED} more" if len(named) > OTHERS_NAMED else ""
    return f"read: {stream_name(first)}; left out: {', '.join(named[:OTHERS_NAMED])}{more}"
