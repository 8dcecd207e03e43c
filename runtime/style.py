"""Text and images to style embeddings: CLIP's two towers on ONNX Runtime, and honesty about what they know."""

from __future__ import annotations

import difflib
import io
import logging
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .errors import ModelError, StyleError
from .sessions import Model, load_model, require, weights_folder
from .tokenizer import BPE_FILE, ClipTokenizer, clean, pack, words

log = logging.getLogger(__name__)

MAX_CHARACTERS = 1_000
"""Longest prompt; a longer one is refused, since it is a document and not a style."""
MIN_SIDE = 8
"""Shortest side of an image, pixels; below it no face can be told."""
MAX_PIXELS = 40_000_000
"""Largest image, pixels, checked before anything is decoded."""
MAX_BYTES = 64_000_000
"""Largest image file, bytes."""
SHARPNESS = 0.05
"""Cosine by which a style's texts must lie nearer to a picture than another's to count e times as much."""
_ALIKE = 0.84  # difflib ratio from which an unlisted word is taken for a listed one; measured in the model card


@dataclass(frozen=True)
class StyleEmbedding:
    """A style as the generator takes it.

    Attributes:
        vector: (dim,) float32, unit norm.
        nearest: (style, cosine in [-1, 1]) of all styles, nearest first; a style's cosine is that of its best level.
        known: False if nothing in the prompt is known; ``vector`` is then exactly neutral.
        note: what to tell the user, empty if there is nothing to tell.
        intensity: strength of the nearest style, [0, 1]; 0 for neutral.
    """

    vector: np.ndarray
    nearest: list[tuple[str, float]] = field(default_factory=list)
    known: bool = True
    note: str = ""
    intensity: float = 0.0

    @property
    def style(self) -> str:
        """The nearest style's name."""
        return self.nearest[0][0] if self.nearest else "neutral"


