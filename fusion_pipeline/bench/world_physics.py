"""The simulated world against theory: ranges, delays between microphones, Doppler, and an independent ear."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator

import numpy as np

from fusion_pipeline.arrays import Doubles, Floats
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.world.beams import hdl64
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import block
from fusion_pipeline.world.motion import Track
from fusion_pipeline.world.sound import Hearing, SoundField, SoundSource
from fusion_pipeline.world.sound_paths import SPEED_OF_SOUND_MPS
from fusion_pipeline.world.sources import RATE_HZ, Waveform, synthesise
from fusion_pipeline.world.surfaces import RayGrid, Surfaces

RATE, PERIOD_S, HIGH_M = 16_000, 20.0, 500.0  # half a kilometre up, the ground's echo is too faint to matter
QUIET = Hearing(noise_pa=0.0, wind_pa_at_10_mps=0.0, ego_pa_at_10_mps=0.0, reflections=False)
SQUARE = np.asarray([[0.1, 0.1, 0.0], [0.1, -0.1, 0.0], [-0.1, -0.1, 0.0], [-0.1, 0.1, 0.0]])
NOTHING = np.zeros((0, 7))
AZIMUTHS_DEG = (3.0, 77.0, 141.0, 205.0, 290.0)
SPEEDS_MPS = (-30.0, -10.0, 12.0, 33.0)


def figures() -> Iterator[Figure]:
    """Every row of physics."""
    for name, error in range_errors_mm().items():
        yield Figure(f"range against an analytic {name}, greatest error", error, "mm", "<= 1", error <= 1.0)
    delay = max(delay_error_samples(azimuth) for azimuth in AZIMUTHS_DEG)
    yield Figure(
        "time difference of arrival against geometry, greatest error", delay, "samples", "<= 0.1", delay <= 0.1
    )
    doppler = max(doppler_error(speed) for speed in SPEEDS_MPS)
    yield Figure("Doppler shift against theory, greatest error", 100 * doppler, "%", "<= 0.2", doppler <= 0.002)
    if importlib.util.find_spec("pyroomacoustics"):
        azimuth = float(np.median(azimuth_errors_deg()))
        yield Figure("azimuth of a siren at 20 m by pyroomacoustics' SRP-PHAT, median error", azimuth, "deg", "<= 3",
                     azimuth <= 3.0)  # fmt: skip


def range_errors_mm() -> dict[str, float]:
    """The greatest error of forward distance along an HDL-64E's rays, for three bodies 12 m ahead."""
    ratio = np.tan(np.arange(-0.4, 0.4, hdl64().azimuth_step_rad))
    slope = np.tan(np.sort(np.asarray(hdl64().elevations_rad)))
    grid = RayGrid(ratio, np.sqrt(1 + ratio**2), slope)
    upright = grid.stretch[:, None] * grid.slope[None]
    ways = np.stack([np.ones_like(upright), np.broadcast_to(ratio[:, None], upright.shape), upright], axis=2)
    plane = np.asarray([[[12, -40, -30], [12, 60, -30], [15, 0, 60]]], np.float32)
    crate = block((2.0, 3.0, 4.0), (13.0, 0.5, -2.2), Material.WALL, 0.4)
    return {
        "plane": _worst_mm(grid, plane, _on_plane(ways, plane[0].astype(np.float64))),
        "sphere": _worst_mm(grid, _sphere(12.0, 1.5), _on_sphere(ways, np.asarray([12.0, 0, 0]), 1.5), rim=0.99),
        "box": _worst_mm(grid, crate.vertices_m[crate.triangles], _on_box(ways)),
    }


def _worst_mm(grid: RayGrid, corners: Floats, expected: Doubles, rim: float = 1.0) -> float:
    """Where both meet it; `rim` is the share of a sphere's rays that do not graze it."""
    surfaces = Surfaces(grid, 100.0)
    surfaces.draw(corners, np.eye(3), np.zeros(3), 0, np.zeros(len(corners), np.float32))
    both = (surfaces.inverse > 0) & np.isfinite(expected)
    errors = np.sort(np.abs(1 / surfaces.inverse[both] - expected[both]))
    return 1e3 * float(errors[: math.ceil(rim * len(errors))].max())


def _on_plane(ways: Doubles, corners: Doubles) -> Doubles:
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    return np.asarray((normal @ corners[0]) / (ways @ normal), np.float64)


