"""Constant-velocity Kalman filter of N positions on the ground, all rows at once; x and y share one covariance."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Doubles


def predict(state: Doubles, covariance: Doubles, dt_s: float, acceleration_std: float) -> tuple[Doubles, Doubles]:
    """Carry (N, 4) x, y, vx, vy and (N, 2, 2) position/velocity covariance `dt_s` ahead, white acceleration."""
    moved = state.copy()
    moved[:, :2] += state[:, 2:] * dt_s
    step = np.array([[1.0, dt_s], [0.0, 1.0]])
    gain = np.array([dt_s * dt_s / 2, dt_s])
    return moved, step @ covariance @ step.T + acceleration_std**2 * np.outer(gain, gain)


def update(state: Doubles, covariance: Doubles, xy_m: Doubles, std_m: Doubles) -> tuple[Doubles, Doubles]:
    """Correct with (N, 2) measured positions of (N,) standard deviation."""
    gain = covariance[:, :, 0] / (covariance[:, 0, 0] + std_m**2)[:, None]  # (N, 2)
    error = xy_m - state[:, :2]
    corrected = state.copy()
    corrected[:, :2] += gain[:, :1] * error
    corrected[:, 2:] += gain[:, 1:] * error
    return corrected, covariance - gain[:, :, None] * covariance[:, :1, :]
