"""What all LiDAR drivers have in common: their settings, and where their packets come from."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fusion_pipeline.checks import Range, SensorName
from fusion_pipeline.sensors.forms import Silence, lidar_fault, sender_fault
from fusion_pipeline.sensors.retry import SetupError

UDP = "udp://"


@dataclass(frozen=True)
class LidarConfig:
    """A LiDAR that sends packets, live or recorded."""

    source: str = ""  # "udp://0.0.0.0:2368", a multicast group "udp://239.255.10.10:2368", or the path of a pcap file
    name: Annotated[str, SensorName()] = "top"
    sender: str = ""  # only packets from this address, such as "192.168.1.201"; default: the first that sends
    port: Annotated[int, Range(0, 65_535)] = 0  # only packets to it, of a pcap file with several; 0: the first LiDAR's
    interface: str = ""  # address of this machine's network card that joins a multicast group; default: the system's
    loop: bool = False  # start a pcap file again at its end
    real_time: bool = True  # play a pcap file at the speed at which it was recorded
    silence_s: Silence = 2.0  # no packet for so long is reported, and the socket opened anew

    def faults(self) -> Iterator[str]:
        """What is wrong with the form of its addresses."""
        for key, text in (
            ("source", lidar_fault(self.source)),
            ("sender", sender_fault(self.sender)),
            ("interface", sender_fault(self.interface)),
        ):
            if text:
                yield f"{key}: {text}"

    @property
    def topic(self) -> str:
        """The topic of the scans."""
        return f"lidar/{self.name}"

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that must exist."""
        return () if self.source.startswith(UDP) else (Path(self.source),)


def udp_address(source: str) -> tuple[str, int]:
    """("0.0.0.0", 2368) of "udp://0.0.0.0:2368". Raises SetupError."""
    host, colon, port = source.removeprefix(UDP).rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) < 65536:
        raise SetupError(f"{source!r} is no address to listen on; write udp://HOST:PORT, such as udp://0.0.0.0:2368")
    try:
        address = ipaddress.IPv4Address(host or "0.0.0.0")
    except ValueError:
        raise SetupError(
            f"{source!r}: {host!r} is no IPv4 address of this machine; write udp://0.0.0.0:{port} to listen on all"
        ) from None
    return str(address), int(port)


def check_addresses(config: LidarConfig) -> None:
    """Raises SetupError where a config's addresses cannot be any."""
    if config.source.startswith(UDP):
        udp_address(config.source)
    for name, value in (("sender", config.sender), ("interface", config.interface)):
        try:
            ipaddress.ip_address(value or "0.0.0.0")
        except ValueError:
            raise SetupError(
                f"lidar {config.name}: {name} = {value!r} is no IP address, such as 192.168.1.201"
            ) from None
    if not 0 <= config.port < 65536:
        raise SetupError(f"lidar {config.name}: port = {config.port} is no port; write 1 to 65535, or 0 for any")
    if not config.silence_s > 0:
        raise SetupError(f"lidar {config.name}: silence_s = {config.silence_s} must be above 0")
