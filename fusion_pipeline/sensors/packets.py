"""Packets of a LiDAR, from a UDP socket or a pcap file."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fusion_pipeline.clock import SECOND_NS, now_ns
from fusion_pipeline.sensors.lidar import UDP, LidarConfig, udp_address
from fusion_pipeline.sensors.pcap import datagrams
from fusion_pipeline.sensors.retry import POLL_S, DriverError, SetupError

BUFFER_BYTES = 4 << 20  # of the kernel, for one socket: 1 s of the largest LiDARs
LARGEST_BYTES = 65535
SO_RXQ_OVFL = 40  # Linux: ask for the count of datagrams that did not fit into the buffer
LAP_GAP_NS = SECOND_NS // 100  # between the last packet of a looped file and its first


@dataclass(frozen=True)
class Packet:
    """One datagram, and the vehicle time at which it was in hand."""

    arrival_ns: int
    data: bytes
    lap: int = 0  # how often the file has begun anew: the sensor's clock has jumped back


@contextlib.contextmanager
def packets(config: LidarConfig, stop: threading.Event, counts: Counter[str]) -> Iterator[Iterator[Packet | None]]:
    """The packets of `config.source`, None where there has been none for 0.2 s; what is not taken is in `counts`."""
    if not config.source.startswith(UDP):
        yield _from_file(config, stop)
        return
    host, port = udp_address(config.source)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        with contextlib.suppress(OSError):  # other systems have no such count
            receiver.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        receiver.settimeout(POLL_S)
        try:
            receiver.bind((host, port))
        except OSError as error:
            text = f"cannot listen on {config.source}: {error.strerror}; is another process there?"
            raise DriverError(text) from error
        yield _from_socket(receiver, config.sender, counts)


def _from_socket(receiver: socket.socket, sender: str, counts: Counter[str]) -> Iterator[Packet | None]:
    overflowed = 0
    while True:
        try:
            data, extra, _, address = receiver.recvmsg(LARGEST_BYTES, 64)
        except TimeoutError:
            yield None
            continue
        arrival_ns = now_ns()
        for level, kind, value in extra:
            if (level, kind) == (socket.SOL_SOCKET, SO_RXQ_OVFL):
                total = struct.unpack("I", value[:4])[0]
                counts["lost: the socket's buffer was full"] += total - overflowed
                overflowed = total
        if sender and address[0] != sender:
            counts["refused: from another sender"] += 1
            yield None
        else:
            yield Packet(arrival_ns, data)


def _from_file(config: LidarConfig, stop: threading.Event) -> Iterator[Packet | None]:
    """The file's packets with their spacing in time, the first at now."""
    began_ns, began_s = now_ns(), time.monotonic()
    lap, lap_starts_ns = 0, began_ns
    while True:
        first_ns = arrival_ns = None
        for datagram in datagrams(Path(config.source)):
            if config.sender and datagram.sender != config.sender:
                continue
            first_ns = datagram.stamp_ns if first_ns is None else first_ns
            arrival_ns = lap_starts_ns + datagram.stamp_ns - first_ns
            due_s = began_s + (arrival_ns - began_ns) / SECOND_NS
            while config.real_time and (wait_s := due_s - time.monotonic()) > 0:
                if stop.wait(min(wait_s, POLL_S)):
                    return
            yield Packet(arrival_ns, datagram.payload, lap)
        if arrival_ns is None:
            who = f" from {config.sender}" if config.sender else ""
            raise SetupError(f"{config.source} holds no UDP packet{who}")
        if not config.loop:
            return
        lap, lap_starts_ns = lap + 1, arrival_ns + LAP_GAP_NS
