"""A performance as a take of the LiveLink Face app: its CSV layout, which Unreal and MetaHuman Animator import."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .livelink_names import LIVELINK_CSV_NAMES, in_csv_order, livelink_values

if TYPE_CHECKING:
    from ..runtime.offline import Performance


def timecode(frame: int, fps: int) -> str:
    """``HH:MM:SS:FF.mmm`` of a frame, counted from zero without drops; FF counts frames, the rest is always zero."""
    seconds, rest = divmod(frame, fps)
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}.000"


def write(
    performance: Performance,
    path: Path,
    *,
    decoder=None,
    progress: Callable[[int, int], None] | None = None,
    neutral: np.ndarray | None = None,
) -> None:
    """Write ``path``: Timecode, BlendShapeCount (61), then the channels as :mod:`.livelink_names` says, ten decimals.

    The format has no place for the head's translation, the latents and the sound.
    """
    values = in_csv_order(livelink_values(performance.weights, performance.head_rotation))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Timecode", "BlendShapeCount", *LIVELINK_CSV_NAMES])
        for k, row in enumerate(values):
            writer.writerow([timecode(k, performance.fps), len(row), *(f"{value:.10f}" for value in row)])
            if progress and (k + 1) % 300 == 0:
                progress(k + 1, len(values))
    if progress:
        progress(len(values), len(values))
