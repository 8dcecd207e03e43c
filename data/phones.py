"""The 42 phone classes, and the way to them from every labelling the project meets.

Each mapper returns a tuple: () for marks that are no sound of their own, one phone for most labels, two for diphthongs
(first part 60 % of the time) and for affricates other than ch and jh. `spread` turns such a tuple into timed phones.
Conventions: affricates ch, jh are one phone; nasal vowels become oral; every r is "r"; velar, uvular and palatal
fricatives are "x"; a glottal stop is silence. Rounded schwas and front rounded vowels other than y are "oe".
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

PHONES = "sil p b m f v th dh t d n l r s z sh zh ch jh k g ng h x w j i I e E ae a A O o U u uh ax er y oe".split()
INDEX = {name: i for i, name in enumerate(PHONES)}
VOWELS = frozenset("i I e E ae a A O o U u uh ax er y oe".split())
BILABIALS = frozenset("p b m".split())
LABIODENTALS = frozenset("f v".split())
ROUNDED = frozenset("O o U u y oe w".split())
SPREAD = frozenset("i I e E".split())
FIRST_SHARE = 0.6  # of a diphthong's time

# IPA, base symbols only; diacritics are dropped first
_IPA = {
    "p": "p", "b": "b", "m": "m", "ɱ": "m", "ɓ": "b", "f": "f", "v": "v", "ʋ": "v", "β": "v", "ɸ": "f",
    "θ": "th", "ð": "dh", "t": "t", "d": "d", "ʈ": "t", "ɖ": "d", "ɗ": "d", "c": "k", "ɟ": "g", "n": "n", "ɳ": "n",
    "ɲ": "n", "l": "l", "ɫ": "l", "ʎ": "l", "ɭ": "l", "ɬ": "l", "r": "r", "ɹ": "r", "ɾ": "r", "ʁ": "r", "ʀ": "r",
    "ɻ": "r", "ɽ": "r", "s": "s", "z": "z", "ʃ": "sh", "ʒ": "zh", "ɕ": "sh", "ʑ": "zh", "ʂ": "sh", "ʐ": "zh",
    "k": "k", "q": "k", "g": "g", "ɡ": "g", "ɢ": "g", "ŋ": "ng", "h": "h", "ɦ": "h", "ħ": "h", "x": "x", "χ": "x",
    "ɣ": "x", "ç": "x", "ʝ": "j", "w": "w", "ʍ": "w", "ɥ": "y", "j": "j", "ʔ": "sil", "ʕ": "A",
    "i": "i", "ɪ": "I", "ᵻ": "I", "ɨ": "I", "e": "e", "ɛ": "E", "æ": "ae", "a": "a", "ɐ": "uh", "ɑ": "A", "ɒ": "O",
    "ɔ": "O", "o": "o", "ɤ": "ax", "ɯ": "I", "ʊ": "U", "u": "u", "ʉ": "u", "ʌ": "uh", "ə": "ax", "ɘ": "ax", "ɜ": "er",
    "ɚ": "er", "ɝ": "er", "y": "y", "ʏ": "y", "ø": "oe", "œ": "oe", "ɵ": "oe", "ɶ": "oe",
}  # fmt: skip
_AFFRICATES = {"tʃ": "ch", "dʒ": "jh", "tɕ": "ch", "dʑ": "jh", "tʂ": "ch", "dʐ": "jh", "cç": "ch", "ɟʝ": "jh"}

# radio phone set: flite and festival's American voices
_RADIO = {
    "aa": "A", "ae": "ae", "ah": "uh", "ao": "O", "aw": "a U", "ax": "ax", "axr": "er", "ay": "a I", "b": "b",
    "ch": "ch", "d": "d", "dh": "dh", "dx": "d", "eh": "E", "el": "l", "em": "m", "en": "n", "er": "er", "ey": "e I",
    "f": "f", "g": "g", "hh": "h", "hv": "h", "ih": "I", "ix": "I", "iy": "i", "jh": "jh", "k": "k", "l": "l",
    "m": "m", "n": "n", "ng": "ng", "nx": "n", "ow": "o U", "oy": "O I", "p": "p", "r": "r", "s": "s", "sh": "sh",
    "t": "t", "th": "th", "uh": "U", "uw": "u", "v": "v", "w": "w", "wh": "w", "y": "j", "z": "z", "zh": "zh",
    "pau": "sil", "h#": "sil", "brth": "sil", "sil": "sil", "#": "sil",
}  # fmt: skip
_LATIN = {k: k for k in "p b m f v t d n l r s z k g j w i e a o u E O".split()} | {
    "A": "A", "N": "ng", "ng": "ng", "nf": "m", "J": "n", "L": "l", "S": "sh", "Z": "zh", "tS": "ch", "dZ": "jh",
    "ts": "t s", "dz": "d z", "rr": "r", "ax": "ax", "pau": "sil", "#": "sil", "##": "sil", "_": "sil",
}  # fmt: skip
_FESTIVAL = {
    "en": _RADIO,
    "it": _LATIN,
    "ca": _LATIN,
    "fi": _LATIN | {"&": "ae", "y": "y", "7": "oe", "@": "oe", "9": "oe", "h": "h", "a": "A", "T": "th", "D": "dh"},
    "cs": _LATIN | {
        "c": "t s", "c~": "ch", "ch": "x", "d~": "d", "dz": "d z", "dz~": "jh", "e": "E", "h": "h", "i": "I",
        "i:": "i", "n*": "ng", "n~": "n", "r~": "zh", "r~*": "sh", "s~": "sh", "t~": "t", "z~": "zh",
    },
    "ru": {k: k for k in "p b t d k g f v s z sh zh ch m n l r j".split()} | {
        k + k: k for k in "p b t d k g f v s z m n l r".split()
    } | {
        "pau": "sil", "c": "t s", "sch": "sh", "h": "x", "hh": "x", "ii": "i", "yy": "I", "uu": "u", "ee": "E",
        "oo": "o", "aa": "a", "a": "uh", "e": "E", "i": "I", "y": "I", "u": "U", "ae": "ax", "ay": "ax", "ur": "U",
    },
}  # fmt: skip

# labels of the Berlin EmoDB files (SAMPA with additions of its own)
_EMODB = {k: k for k in "p b m f v t d n l s z k g h j w i I e E a O o U u y".split()} | {
    ".": "sil", "?": "sil", "(": "sil", "B": "v", "V": "v", "D": "dh", "T": "th", "S": "sh", "Z": "zh", "C": "x",
    "x": "x", "X": "x", "H": "h", "N": "ng", "NN": "ng", "mm": "m", "J": "n", "L": "l", "G": "x", "R": "r", "r": "r",
    "4": "r", "@": "ax", "6": "uh", "Y": "y", "9": "oe", "2": "oe",
}  # fmt: skip
_EMODB_MODIFIERS = ("+", "-", "hoe")


def _lookup(table: dict[str, str], label: str, where: str) -> tuple[str, ...]:
    try:
        return tuple(table[label].split())
    except KeyError:
        raise ValueError(f"unknown phone label {label!r} of {where}: add it to data/phones.py") from None


def from_espeak(ipa: str, language: str = "") -> tuple[str, ...]:
    """Phones of one espeak-ng phoneme in IPA, e.g. "aɪ" -> ("a", "I"); in English the flap ɾ is "d".

    A sound made of more than two symbols keeps its first and last. Unknown symbols are ignored; nothing known gives ().
    """
    if ipa.startswith("("):  # a language switch, "(en)"
        return ()
    symbols = [c for c in ipa if c in _IPA]
    pair = "".join(symbols[:2])
    if pair in _AFFRICATES:
        return (_AFFRICATES[pair], *(_IPA[c] for c in symbols[2:][-1:]))
    if symbols == ["ɾ"] and language.startswith("en"):
        return ("d",)
    phones = [_IPA[c] for c in symbols]
    if len(phones) > 2:
        phones = [phones[0], phones[-1]]
    if len(phones) == 2 and phones[0] == phones[1]:
        phones = phones[:1]
    return tuple(phones)


def from_flite(name: str) -> tuple[str, ...]:
    """Phones of a flite label (radio phone set). Raises ValueError for a label not known."""
    return _lookup(_RADIO, name, "flite")


def from_festival(language: str, name: str) -> tuple[str, ...]:
    """Phones of a festival segment; language is one of en, it, ca, fi, cs, ru. Raises ValueError for unknown ones."""
    if language not in _FESTIVAL:
        raise ValueError(f"no festival phone table for language {language!r}: expected one of {sorted(_FESTIVAL)}")
    table = _FESTIVAL[language]
    if name in table:
        return _lookup(table, name, f"festival {language}")
    return _lookup(table, name.rstrip("1:"), f"festival {language}")


def from_emodb(label: str) -> tuple[str, ...]:
    """Phones of an EmoDB label; () for marks that modify the phone before, and for releases ("!p") and aspiration.

    An unknown or merged label gives (), so that the phone before lasts through it.
    """
    label = label.lstrip("_")
    if not label or label.startswith(("!", *_EMODB_MODIFIERS)) or label.endswith("asp"):
        return ()
    label = label.split("+")[0]
    if label in _EMODB:
        return (_EMODB[label],)
    if len(label) == 2 and all(c in _EMODB for c in label) and all(_EMODB[c] in VOWELS for c in label):
        return (_EMODB[label[0]], _EMODB[label[1]])
    return ()


def spread(start: float, end: float, phones: Iterable[str]) -> list[tuple[float, float, str]]:
    """Timed phones of one label: a pair is split at 60 % of the time [start, end] (s)."""
    phones = tuple(phones)
    if len(phones) == 2:
        middle = start + FIRST_SHARE * (end - start)
        return [(start, middle, phones[0]), (middle, end, phones[1])]
    return [(start, end, p) for p in phones]


def read_emodb(path: str | Path, duration: float, releases: bool = False) -> list[tuple[float, float, str]]:
    """Timed phones [(start s, end s, phone)] of an EmoDB .phones file; what lies after `duration` (s) is left out.

    Releases and aspiration are left out, so that a stop is its closure alone; releases=True counts them to the stop.
    """
    rows = [line.split() for line in Path(path).read_text().splitlines() if line.strip()]
    times = [float(row[0]) for row in rows] + [float(duration)]
    spans: list[list] = []  # start, end, tuple of phones
    open_span = False  # may the last span still be lengthened by modifiers?
    for (_, label), start, end in zip(rows, times[:-1], times[1:], strict=True):
        if end <= start:
            continue
        phones = from_emodb(label)
        release = label.lstrip("_").startswith("!") or label.endswith("asp")
        if phones:
            spans.append([start, end, phones])
            open_span = True
        elif release and not releases:
            open_span = False
        elif spans and open_span:
            spans[-1][1] = end
    heard = [(start, min(end, duration), phones) for start, end, phones in spans if start < duration]
    return [timed for span in heard for timed in spread(*span)]
