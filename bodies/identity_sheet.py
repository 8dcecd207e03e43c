"""A picture of several people with the same faces: rows are identities, columns expressions or frames of a performance.

    python -m media2face.bodies.identity_sheet -o people.png --identity sample:0 sample:3 my_face.obj
    python -m media2face.bodies.identity_sheet -o people.png --performance speech.npz --frames 30 75 118
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..runtime.arkit import ARKIT_INDEX
from ..runtime.decoder import FaceDecoder
from ..runtime.errors import InputError
from ..runtime.identity import identity_of
from .export_npz import read
from .render import Renderer, contact_sheet

EXPRESSIONS: tuple[dict[str, float], ...] = (
    {},
    {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5},
    {"jawOpen": 0.7, "browInnerUp": 0.6, "eyeWideLeft": 0.6, "eyeWideRight": 0.6},
    {"mouthPucker": 0.8, "jawOpen": 0.15},
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0, "mouthPressLeft": 0.4, "mouthPressRight": 0.4},
    {
        "mouthUpperUpLeft": 0.6, "mouthUpperUpRight": 0.6, "mouthLowerDownLeft": 0.5, "mouthLowerDownRight": 0.5,
        "browDownLeft": 0.8, "browDownRight": 0.8, "eyeLookOutLeft": 0.8, "eyeLookInRight": 0.8, "jawOpen": 0.1,
    },
)  # fmt: skip
"""At rest, a smile, surprise, rounded lips, eyes shut, an aside."""


def expressions() -> np.ndarray:
    """Weights (6, 52) of :data:`EXPRESSIONS`."""
    out = np.zeros((len(EXPRESSIONS), len(ARKIT_INDEX)), np.float32)
    for row, face in zip(out, EXPRESSIONS, strict=True):
        for name, value in face.items():
            row[ARKIT_INDEX[name]] = value
    return out


def sheet(
    decoder: FaceDecoder,
    people: Sequence[np.ndarray | None],
    latents: np.ndarray,
    rotations: np.ndarray | None = None,
    size: int = 240,
) -> np.ndarray:
    """The picture, uint8 (H, W, 3).

    Args:
        decoder: of the rig. people: neutrals (V, 3) in metres, None for the mean face. latents: (n, D), one a column.
        rotations: (n, 4) of the head, xyzw; None is at rest. size: of one face, pixels.
    """
    renderer = Renderer(decoder.rig, (size, size))
    turns = np.tile(np.float32([0, 0, 0, 1]), (len(latents), 1)) if rotations is None else rotations
    pictures = [
        renderer.render(vertices, turn)
        for neutral in people
        for vertices, turn in zip(decoder.mesh(latents, neutral), turns, strict=True)
    ]
    return contact_sheet(pictures, columns=len(latents), gap=2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PNG")
    parser.add_argument("--identity", nargs="+", default=["mean", *(f"sample:{n}" for n in (0, 2, 3, 5))])
    parser.add_argument("--performance", type=Path, metavar="NPZ", help="of media2face animate -o")
    parser.add_argument("--frames", type=int, nargs="+", default=[0, 30, 60], help="of the performance")
    parser.add_argument("--size", type=int, default=240, help="pixels of one face")
    options = parser.parse_args(arguments)
    decoder = FaceDecoder()
    people = [None if who == "mean" else identity_of(who, decoder.rig) for who in options.identity]
    latents, rotations = decoder.latents(expressions()), None
    if options.performance:
        take = read(options.performance)
        if not all(0 <= k < len(take.latents) for k in options.frames):
            raise InputError(f"expected frames from 0 to {len(take.latents) - 1}, got {options.frames}")
        latents, rotations = take.latents[options.frames], take.head_rotation[options.frames]
    Image.fromarray(sheet(decoder, people, latents, rotations, options.size)).save(options.output)


if __name__ == "__main__":
    main()
