"""The shipped style encoder still does what its card says, on fresh samples."""

import numpy as np
import pytest

from media2face.data.style_corpus import StyleCorpus, noise
from media2face.data.styles import EMOJI, STYLES, sample_prompt
from media2face.evaluation.style import is_derived
from media2face.runtime.sessions import weights_folder
from media2face.runtime.style import StyleEncoder
from media2face.runtime.tokenizer import BPE_FILE, ClipTokenizer

pytestmark = pytest.mark.skipif(
    not (weights_folder() / "style_text.onnx").is_file(), reason="models/weights has no style_text.onnx: train it first"
)


@pytest.fixture(scope="module")
def encoder() -> StyleEncoder:
    return StyleEncoder(providers="cpu")


def test_fresh_prompts_name_their_style(encoder):
    rng = np.random.default_rng(123)
    hits = [encoder.encode_text(sample_prompt(s, float(rng.uniform(0.1, 1)), rng)).style == s for s in STYLES * 8]
    assert np.mean(hits) >= 0.95


def test_what_means_nothing_leaves_the_face_neutral(encoder):
    rng = np.random.default_rng(124)
    corpus = StyleCorpus(ClipTokenizer(weights_folder() / BPE_FILE), "held_out")
    texts = [noise(rng, "held_out") if i % 2 else corpus.sentence(rng) for i in range(100)]
    assert np.mean([encoder.encode_text(t).style == "neutral" for t in texts]) >= 0.92


def test_every_emoji_character_is_read(encoder):
    wrong = {chr(int(c, 16)) for c, (s, _) in EMOJI.items() if encoder.encode_text(chr(int(c, 16))).style != s}
    assert wrong == set()


def test_derived_words_are_told_by_their_stem():
    assert is_derived("joyously", "happy") and not is_derived("jovial", "happy")
