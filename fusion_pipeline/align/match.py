"""What a stream has to say of one instant: the nearest frame, the sound that leads up to it, the pose at it.

Each function marks what it uses, and returns the message, or the reason why there is none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fusion_pipeline.align.buffer import Buffer, Entry, Sensed
from fusion_pipeline.align.config import AlignerConfig
from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS
from fusion_pipeline.geometry.pose import slerp
from fusion_pipeline.messages import AudioChunk, EgoMotion

OUTSIDE, GAP = "outside window", "gap"


def match(buffer: Buffer, t: int, deadline: int, config: AlignerConfig) -> Sensed | str:
    """The part of `buffer` that belongs to the instant `t`, of what had arrived by `deadline`; else OUTSIDE or GAP."""
    if buffer.kind == "audio":
        return _sound(buffer, t, deadline, config)
    if buffer.kind == "ego":
        return _ego(buffer, t, deadline)
    return _nearest(buffer, t, deadline)


def _nearest(buffer: Buffer, t: int, deadline: int) -> Sensed | str:
    near = buffer.between(t - buffer.window_ns, t + buffer.window_ns, deadline)
    best = min(near, key=lambda entry: abs(entry.stamp - t), default=None)
    if best is None:
        return OUTSIDE
    best.used = True
    return best.message


def _ego(buffer: Buffer, t: int, deadline: int) -> EgoMotion | str:
    """Between the samples on either side of `t`; never beyond the last one."""
    before: Entry | None = None
    after: Entry | None = None
    for entry in buffer.between(t - buffer.window_ns, t + buffer.window_ns, deadline):
        if entry.stamp <= t:
            before = entry
        elif after is None:
            after = entry
    if before is not None and before.stamp == t:
        after = before
    if before is None or after is None:
        return OUTSIDE
    before.used = after.used = True
    a, b = before.message, after.message
    assert isinstance(a, EgoMotion)
    assert isinstance(b, EgoMotion)
    header = replace(b.header, capture_ns=t, arrival_ns=max(a.header.arrival_ns, b.header.arrival_ns))
    if after is before:
        return replace(b, header=header)
    part = (t - before.stamp) / (after.stamp - before.stamp)
    return EgoMotion(
        header,
        (1 - part) * a.position_m + part * b.position_m,
        slerp(a.orientation, b.orientation, part),
        (1 - part) * a.velocity_mps + part * b.velocity_mps,
        (1 - part) * a.angular_velocity_rps + part * b.angular_velocity_rps,
        np.maximum(a.pose_covariance, b.pose_covariance), np.maximum(a.twist_covariance, b.twist_covariance),
        (1 - part) * a.acceleration_mps2 + part * b.acceleration_mps2,
    )  # fmt: skip


def _sound(buffer: Buffer, t: int, deadline: int, config: AlignerConfig) -> AudioChunk | str:
    """The samples of the window that ends at `t`, joined from chunks by counting samples, not by their stamps."""
    tolerance = round(config.audio_tolerance_ms * MILLISECOND_NS)
    pieces: list[np.ndarray[tuple[int, ...], np.dtype[np.int16]]] = []
    taken: list[Entry] = []
    rate = channels = wanted = have = following = 0
    for entry in reversed(list(buffer.between(t - buffer.reach_ns, t - 1, deadline))):
        chunk = entry.message
        assert isinstance(chunk, AudioChunk)
        samples = len(chunk.pcm)
        end = entry.stamp + samples * SECOND_NS // chunk.rate_hz
        if not pieces:
            if end < t - tolerance:
                return GAP
            rate, channels = chunk.rate_hz, chunk.pcm.shape[1]
            wanted = round(config.audio_window_s * rate)
            samples = min(samples, round((t - entry.stamp) * rate / SECOND_NS))
        elif (chunk.rate_hz, chunk.pcm.shape[1]) != (rate, channels) or abs(end - following) > tolerance:
            return GAP
        count = min(samples, wanted - have)
        pieces.append(chunk.pcm[samples - count : samples])
        taken.append(entry)
        have, following = have + count, entry.stamp
        if have >= wanted:
            break
    if not pieces or have < wanted:
        return GAP
    for entry in taken:
        entry.used = True
    header = replace(
        taken[-1].message.header,
        capture_ns=t - wanted * SECOND_NS // rate,
        arrival_ns=max(entry.message.header.arrival_ns for entry in taken),
    )
    return AudioChunk(header, rate, np.concatenate(pieces[::-1]))
