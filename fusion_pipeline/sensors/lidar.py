"""What all LiDAR drivers have in common: their settings, and where their packets come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fusion_pipeline.sensors.retry import SetupError

UDP = "udp://"


@dataclass(frozen=True)
class LidarConfig:
    """A LiDAR that sends packets, live or recorded."""

    source: str = ""  # "udp://0.0.0.0:2368", or the path of a pcap file
    name: str = "top"
    sender: str = ""  # only packets from this address, such as "192.168.1.201"; default: from anyone
    loop: bool = False  # start a pcap file again at its end
    real_time: bool = True  # play a pcap file at the speed at which it was recorded
    silence_s: float = 2.0  # no packet for so long is reported, and the socket opened anew

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
    return host or "0.0.0.0", int(port)
