"""The same speech under several styles, side by side: a contact sheet, and a film with its sound.

As figures 4, 7 and 8 of Media2Face: a row (or a column of the film) is a style, moments run from left to right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..runtime.errors import InputError
from .export_mp4 import meshes, write_film
from .render import Renderer, contact_sheet

if TYPE_CHECKING:
    from ..runtime.decoder import FaceDecoder
    from ..runtime.offline import Performance

LABEL_PX = 24
"""Height of the strip above a face that names its style."""
_FITS = 15  # characters of a label per 100 pixels


def moments(performances: Sequence[Performance], count: int) -> list[int]:
    """Frames to draw: ``count`` parts of the clip, and in each the one in which the mouths are open widest.

    Raises:
        InputError: without performances, or if they differ in length.
    """
    lengths = {len(p.weights) for p in performances}
    if len(lengths) != 1 or count < 1:
        raise InputError(f"expected performances of one speech and one moment or more, got lengths {sorted(lengths)}")
    names = list(performances[0].names)
    jaw = sum(p.weights[:, names.index("jawOpen")] for p in performances)
    edges = np.linspace(0, len(jaw), min(count, len(jaw)) + 1).astype(int)
    return [int(a + jaw[a:b].argmax()) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def sheet(
    performances: Sequence[Performance], labels: Sequence[str], decoder: FaceDecoder, count: int = 6, size: int = 200
) -> np.ndarray:
    """The contact sheet, uint8 (H, W, 3): a row a performance, ``count`` moments, faces of ``size`` pixels."""
    frames = moments(performances, count)
    renderer = Renderer(decoder.rig, (size, size))
    pictures = []
    for performance, label in zip(performances, labels, strict=True):
        drawn = decoder.mesh(performance.latents[frames])
        for column, (k, vertices) in enumerate(zip(frames, drawn, strict=True)):
            face = renderer.render(vertices, performance.head_rotation[k], performance.head_translation[k])
            text = label if column == 0 else f"{k / performance.fps:.1f} s" if performance is performances[0] else ""
            pictures.append(_labelled(face, text))
    return contact_sheet(pictures, columns=len(frames), gap=2)


def film(
    performances: Sequence[Performance], labels: Sequence[str], path: Path, decoder: FaceDecoder, size: int = 320,
    progress: Callable[[int, int], None] | None = None,
) -> None:  # fmt: skip
    """Write an MP4 with the faces beside each other, their styles above them, and the speech."""
    moments(performances, 1)
    total = len(performances[0].weights)
    width, height = size * len(performances), size + LABEL_PX
    even = (width + width % 2, height + height % 2)
    first = performances[0]
    write_film(path, _frames(performances, labels, decoder, size, even), even, first.fps, first.audio, progress, total)


def _frames(
    performances: Sequence[Performance], labels: Sequence[str], decoder: FaceDecoder, size: int, even: tuple[int, int]
) -> Iterator[np.ndarray]:
    renderer = Renderer(decoder.rig, (size, size))
    faces = [meshes(decoder, p.latents, None) for p in performances]
    for k, drawn in enumerate(zip(*faces, strict=True)):
        image = np.full((even[1], even[0], 3), 255, np.uint8)
        for i, (performance, label, vertices) in enumerate(zip(performances, labels, drawn, strict=True)):
            face = renderer.render(vertices, performance.head_rotation[k], performance.head_translation[k])
            tile = _labelled(face, label)
            image[: len(tile), i * size : (i + 1) * size] = tile
        yield image


def _labelled(face: np.ndarray, text: str) -> np.ndarray:
    """A face (S, S, 3) under a white strip with words."""
    strip = Image.new("RGB", (face.shape[1], LABEL_PX), "white")
    room = max(face.shape[1] * _FITS // 100, 4)
    short = text if len(text) <= room else text[: room - 1] + "…"
    ImageDraw.Draw(strip).text((6, 5), short, fill="black", font=ImageFont.load_default(13))
    return np.concatenate([np.asarray(strip), face])
