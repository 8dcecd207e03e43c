"""The phone measures: known answers, and the shipped encoder's on real strangers."""

from __future__ import annotations

import numpy as np
import pytest

from media2face.data.phones import INDEX
from media2face.evaluation import phones as measures
from media2face.evaluation import speech_encoder
from media2face.runtime.sessions import weights_folder
from media2face.runtime.speech import SpeechEncoder


def test_auc():
    assert measures.auc([2, 3], [0, 1]) == 1
    assert measures.auc([0], [1]) == 0
    assert measures.auc([1, 1], [1]) == 0.5
    assert np.isnan(measures.auc([], [1]))


def _utterance(shift=0.0):
    names = ["m", "n", "b", "d", "p", "t", "m", "g", "b", "k", "p", "n"]
    phones = [(0.2 * i, 0.2 * (i + 1), name) for i, name in enumerate(names)]
    times = measures.feature_times(120)
    place = np.clip(((times - shift) / 0.2).astype(int), 0, len(names) - 1)
    return np.array([names[i] in "mbp" for i in place], float), times, phones


def test_place_auc_of_truth_chance_and_opposite():
    score, times, phones = _utterance()
    result = measures.place_auc([(score, times, phones)])
    assert result.auc == 1 and result.lag == 0 and set(result.pairs) == {"m/n", "b/dg", "p/tk"}
    assert measures.place_auc([(-score, times, phones)], lags=[0.0]).auc == 0
    assert measures.place_auc([(0 * score, times, phones)], lags=[0.0]).auc == 0.5


def test_place_auc_finds_a_constant_lag():
    score, times, phones = _utterance(shift=0.1)
    result = measures.place_auc([(score, times, phones)])
    assert result.auc == 1 and result.lag > 0


def test_phone_accuracy_counts_speech_apart():
    phones = [(0.0, 1.0, "sil"), (1.0, 2.0, "a")]
    times = measures.feature_times(100)
    p = np.zeros((100, 42))
    p[:, INDEX["sil"]] = 1
    accuracy = measures.phone_accuracy([(p, times, phones)])
    assert accuracy["frames"] == pytest.approx(0.5, abs=0.02) and accuracy["speech"] == 0


def test_shipped_encoder_tells_places_of_strangers(shared_data):
    """Real speech that the encoder was never trained on; chance is 0.5 and loudness does not help."""
    folder = shared_data / "emodb_validation"
    if not folder.is_dir():
        pytest.skip("emodb_validation is not there")
    if not (weights_folder() / "speech_context.onnx").exists():
        pytest.skip("the encoder's weights are not there")
    result = speech_encoder.score(SpeechEncoder(providers="cpu"), speech_encoder.emodb(folder))
    assert result["place_auc"] >= 0.78 and abs(result["lag_s"]) <= 0.04
    assert min(value for key, value in result.items() if key.startswith("place_auc ")) > 0.65
