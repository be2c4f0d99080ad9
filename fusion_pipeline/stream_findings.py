"""What is wrong with a stream by its statistics, in the words of `findings.KINDS`; one rule for logs and graphs."""

from __future__ import annotations

from collections.abc import Iterator

from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS
from fusion_pipeline.stream_statistics import StreamSummary

MOST_HZ = {"lidar": 120.0, "camera": 1000.0, "audio": 1000.0, "ego": 5000.0}  # more is no sensor's rate
OFFSET_MS = 5000.0  # median latency that no transport has
LATE_MS = 1000.0
CHANGED = 0.7  # of the highest rate of a stream; below it, its rate has changed


def stream_findings(kind: str, found: StreamSummary) -> Iterator[tuple[str, str, int]]:
    """What is wrong with a sensor's stream, as (name of a kind in `findings.KINDS`, detail, how often).

    `kind`: "lidar", "camera", "audio" or "ego"; others have no duty of coming regularly.
    """
    if kind not in MOST_HZ or not found.count:
        return
    if found.unstamped:
        yield "unstamped", f"{found.unstamped} of {found.count} messages have no capture stamp", 1
    if found.rate_hz > MOST_HZ[kind]:
        yield "implausible-rate", f"{found.rate_hz:.0f} messages a second", 1
    else:
        yield from _gap_findings(kind, found)
    if found.backward:
        yield "backward-stamp", f"{found.backward} of {found.count} captures lie before the one before", 1
    if found.repeated > (0 if kind in ("lidar", "camera", "audio") else found.count // 20):
        yield "repeated-stamp", f"{found.repeated} of {found.count} captures are stamped as the one before", 1
    if found.jumps:
        yield "clock-jump", f"stamps leap ahead of the arrivals by up to {found.largest_jump_ns / SECOND_NS:.1f} s", 1
    yield from _latency_findings(kind, found)


def _gap_findings(kind: str, found: StreamSummary) -> Iterator[tuple[str, str, int]]:
    floor = 100 * MILLISECOND_NS if kind == "ego" else 0
    gaps = [gap for gap in found.gaps if gap[1] - gap[0] > floor]
    if gaps:
        start, end = max(gaps, key=lambda gap: gap[1] - gap[0])
        count = found.gap_count if len(gaps) == len(found.gaps) else len(gaps)
        often = f"{count} gaps, the longest of " if count > 1 else ""
        yield "gap", f"{often}{silence(end - start, found.period_ns)}", 1
    share = found.absent / (found.count + found.absent)
    if found.absent >= 3 and share >= 0.05:
        yield "dropped", f"{found.absent} single messages, {share:.0%}, are missing at {found.rate_hz:.1f} Hz", 1
    elif found.absent and share >= 0.01 and kind != "ego":
        yield "irregular-rate", f"{found.absent} single messages are missing at {found.rate_hz:.1f} Hz", 1

    if kind != "ego" and 0 < found.slowest_hz < CHANGED * found.fastest_hz:
        yield "rate-change", f"{found.fastest_hz:.1f} Hz, and for some time {found.slowest_hz:.1f} Hz", 1


def silence(lasts_ns: int, period_ns: int) -> str:
    """Of a stream that comes every `period_ns`, in words."""
    usual = f"{period_ns / MILLISECOND_NS:.0f} ms"
    return f"{lasts_ns / SECOND_NS:.2f} s without a message, where one comes every {usual}"


def _latency_findings(kind: str, found: StreamSummary) -> Iterator[tuple[str, str, int]]:
    median, most, least = found.latency_ms
    if abs(median) > OFFSET_MS:
        side = "before" if median > 0 else "after"
        yield "clock-offset", f"stamps lie {_seconds(abs(median))} {side} the arrivals{_known_offset(median)}", 1
        return
    early = -500.0 if kind == "ego" else -50.0  # transforms are dated ahead by many programs
    if least < early or (kind != "ego" and 20 * found.future > found.count):
        yield "future-stamp", f"{found.future} of {found.count} stamps lie up to {-least:.0f} ms after the arrival", 1
    if median > LATE_MS or most > OFFSET_MS:
        yield "late-stream", f"messages come {median:.0f} ms after their capture, at most {_seconds(most)}", 1
    if found.drift_ppm:
        yield "clock-drift", f"{found.drift_ppm:+.0f} ppm, {abs(found.drift_ms):.0f} ms over the recording", 1


def _seconds(milliseconds: float) -> str:
    seconds = milliseconds / 1e3
    days = seconds / 86_400
    return f"{seconds:.1f} s" if days < 2 else f"{days:.0f} days" if days < 1000 else f"{days / 365.25:.1f} years"


def _known_offset(milliseconds: float) -> str:
    """A word for offsets that have a usual cause."""
    seconds = abs(milliseconds) / 1e3
    if abs(seconds - 37.0) < 0.6:
        return " (37 s: TAI against UTC?)"
    if abs(seconds - 18.0) < 0.6:
        return " (18 s: GPS time against UTC?)"
    if seconds > 300 and abs(seconds / 1800 - round(seconds / 1800)) * 1800 < 5 and seconds < 15 * 3600:
        return " (whole hours: a time zone?)"
    return " (a clock that counts from power-on?)" if milliseconds > 1e12 / 2 else ""


def edge_findings(found: StreamSummary, start_ns: int, end_ns: int) -> Iterator[tuple[str, str, int]]:
    """Whether a stream begins late or ends early in a recording whose sensors came from `start_ns` to `end_ns`."""
    least = max(min(2 * SECOND_NS, (end_ns - start_ns) // 5), SECOND_NS // 2)
    bound = max(5 * found.period_ns, least, 1)
    if found.first_ns - start_ns > bound:
        yield (
            "late-start",
            f"its first message comes {(found.first_ns - start_ns) / SECOND_NS:.1f} s after the first",
            1,
        )
    if end_ns - found.last_ns > bound:
        yield "early-end", f"its last message comes {(end_ns - found.last_ns) / SECOND_NS:.1f} s before the end", 1