def _on_sphere(ways: Doubles, middle: Doubles, radius: float) -> Doubles:
    a, b = (ways**2).sum(axis=2), ways @ middle
    inside = b**2 - a * (middle @ middle - radius**2)
    return np.where(inside > 0, (b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)


def _on_box(ways: Doubles) -> Doubles:
    """Of the crate in `range_errors_mm`, by slabs."""
    c, s = math.cos(0.4), math.sin(0.4)
    turn = np.asarray([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    start, rays = turn @ -np.asarray([13.0, 0.5, -0.2]), ways @ turn.T
    half = np.asarray([1.0, 1.5, 2.0])
    with np.errstate(divide="ignore"):
        one, two = (-half - start) / rays, (half - start) / rays
    enter, leave = np.minimum(one, two).max(axis=2), np.maximum(one, two).min(axis=2)
    return np.where(enter < leave, enter, np.inf)


def _sphere(ahead_m: float, radius: float, rings: int = 400) -> Floats:
    """Triangles whose middles lie 0.05 mm inside the sphere."""
    polar, turn = np.linspace(0, np.pi, rings // 2 + 1), np.linspace(0, 2 * np.pi, rings + 1)
    p, t = np.meshgrid(polar, turn, indexing="ij")
    dots = np.stack([np.sin(p) * np.cos(t), np.sin(p) * np.sin(t), np.cos(p)], axis=2) * radius + [ahead_m, 0, 0]
    a, b, c, d = dots[:-1, :-1], dots[1:, :-1], dots[1:, 1:], dots[:-1, 1:]
    quads = [np.stack(corners, axis=2).reshape(-1, 3, 3) for corners in ((a, b, c), (a, c, d))]
    return np.concatenate(quads).astype(np.float32)


def tone(hertz: float) -> Waveform:
    """A second of a sine, RMS 1."""
    times = np.arange(RATE_HZ) / RATE_HZ
    return Waveform("other", (np.sqrt(2) * np.sin(2 * np.pi * hertz * times)).astype(np.float32))


def noise(seed: int) -> Waveform:
    """A second of noise up to 6 kHz, RMS 1."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(RATE_HZ))
    spectrum[6000:] = 0
    audio = np.fft.irfft(spectrum, RATE_HZ)
    return Waveform("other", (audio / audio.std()).astype(np.float32))


def at_height(height_m: float) -> Track:
    """A vehicle that stands at the origin, `height_m` up."""
    return Track.still([0.0, 0.0, height_m], 0.0, PERIOD_S)


def field(
    source: SoundSource, hearing: Hearing = QUIET, microphones: Doubles = SQUARE, solids: Doubles = NOTHING
) -> SoundField:
    """What a still array half a kilometre up hears of one source."""
    return SoundField([source], solids, microphones, at_height(HIGH_M), hearing=hearing)


def delay_samples(a: Doubles, b: Doubles) -> float:
    """By how much b comes after a, from the phase slope of their cross spectrum."""
    cross = np.fft.rfft(b * np.hanning(len(b))) * np.conj(np.fft.rfft(a * np.hanning(len(a))))
    omega = 2 * np.pi * np.fft.rfftfreq(len(a))
    band = slice(len(omega) // 40, len(omega) // 2)
    fine = np.linspace(-16, 16, 3201)
    score = [np.sum(np.real(cross[band] * np.exp(1j * omega[band] * d))) for d in fine]
    return float(fine[int(np.argmax(score))])


def delay_error_samples(azimuth_deg: float) -> float:
    """Of the delays between microphones of a source 20 m away, the greatest error."""
    azimuth = math.radians(azimuth_deg)
    place = np.asarray([20 * math.cos(azimuth), 20 * math.sin(azimuth), HIGH_M + 1])
    heard = field(SoundSource("s", noise(1), Track.still(place, 0.0, PERIOD_S), 110.0)).render(RATE, 4096)
    distances = np.linalg.norm(place - (SQUARE + np.asarray([0, 0, HIGH_M])), axis=1)
    expected = (distances - distances[0]) / SPEED_OF_SOUND_MPS * RATE
    measured = [delay_samples(heard[:, 0].astype(np.float64), heard[:, m].astype(np.float64)) for m in (1, 2, 3)]
    return float(np.abs(np.asarray(measured) - expected[1:]).max())


def doppler_error(speed_mps: float) -> float:
    """Relative error of the frequency heard of a source that moves away at `speed_mps`."""
    track = Track.from_function(
        lambda t: np.stack([200 + speed_mps * (t - 10), 0 * t, HIGH_M + 0 * t], axis=1), PERIOD_S, periodic=False
    )
    heard = field(SoundSource("s", tone(1000.0), track, 110.0), microphones=np.zeros((1, 3))).render(10 * RATE, RATE)
    spectrum = np.abs(np.fft.rfft(heard[:, 0] * np.hanning(RATE), 16 * RATE))
    expected = 1000 / (1 + speed_mps / SPEED_OF_SOUND_MPS)
    return abs(float(np.argmax(spectrum)) / 16 / expected - 1)


def azimuth_errors_deg() -> Doubles:
    """Of pyroomacoustics' SRP-PHAT for a siren 20 m away in the open, in 15 directions."""
    import pyroomacoustics

    errors = []
    for azimuth_deg in range(5, 360, 24):
        azimuth = math.radians(azimuth_deg)
        place = [20 * math.cos(azimuth), 20 * math.sin(azimuth), 1.8]
        source = SoundSource("siren", synthesise("siren_wail"), Track.still(place, 0.0, PERIOD_S), 115.0)
        heard = SoundField([source], NOTHING, SQUARE, at_height(1.8)).render(RATE + 4000, 8000)
        frames = pyroomacoustics.transform.stft.analysis(heard.astype(np.float64), 512, 256, win=np.hanning(512))
        finder = pyroomacoustics.doa.SRP(SQUARE.T, RATE, 512, c=SPEED_OF_SOUND_MPS, azimuth=np.deg2rad(np.arange(360)))
        finder.locate_sources(frames.transpose(2, 1, 0), freq_range=[400, 2500])
        errors.append(abs((math.degrees(finder.azimuth_recon[0]) - azimuth_deg + 180) % 360 - 180))
    return np.asarray(errors)
