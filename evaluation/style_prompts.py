"""How the style test asks for an emotion: in words, by emoji, and by synonyms that no caption of motion held."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from media2face.data.styles import EMOJI, HELD_OUT_EMOJI, captions, sample_prompt, words
from media2face.runtime.errors import InputError
from media2face.runtime.style import StyleEncoder

EMOTIONS = ("happy", "sad", "angry", "surprised", "disgusted")
WAYS = {
    "text": "sentences and words as in the captions",
    "synonym": "words that the style encoder knows and no caption of motion held",
    "emoji": "emoji as pictures; captions are text, so none was ever shown to the motion generator",
    "emoji, unseen": "those of them that the style encoder was not trained on either",
    "word, unseen": "words that neither was trained on",
}
STRONG = 0.9  # intensity of the sampled sentences


@dataclass(frozen=True)
class Prompt:
    """One request: how (a key of :data:`WAYS`), for which emotion, its words or codepoint, and its embedding (P,)."""

    way: str
    emotion: str
    text: str
    vector: np.ndarray


def uncaptioned(emotion: str, seed: int = 0) -> list[str]:
    """Words and phrases of a style's training table that no caption holds, in the table's order."""
    said = " \n ".join(t.lower() for levels in captions(seed) for texts in levels for t in texts)

    def held(phrase: str) -> bool:
        if not phrase.isascii():
            return phrase in said
        return re.search(rf"(?<![\w'-]){re.escape(phrase)}(?![\w'-])", said) is not None

    return [p for p in words(emotion).all() if (len(p) > 2 or not p.isascii()) and not held(p.lower())]


def prompts(encoder: StyleEncoder, data: Path, each: int = 8, seed: int = 11) -> Iterator[Prompt]:
    """Requests of every way for the five emotions, at most ``each`` a way and emotion.

    Args:
        encoder: the shipped style encoder. data: folder with ``emoji/``. seed: of the choice among many.

    Raises:
        InputError: without the emoji's pictures.
    """
    if not (data / "emoji").is_dir():
        raise InputError(f"expected the folder emoji in {data}, found none: it holds the pictures of face emoji")
    rng = np.random.default_rng(seed)

    def some(options: list[str]) -> list[str]:
        return [options[i] for i in sorted(rng.permutation(len(options))[:each])]

    for emotion in EMOTIONS:
        texts = {
            "text": [emotion, *(sample_prompt(emotion, STRONG, rng) for _ in range(each - 1))],
            "synonym": some(uncaptioned(emotion)),
            "word, unseen": some(list(words(emotion, "held_out").all())),
        }
        for way, found in texts.items():
            for text in found:
                yield Prompt(way, emotion, text, encoder.encode_text(text).vector)
        for way, unseen in (("emoji", False), ("emoji, unseen", True)):
            codes = [c for c, (style, _) in EMOJI.items() if style == emotion and (c in HELD_OUT_EMOJI) == unseen]
            for code in some(codes):
                yield Prompt(way, emotion, code, encoder.encode_image(data / "emoji" / f"{code}.png").vector)
