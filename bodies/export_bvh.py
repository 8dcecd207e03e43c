"""A performance as BVH: the motion of neck and head, for any animation program.

Axes: X to the face's left, Y up, Z forward (the rotation from REP-103 keeps handedness); centimetres, degrees, and
Euler channels in the order Z, X, Y, that is R = Rz Rx Ry. Neck and head take half of the head's turn each, so their
product is exactly the turn of the performance. The root's position holds the head's translation and, so that the head
is also exactly where it is in the other formats, the shift that bending at two joints instead of one would cost.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.rig_asset import RigAsset
from ..runtime.rotation import matrices_from_quaternions

if TYPE_CHECKING:
    from ..runtime.offline import Performance

NECK_LENGTH = np.array([0.0, 8.0, 1.0])
"""From the neck's pivot to the joint under the skull, cm in the file's axes: of a drawn adult head."""
HEAD_LENGTH = np.array([0.0, 16.0, 2.0])
"""From there to the end site, about the crown."""
_FROM_ROS = [1, 2, 0]
_HEADER = """HIERARCHY
ROOT neck
{{
  OFFSET {pivot}
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT head
  {{
    OFFSET {neck}
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {{
      OFFSET {head}
    }}
  }}
}}
MOTION
Frames: {frames}
Frame Time: {time:.8f}
"""


def half_turns(quaternions: np.ndarray) -> np.ndarray:
    """Quaternions (T, 4) xyzw of half the turn of each of (T, 4): the midpoint between no turn and it."""
    q = np.asarray(quaternions, np.float64)
    q = q / np.linalg.norm(q, axis=1, keepdims=True)
    q = np.where(q[:, 3:] < 0, -q, q)  # the shorter way round
    half = q + [0.0, 0.0, 0.0, 1.0]
    return half / np.linalg.norm(half, axis=1, keepdims=True)


def _euler_zxy(matrices: np.ndarray) -> np.ndarray:
    """Degrees about Z, X, Y (T, 3) with R = Rz Rx Ry, of (T, 3, 3)."""
    x = np.arcsin(np.clip(matrices[:, 2, 1], -1.0, 1.0))
    z = np.arctan2(-matrices[:, 0, 1], matrices[:, 1, 1])
    y = np.arctan2(-matrices[:, 2, 0], matrices[:, 2, 2])
    return np.degrees(np.stack([z, x, y], axis=1))


def write(
    performance: Performance,
    path: Path,
    *,
    decoder=None,
    progress: Callable[[int, int], None] | None = None,
    neutral: np.ndarray | None = None,
) -> None:
    """Write ``path``; the pivot's place at rest is the root's offset and is part of the root's position."""
    rig = decoder.rig if decoder is not None else RigAsset.load()
    pivot = 100.0 * np.asarray(rig.neck_pivot, np.float64)[_FROM_ROS]
    half = matrices_from_quaternions(half_turns(performance.head_rotation))[:, _FROM_ROS][:, :, _FROM_ROS]
    place = pivot + 100.0 * np.asarray(performance.head_translation, np.float64)[:, _FROM_ROS]
    place += (half @ half - half) @ NECK_LENGTH
    turn = _euler_zxy(half)
    rows = np.concatenate([place, turn, turn], axis=1)

    def text(values: np.ndarray) -> str:
        return " ".join(f"{value:.6f}" for value in values)

    with path.open("w", encoding="ascii", newline="\n") as file:
        lengths = {"pivot": text(pivot), "neck": text(NECK_LENGTH), "head": text(HEAD_LENGTH)}
        file.write(_HEADER.format(**lengths, frames=len(rows), time=1 / performance.fps))
        for k, row in enumerate(rows):
            file.write(text(row) + "\n")
            if progress and (k + 1) % 300 == 0:
                progress(k + 1, len(rows))
    if progress:
        progress(len(rows), len(rows))
