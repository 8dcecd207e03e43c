"""Motion measures on motion whose figures are known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from media2face.evaluation import motion_metrics as metrics

FRAMES = 300
TIME = np.arange(FRAMES) / metrics.FPS


def test_lve_is_the_worst_vertex_of_each_frame():
    true = np.zeros((4, 3, 3))
    made = true.copy()
    made[:, 1] = (0.0, 3.0, 4.0)  # one vertex 5 mm off, always
    made[2, 2] = (0.0, 0.0, 9.0)  # another 9 mm off in one of four frames
    assert metrics.lip_vertex_error(made, true) == pytest.approx((5 + 5 + 9 + 5) / 4)
    assert metrics.lip_vertex_error(true, true) == 0


def test_lve_without_the_mean_forgives_a_constant_smile_only():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(50, 6, 3))
    smile = true + np.array([4.0, 2.0, 0.0])
    assert metrics.lip_vertex_error(smile, true) == pytest.approx(np.sqrt(20))
    assert metrics.lip_vertex_error(smile, true, without_mean=True) == pytest.approx(0, abs=1e-6)
    still = np.broadcast_to(true.mean(axis=0), true.shape)
    assert metrics.lip_vertex_error(still, true, without_mean=True) > 1.0


def test_fdd_is_the_mean_difference_of_deviations():
    wave = np.sin(2 * np.pi * TIME)[:, None, None]
    true = 10 + np.concatenate([2 * wave, 4 * wave], axis=1) * np.array([1.0, 0.0, 0.0])
    true[..., 1:] = 0
    half = true.copy()
    half[..., 0] = 10 + (true[..., 0] - 10) / 2
    deviations = np.array([2, 4]) / np.sqrt(2)
    assert metrics.dynamics(true) == pytest.approx(deviations, rel=1e-2)
    assert metrics.dynamics_deviation(half, true) == pytest.approx(deviations.mean() / 2, rel=1e-2)
    assert metrics.dynamics_deviation(true[::-1], true) == pytest.approx(0, abs=1e-9)  # order does not count


def nods(times: list[float], seconds: float = 10.0) -> np.ndarray:
    """Head rotation (T, 3) that jumps by 8 degrees, smoothly, between stops: it stands at ``times``."""
    frames = np.arange(int(seconds * metrics.FPS)) / metrics.FPS
    edges = np.array([0.0, *times, seconds])
    angle = np.interp(frames, edges, np.arange(len(edges)) % 2)
    phase = np.interp(frames, edges, np.arange(len(edges), dtype=float))
    angle = 0.5 - 0.5 * np.cos(np.pi * phase)
    return np.stack([0 * angle, np.radians(8) * angle, 0 * angle], axis=1)


def test_beats_are_where_the_head_stops():
    times = [1.0, 2.2, 3.1, 4.5, 6.0, 7.7]
    assert metrics.head_beats(nods(times)) == pytest.approx(times, abs=0.05)
    assert len(metrics.head_beats(np.zeros((60, 3)))) == 0


def test_beat_alignment_falls_with_distance_and_with_beats_too_few_or_too_many():
    true = np.array([1.0, 3.0, 5.0, 7.0])
    assert metrics.beat_alignment(true, true) == pytest.approx(1)
    late = metrics.beat_alignment(true + metrics.SIGMA_S, true)
    assert late == pytest.approx(np.exp(-0.5))
    assert metrics.beat_alignment(true + 1.0, true) < 1e-6
    assert metrics.beat_alignment(true[:1], true) == pytest.approx((1 + 0.25) / 2)
    many = np.arange(0.05, 8, 0.1)
    assert metrics.beat_alignment(many, true) < 0.75  # a head that stops all the time
    assert metrics.beat_alignment(np.zeros(0), true) == 0
    assert np.isnan(metrics.beat_alignment(true, np.zeros(0)))


def test_jitter_tells_noise_of_equal_energy_from_motion():
    smooth = np.radians(3) * np.stack([np.sin(2 * np.pi * 0.5 * TIME + k) for k in range(3)], axis=1)
    noise = metrics.equal_noise(smooth, np.random.default_rng(0))
    assert noise.std(axis=0) == pytest.approx(smooth.std(axis=0), rel=0.15)
    assert metrics.jitter(noise) == pytest.approx(np.sqrt(3), rel=0.1)
    assert metrics.jitter(smooth) < 0.15
    assert metrics.slow_share(smooth) > 0.95
    assert metrics.slow_share(noise) == pytest.approx(metrics.SLOW_HZ / 15, abs=0.08)


def test_diversity_is_the_distance_between_seeds():
    a = np.zeros((5, 4, 3))
    assert metrics.diversity([a, a + np.array([3.0, 4.0, 0.0])]) == pytest.approx(5)
    assert metrics.diversity([a, a, a + np.array([0.0, 3.0, 0.0])]) == pytest.approx(2)
    assert np.isnan(metrics.diversity([a]))


def test_bootstrap_interval_holds_the_mean_and_narrows_with_clips():
    rng = np.random.default_rng(0)
    few, many = (metrics.bootstrap(rng.normal(3, 1, n)) for n in (10, 400))
    for mean, low, high in (few, many):
        assert low < mean < high
    assert many[2] - many[1] < 0.5 * (few[2] - few[1])
    assert np.isnan(metrics.bootstrap(np.array([np.nan]))[0])
