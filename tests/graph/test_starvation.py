"""A reader that gets nothing of what is published for it is noticed."""

from __future__ import annotations

from fusion_pipeline.starvation import STARVED_S, Starvation


def run(taken: list[int], published: list[int], step_s: float = 1.0) -> list[tuple[int, str]]:
    """What is said at each step of a reader of one topic."""
    watch = Starvation()
    return [
        (step, what)
        for step, (took, total) in enumerate(zip(taken, published, strict=True))
        for _, what in watch.look(step * step_s, {"camera/front": total}, {"aligner": {"camera/front": took}})
    ]


def test_a_reader_that_takes_is_not_named() -> None:
    assert run([10 * n for n in range(20)], [10 * n + 3 for n in range(20)]) == []


def test_a_reader_that_takes_nothing_is_named_once_and_again_when_it_does() -> None:
    found = run([50] * 12 + [170], [50 + 10 * n for n in range(13)])
    assert [step for step, _ in found] == [int(STARVED_S), 12]
    assert found[0][1] == "nothing of camera/front has reached it for 5 s, 50 published"
    assert found[1][1] == "takes camera/front again, after 12 s"


def test_a_writer_that_is_silent_starves_nobody() -> None:
    assert run([50] * 20, [50] * 20) == []
    assert run([50] * 20, [50 + n // 3 for n in range(20)]) == []  # a slow topic has published too little to tell


def test_a_reader_that_is_away_is_forgotten() -> None:
    watch = Starvation()
    assert not list(watch.look(0.0, {"t": 0}, {"a": {"t": 0}}))
    assert not list(watch.look(10.0, {"t": 100}, {}))
    assert not list(watch.look(11.0, {"t": 100}, {"a": {"t": 0}}))


def test_it_looks_once_a_second() -> None:
    watch = Starvation()
    assert [watch.due(now) for now in (0.0, 0.5, 1.0, 1.2, 2.5)] == [True, False, True, False, True]
