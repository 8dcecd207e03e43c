"""The table of styles: complete, without contradictions, and honest about what is held out."""

import json

import numpy as np
import pytest

from media2face.data import styles
from media2face.data.style_corpus import StyleCorpus, label_of, misspell, noise, unrelated_words
from media2face.data.styles import EMOJI, EMOJI_WITHOUT_STYLE, HELD_OUT_EMOJI, STYLES, lexicon, sample_prompt
from media2face.runtime.sessions import weights_folder
from media2face.runtime.tokenizer import BPE_FILE, ClipTokenizer, words


def test_every_style_has_thirty_words_and_held_out_ones():
    for style in STYLES:
        assert len(styles.words(style).all()) >= 30, style
        assert len(styles.words(style, "held_out").all()) >= 4, style


def test_held_out_words_are_in_no_trained_phrase():
    trained = {part for phrase in lexicon() for part in words(phrase)}
    leaked = {w for w in lexicon("held_out") if " " not in w and "-" not in w and w in trained}
    assert leaked == set()


def test_prompts_stay_in_their_split_and_vary():
    rng = np.random.default_rng(0)
    held = {w for w in lexicon("held_out") if " " not in w and "-" not in w}
    for style in STYLES:
        prompts = [sample_prompt(style, float(rng.uniform()), rng) for _ in range(200)]
        assert len(set(prompts)) > 150
        assert not held & {part for p in prompts for part in words(p)}


def test_intensity_chooses_the_words():
    rng = np.random.default_rng(1)
    slight = {w for _ in range(200) for w in words(sample_prompt("angry", 0.2, rng))}
    strong = {w for _ in range(200) for w in words(sample_prompt("angry", 1.0, rng))}
    assert "slightly" in slight and "annoyed" in slight and "furious" not in slight
    assert "very" in strong and "furious" in strong
    assert "slightly" not in strong and "annoyed" not in strong
    styled = {w for w, style in lexicon().items() if style != "neutral"}
    faint = [sample_prompt("angry", 0.05, rng) for _ in range(50)]
    assert not any(w in styled for p in faint for w in words(p))


@pytest.mark.parametrize(
    "call",
    [
        lambda r: sample_prompt("grumbly", 0.5, r), lambda r: sample_prompt("sad", 1.5, r),
        lambda r: styles.words("sad", "test"), lambda r: styles.nearest_style("41"),
    ],
)  # fmt: skip
def test_bad_arguments_say_what_is_wanted(call):
    with pytest.raises(ValueError, match="must|expected"):
        call(np.random.default_rng(0))


def test_every_emoji_is_assigned_once(shared_data):
    assert not set(EMOJI) & EMOJI_WITHOUT_STYLE and set(EMOJI) > HELD_OUT_EMOJI
    assert {style for style, _ in EMOJI.values()} == set(STYLES)
    assert {s for c, (s, _) in EMOJI.items() if c not in HELD_OUT_EMOJI} == set(STYLES)
    assert styles.nearest_style("1f600") == ("happy", 0.9) and styles.nearest_style("1f480") is None
    assert styles.emoji_words()["\U0001f642"] == "slightly happy" and styles.emoji_words()["\U0001f621"] == "very angry"
    faces = json.loads((shared_data / "emoji" / "faces.json").read_text())
    assert {face["codepoint"] for face in faces} == set(EMOJI) | EMOJI_WITHOUT_STYLE


def test_corpus_labels_and_unrelated_words():
    tokenizer = ClipTokenizer(weights_folder() / BPE_FILE)
    rng = np.random.default_rng(2)
    corpus = StyleCorpus(tokenizer)
    drawn = [corpus.draw(rng) for _ in range(300)]
    assert all(d.label.shape == (15,) and d.label.sum() == pytest.approx(1) and d.label.min() >= 0 for d in drawn)
    listed = set(lexicon()) | set(lexicon("held_out"))
    train, held = unrelated_words(tokenizer), unrelated_words(tokenizer, "held_out")
    assert not set(train) & listed and not set(held) & (listed | set(train)) and len(train) > 1000
    assert label_of("sad", 0.25)[STYLES.index("sad")] == 0.25
    assert misspell("a cheerful host", rng) != "a cheerful host"
    assert misspell("a sad host", rng) == "a sad host"
    assert noise(rng) != noise(rng)
