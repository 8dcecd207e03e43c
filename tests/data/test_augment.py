"""Augmentation keeps shape and level in bounds, leaves a clean share, and is fixed by its generator."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from media2face.data.augment import AugmentConfig, SpeechAugmenter, coloured_noise, room
from media2face.data.phones import INDEX
from media2face.data.speech_corpus import PhoneBatches, load_corpus

N = 16_000


def tone(n=N, hertz=440.0):
    return (0.2 * np.sin(2 * np.pi * hertz * np.arange(n) / 16_000)).astype(np.float32)


@pytest.fixture(scope="module")
def augmenter():
    return SpeechAugmenter(N, seed=0)


def test_output_is_finite_bounded_and_reproducible(augmenter):
    x, other = tone(), tone(hertz=300)
    for seed in range(40):
        out = augmenter(x, np.random.default_rng(seed), other)
        assert out.shape == (N,) and out.dtype == np.float32
        assert np.isfinite(out).all() and np.abs(out).max() <= 1
        assert np.array_equal(out, augmenter(x, np.random.default_rng(seed), other))


def test_clean_clips_keep_their_shape():
    clean = SpeechAugmenter(N, AugmentConfig(clean=1.0, floor_db=(-90, -85)))
    out = clean(tone(), np.random.default_rng(1))
    assert np.corrcoef(out, tone())[0, 1] > 0.999


def test_noise_falls_with_its_slope():
    rng = np.random.default_rng(0)
    for slope in (0.0, 1.0, 2.0):
        power = np.abs(np.fft.rfft(coloured_noise(1 << 16, slope, rng))) ** 2
        low, high = power[1000:2000].mean(), power[8000:16000].mean()
        assert np.isclose(np.log2(low / high) / 3, slope, atol=0.25)


def test_room_begins_with_the_direct_sound():
    response = room(np.random.default_rng(3))
    assert response[0] == 1 and np.abs(response[-400:]).mean() < np.abs(response[200:1500]).mean()


def test_errors_say_what_came(augmenter):
    with pytest.raises(ValueError, match="1.5"):
        AugmentConfig(clean=1.5)
    with pytest.raises(ValueError, match=r"\(100,\)"):
        augmenter(np.zeros(100, np.float32), np.random.default_rng(0))


def test_batches_label_the_sound_that_they_hold(tmp_path):
    folder = tmp_path / "voice"
    folder.mkdir()
    x = np.concatenate([np.zeros(8000), tone(24_000), np.zeros(8000)])
    soundfile.write(folder / "a.flac", x, 16_000)
    record = {"voice": "v", "engine": "e", "language": "en", "text": "a", "split": "train"}
    record["phones"] = [[0.0, 0.5, "sil"], [0.5, 2.0, "a"], [2.0, 2.5, "sil"]]
    (folder / "a.json").write_text(json.dumps(record))
    clips = load_corpus(tmp_path, "train")
    batches = PhoneBatches(clips, frames=100, batch=16, noise_only=0.0)
    batches.augment = SpeechAugmenter(batches.samples, AugmentConfig(clean=1.0))
    audio, labels, prosody = next(batches)
    assert audio.shape == (16, batches.samples) and labels.shape == (16, 100) and prosody.shape == (16, 100, 3)
    centres = 320 * np.arange(100) + 200
    level = np.stack([np.abs(audio[:, c - 150 : c + 150]).mean(1) for c in centres], 1)
    spoken = labels == INDEX["a"]
    for row in range(16):
        loud = level[row] > 0.3 * level[row].max()
        assert (loud == spoken[row]).mean() > 0.95
    assert ((prosody[..., 2] > 0.5) == spoken).mean() > 0.9
    assert prosody[..., 0][spoken].mean() > -0.2 and prosody[..., 0][~spoken].mean() < -2
    assert np.abs(prosody[..., 1][spoken]).mean() < 0.02  # a steady tone


def test_an_empty_corpus_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="synthetic_speech"):
        load_corpus(tmp_path)
