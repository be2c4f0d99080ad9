"""The shipped fusion network in a simulated street: with all senses, and with each of them dead."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from calibration import rig
from fusion_pipeline.align import Aligner
from fusion_pipeline.align.config import AlignerConfig, Stream
from fusion_pipeline.detect.inference import Inference
from fusion_pipeline.detect.providers import ProviderError
from fusion_pipeline.geometry.boxes import iou_bev
from fusion_pipeline.manifest import CPU_MODEL, DEFAULT_MODEL
from fusion_pipeline.messages import Detections, SensorSet, Tracks
from fusion_pipeline.rig import Rig
from fusion_pipeline.world.ring_street import ring_street
from fusion_pipeline.world.simulation import Simulation

RIG = Rig.load(rig("demo"))
STREAMS = tuple(Stream(topic) for topic in ("camera/front", "audio/roof", "ego/odometry"))


@lru_cache(maxsize=1)
def street() -> tuple[tuple[SensorSet, ...], tuple[Tracks, ...]]:
    """Sets of a second and a half of the demo's street, and the truth of each turn."""
    aligner = Aligner(AlignerConfig(streams=STREAMS))
    sets: list[SensorSet] = []
    truths: list[Tracks] = []
    for frame in Simulation(ring_street(7, True), RIG).run(1.6, start_ns=1_767_225_606_000_000_000):
        if frame.tracks is not None:
            truths.append(frame.tracks)
        if frame.message is not None:
            sets += aligner.advance(frame.message.header.arrival_ns - 1)
            sets += aligner.step(frame.message)
    sets += aligner.flush()
    return tuple(sets), tuple(truths)


def only(item: SensorSet, *kinds: str) -> SensorSet:
    """The set with some of lidars, cameras, audios, egos."""
    parts = {kind: getattr(item, kind) if kind in kinds else () for kind in ("lidars", "cameras", "audios", "egos")}
    return SensorSet(item.header, **parts)


def rows(found: Detections | Tracks) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(N, 7) boxes."""
    boxes = found.boxes
    return np.column_stack([boxes.centers_m, boxes.sizes_m, boxes.yaws_rad]).astype(np.float64)


@pytest.fixture(scope="module", params=(DEFAULT_MODEL, CPU_MODEL), ids=("floating point", "8-bit"))
def inference(request: pytest.FixtureRequest) -> Inference:
    return Inference.load(request.param, RIG)


def test_it_finds_what_is_there(inference: Inference) -> None:
    sets, truths = street()
    by_time = {truth.header.capture_ns: truth for truth in truths}
    hits = found_count = 0
    for item in sets[3:]:
        found = inference(item)
        overlap = iou_bev(rows(found), rows(by_time[item.header.capture_ns]))
        hits += int((overlap.max(axis=1, initial=0) > 0.3).sum())
        found_count += len(overlap)
        shares = found.boxes.attribution
        np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-5)
        assert (found.boxes.std > 0).all()
    assert found_count > 5 * len(sets[3:])
    assert hits > 0.7 * found_count


def test_early_fusion_paints_with_the_set_before_and_forgets_it(tmp_path: Path) -> None:
    text = DEFAULT_MODEL.with_suffix(".toml").read_text(encoding="utf-8")
    text = text.replace('op = "onnx"', 'op = "onnx"\nfusion = "early"').replace(
        'path = "', f'path = "{DEFAULT_MODEL.parent}/'
    )
    (tmp_path / "early.toml").write_text(text, encoding="utf-8")
    early, sets = Inference.load(tmp_path / "early.toml", RIG), street()[0]
    first, second = sets[3], sets[4]
    early(first)
    coloured = early(second)
    assert not coloured.boxes.attribution[:, 1].any()  # the camera has no part but the paint
    early.forget()
    early(only(first, "lidars", "audios", "egos"))
    plain = early(second)
    assert plain.boxes.attribution[:, 1].any()  # nothing to paint with: the camera is not hidden
    early.forget()
    early(first)
    again = early(second)
    np.testing.assert_array_equal(rows(again), rows(coloured))
    assert not np.array_equal(rows(plain)[:, :2], rows(coloured)[:, :2])


def test_earlier_sweeps_give_velocities(inference: Inference) -> None:
    sets, truths = street()
    by_time = {truth.header.capture_ns: truth for truth in truths}
    errors, speeds = [], []
    for item in sets:
        found, truth = inference(item), by_time.get(item.header.capture_ns)
        if truth is None:
            continue
        overlap = iou_bev(rows(found), rows(truth))
        for i, j in enumerate(overlap.argmax(axis=1)):
            if overlap[i, j] > 0.5 and np.linalg.norm(truth.boxes.velocities_mps[j]) > 3:
                errors.append(np.linalg.norm(found.boxes.velocities_mps[i] - truth.boxes.velocities_mps[j]))
                speeds.append(np.linalg.norm(truth.boxes.velocities_mps[j]))
    assert len(errors) > 5
    assert np.median(errors) < 0.35 * np.median(speeds)


@pytest.mark.parametrize(
    ("kinds", "column"),
    [(("cameras", "audios", "egos"), 0), (("lidars", "audios", "egos"), 1), (("lidars", "cameras", "egos"), 2)],
    ids=["no LiDAR", "no camera", "no audio"],
)
def test_a_dead_sensor_has_no_share_and_the_rest_goes_on(
    inference: Inference, kinds: tuple[str, ...], column: int
) -> None:
    sets, _ = street()
    found = [inference(only(item, *kinds)) for item in sets[3:]]
    assert sum(len(item.boxes.scores) for item in found) > 0
    assert all((item.boxes.attribution[:, column] == 0).all() for item in found)


def test_sound_alone_claims_no_boxes_and_nothing_at_all_nothing(inference: Inference) -> None:
    sets, _ = street()
    heard = inference(only(sets[5], "audios"))
    assert (heard.boxes.attribution[:, :2] == 0).all()
    nothing = inference(only(sets[5]))
    assert len(nothing.boxes.scores) == 0
    assert nothing.sounds == ()


def test_whole_numbers_find_what_floating_point_finds() -> None:
    sets, _ = street()
    exact, whole = (Inference.load(model, RIG) for model in (DEFAULT_MODEL, CPU_MODEL))
    away, scores = [], []
    for item in sets[3:]:
        one, other = exact(item), whole(item)
        gaps = np.linalg.norm(rows(one)[:, None, :2] - rows(other)[None, :, :2], axis=2)
        sure = one.boxes.scores > 0.6
        assert sure.any()
        away += list(gaps.min(axis=1)[sure])
        scores += list(np.abs(one.boxes.scores - other.boxes.scores[gaps.argmin(axis=1)])[sure])
    assert np.median(away) < 0.05
    assert np.mean(np.asarray(away) < 0.5) > 0.95
    assert np.median(scores) < 0.03


def test_whole_numbers_are_for_the_cpu() -> None:
    with pytest.raises(ProviderError, match=r"runs on cpu, not on cuda.*fusion_base\.onnx"):
        Inference.load(CPU_MODEL, RIG, providers=("cuda",))


@pytest.mark.parametrize("model", [DEFAULT_MODEL, CPU_MODEL], ids=("floating point", "8-bit"))
def test_the_same_sets_give_the_same_detections(model: Path) -> None:
    sets, _ = street()
    one, two = (Inference.load(model, RIG) for _ in range(2))
    for item in sets[:6]:
        a, b = one(item), two(item)
        assert a.boxes.centers_m.tobytes() == b.boxes.centers_m.tobytes()
        assert a.boxes.scores.tobytes() == b.boxes.scores.tobytes()
        assert a.sounds == b.sounds
