"""Initial noise: of a frame the same in any window, of unit size, smooth where it should be."""

from dataclasses import replace

import numpy as np
import pytest

from media2face.runtime.motion import SamplerConfig
from media2face.runtime.noise import initial_noise, pushes

LATENT, DIM = 8, 14
AXES = {"mouth": np.eye(LATENT, dtype=np.float32)[:2], "eyes": np.eye(LATENT, dtype=np.float32)[2:4]}
EVEN = SamplerConfig(temperature=1.0, mouth_temperature=1.0, eye_temperature=1.0, head_temperature=1.0)


def noise(frames, config=EVEN, seed=0):
    return initial_noise(seed, np.asarray(frames), DIM, config, AXES, LATENT)


@pytest.mark.parametrize("span", [1, 7])
def test_a_frame_has_the_same_noise_in_any_window(span):
    config = replace(EVEN, noise_span=span)
    whole = noise(np.arange(-20, 40), config)
    assert np.array_equal(noise([3, 4], config), whole[23:25])
    assert np.array_equal(noise(np.arange(-5, 9), config), whole[15:29])
    assert not np.allclose(noise([3, 4], config, seed=1), whole[23:25])


@pytest.mark.parametrize("span", [1, 7, 31])
def test_noise_is_standard_normal(span):
    made = noise(np.arange(4000), replace(EVEN, noise_span=span))
    assert made.std(axis=0) == pytest.approx(1.0, abs=0.15) and np.abs(made.mean(axis=0)).max() < 0.15


def test_the_face_is_smooth_and_lids_gaze_and_head_are_not():
    made = noise(np.arange(3000), replace(EVEN, noise_span=7))
    change = np.diff(made, axis=0).std(axis=0) / made.std(axis=0)
    white = np.r_[2:4, LATENT:DIM]
    assert change[white] == pytest.approx(np.sqrt(2), abs=0.1)
    assert np.delete(change, white).max() < 0.6


def test_regions_have_temperatures_of_their_own():
    made = noise(np.arange(2000), SamplerConfig(temperature=0.5, mouth_temperature=0.2, head_temperature=0.8))
    sizes = made.std(axis=0)
    assert sizes[:2] == pytest.approx(0.2, abs=0.05) and sizes[2:4] == pytest.approx(1.5, abs=0.2)
    assert sizes[4:LATENT] == pytest.approx(0.5, abs=0.1) and sizes[LATENT:] == pytest.approx(0.8, abs=0.1)


def test_noise_accelerates_a_head():
    made = noise(np.arange(50))
    moved = pushes(made, np.arange(6, dtype=np.float32))
    assert moved.shape == (50, 6) and (moved[:, 0] == 0).all()
    assert np.diff(moved, n=2, axis=0) == pytest.approx(made[2:, -6:] * np.arange(6), abs=1e-2)
