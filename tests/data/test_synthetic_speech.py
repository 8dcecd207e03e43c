"""The corpus: plans are fixed by their seed, and what is rendered carries true phone times."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile

from media2face.data import speech_texts, synthetic_speech
from media2face.data.phones import PHONES


def test_plan_is_deterministic_and_keeps_voices_apart():
    first, again, other = (synthetic_speech.plan(0.5, seed) for seed in (0, 0, 1))
    assert first == again and first != other
    assert len({c.id for c in first}) == len(first)
    voices = {split: {(c.engine, c.voice) for c in first if c.split == split} for split in ("train", "val")}
    assert voices["train"] and voices["val"] and not voices["train"] & voices["val"]
    assert abs(len(first) * synthetic_speech.CLIP_SECONDS / 3600 - 0.5) < 0.1


def test_plan_refuses_no_hours():
    with pytest.raises(ValueError, match="positive"):
        synthetic_speech.plan(0, 0)


@pytest.mark.parametrize("language", sorted(speech_texts.SPELLING))
def test_texts_are_words_with_every_contrast(language):
    rng = np.random.default_rng(0)
    texts = [speech_texts.text(language, rng) for _ in range(60)]
    assert all(3 <= len(t.split()) <= 20 for t in texts)
    letters = set("".join(texts).lower())
    assert letters >= set("мнбдгптк" if language == "ru" else "mnbdgptk")


def _render(engine, voice, language, tmp_path):
    clips = [synthetic_speech.Clip(engine, voice, language, "train", 7 + i) for i in range(2)]
    assert synthetic_speech.render(clips, tmp_path) == 2
    assert synthetic_speech.render(clips, tmp_path) == 0  # taken up: nothing is left to do
    return sorted(tmp_path.glob("*/*.json"))


@pytest.mark.parametrize(
    ("engine", "program", "voice", "language"),
    [
        ("flite", "flite", "slt", "en"),
        ("espeak", "espeak-ng", "m3", "de"),
        ("festival", "festival", "kal_diphone", "en"),
    ],
)
def test_rendered_clips_have_exact_times(engine, program, voice, language, tmp_path):
    if shutil.which(program) is None or f"{engine}-{voice}" not in synthetic_speech.available():
        pytest.skip(f"{engine} with voice {voice} is not installed")
    for path in _render(engine, voice, language, tmp_path):
        record = json.loads(path.read_text())
        samples, rate = soundfile.read(path.with_suffix(".flac"))
        assert rate == 16_000 and samples.ndim == 1
        times = record["phones"]
        assert {p for _, _, p in times} <= set(PHONES) and len(times) > 8
        assert all(abs(a[1] - b[0]) < 0.002 for a, b in zip(times, times[1:], strict=False))
        assert abs(times[-1][1] - len(samples) / rate) < 0.01
        vowels = np.concatenate([samples[int(a * rate) : int(b * rate)] for a, b, p in times if p in "aAeEiIoOuU"])
        silence = np.concatenate([samples[int(a * rate) : int(b * rate)] for a, b, p in times if p == "sil"])
        assert vowels.std() > 5 * silence.std()


def test_a_stop_gets_the_silence_of_its_closure():
    """Sound to 0.5 s, silence to 0.58 s, burst: the label that began at the burst begins where the sound stops."""
    rng = np.random.default_rng(0)
    x = 0.1 * rng.standard_normal(16_000).astype(np.float32)
    x[8000:9280] = 0
    timed = [(0.0, 0.1, "sil"), (0.1, 0.58, "a"), (0.58, 0.62, "p"), (0.62, 1.0, "a")]
    moved = synthetic_speech.claim_closures(x, timed)
    assert moved[2] == (pytest.approx(0.5, abs=0.003), 0.62, "p") and moved[1][1] == moved[2][0]
    assert synthetic_speech.claim_closures(x, moved) == moved
    assert synthetic_speech.claim_closures(x, [(*t[:2], t[2].replace("p", "m")) for t in timed])[2][0] == 0.58


def test_tidy_phones_cover_the_clip():
    tidied = synthetic_speech.tidy([(0.1, 0.3, "a"), (0.35, 0.9, "m"), (0.9, 1.4, "sil")], 1.0)
    assert tidied == [[0.0, 0.3, "a"], [0.3, 0.9, "m"], [0.9, 1.0, "sil"]]
