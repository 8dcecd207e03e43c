"""The judges of style, and the words it is asked by."""

from __future__ import annotations

import numpy as np
import pytest

from media2face.data.performance import perform
from media2face.data.styles import HELD_OUT_EMOJI, captions, words
from media2face.evaluation.style_classifier import (
    CLASSES,
    SEEDS,
    StyleClassifier,
    emfacs_emotion,
    emfacs_face,
    performances,
)
from media2face.evaluation.style_prompts import EMOTIONS, prompts, uncaptioned

PHONES = [(0.0, 0.4, "sil"), (0.4, 0.6, "m"), (0.6, 0.9, "a"), (0.9, 1.2, "n"), (1.2, 1.6, "o"), (1.6, 2.4, "sil")]


@pytest.fixture(scope="module")
def judge() -> StyleClassifier:
    return StyleClassifier.train(*performances(25))


def test_the_classifier_tells_performances_of_other_seeds(judge):
    rows, labels = performances(10, SEEDS + 5_000)
    assert judge.accuracy(rows, labels) > 0.9
    assert judge.accuracy(rows, np.roll(labels, 1)) < 0.3


def test_the_classifier_reads_the_rules_it_was_not_trained_on(judge):
    hits = [judge.emotion(p.weights, p.head_rotvec) == style for style in EMOTIONS for seed in range(3)
            for p in [perform(PHONES, 2.4, style=style, intensity=0.9, seed=seed)]]  # fmt: skip
    assert np.mean(hits) >= 0.8


def test_emfacs_rules_read_the_combinations_and_a_blank_face():
    rng = np.random.default_rng(1)
    told = {e: np.mean([emfacs_emotion(np.tile(emfacs_face(e, rng), (30, 1))) == e for _ in range(40)])
            for e in ("happy", "sad", "surprised")}  # fmt: skip
    assert min(told.values()) > 0.5
    assert emfacs_emotion(np.zeros((30, 52))) == "neutral"
    assert set(EMOTIONS) < set(CLASSES)


def test_synonyms_are_known_words_that_no_caption_holds():
    said = " ".join(t.lower() for levels in captions() for texts in levels for t in texts)
    for emotion in EMOTIONS:
        found = uncaptioned(emotion)
        assert found and set(found) <= set(words(emotion).all())
        longer = [p for p in found if " " in p]
        assert not any(f" {p} " in f" {said} " for p in longer)
    assert captions(0) == captions(0) != captions(1)


def test_prompts_cover_every_way(shipped_style, shared_data):
    found = list(prompts(shipped_style, shared_data, each=2))
    assert {p.way for p in found if p.emotion == "sad"} == {"text", "synonym", "word, unseen", "emoji", "emoji, unseen"}
    assert all((p.text in HELD_OUT_EMOJI) == (p.way == "emoji, unseen") for p in found if p.way.startswith("emoji"))
    assert all(p.vector.shape == (shipped_style.dim,) for p in found)


@pytest.fixture(scope="module")
def shipped_style():
    from media2face.runtime.errors import ModelError
    from media2face.runtime.style import StyleEncoder

    try:
        return StyleEncoder()
    except ModelError as error:
        pytest.skip(f"the weights are not shipped yet: {error}")
