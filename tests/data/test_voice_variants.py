"""Variants of a voice: pitch, formants and tempo move, phone times follow the sound."""

import json

import numpy as np
import pytest
import soundfile

pyworld = pytest.importorskip("pyworld")

from media2face.data.performance_prosody import pitch_track  # noqa: E402
from media2face.data.voice_variants import VariantConfig, vary, warped_bins, write_variants  # noqa: E402

RATE = 16_000


def buzz(hertz: float, seconds: float) -> np.ndarray:
    t = np.arange(int(RATE * seconds)) / RATE
    return sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 20)).astype(np.float32) * 0.15


def spoken() -> tuple[np.ndarray, np.ndarray]:
    """A buzz between two silences, and the times of its edges."""
    gap = np.zeros(RATE // 2, np.float32)
    return np.concatenate([gap, buzz(120, 1.0), gap]), np.array([0.0, 0.5, 1.5, 2.0])


@pytest.mark.parametrize("seed", range(3))
def test_phone_times_follow_the_sound(seed):
    samples, bounds = spoken()
    made, moved = vary(samples, bounds, np.random.default_rng(seed), VariantConfig(whisper=0.0, tempo=0.4))
    assert made.dtype == np.float32 and np.abs(made).max() <= 1 and (np.diff(moved) > 0).all()
    assert abs(moved[-1] - len(made) / RATE) < 0.05
    loud = np.abs(made) > 0.1 * np.abs(made).max()
    edges = np.flatnonzero(loud)[[0, -1]] / RATE
    assert np.abs(edges - moved[1:3]).max() < 0.04
    assert abs(moved[2] - moved[1] - 1.0) > 0.01  # the tempo is another


def test_the_pitch_moves_to_the_new_voice():
    samples, bounds = spoken()
    config = VariantConfig(pitch=(200.0, 201.0), excursion=(1.0, 1.0), whisper=0.0, tempo=0.0)
    made, _ = vary(samples, bounds, np.random.default_rng(0), config)
    heard = pitch_track(made.astype(np.float64), 60)[20:40]
    assert abs(np.nanmedian(heard) - 200) < 8


def test_formants_move_by_the_drawn_ratio():
    config = VariantConfig(formants=(1.2, 1.2), bend=0.0)
    places = warped_bins(np.random.default_rng(0), 513, config)
    assert places[240] == pytest.approx(200, abs=0.5) and (np.diff(places) >= 0).all() and places.max() <= 512


def test_errors_say_what_came():
    with pytest.raises(ValueError, match="1600"):
        vary(np.zeros(100, np.float32), np.zeros(2), np.random.default_rng(0))
    with pytest.raises(ValueError, match="formants"):
        VariantConfig(formants=(1.2, 0.9))
    with pytest.raises(ValueError, match="whisper"):
        VariantConfig(whisper=2.0)


def test_held_out_voices_have_none_and_what_exists_is_kept(tmp_path):
    samples, bounds = spoken()
    for split in ("train", "val"):
        folder = tmp_path / "corpus" / split
        folder.mkdir(parents=True)
        phones = [[a, b, p] for a, b, p in zip(bounds[:-1], bounds[1:], ("sil", "a", "sil"), strict=True)]
        (folder / "x.json").write_text(json.dumps({"voice": split, "language": "en", "split": split, "phones": phones}))
        soundfile.write(folder / "x.flac", samples, RATE)
    out = tmp_path / "out"
    records = sorted((tmp_path / "corpus").glob("*/*.json"))
    assert [write_variants(r, out, 2, 0) for r in records] == [2, 0]
    assert [write_variants(r, out, 2, 0) for r in records] == [0, 0]
    made = json.loads((out / "train" / "x~1.json").read_text())
    assert [p for _, _, p in made["phones"]] == ["sil", "a", "sil"]
    assert soundfile.info(out / "train" / "x~1.flac").samplerate == RATE
