"""Clocks and the times of points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from recordings import MS, PERIOD, POINTS, ROS, SPREAD, START, lidar, mcap, ordered, turns
from ros_samples import SECOND
from situation import Outcome, Situation

CLOCK = "unit or clock guessed from the size of a number, unchecked"
VERDICT = "a verdict that ignores its own figures"
LIGHT = np.linspace(1, 200, POINTS).astype("u1")


def timed(folder: Path, name: str, kind: str, value: Any, stamp_of: Any = None, count: int = 12,
          late_ns: int = 20 * MS) -> Path:  # fmt: skip
    """Clouds with a field of time: `value(number, stamp)` in any unit, (POINTS,)."""

    def cloud(k: int, t: int) -> Any:
        return ROS.cloud({"intensity": LIGHT, name: np.asarray(value(k, t)).astype(kind)},
                         stamp_of(k, t) if stamp_of else t)  # fmt: skip

    return mcap(folder / "x.mcap", turns(cloud, count, late_ns))


def at_header(first_ns: int = 0, lasts_ns: int = 0) -> Any:
    """Scans begin `first_ns` after their stamps and last `lasts_ns`, where the stamps are those of `turns`."""

    def right(found: Outcome) -> bool:
        return all(
            abs(scan.header.capture_ns - (START + k * PERIOD + first_ns)) < 1_500_000
            and abs(scan.duration_ns - lasts_ns) < 1_500_000 for k, scan in enumerate(found.scans)
        )  # fmt: skip

    return right


WHOLE = int(SPREAD[-1])
WEEK = 1_300 * SECOND  # into the GPS week


def _own_clock(k: int, begins: float) -> Any:
    return (begins + k * 0.1) + SPREAD / SECOND


def _gps_week(folder: Path) -> Path:
    return timed(folder, "timestamp", "f8", lambda k, t: (t - START + WEEK + SPREAD) / SECOND,
                 lambda k, t: t - START + WEEK)  # fmt: skip


def _stepped(folder: Path) -> Path:
    rows = [(at + (0 if k < 15 else 30 * SECOND), topic, m) for k, (at, topic, m) in enumerate(lidar(20))]
    return mcap(folder / "x.mcap", rows)


def _stamps(folder: Path, change: Any, count: int = 40, late_ns: int = 20 * MS) -> Path:
    return mcap(folder / "x.mcap", turns(lambda k, t: ROS.cloud({"intensity": LIGHT}, change(k, t)), count, late_ns))


def _bursts(folder: Path) -> Path:
    rows = [(START + (k // 10 + 1) * SECOND + k % 10 * MS, topic, m) for k, (_, topic, m) in enumerate(lidar(60))]
    return mcap(folder / "x.mcap", rows)


def _without(folder: Path, gone: Any, count: int = 40) -> Path:
    return mcap(folder / "x.mcap", [row for k, row in enumerate(lidar(count)) if not gone(k)])


SITUATIONS = [
    Situation("points in seconds of TAI, 37 s beside a header in UTC", "ouster-ros#53", CLOCK,
              "the times are left out and named", has=("point-time",), right=at_header(),
              make=lambda f: timed(f, "timestamp", "f8", lambda k, t: (t + 37 * SECOND + SPREAD) / SECOND)),
    Situation("header and points in TAI, arrivals in UTC", "ouster-ros#198", CLOCK, "an error that names TAI", code=3,
              has=("clock-offset",), right=lambda o: any("TAI" in f.detail for f in o.findings),
              make=lambda f: timed(f, "timestamp", "f8", lambda k, t: (t + 37 * SECOND + SPREAD) / SECOND,
                                   lambda k, t: t + 37 * SECOND)),
    Situation("header and points in seconds of the GPS week", "own", CLOCK,
              "read in their own clock, which is an error", code=3, has=("clock-offset",), lacks=("point-time",),
              make=_gps_week, right=lambda o: abs(o.scans[0].duration_ns - WHOLE) < MS),
    Situation("microseconds of the hour, from 20 ms after the hour on", "pcl#685", CLOCK,
              "no offsets of points, though the first ones could be some", has=("point-time",), right=at_header(),
              make=lambda f: timed(f, "timestamp", "u4", lambda k, t: _own_clock(k, 0.02) * 1e6)),
    Situation("nanoseconds from power-on, the driver started with the sensor", "livox_ros_driver#2", CLOCK,
              "no offsets of points, though the first ones could be some", has=("point-time",), right=at_header(),
              make=lambda f: timed(f, "timestamp", "f8", lambda k, t: _own_clock(k, 0.3) * 1e9)),
    Situation("low 32 bits of a clock in nanoseconds, which wrap every 4.3 s", "ouster-sdk#184", CLOCK,
              "no offsets of points", has=("point-time",), right=at_header(),
              make=lambda f: timed(f, "t", "u4", lambda k, t: (4.0e9 + k * 1e8 + SPREAD) % 2**32)),
    Situation("microseconds of the hour, far from the hour", "own", CLOCK, "left out and named",
              has=("point-time",), right=at_header(),
              make=lambda f: timed(f, "timestamp", "u4", lambda k, t: _own_clock(k, 1800) * 1e6)),
    Situation("offsets in microseconds as whole numbers of 32 bits", "own", CLOCK, "read",
              lacks=("point-time",), right=at_header(0, WHOLE),
              make=lambda f: timed(f, "time", "u4", lambda k, t: SPREAD / 1e3)),
    Situation("offsets in nanoseconds in `t` of an Ouster", "polka#43", CLOCK, "read", lacks=("point-time",),
              right=at_header(0, WHOLE), make=lambda f: timed(f, "t", "u4", lambda k, t: SPREAD)),
    Situation("nanoseconds since 1970 in a double, as livox_ros_driver2 writes", "glim#244", CLOCK, "read",
              lacks=("point-time",), right=at_header(0, WHOLE),
              make=lambda f: timed(f, "timestamp", "f8", lambda k, t: t + SPREAD)),
    Situation("seconds since 1970 in a double, the header stamps the last point", "own", CLOCK, "read",
              lacks=("point-time",), right=at_header(-WHOLE, WHOLE),
              make=lambda f: timed(f, "timestamp", "f8", lambda k, t: (t + SPREAD - WHOLE) / SECOND)),
    Situation("offsets that count back to the stamp, in float seconds", "M2DGR#87", CLOCK, "read",
              lacks=("point-time",), right=at_header(-WHOLE, WHOLE),
              make=lambda f: timed(f, "time", "f4", lambda k, t: (SPREAD - WHOLE) / SECOND)),
    Situation("one scan of many whose offsets reach 3.6 s", "vbr-devkit#7", CLOCK,
              "its times are left out and named, the others are read", has=("point-time",), counts={"lidar/points": 12},
              make=lambda f: timed(f, "t", "f4", lambda k, t: (SPREAD / SECOND) * (36 if k == 8 else 1)),
              right=lambda o: o.scans[8].duration_ns == 0 and abs(o.scans[7].duration_ns - WHOLE) < MS),
    Situation("a field of time that nobody filled", "kiss-icp#108", CLOCK, "as without one", lacks=("point-time",),
              right=at_header(), make=lambda f: timed(f, "time", "f4", lambda k, t: SPREAD * 0)),
    Situation("share of the turn from 0 to 1 as time", "kiss-icp#108", CLOCK, "left out and named",
              has=("point-time",), right=at_header(),
              make=lambda f: timed(f, "time", "f4", lambda k, t: SPREAD / WHOLE)),
    Situation("LiDAR stamps from 1980: GPS time as if of 1970", "HesaiLidar_General_ROS#13", VERDICT, "an error",
              code=3, has=("clock-offset",), make=lambda f: _stamps(f, lambda k, t: t - 315_964_800 * SECOND)),
    Situation("local time as UTC, eight hours off", "DurLAR#2", VERDICT, "an error that names the time zone", code=3,
              has=("clock-offset",), make=lambda f: _stamps(f, lambda k, t: t + 8 * 3600 * SECOND),
              right=lambda o: any("time zone" in f.detail for f in o.findings)),
    Situation("stamps 120 ms in the future", "own", VERDICT, "an error", code=3, has=("future-stamp",),
              make=lambda f: _stamps(f, lambda k, t: t + 140 * MS)),
    Situation("every stamp zero", "libuvc_ros#44", VERDICT, "an error", code=3, has=("unstamped",),
              make=lambda f: _stamps(f, lambda k, t: 0)),
    Situation("some stamps zero, as while the clock is not yet set", "own", VERDICT, "an error", code=3,
              has=("unstamped",), make=lambda f: _stamps(f, lambda k, t: 0 if k < 6 else t)),
    Situation("one stamp for three messages each", "own", VERDICT, "an error", code=3,
              has=("repeated-stamp",), make=lambda f: _stamps(f, lambda k, t: t - k % 3 * PERIOD)),
    Situation("a stamp that jumps back by a second", "own", VERDICT, "an error", code=3,
              has=("backward-stamp",), make=lambda f: _stamps(f, lambda k, t: t - (SECOND if k >= 20 else 0))),
    Situation("the clock of the host is set forward by 30 s", "own", VERDICT, "a warning that names the 30 s",
              make=_stepped,
              has=("late-stream",)),
    Situation("scans come in bursts of a second", "hilti-slam-challenge-2021#6", VERDICT,
              "rate by stamps; nothing is lost", lacks=("gap", "dropped"), counts={"lidar/points": 60}, make=_bursts),
    Situation("every fifth scan is missing", "hilti-slam-challenge-2021#6", VERDICT, "an error", code=3,
              has=("dropped",),
              make=lambda f: _without(f, lambda k: k % 5 == 4)),
    Situation("a hole of 0.4 s at 10 Hz", "HDMapping#421", VERDICT, "an error", code=3, has=("gap",),
              make=lambda f: _without(f, lambda k: 20 <= k < 23)),
    Situation("two LiDARs, the second starts 5 s later", "own", VERDICT, "an error", code=3,
              has=("late-start",), make=lambda f: mcap(f / "x.mcap", ordered([
                  *lidar(100), *lidar(100, "/rear")[50:]]))),
    Situation("two LiDARs, one falls silent half way", "utbm_robocar_dataset#19", VERDICT, "an error", code=3,
              has=("early-end",), make=lambda f: mcap(f / "x.mcap", ordered([*lidar(100), *lidar(50, "/rear")]))),
    Situation("messages that come 3 s after their capture", "own", VERDICT, "a warning", has=("late-stream",),
              make=lambda f: _stamps(f, lambda k, t: t, late_ns=3 * SECOND)),
]  # fmt: skip
