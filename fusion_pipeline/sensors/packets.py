"""Packets of one LiDAR, from a UDP socket or a pcap file."""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fusion_pipeline.clock import SECOND_NS, now_ns
from fusion_pipeline.sensors.lidar import UDP, LidarConfig, udp_address
from fusion_pipeline.sensors.pcap import Datagram, datagrams, once
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


Stream = tuple[str, int, int]  # a sender's address and port, and the port on which its packets arrive
OTHERS_NAMED = 4  # further senders are counted together
BESIDE = 4  # packets of a second port read after each of the first, at most
Fits = Callable[[bytes], bool]  # whether a payload is a packet of points of the LiDAR that is configured


class OneSender:
    """Takes the packets of one LiDAR alone, so that two are never put into one scan.

    It is the first whose packet fits the model; until then every packet passes, for the driver to refuse. Packets of
    others are counted by their sender if they would fit too, and passed over otherwise. `also` are packets of another
    kind, on any port, taken from the LiDAR's own address once that is known.
    """

    def __init__(self, sender: str, port: int, fits: Fits, counts: Counter[str], also: Fits | None = None) -> None:
        self._sender, self._port, self._fits, self._counts = sender, port, fits, counts
        self._also = also
        self._stream: Stream | None = None
        self._others: set[Stream] = set()

    def takes(self, stream: Stream, data: bytes) -> bool:
        """Whether a packet is of the LiDAR."""
        if stream == self._stream:
            return True
        if self._also is not None and self._also(data):
            return stream[0] == (self._sender or (self._stream and self._stream[0]))
        if self._port and stream[2] != self._port:
            return False
        if self._sender and stream[0] != self._sender:
            self._counts["refused: from another sender"] += 1
            return False
        fits = self._fits(data)
        if self._stream is None:
            self._stream = stream if fits else None
            return True
        if fits:
            if len(self._others) < OTHERS_NAMED:
                self._others.add(stream)
            self._counts[f"refused: {stream_name(stream) if stream in self._others else 'others'} sends too"] += 1
        return False


def stream_name(stream: Stream) -> str:
    """ "192.168.1.201:2368 to port 2369"."""
    return f"{stream[0]}:{stream[1]} to port {stream[2]}"


def stream_of(datagram: Datagram) -> Stream:
    """Who sent a datagram, and to which port."""
    return datagram.sender, datagram.sender_port, datagram.port


@dataclass(frozen=True)
class Beside:
    """Packets of another kind that a LiDAR sends to a port of their own, such as what it says of itself."""

    port: int
    fits: Fits


@contextlib.contextmanager
def packets(
    config: LidarConfig, stop: threading.Event, counts: Counter[str], fits: Fits, beside: Beside | None = None
) -> Iterator[Iterator[Packet | None]]:
    """The packets of `config.source`, None where there has been none for 0.2 s; what is not taken is in `counts`.

    Those `beside` them are taken from the LiDAR's own address, of a file whatever their port.
    """
    one = OneSender(config.sender, config.port, fits, counts, beside.fits if beside else None)
    if not config.source.startswith(UDP):
        yield _from_file(config, stop, one, counts)
        return
    host, port = udp_address(config.source)
    with contextlib.ExitStack() as opened:
        receiver = opened.enter_context(_listening(host, port, config.interface))
        if beside is None or beside.port == port:
            yield _from_socket(receiver, port, one, counts)
        else:
            other = opened.enter_context(_listening(host, beside.port, config.interface))
            yield _from_two(receiver, port, other, beside.port, one, counts)


def _listening(host: str, port: int, interface: str) -> socket.socket:
    """A socket that waits POLL_S for packets. Raises DriverError."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        with contextlib.suppress(OSError):  # other systems have no such count
            receiver.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        receiver.settimeout(POLL_S)
        _bind(receiver, host, port, interface)
    except OSError as error:
        receiver.close()
        text = f"cannot listen on {UDP}{host}:{port}: {error.strerror}; is another process there?"
        raise DriverError(text) from error
    except DriverError:
        receiver.close()
        raise
    return receiver


def _bind(receiver: socket.socket, host: str, port: int, interface: str) -> None:
    """Listen on an address of this machine, or join a multicast group. Raises OSError and DriverError."""
    group = ipaddress.IPv4Address(host).is_multicast
    if group:  # several processes may listen to a group
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    receiver.bind((host, port))
    if not group:
        return
    try:
        member = socket.inet_aton(host) + socket.inet_aton(interface or "0.0.0.0")
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    except OSError as error:
        raise DriverError(
            f"cannot join the multicast group {host}: {error.strerror}; set `interface` to the address of this "
            "machine's network card on the LiDAR's network"
        ) from error


def _from_socket(receiver: socket.socket, port: int, one: OneSender, counts: Counter[str]) -> Iterator[Packet | None]:
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
        yield Packet(arrival_ns, data) if one.takes((*address[:2], port), data) else None


def _from_two(
    receiver: socket.socket, port: int, other: socket.socket, other_port: int, one: OneSender, counts: Counter[str]
) -> Iterator[Packet | None]:
    """The packets of `receiver`, and those of `other` between them."""
    for packet in _from_socket(receiver, port, one, counts):
        yield packet
        for _ in range(BESIDE):
            if not select.select([other], [], [], 0)[0]:
                break
            data, address = other.recvfrom(LARGEST_BYTES)
            yield Packet(now_ns(), data) if one.takes((*address[:2], other_port), data) else None


def _from_file(
    config: LidarConfig, stop: threading.Event, one: OneSender, counts: Counter[str]
) -> Iterator[Packet | None]:
    """The file's packets with their spacing in time, the first at now."""
    began_ns, began_s = now_ns(), time.monotonic()
    lap, lap_starts_ns = 0, began_ns
    while True:
        first_ns = arrival_ns = None
        unread: Counter[str] = Counter()
        for datagram in once(datagrams(Path(config.source), unread), counts):
            if not one.takes(stream_of(datagram), datagram.payload):
                continue
            first_ns = datagram.stamp_ns if first_ns is None else first_ns
            arrival_ns = lap_starts_ns + datagram.stamp_ns - first_ns
            due_s = began_s + (arrival_ns - began_ns) / SECOND_NS
            while config.real_time and (wait_s := due_s - time.monotonic()) > 0:
                if stop.wait(min(wait_s, POLL_S)):
                    return
            yield Packet(arrival_ns, datagram.payload, lap)
        for reason, count in unread.items():
            counts[f"refused: {reason}"] += count
        if arrival_ns is None:
            raise SetupError(nothing_found(config.source, config.sender, config.port, unread))
        if not config.loop:
            return
        lap, lap_starts_ns = lap + 1, arrival_ns + LAP_GAP_NS


def nothing_found(source: str | Path, sender: str, port: int, unread: Counter[str]) -> str:
    """What to say of a capture without a datagram of the LiDAR; `unread` is what it holds that could not be read."""
    who = (f" from {sender}" if sender else "") + (f" to port {port}" if port else "")
    if unread:
        rest = ", ".join(f"{count} {reason}" for reason, count in unread.items())
        return f"{source} holds no UDP packet{who} that could be read: {rest}"
    return f"{source} holds no UDP packet{who}"