class StyleEncoder:
    """Turns prompts into embeddings; one per process, safe to share.

    The shipped encoder knows a list of words and says so where a prompt holds none of them. A published CLIP
    (``onnx_export.hub_style``) is *open*: it reads any words and any picture, none is unknown to it, and the nearest
    styles are told for orientation only.

    Args:
        weights_dir: folder of the weights, see :func:`.sessions.weights_folder`.
        providers: see :func:`.sessions.load_model`.

    Raises:
        ModelError: if the weights are missing or of another model or version.
    """

    def __init__(self, weights_dir: str | Path | None = None, providers=None) -> None:
        self._folder, self._providers = weights_folder(weights_dir), providers
        self._text = load_model("style_text", self._folder, providers)
        self._image: Model | None = None
        self._tokenizer = ClipTokenizer(self._folder / BPE_FILE)
        meta = self._text.meta
        try:
            self.dim = int(meta["dim"])
            self.styles: tuple[str, ...] = tuple(meta["styles"])
            self._context = int(meta["context_length"])
            margin = meta["known_margin"]
            self._margin = None if margin is None else float(margin)
            names = [key.split("/") for key in meta["prototypes"]]
            self._prototypes = np.array(list(meta["prototypes"].values()), np.float32)  # (P, dim)
            self._owner = np.array([self.styles.index(style) for style, _ in names])
            self._level = np.array([0.0 if s == "neutral" else meta["levels"][level] for s, level in names])
            lexicon: dict[str, str] = meta["lexicon"]
            self._emoji = {ord(char): f" {phrase} " for char, phrase in meta["emoji"].items()} | {0xFE0F: ""}
        except (KeyError, ValueError, AttributeError) as error:
            raise ModelError(f"the record of {self._text.path} lacks what a style encoder needs ({error!r}): "
                             "export it again with media2face.onnx_export.style") from error  # fmt: skip
        self._listed = [p for p in lexicon if not p.isascii()]
        self._phrases = {tuple(words(clean(p))) for p in lexicon if p.isascii()}
        self._lengths = sorted({len(p) for p in self._phrases})
        self._spellings = sorted({p for p in lexicon if p.isalpha() and len(p) > 3})
        self.neutral = self._unit(self._prototypes[self._owner == self.styles.index("neutral")][0])

    @property
    def fingerprint(self) -> str:
        """Of the text tower; a generator's record names the one it was trained with."""
        return self._text.fingerprint

    @property
    def open(self) -> bool:
        """Whether every prompt is taken as it is: a published CLIP, which has no threshold of what it knows."""
        return self._margin is None

    def encode_text(self, text: str) -> StyleEmbedding:
        """Embed a prompt.

        An empty prompt is neutral. So is one in which nothing is known, with ``known=False`` and a note that names the
        nearest styles; to an open encoder everything is known. A word that is nearly a listed one is read as that one,
        and a note says so. A face emoji is read as its style. Only the first tokens that fit the model are read; a note
        says so.

        Raises:
            StyleError: if ``text`` is not text, or longer than :data:`MAX_CHARACTERS`.
        """
        if not isinstance(text, str):
            raise StyleError(f"expected the style as text (str), got {type(text).__name__}: decode it first")
        if len(text) > MAX_CHARACTERS:
            raise StyleError(f"a style prompt has at most {MAX_CHARACTERS} characters, got {len(text)}: shorten it")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise StyleError(f"the style prompt is not valid Unicode ({error.reason}): decode it as UTF-8") from error
        cleaned = clean(text.translate(self._emoji))
        if not cleaned:
            return self._describe(self.neutral, note="empty prompt: neutral")
        found = self._embed(cleaned)
        if self.open or self._has_listed(cleaned) or self._stands_out(found):
            return found
        near = self._respelled(cleaned)
        if near:
            for word, listed in near.items():
                cleaned = re.sub(rf"\b{re.escape(word)}\b", listed, cleaned)
            read = ", ".join(f"{word!r} was read as {listed!r}" for word, listed in near.items())
            found = self._embed(cleaned)
            return replace(found, note=f"{read}; {found.note}" if found.note else read)
        return self._describe(self.neutral, known=False, note=self._unknown(text, found))

    def encode_image(self, image: Image.Image | str | os.PathLike | bytes) -> StyleEmbedding:
        """Embed a picture: a PIL image, a file, or a file's bytes. Its middle square is read, as in CLIP
        (a published model that was trained on squashed pictures reads the whole).

        Raises:
            StyleError: if it is missing, no image, damaged, smaller than :data:`MIN_SIDE` or larger than
                :data:`MAX_PIXELS`.
            ModelError: if the image tower is missing or belongs to another text tower.
        """
        if self._image is None:
            model = load_model("style_image", self._folder, self._providers)
            require(model, "style_text", self.fingerprint)
            if missing := {"image_size", "known_similarity"} - model.meta.keys():
                raise ModelError(f"the record of {model.path} lacks {', '.join(sorted(missing))}: export it again")
            self._image = model
        meta = self._image.meta
        pixels = _square(image, int(meta["image_size"]), squash=meta.get("resize") == "squash")
        vector = self._unit(self._image.run({"image": pixels})["embedding"][0])
        found = self._describe(vector)
        if meta["known_similarity"] is None:
            return found
        if found.nearest[0][1] >= float(meta["known_similarity"]):
            return self._describe(self._worded(vector))
        note = f"the picture shows no style that is known (nearest: {_list(found.nearest)}): neutral"
        return self._describe(self.neutral, known=False, note=note)

    def encode_style(self, style: str, intensity: float = 0.65) -> StyleEmbedding:
        """The mean embedding of one of :attr:`styles`, at the level nearest to ``intensity`` in [0, 1].

        Raises:
            StyleError: if the style is unknown or the intensity out of range.
        """
        if style not in self.styles:
            raise StyleError(f"style must be one of {', '.join(self.styles)}, got {style!r}")
        if not 0.0 <= intensity <= 1.0:
            raise StyleError(f"intensity must lie in [0, 1], got {intensity}")
        own = np.flatnonzero(self._owner == self.styles.index(style))
        return self._describe(self._unit(self._prototypes[own[np.abs(self._level[own] - intensity).argmin()]]))

    def _embed(self, cleaned: str) -> StyleEmbedding:
        tokens = self._tokenizer.encode(cleaned)
        room = self._context - 2
        note = f"only the first {room} of {len(tokens)} tokens were read" if len(tokens) > room else ""
        vector = self._unit(self._text.run({"tokens": pack([tokens], self._context)})["embedding"][0])
        return self._describe(vector, note=note)

    def _unit(self, vector: np.ndarray) -> np.ndarray:
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def _worded(self, vector: np.ndarray) -> np.ndarray:
        """A picture's embedding drawn halfway to the texts of the styles that it lies near: pictures lie apart from
        texts (the modality gap of CLIP models), and generators are trained on texts."""
        shares = np.exp((self._prototypes @ vector - 1.0) / SHARPNESS)
        return self._unit(vector + self._unit(shares @ self._prototypes))

    def _describe(self, vector: np.ndarray, known: bool = True, note: str = "") -> StyleEmbedding:
        cosines = self._prototypes @ vector
        best = [float(cosines[self._owner == i].max()) for i in range(len(self.styles))]
        nearest = sorted(zip(self.styles, best, strict=True), key=lambda pair: -pair[1])
        return StyleEmbedding(vector, nearest, known, note, float(self._level[int(cosines.argmax())]))

    def _stands_out(self, found: StyleEmbedding) -> bool:
        cosines = self._prototypes @ found.vector
        strong = (self._level >= 0.5) & (self._owner != self.styles.index("neutral"))
        return bool(cosines[strong].max() - found.vector @ self.neutral > self._margin)

    def _has_listed(self, cleaned: str) -> bool:
        if any(phrase in cleaned for phrase in self._listed):
            return True
        split = words(cleaned)
        return any(tuple(split[i : i + n]) in self._phrases for n in self._lengths for i in range(len(split) - n + 1))

    def _respelled(self, cleaned: str) -> dict[str, str]:
        """Words that are nearly a listed one ("cheerfull", "joyously"), and which it is.

        The first three letters must agree; a common word of CLIP's must even begin like the listed one ("boots" is not
        a slip for "boos", but "smiles" is a form of "smile").
        """
        near: dict[str, str] = {}
        for word in words(cleaned)[: self._context]:
            same = [s for s in self._spellings if s[:3] == word[:3]] if len(word) >= 5 else []
            match = difflib.get_close_matches(word, same, 1, _ALIKE)
            common = len(self._tokenizer.encode(word)) == 1
            if match and (not common or word.startswith(match[0]) or match[0].startswith(word)):
                near[word] = match[0]
        return near

    def _unknown(self, text: str, found: StyleEmbedding) -> str:
        short = text if len(text) <= 40 else text[:37] + "..."
        styled = [pair for pair in found.nearest if pair[0] != "neutral"]
        message = f"no style is known in {short!r}: neutral; nearest: {_list(styled)}"
        message += f"; known: {', '.join(self.styles)}"
        return f"{message}; {found.note}" if found.note else message


