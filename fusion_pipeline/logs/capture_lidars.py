"""The LiDAR that a manifest names: which packets of a capture are its, and what puts them together to scans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fusion_pipeline.checks import nearest
from fusion_pipeline.sensors.pcap import Datagram

Turns = Callable[[Counter[str]], Any]  # what has `take` for each packet and `finish` at the end; counts what it refuses


@dataclass(frozen=True, slots=True)
class Lidar:
    """One make and model, with its calibration."""

    fits: Callable[[bytes], bool]  # whether a payload is a packet of its points
    turns: Turns
    nominal: str = ""  # why its angles are the nominal ones of its model; "" where they are its own


def lidar_of(name: str, entry: Mapping[str, Any], file: Callable[[Any], Path]) -> Lidar:
    """The LiDAR of a manifest's `[lidar.NAME]`, whose files `file` finds.

    Raises SetupError, KeyError without a model, ValueError for one that is unknown.
    """
    if "metadata" in entry:
        from fusion_pipeline.sensors.ouster import OusterConfig
        from fusion_pipeline.sensors.ouster import turns as ouster_turns

        text, ouster = file(entry["metadata"]).read_text(encoding="utf-8"), OusterConfig(source="pcap", name=name)
        return Lidar(ouster_turns(ouster, text, Counter()).fits, partial(ouster_turns, ouster, text))
    from fusion_pipeline.sensors import hesai, robosense, velodyne

    model = str(entry["model"])
    angles = file(entry["angles"]) if "angles" in entry else None
    if model in hesai.MODELS:
        own = hesai.HesaiConfig(source="pcap", name=name, model=model, angles=angles)
        nominal = "" if angles else "no `angles`, the sensor's correction file"
        table = hesai.angles_of(own)
        return Lidar(partial(hesai.fits, own), lambda counts: hesai.turns(own, counts, table), nominal)
    if model in robosense.MODELS:
        rs = robosense.RoboSenseConfig(source="pcap", name=name, model=model, angles=angles)
        robosense.turns(rs, Counter())  # says now what is wrong with the angle file
        return Lidar(partial(robosense.fits, rs), lambda counts: robosense.turns(rs, counts))
    if model not in velodyne.MODELS:
        raise ValueError(nearest("model", model, (*velodyne.MODELS, *hesai.MODELS, *robosense.MODELS)))
    calibration = file(entry["calibration"]) if "calibration" in entry else None
    config = velodyne.VelodyneConfig(source="pcap", name=name, model=model, calibration=calibration)
    velodyne.turns(config, Counter())
    return Lidar(partial(velodyne.fits, config), lambda counts: velodyne.turns(config, counts))


def told_by(
    lidar: Lidar, name: str, entry: Mapping[str, Any], captured: Iterable[Datagram], senders: Collection[str]
) -> Lidar:
    """`lidar` with the angles that it sends itself in the capture, from one of the addresses `senders`.

    Raises SetupError where it sends none, and has no nominal ones.
    """
    from fusion_pipeline.sensors import robosense, robosense_packets

    model = str(entry.get("model", ""))
    if "metadata" in entry or "angles" in entry or model not in robosense.MODELS:
        return lidar
    config = robosense.RoboSenseConfig(source="pcap", name=name, model=model)
    found = robosense.recorded(captured, config, senders)
    nominal = ""
    if found.info is None and found.points:
        nominal = "no DIFOP packet of the sensor is in the capture, and no `angles`, its angle file, is given"
        if robosense_packets.nominal(model) is None:
            raise robosense.SetupError(robosense.unknown_angles(config))
    return Lidar(lidar.fits, lambda counts: robosense.turns(config, counts, found.info), nominal)
