"""The forms in which devices are named: what cannot be right whatever is plugged in, found before anything opens."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from fusion_pipeline.checks import Range, nearest

Silence = Annotated[float, Range(0, 3600, above=True)]  # seconds
Delay = Annotated[float, Range(-60_000, 60_000)]  # milliseconds

CAMERA_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "rtp", "srt", "mms")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*")
_VIDEO = re.compile(r"/dev/video\d+")
_ALSA = re.compile(r"(plug)?hw:\d+(,\d+){0,2}")


def camera_fault(source: str) -> str:
    """What is wrong with the form of a camera's source; "" for a device, an address, and the path of a file."""
    if not source.strip():
        return "is empty; write a device such as /dev/video0, an address, a video file or a folder of pictures"
    if source.startswith("/dev/video") and not _VIDEO.fullmatch(source):
        return f"{source!r} is no video device; write its number, such as /dev/video0"
    if re.fullmatch(r"-\d+", source):
        return f"{source!r} is no device; write its number, such as 0"
    if "://" in source:
        return _address_fault(source, CAMERA_SCHEMES)
    return ""


def lidar_fault(source: str) -> str:
    """What is wrong with the form of a LiDAR's source; "" for udp://HOST:PORT and for the path of a file."""
    if not source.strip():
        return "is empty; write udp://0.0.0.0:2368, or the path of a pcap file"
    if "://" not in source:
        return ""
    fault = _address_fault(source, ("udp",))
    if fault:
        return fault
    port = urlsplit(source).port
    return "" if port else f"{source!r} has no port; write udp://HOST:PORT, such as udp://0.0.0.0:2368"


def microphone_fault(device: str) -> str:
    """What is wrong with the form of a microphone's device; "" for names, numbers and sound files."""
    if re.fullmatch(r"-\d+", device):
        return f"{device!r} is no device; write its number, or part of its name such as hw:1"
    if re.match(r"(plug)?hw\b", device) and not _ALSA.fullmatch(device):
        return f"{device!r} is no ALSA device; write the card's number, such as hw:1 or hw:1,0"
    if "://" in device:
        return f"{device!r} is an address; a microphone is a sound card's input or a sound file"
    return ""


def sender_fault(sender: str) -> str:
    """What is wrong with the address from which packets are taken."""
    try:
        if sender:
            ip_address(sender)
    except ValueError:
        return f"{sender!r} is no address of a sensor; write one such as 192.168.1.201"
    return ""
    return ""


def _address_fault(source: str, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(source)
        port = parts.port
    except ValueError as error:  # also a port above 65535
        return f"{source!r}: {str(error).lower()}; a port is a number from 1 to 65535"
    if parts.scheme not in schemes:
        return f"{source!r}: {nearest('scheme', parts.scheme, schemes)}"
    host = parts.hostname or ""
    if port == 0 or (host and not _is_host(host)) or (not host and parts.scheme != "udp"):
        return f"{source!r} is no address; write {parts.scheme}://HOST:PORT with a port from 1 to 65535"
    return ""


def _is_host(host: str) -> bool:
    if re.fullmatch(r"[\d.]+", host) or ":" in host:
        try:
            return bool(ip_address(host))
        except ValueError:
            return False
    return _HOST.fullmatch(host) is not None
