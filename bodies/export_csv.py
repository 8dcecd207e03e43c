"""A performance as a table for people and spreadsheets: a header, then one row a frame."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..runtime.offline import Performance


def columns(performance: Performance) -> list[str]:
    """The header: frame, time in s, the 52 shapes, head rotation (xyzw), head translation (m), latents, model, seed."""
    latents = [f"latent_{i:02d}" for i in range(performance.latents.shape[1])]
    head = [f"head_rotation_{a}" for a in "xyzw"] + [f"head_translation_{a}" for a in "xyz"]
    return ["frame", "time", *performance.names, *head, *latents, "model", "seed"]


def write(
    performance: Performance,
    path: Path,
    *,
    decoder=None,
    progress: Callable[[int, int], None] | None = None,
    neutral: np.ndarray | None = None,
) -> None:
    """Write ``path``: comma separated, UTF-8, point as the decimal mark, six decimals (microns, micro-quaternions)."""
    table = np.column_stack(
        [performance.weights, performance.head_rotation, performance.head_translation, performance.latents]
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns(performance))
        for k, row in enumerate(table):
            values = [f"{value:.6f}" for value in row]
            writer.writerow([k, f"{k / performance.fps:.6f}", *values, performance.model, performance.seed])
            if progress and (k + 1) % 300 == 0:
                progress(k + 1, len(table))
    if progress:
        progress(len(table), len(table))