def _list(nearest: list[tuple[str, float]]) -> str:
    return ", ".join(f"{style} {cosine:.2f}" for style, cosine in nearest[:3])


def _square(source: Image.Image | str | os.PathLike | bytes, size: int, squash: bool = False) -> np.ndarray:
    """Middle square (or, with ``squash``, the whole) as (1, 3, size, size) float32 in [0, 1], transparency on white.

    Raises:
        StyleError: see :meth:`StyleEncoder.encode_image`.
    """
    try:
        image = _open(source)
        width, height = image.size
        if min(width, height) < MIN_SIDE:
            raise StyleError(f"expected an image of at least {MIN_SIDE} x {MIN_SIDE} pixels, got {width} x {height}")
        if width * height > MAX_PIXELS:
            raise StyleError(f"an image has at most {MAX_PIXELS:,} pixels, got {width} x {height}: scale it down")
        if image.format == "JPEG":
            image.draft("RGB", (2 * size, 2 * size))
        image = ImageOps.exif_transpose(image)
        if not squash:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        image = _rgba(image)
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    except StyleError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        raise StyleError(f"the style image cannot be read ({error}): give a whole PNG, JPEG or WebP file") from error
    return np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 255


def _open(source: Image.Image | str | os.PathLike | bytes) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        source = bytes(source)
        length = len(source)
        stream = io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_file():
            raise StyleError(f"expected a style image at {path}, found no file")
        length = path.stat().st_size
        stream = path
    else:
        raise StyleError(f"expected an image, a path or bytes, got {type(source).__name__}")
    if length > MAX_BYTES:
        raise StyleError(f"expected an image file of at most {MAX_BYTES:,} bytes, got {length:,}")
    return Image.open(stream)


def _rgba(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # 16-bit or float grey: bring its own range to 8 bits
        grey = np.nan_to_num(np.asarray(image, np.float32))
        low, high = float(grey.min()), float(grey.max())
        return Image.fromarray(((grey - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)).convert("RGBA")
    return image.convert("RGBA")
