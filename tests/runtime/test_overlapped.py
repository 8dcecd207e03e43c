"""Overlapped denoising on the shipped denoiser: grouping, seeds, keys, styles, joins, memory, cancelling."""

import tracemalloc

import numpy as np
import pytest

from media2face.runtime.conditions import FeatureBuffer, StyleTrack
from media2face.runtime.errors import ConfigError
from media2face.runtime.inpainting import KeyTrack
from media2face.runtime.overlapped import QualityConfig, _fade, _starts, denoise_overlapped
from media2face.runtime.sampler import MotionSampler

FAST = {"window": 40, "overlap": 12, "past": 8, "steps": 3}
FRAMES = 130


@pytest.fixture(scope="module")
def sampler():
    return MotionSampler()


def features(sampler, frames=FRAMES):
    rows = FeatureBuffer(sampler.audio_dim)
    walk = np.random.default_rng(0).standard_normal((frames * 5 // 3 + 10, sampler.audio_dim))
    rows.accept(0, 0.5 * walk.astype(np.float32))
    return rows


def make(sampler, batch=8, total=FRAMES, seed=3, **more):
    settings = FAST | {"batch": batch} | {k: more.pop(k) for k in list(more) if k in QualityConfig.__dataclass_fields__}
    return denoise_overlapped(sampler, features(sampler, total), total, seed, QualityConfig(**settings), **more)


@pytest.fixture(scope="module")
def whole(sampler):
    return make(sampler)


@pytest.mark.parametrize("batch", [1, 3])
def test_how_windows_are_grouped_does_not_matter(sampler, whole, batch):
    np.testing.assert_allclose(make(sampler, batch), whole, atol=1e-4)


def test_a_seed_repeats_and_another_differs(sampler, whole):
    np.testing.assert_array_equal(make(sampler), whole)
    assert np.abs(make(sampler, seed=4) - whole).max() > 0.05


@pytest.mark.parametrize("total", [1, 5, 31, 33, 60])
def test_any_length(sampler, total):
    states = make(sampler, total=total)
    assert states.shape == (total, len(sampler.rest)) and np.isfinite(states).all()


@pytest.mark.parametrize("frames", [40, 41, 68, 69, 200])
def test_windows_cover_every_frame_and_end_with_the_clip(frames):
    starts, fade = _starts(frames, 40, 12), _fade(40, 12)
    covered = np.zeros(frames)
    for start in starts:
        covered[start : start + 40] += fade
    assert covered.min() > 0 and starts[-1] + 40 == frames and starts == sorted(set(starts))


def test_windows_agree_where_they_meet(sampler):
    """Across the edges of windows nothing moves faster than elsewhere."""
    states = make(sampler, steps=6)
    speed = np.linalg.norm(np.diff(states, axis=0), axis=1)
    edges = [s - 8 + d for s in _starts(FRAMES + 8, 40, 12)[1:] for d in (-1, 0, 11, 12)]
    assert speed[[e for e in edges if 0 <= e < len(speed)]].max() <= 1.5 * speed.max()
    assert np.median(speed[edges[:8]]) <= 2.0 * np.median(speed)


def test_a_key_is_hit_and_a_style_acts_from_its_frame_on(sampler, whole):
    keys = KeyTrack()
    latent = whole[50, : sampler.latent_dim] * sampler.std[: sampler.latent_dim] + sampler.mean[: sampler.latent_dim]
    keys.add(sampler.key(60, latent + 0.5))
    keyed = make(sampler, keys=keys)
    wanted = (latent + 0.5 - sampler.mean[: sampler.latent_dim]) / sampler.std[: sampler.latent_dim]
    np.testing.assert_allclose(keyed[60, : sampler.latent_dim], wanted, atol=1e-4)
    assert np.abs(keyed[50] - whole[50]).max() > 1e-3, "the motion bends towards it"
    styles = StyleTrack(sampler.neutral_style)
    styles.set(np.eye(sampler.style_dim, dtype=np.float32)[0], 1.0, 100, 0.5)
    styled = make(sampler, styles=styles)
    assert np.abs(styled[120:] - whole[120:]).max() > 0.05
    np.testing.assert_allclose(styled[:20], whole[:20], atol=0.02)


def test_a_clip_joins_the_one_before_it(sampler, whole):
    second = make(sampler, seed=9, before=whole)
    alone = make(sampler, seed=9)
    assert np.linalg.norm(second[0] - whole[-1]) < np.linalg.norm(alone[0] - whole[-1])
    steps = np.abs(np.diff(np.concatenate([whole[-1:], second]), axis=0)).max(axis=1)
    assert steps[0] <= 1.5 * steps[1:].max()


def test_memory_is_that_of_the_timeline(sampler):
    """2 kB a frame: an hour takes some 200 MB more than a minute."""

    def peak(total):
        rows = features(sampler, total)
        tracemalloc.start()
        denoise_overlapped(sampler, rows, total, 0, QualityConfig(**FAST | {"steps": 1, "batch": 2}))
        _, top = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return top

    assert (peak(900) - peak(300)) / 600 < 3_000


def test_progress_reaches_one_and_can_cancel(sampler):
    told = []
    make(sampler, progress=told.append)
    assert told == sorted(told) and told[-1] == 1.0 and len(told) >= 3

    def cancel(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(sampler, progress=cancel)


@pytest.mark.parametrize(
    "bad", [{"steps": 0}, {"steps": 10_000}, {"window": 300}, {"overlap": 60}, {"batch": 0}, {"past": 90}]
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError):
        QualityConfig(**bad)
