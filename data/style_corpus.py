"""Texts that teach the style encoder, with what each of them means.

Besides the prompts of :mod:`.styles` there are the texts that must not move the face: pseudo-words, digits, sentences
about other things, denied styles ("not angry"). And there are blends ("happy but tired"), the style words said among
unrelated ones, and words with capital letters left to the tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from media2face.runtime.tokenizer import ClipTokenizer

from . import styles
from .styles import LEVEL_INTENSITY, STYLES, level_of, lexicon, sample_prompt

KINDS: dict[str, float] = {
    "style": 0.62, "padded": 0.12, "blend": 0.06, "denied": 0.04, "noise": 0.08, "unrelated": 0.08,
}  # fmt: skip
"""How often each kind of text is drawn in training."""

_JOINTS = ("{a} and {b}", "{a} but {b}", "{a}, {b}", "{a}, also {b}", "both {a} and {b}", "a {a}, {b} {role}")
_DENIALS = ("not {x}", "not {x} at all", "never {x}", "without being {x}", "don't be {x}", "do not sound {x}",
            "a {role} who is not {x}", "not {x}, not {y}", "neither {x} nor {y}", "no longer {x}", "isn't {x}",
            "stop being {x}")  # fmt: skip
_SLIPS = 0.08
_NOISE_TRAIN = ("letters", "syllables", "digits", "keys")
_NOISE_HELD_OUT = ("hexadecimal", "clusters", "signs")


@dataclass(frozen=True)
class LabelledText:
    """A text and what it means: ``label`` (15,) holds the intensity of each style; neutral takes what is left of 1."""

    text: str
    label: np.ndarray


def label_of(style: str, intensity: float) -> np.ndarray:
    """Label (15,) float32, summing to one: ``intensity`` on the style, the rest on neutral."""
    label = np.zeros(len(STYLES), np.float32)
    label[STYLES.index(style)] = intensity
    label[STYLES.index("neutral")] += 1.0 - intensity
    return label


def unrelated_words(tokenizer: ClipTokenizer, split: str = "train") -> list[str]:
    """Ordinary words of CLIP's vocabulary that name no style; ``held_out`` are other, mostly rarer, ones.

    A word that begins like a listed one is left out of both, so that "angered" is never taught to mean nothing.
    """
    listed = {w for s in ("train", "held_out") for phrase in lexicon(s) for w in phrase.split()}
    stems = {w[:5] for w in listed if len(w) >= 5}
    limits = (512, 6000) if split == "train" else (6000, 14000)
    found = [p[:-4] for p in tokenizer.pieces[slice(*limits)] if p.endswith("</w>")]
    return [w for w in found if w.isascii() and w.isalpha() and len(w) > 2 and w not in listed and w[:5] not in stems]


def noise(rng: np.random.Generator, split: str = "train") -> str:
    """Text without meaning; held-out noise is of kinds that training never shows."""
    kinds = _NOISE_TRAIN if split == "train" else _NOISE_HELD_OUT
    kind = kinds[int(rng.integers(len(kinds)))]
    return " ".join(_nonsense_word(kind, rng) for _ in range(int(rng.integers(1, 6))))


def _nonsense_word(kind: str, rng: np.random.Generator) -> str:
    def draw(alphabet: str, low: int, high: int) -> str:
        return "".join(alphabet[int(i)] for i in rng.integers(len(alphabet), size=int(rng.integers(low, high))))

    if kind == "syllables":
        return "".join(draw("bcdfghjklmnprstvwz", 1, 2) + draw("aeiou", 1, 2) for _ in range(int(rng.integers(1, 5))))
    if kind == "clusters":
        return "".join(draw("bcdfglmnprstvz", 1, 3) + draw("aeiouy", 1, 2) + draw("klmnrstx", 1, 2) for _ in range(2))
    alphabet, low, high = {
        "letters": ("abcdefghijklmnopqrstuvwxyz", 2, 10), "digits": ("0123456789.-:/", 1, 8),
        "keys": ("asdfghjkl;qwertyuiop[]{}#", 3, 9), "hexadecimal": ("0123456789abcdef", 6, 16),
        "signs": ("#*+~<>=/()&%$@!?_-éèüñßøåæ", 1, 7),
    }[kind]  # fmt: skip
    return draw(alphabet, low, high)


def misspell(text: str, rng: np.random.Generator) -> str:
    """One slip of the finger in a word of at least six letters: a letter doubled, dropped or swapped with the next."""
    words = text.split(" ")
    long = [i for i, w in enumerate(words) if len(w) >= 6]
    if long:
        i = long[int(rng.integers(len(long)))]
        word, at = words[i], int(rng.integers(2, len(words[i]) - 1))
        slips = (word[:at] + word[at] + word[at:], word[:at] + word[at + 1 :],
                 word[:at] + word[at + 1] + word[at] + word[at + 2 :])  # fmt: skip
        words[i] = slips[int(rng.integers(3))]
    return " ".join(words)


class StyleCorpus:
    """Draws labelled texts.

    Args:
        tokenizer: gives the ordinary words around the prompts.
        split: ``train`` or ``held_out``; the latter uses only words that training never shows.
    """

    def __init__(self, tokenizer: ClipTokenizer, split: str = "train") -> None:
        self.split = split
        self.unrelated = unrelated_words(tokenizer, split)
        self._rare = unrelated_words(tokenizer, "held_out")[::2] if split == "train" else []

    def sentence(self, rng: np.random.Generator, low: int = 1, high: int = 9) -> str:
        """Unrelated words in a row; in training one in five is rare, so that the unknown token is practised."""
        count = int(rng.integers(low, high))
        pools = [self._rare if self._rare and rng.random() < 0.2 else self.unrelated for _ in range(count)]
        return " ".join(pool[int(rng.integers(len(pool)))] for pool in pools)

    def draw(self, rng: np.random.Generator) -> LabelledText:
        """One text of a kind chosen by :data:`KINDS`."""
        kind = str(rng.choice(list(KINDS), p=np.array(list(KINDS.values())) / sum(KINDS.values())))
        if kind == "noise":
            return LabelledText(noise(rng, self.split), label_of("neutral", 1.0))
        if kind == "unrelated":
            role = styles.ROLES[int(rng.integers(len(styles.ROLES)))]
            scene = styles.SCENES[int(rng.integers(len(styles.SCENES)))]
            options = ("", role, scene, f"a {role}", f"a {role} {scene}", f"{role} {self.sentence(rng, 1, 4)}")
            text = options[int(rng.integers(len(options)))] if rng.random() < 0.4 else self.sentence(rng)
            return LabelledText(text, label_of("neutral", 1.0))
        style = STYLES[int(rng.integers(len(STYLES)))]
        intensity = float(rng.uniform(0.1, 1.0))
        label = label_of(style, LEVEL_INTENSITY[level_of(intensity)] if style != "neutral" else 1.0)
        text = sample_prompt(style, intensity, rng, self.split)
        if kind == "padded":
            pad = self.sentence(rng, 1, 8) if rng.random() < 0.8 else noise(rng, self.split)
            return LabelledText(f"{pad} {text}" if rng.random() < 0.5 else f"{text} {pad}", label)
        if kind == "blend":
            return self._blend(rng)
        if kind == "denied":
            return self._denied(rng)
        if self.split == "train" and rng.random() < _SLIPS:
            text = misspell(text, rng)
        return LabelledText(text, label)

    def _adjective(self, style: str, rng: np.random.Generator) -> str:
        options = styles.words(style, self.split).plain or styles.words(style).plain
        return options[int(rng.integers(len(options)))]

    def _blend(self, rng: np.random.Generator) -> LabelledText:
        first, second = (STYLES[int(i)] for i in rng.choice(np.arange(1, len(STYLES)), 2, replace=False))
        text = _JOINTS[int(rng.integers(len(_JOINTS)))].format(
            a=self._adjective(first, rng), b=self._adjective(second, rng), role=styles.ROLES[int(rng.integers(20))]
        )
        return LabelledText(text, (label_of(first, 0.65) + label_of(second, 0.65)) / 2)

    def _denied(self, rng: np.random.Generator) -> LabelledText:
        first, second = (STYLES[int(i)] for i in rng.choice(np.arange(1, len(STYLES)), 2, replace=False))
        text = _DENIALS[int(rng.integers(len(_DENIALS)))].format(
            x=self._adjective(first, rng), y=self._adjective(second, rng), role=styles.ROLES[int(rng.integers(20))]
        )
        return LabelledText(text, label_of("neutral", 1.0))
