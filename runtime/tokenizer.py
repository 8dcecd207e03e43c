"""CLIP's byte-pair tokenizer without torch: the same token ids as open_clip's ``SimpleTokenizer``.

Source: Radford et al. 2021 (CLIP), Sennrich et al. 2016 (BPE). The merges are OpenAI's ``bpe_simple_vocab_16e6``
(MIT licence), shipped as ``clip_bpe.txt.gz`` with the 48,894 merges that CLIP uses, one a line. Words are split with
``unicodedata`` where open_clip uses the ``regex`` package; text is repaired by ``ftfy`` in both.
"""

from __future__ import annotations

import gzip
import html
import random
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import ftfy
import numpy as np

from .errors import ModelError

MERGES = 49152 - 256 - 2
"""Number of merges in CLIP's vocabulary; ids are 256 bytes, 256 final bytes, the merges, start and end of text."""
VOCABULARY = 512 + MERGES + 2
START, END = VOCABULARY - 2, VOCABULARY - 1
BPE_FILE = "clip_bpe.txt.gz"

_SPECIAL = {"<start_of_text>": START, "<end_of_text>": END}
_SUFFIXES = ("'re", "'ve", "'ll", "'s", "'t", "'m", "'d")


def _byte_alphabet() -> tuple[list[str], list[str]]:
    """The printable character of each byte, indexed by byte, and the same characters in vocabulary order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [b for b in range(256) if b not in printable]
    table = dict(zip(printable, map(chr, printable), strict=True))
    table.update({b: chr(256 + i) for i, b in enumerate(hidden)})
    return [table[b] for b in range(256)], [table[b] for b in printable + hidden]


def clean(text: str) -> str:
    """Lower case, repaired encoding, HTML entities resolved, single spaces: open_clip's ``lower`` cleaning."""
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return " ".join(text.split()).lower()


def _kind(char: str) -> str:
    if char.isspace():
        return "space"
    first = unicodedata.category(char)[0]
    return {"L": "letter", "N": "number"}.get(first, "other")


def words(text: str) -> list[str]:
    """Split cleaned text as CLIP's pattern does: specials, English suffixes, letter runs, single digits, the rest."""
    found, i = [], 0
    while i < len(text):
        special = next((s for s in (*_SPECIAL, *_SUFFIXES) if text.startswith(s, i)), None)
        if special:
            found.append(special)
            i += len(special)
            continue
        kind = _kind(text[i])
        j = i + 1
        if kind in ("letter", "other"):
            while j < len(text) and _kind(text[j]) == kind:
                j += 1
        if kind != "space":
            found.append(text[i:j])
        i = j
    return found


class ClipTokenizer:
    """Text to CLIP token ids.

    Args:
        path: the gzipped merges, one pair a line (``models/weights/clip_bpe.txt.gz``).

    Raises:
        ModelError: if the file is missing or holds another number of merges.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            lines = gzip.decompress(Path(path).read_bytes()).decode("utf-8").splitlines()
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise ModelError(f"expected CLIP's merges at {path}, got {error}: reinstall the package") from error
        merges = [tuple(line.split()) for line in lines if line]
        if len(merges) != MERGES:
            raise ModelError(f"{path} holds {len(merges)} merges, expected {MERGES}: reinstall the package")
        self._bytes, alphabet = _byte_alphabet()
        vocabulary = alphabet + [c + "</w>" for c in alphabet] + ["".join(m) for m in merges]
        self.pieces: tuple[str, ...] = (*vocabulary, *_SPECIAL)
        self._ids = {piece: i for i, piece in enumerate(self.pieces)}
        self._ranks = {pair: i for i, pair in enumerate(merges)}
        self._word_ids = lru_cache(maxsize=20_000)(self._merge)

    def _merge(self, word: str, dropout: float = 0.0, rng: random.Random | None = None) -> tuple[int, ...]:
        if word in _SPECIAL:
            return (_SPECIAL[word],)
        parts = [self._bytes[b] for b in word.encode("utf-8")]
        parts[-1] += "</w>"
        while len(parts) > 1:
            ranked = [
                (self._ranks[pair], i)
                for i, pair in enumerate(zip(parts, parts[1:], strict=False))
                if pair in self._ranks and not (dropout and rng and rng.random() < dropout)
            ]
            if not ranked:
                break
            best = min(ranked)[0]
            merged, i = [], 0
            while i < len(parts):
                if i + 1 < len(parts) and self._ranks.get((parts[i], parts[i + 1])) == best:
                    merged.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    merged.append(parts[i])
                    i += 1
            parts = merged
        return tuple(self._ids[p] for p in parts)

    def encode(self, text: str, dropout: float = 0.0, rng: random.Random | None = None) -> list[int]:
        """Token ids of ``text``, without start and end.

        Args:
            text: any text.
            dropout: probability with which a merge is skipped (BPE-dropout, Provilkov et al. 2020); training only.
            rng: source of that chance; needed where ``dropout`` > 0.
        """
        if dropout:
            return [t for w in words(clean(text)) for t in self._merge(w, dropout, rng)]
        return [t for w in words(clean(text)) for t in self._word_ids(w)]

    def __call__(self, texts: str | Sequence[str], context_length: int = 77) -> np.ndarray:
        """Ids int64 (len(texts), context_length): start, tokens, end, zeros; longer texts are cut and end in END."""
        texts = [texts] if isinstance(texts, str) else texts
        return pack((self.encode(t) for t in texts), context_length)


def pack(sequences: Iterable[Sequence[int]], context_length: int) -> np.ndarray:
    """Token sequences to int64 (n, context_length) with START, END and zero padding."""
    rows = []
    for tokens in sequences:
        row = np.zeros(context_length, np.int64)
        tokens = [START, *list(tokens)[: context_length - 2], END]
        row[: len(tokens)] = tokens
        rows.append(row)
    return np.stack(rows)
