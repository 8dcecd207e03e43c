"""Synthetic performances: readable speech under every style, living rest, one seed one performance."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from media2face.data import performance, performance_living
from media2face.data.clips import MotionClip
from media2face.data.performance import NOISES, noise_audio, perform
from media2face.data.performance_prosody import pitch_track, prosody
from media2face.data.performance_styles import LOOKS, expression, look
from media2face.data.styles import STYLES
from media2face.data.visemes import REST_GAP_MM, gap_mm
from media2face.evaluation.lips import Utterance, lip_measures, lip_rig
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import ConfigError

CONSONANTS, VOICED = "p b m t d n k g s f l sh".split(), "i e a o u I E ax".split()


def spoken(seed: int, count: int = 36) -> tuple[list[tuple[float, float, str]], float]:
    """Random syllables of speech-like lengths with a pause in the middle, and their duration."""
    rng = np.random.default_rng(seed)
    phones, t = [(0.0, 0.4, "sil")], 0.4
    for i in range(count):
        length = float(rng.uniform(0.05, 0.16))
        phones.append((t, t + length, str(rng.choice(CONSONANTS if i % 2 == 0 else VOICED))))
        t += length
        if i == count // 2:
            phones.append((t, t + 0.5, "sil"))
            t += 0.5
    return [*phones, (t, t + 0.5, "sil")], t + 0.5


def sung(phones: list, seconds: float) -> np.ndarray:
    """A tone of 140 Hz where the phones speak."""
    time = np.arange(int(seconds * 16_000)) / 16_000
    voice = np.zeros(len(time))
    for start, end, label in phones:
        if label != "sil":
            voice[(time >= start) & (time < end)] = 0.3 if label in VOICED else 0.05
    return (voice * np.sign(np.sin(2 * np.pi * 140 * time)) * 0.5).astype(np.float32)


@pytest.mark.parametrize("style", sorted(LOOKS))
@pytest.mark.parametrize("intensity", [0.0, 0.5, 1.0])
def test_closures_hold_under_every_style(style, intensity):
    for seed in range(3):
        phones, seconds = spoken(seed)
        made = perform(phones, seconds, style=style, intensity=intensity, seed=seed)
        assert made.weights.dtype == np.float32 and made.weights.shape == (int(np.ceil(seconds * 30 - 1e-6)), 52)
        assert made.weights.min() >= 0 and made.weights.max() <= 1
        gap = gap_mm(made.weights)
        time = np.arange(len(gap)) / 30
        for start, end, label in phones:
            if label in ("p", "b", "m"):
                near = (time >= start - 1 / 30) & (time <= end + 1 / 30)
                assert gap[near].min() <= REST_GAP_MM + 0.5, (style, label, start)


def test_speech_stays_readable_under_every_style(shared_data):
    utterances = []
    for i, style in enumerate(LOOKS):
        for seed in range(4):
            phones, seconds = spoken(100 + 4 * i + seed)
            utterances.append(Utterance(perform(phones, seconds, style=style, seed=seed).weights, phones))
    report = lip_measures(utterances, lip_rig(shared_data), resamples=5)
    assert report.place_auc >= 0.97 and report.closure_ratio <= 0.05
    assert report.rounding_auc >= 0.95 and report.openness > 0.35 and abs(report.lag_frames) <= 1
    assert report.silence_speed_mm_s < 3.0


def test_one_seed_one_performance():
    phones, seconds = spoken(5)
    audio = sung(phones, seconds)
    first, again = (perform(phones, seconds, audio, "happy", 0.8, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.weights, again.weights)
    np.testing.assert_array_equal(first.head_rotvec, again.head_rotvec)
    other = perform(phones, seconds, audio, "happy", 0.8, seed=4)
    assert np.abs(other.weights - first.weights).max() > 0.05
    assert np.abs(other.head_rotvec - first.head_rotvec).max() > 0.01


def test_blinks_come_at_a_human_rate_and_close_the_eye():
    rates = []
    for seed in range(6):
        weights = perform([(0.0, 60.0, "sil")], 60.0, seed=seed).weights
        lid = weights[:, ARKIT_INDEX["eyeBlinkLeft"]]
        shut = lid > 0.6
        rates.append(np.sum(np.diff(shut.astype(int)) == 1) / 60)
        lasting = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], (lid > 0.02).astype(int), [0]]))))[::2] / 30
        assert 0.1 <= np.median(lasting) <= 0.27
    assert 0.2 <= np.mean(rates) <= 0.6


def test_lids_meet_under_squint_and_wide_eyes_alike():
    closed = np.ones((1, 2))
    for name, weight in (("eyeSquint", 0.8), ("eyeWide", 0.9), ("eyeLookDown", 0.5), ("cheekSquint", 0.7)):
        weights = np.zeros((1, 52))
        for side in ("Left", "Right"):
            weights[0, ARKIT_INDEX[name + side]] = weight
        out = performance.close_lids(weights, closed)
        opening = performance._EYE_REST_MM + sum(
            mm * out[0, ARKIT_INDEX[n + "Left"]] for n, mm in performance._EYE_MM.items()
        )
        assert opening == pytest.approx(performance._EYE_CLOSED_MM, abs=0.4)


def test_silence_is_living_rest():
    made = perform([(0.0, 20.0, "sil")], 20.0, noise_audio("pink", 20.0, np.random.default_rng(0)), seed=1)
    assert np.abs(gap_mm(made.weights) - REST_GAP_MM).max() < 0.5
    assert np.degrees(made.head_rotvec.std(axis=0)).max() > 0.2
    assert made.weights[:, ARKIT_INDEX["eyeBlinkLeft"]].max() > 0.6


def test_head_stays_small_smooth_and_joined_to_its_rotation():
    for seed in range(4):
        phones, seconds = spoken(seed, 80)
        made = perform(phones, seconds, sung(phones, seconds), "excited", 1.0, seed=seed)
        degrees = np.degrees(np.linalg.norm(made.head_rotvec, axis=1))
        assert degrees.max() < 32
        assert np.degrees(np.linalg.norm(np.diff(made.head_rotvec, axis=0), axis=1)).max() * 30 < 150
        assert np.abs(made.head_translation).max() < 0.03
    pitch = np.radians(np.linspace(0, 20, 60))
    angles = np.degrees(np.stack([np.zeros(60), pitch, np.zeros(60)], 1))
    rotvec, travel = performance_living.head_pose(np.random.default_rng(0), angles, np.zeros(60))
    np.testing.assert_allclose(rotvec[:, 1], pitch, atol=1e-5)  # nose down is positive about y
    assert travel[-1, 0] - travel[0, 0] > 0.002


def test_eyes_turn_together_and_hold_their_target_while_the_head_moves():
    head = np.repeat([[0.0, 0.0], [12.0, -5.0], [20.0, 0.0]], 3, axis=0)
    weights = performance_living.eye_weights(np.array([[12.0, -5.0]] * 9), head)[2::3]  # each after the jump
    left, right = (weights[:, ARKIT_INDEX[n]] for n in ("eyeLookOutLeft", "eyeLookInRight"))
    assert left[0] > 0.2 and right[0] > 0.2 and weights[0, ARKIT_INDEX["eyeLookUpLeft"]] > 0.05
    assert weights[1].max() < 0.01
    assert weights[2, ARKIT_INDEX["eyeLookInLeft"]] > 0.1 and left[2] == 0


def test_every_style_has_a_look_that_shows():
    assert set(LOOKS) == set(STYLES)
    rng = np.random.default_rng(0)
    faces = {s: np.mean([expression(s, rng) for _ in range(24)], axis=0) for s in LOOKS}
    assert np.abs(faces.pop("neutral")).max() == 0
    names = list(faces)
    for i, a in enumerate(names):
        assert faces[a].max() > 0.1
        for b in names[i + 1 :]:
            assert np.linalg.norm(faces[a] - faces[b]) > 0.15, (a, b)
    with pytest.raises(ConfigError, match="neutral"):
        look("jolly")


def test_prosody_hears_pitch_loudness_and_pauses():
    phones, seconds = spoken(2)
    audio = sung(phones, seconds)
    heard = prosody(phones, int(np.ceil(seconds * 30)), audio)
    pitch = pitch_track(audio, len(heard.speaking))
    assert np.nanmedian(pitch) == pytest.approx(140, rel=0.03)
    assert len(heard.pauses) == 3 and heard.accents
    assert heard.speaking[0] < 0.1 and heard.speaking[len(heard.speaking) // 3] > 0.9


@pytest.mark.parametrize("kind", NOISES)
def test_noise_is_sound(kind):
    sound = noise_audio(kind, 1.0, np.random.default_rng(0))
    assert sound.dtype == np.float32 and sound.shape == (16_000,) and np.isfinite(sound).all()
    assert 1e-5 < np.sqrt(np.mean(sound**2)) < 0.5


def test_bad_requests_are_refused():
    with pytest.raises(ConfigError, match="intensity"):
        perform([], 1.0, intensity=2)
    with pytest.raises(ConfigError, match="duration"):
        perform([], 0.0)
    with pytest.raises(ConfigError, match="noise"):
        noise_audio("opera", 1.0, np.random.default_rng(0))
    assert perform([], 0.5).weights.shape == (15, 52)


def test_the_command_performs_a_corpus_and_resumes(tmp_path):
    for number, split in enumerate(("train", "val")):
        phones, seconds = spoken(number)
        folder = tmp_path / "speech" / f"voice{number}"
        folder.mkdir(parents=True)
        soundfile.write(folder / "a.flac", sung(phones, seconds), 16_000)
        record = {"voice": f"voice{number}", "split": split, "phones": phones}
        (folder / "a.json").write_text(json.dumps(record))
    arguments = ["--corpus", str(tmp_path / "speech"), "--out", str(tmp_path / "out"), "--seed", "2"]
    performance.main(arguments)
    made = sorted((tmp_path / "out").rglob("*.npz"))
    assert [p.parent.name for p in made] == ["noise", "voice0", "voice1"]
    clips = [MotionClip.load(p) for p in made]
    assert all(c.source == "synthetic" and c.head_valid and c.weights_valid.all() for c in clips)
    assert clips[1].split == "train" and clips[2].split in ("val", "test") and set(clips[0].phones_label) == {"sil"}
    before = [p.stat().st_mtime_ns for p in made]
    performance.main(arguments)
    assert [p.stat().st_mtime_ns for p in made] == before
