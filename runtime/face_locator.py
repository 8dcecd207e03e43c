"""Where faces may be in a whole picture: squares from the locator's cells."""

from __future__ import annotations

import numpy as np

from .sessions import Model

CELL = 8
"""Pixels of the locator's input to one of its cells."""
LOOK_SIDE = 160
"""Longer side of the picture that the locator sees; faces smaller than about a tenth of it are not found."""
_LEAST = 0.4


def squares(locator: Model, image: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Squares (middle in pixels, side) that may hold a face, the largest and most central first.

    Args:
        locator: ``vision_locator``.
        image: (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    scale = LOOK_SIDE / max(width, height)
    small, offset = _shrink(image, scale)
    grid = locator.run({"image": small[None]})["faces"][0].astype(np.float64)
    chance = 1 / (1 + np.exp(-grid[0]))
    rows, columns = np.nonzero(chance > _LEAST)
    order = np.argsort(-chance[rows, columns])
    kept: list[tuple[np.ndarray, float]] = []
    for row, column in zip(rows[order], columns[order], strict=True):
        _, right, down, grown = grid[:, row, column]
        middle = (np.array([column + 0.5 + 8 * right, row + 0.5 + 8 * down]) * CELL - offset) / scale - 0.5
        side = float(np.exp(np.clip(grown, -3, 3))) * 8 * CELL / scale
        if all(np.linalg.norm(middle - other) > 0.5 * max(side, size) for other, size in kept):
            kept.append((middle, side))
    centre = np.array([width, height]) / 2

    def worth(item: tuple[np.ndarray, float]) -> float:
        return item[1] * (1 - 0.5 * np.linalg.norm(item[0] - centre) / np.linalg.norm(centre))

    return sorted(kept, key=worth, reverse=True)


def _shrink(image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture scaled and padded to whole cells, and where its corner lies in it."""
    from PIL import Image

    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
    across, down = (-(-n // CELL) * CELL - n for n in size)
    before = np.array([across // 2, down // 2])
    return np.pad(small, ((before[1], down - before[1]), (before[0], across - before[0]), (0, 0)), mode="edge"), before
