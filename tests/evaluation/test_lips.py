"""Lip measures on utterances whose answer is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from media2face.data.phones import BILABIALS, PHONES, VOWELS
from media2face.evaluation.lips import LipRig, Utterance, auc, emodb_utterances, lip_measures, lip_rig
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import InputError

JAW, PUCKER = ARKIT_INDEX["jawOpen"], ARKIT_INDEX["mouthPucker"]
LOWER_INNER, CORNERS = (65, 66, 67), (48, 54)


def plain_rig() -> LipRig:
    """Lips 0.8 mm apart and 50 mm wide; jawOpen lowers the lower lip by 30 mm, mouthPucker narrows by 10 mm."""
    neutral, deltas = np.zeros((20, 3)), np.zeros((52, 20, 3))
    for i in LOWER_INNER:
        neutral[i - 48, 1] = -0.8
        deltas[JAW, i - 48, 1] = -30
    for i, side in zip(CORNERS, (-1, 1), strict=True):
        neutral[i - 48, 0] = 25 * side
        deltas[PUCKER, i - 48, 0] = -5 * side
    return LipRig(neutral, deltas)


def spoken(rng: np.random.Generator, count: int = 40) -> list[tuple[float, float, str]]:
    """Random consonants and vowels, 0.12 s each, between silences of 0.5 s."""
    labels = [str(rng.choice("p b m t d n k g".split() if i % 2 else "i e a o u I".split())) for i in range(count)]
    times = 0.5 + 0.12 * np.arange(count + 1)
    return [(0.0, 0.5, "sil"), *zip(times[:-1], times[1:], labels, strict=True), (times[-1], times[-1] + 0.5, "sil")]


def drawn(phones: list, value: dict[str, float], column: int = JAW, late: int = 0) -> np.ndarray:
    """Weights that hold ``value`` during each phone, ``late`` frames after it."""
    weights = np.zeros((int(np.ceil(phones[-1][1] * 30)), 52), np.float32)
    for frame in range(len(weights)):
        for start, end, label in phones:
            if start <= (frame - late) / 30 < end:
                weights[frame, column] = value.get(label, 0.0)
    return weights


def opening(label: str) -> float:
    return 0.0 if label == "sil" or label in BILABIALS else 0.3 if label in VOWELS else 0.12


def test_a_mouth_that_follows_the_phones_scores_high():
    rng = np.random.default_rng(0)
    said = [spoken(rng) for _ in range(12)]
    shapes = {p: opening(p) for p in PHONES}
    report = lip_measures([Utterance(drawn(p, shapes), p) for p in said], plain_rig(), resamples=30)
    assert report.place_auc > 0.97 and report.lag_frames == 0
    assert report.closure_ratio < 0.2 and report.closed_share > 0.5
    assert report.silence_speed_mm_s < 1.0
    assert report.vowel_gap_mm == pytest.approx(0.8 + 30 * 0.3, abs=1.0)
    low, high = report.intervals["place_auc"]
    assert low <= report.place_auc <= high and high - low < 0.1


def test_a_mouth_that_flaps_with_energy_does_not():
    rng = np.random.default_rng(1)
    said = [spoken(rng) for _ in range(30)]
    shapes = {p: 0.3 if p in VOWELS else 0.12 for p in PHONES if p != "sil"}
    weights = [drawn(p, shapes) for p in said]
    for w in weights:
        w[:, JAW] = np.clip(w[:, JAW] + rng.normal(0, 0.02, len(w)), 0, 1)
    report = lip_measures([Utterance(w, p) for w, p in zip(weights, said, strict=True)], plain_rig(), resamples=30)
    assert 0.4 < report.place_auc < 0.62  # the best of seven lags, so a little over chance
    assert report.closure_ratio > 0.3


def test_a_constant_lag_is_found_and_forgiven():
    said = [spoken(np.random.default_rng(2)) for _ in range(8)]
    shapes = {p: opening(p) for p in PHONES}
    report = lip_measures([Utterance(drawn(p, shapes, late=2), p) for p in said], plain_rig(), resamples=5)
    assert report.lag_frames == 2 and report.place_auc > 0.97


def test_rounding_and_openness():
    said = [spoken(np.random.default_rng(3)) for _ in range(6)]
    utterances = []
    for phones in said:
        weights = drawn(phones, {"i": 0.05, "I": 0.05, "u": 0.05, "e": 0.15, "o": 0.15, "a": 0.4})
        weights += drawn(phones, {"u": 0.8, "o": 0.6}, PUCKER)
        utterances.append(Utterance(weights, phones))
    report = lip_measures(utterances, plain_rig(), resamples=5)
    assert report.rounding_auc > 0.97 and report.rounding_auc_shapes > 0.97
    assert report.openness > 0.8
    narrow = [Utterance(drawn(p, {"i": 0.8, "e": 0.8, "I": 0.8}, PUCKER), p) for p in said]
    assert lip_measures(narrow, plain_rig(), resamples=5).rounding_auc < 0.03


def test_noise_clips_report_how_fast_the_lips_move():
    weights = np.zeros((91, 52), np.float32)
    weights[:, JAW] = np.linspace(0, 0.3, 91)  # 9 mm in 3 s for three of twenty landmarks
    report = lip_measures([Utterance(weights, [(0.0, 3.0, "sil")])], plain_rig(), resamples=3)
    assert report.silence_speed_mm_s == pytest.approx(3.0 * 3 / 20, rel=0.02)
    assert np.isnan(report.place_auc) and report.lag_frames == 0


def test_auc_counts_pairs():
    assert auc(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == pytest.approx(3.5 / 4)
    assert np.isnan(auc(np.array([]), np.array([1.0])))


@pytest.mark.parametrize(
    ("weights", "phones"),
    [(np.zeros((10, 51)), []), (np.zeros((0, 52)), []), (np.full((3, 52), np.nan), []),
     (np.zeros((3, 52)), [(0.0, 0.1, "zzz")])],
)  # fmt: skip
def test_bad_utterances_are_refused(weights, phones):
    with pytest.raises(InputError, match="utterance|expected"):
        Utterance(weights, phones)


def test_no_utterances_are_refused():
    with pytest.raises(InputError, match="at least one"):
        lip_measures([], plain_rig())


def test_the_ict_lips(shared_data):
    rig = lip_rig(shared_data)
    weights = np.zeros((2, 52), np.float32)
    weights[1, JAW] = 1
    assert rig.rest_gap == pytest.approx(0.807, abs=0.01)
    assert rig.gap(weights)[1] - rig.rest_gap == pytest.approx(28.91, abs=0.05)
    assert rig.width(weights)[0] == pytest.approx(50.7, abs=0.1)


def test_emodb_labels_lie_within_the_recordings(shared_data):
    found = emodb_utterances(shared_data / "emodb_validation")
    assert len(found) == 100
    for speech in found[::10]:
        assert speech.audio.is_file()
        assert all(0 <= p.start < p.end <= 3.0 and p.label in PHONES for p in speech.phones)
    assert len(speech.utterance(np.zeros((60, 52))).phones) == len(speech.phones)
