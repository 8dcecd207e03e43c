"""The vertices on which motion is measured: lips and upper face of the ICT rig's mean identity, in mm.

Masks, on the skin at rest (``data.rig``; axes x to the left, y up, z forward):

* *lips*: within 4 mm of the outer or inner lip line (68-landmarks 48-59 and 60-67);
* *upper face*: of the narrow face, above the middle of the nose's bridge (landmark 29): lids, brows, forehead, temples.
  Eyeballs are left out.

Of each mask :data:`LIP_POINTS` and :data:`UPPER_POINTS` vertices are kept, chosen so that they lie as far from each
other as possible (farthest point sampling, no chance in it); the twenty lip landmarks are always among them. All rows
of a table are measured on the same ones, and the sampler in raw vertex space generates just these.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from media2face.data.rig import PARTS, ICTRig
from media2face.runtime.errors import InputError

LIP_POINTS, UPPER_POINTS = 180, 220
LIP_REACH_CM = 0.4
_OUTER, _INNER = list(range(48, 60)), list(range(60, 68))


class MeasuredFace:
    """Rest positions (N, 3) and deltas (52, N, 3) in mm; the first :data:`LIP_POINTS` of N are lips, the rest upper.

    Attributes: ``neutral``, ``deltas``, ``lips`` and ``upper`` (slices), ``landmarks`` (20,): which of the points are
    the lip landmarks 48 to 67.
    """

    def __init__(self, neutral: np.ndarray, deltas: np.ndarray, lip_points: int, landmarks: np.ndarray) -> None:
        if deltas.shape != (52, *neutral.shape) or not 0 < lip_points < len(neutral):
            raise InputError(f"expected points (N, 3) and deltas (52, N, 3), got {neutral.shape} and {deltas.shape}")
        self.neutral, self.deltas = neutral.astype(np.float32), deltas.astype(np.float32)
        self.lips, self.upper = slice(0, lip_points), slice(lip_points, len(neutral))
        self.landmarks = np.asarray(landmarks, np.int64)

    @classmethod
    def from_ict(cls, rig: ICTRig) -> MeasuredFace:
        """Choose the points on a rig."""
        lips, upper = lip_mask(rig), upper_mask(rig)
        marks = np.asarray(rig.landmarks[48:68])
        chosen = np.concatenate([_spread(rig.neutral, lips, LIP_POINTS, marks),
                                 _spread(rig.neutral, upper, UPPER_POINTS)])  # fmt: skip
        return cls(10.0 * rig.neutral[chosen], 10.0 * rig.deltas[:, chosen], LIP_POINTS, np.arange(20))

    def offsets(self, weights: np.ndarray) -> np.ndarray:
        """Displacements from rest (T, N, 3) in mm of weights (T, 52); the head does not turn."""
        flat = np.asarray(weights, np.float32) @ self.deltas.reshape(len(self.deltas), -1)
        return flat.reshape(len(weights), len(self.neutral), 3)


def lip_mask(rig: ICTRig) -> np.ndarray:
    """Vertex numbers of the lips (see the module)."""
    marks = rig.neutral[rig.landmarks]
    lines = np.concatenate([_closed_line(marks[_OUTER]), _closed_line(marks[_INNER])])
    skin = rig.neutral[: PARTS["face"][1]]
    near = np.array([((lines - p) ** 2).sum(axis=1).min() for p in skin]) < LIP_REACH_CM**2
    return np.union1d(np.flatnonzero(near), rig.landmarks[48:68])


def upper_mask(rig: ICTRig) -> np.ndarray:
    """Vertex numbers of the upper face (see the module)."""
    skin = rig.neutral[: PARTS["narrow_face"][1]]
    return np.flatnonzero(skin[:, 1] > rig.neutral[rig.landmarks[29], 1])


def _closed_line(corners: np.ndarray, steps: int = 20) -> np.ndarray:
    share = np.arange(steps)[:, None, None] / steps
    return (corners + (np.roll(corners, -1, axis=0) - corners) * share).reshape(-1, 3)


def _spread(points: np.ndarray, mask: np.ndarray, count: int, first: np.ndarray | None = None) -> np.ndarray:
    """``count`` vertices of ``mask``, each as far as possible from those before it, after those of ``first``."""
    place = points[mask]
    chosen = list(first) if first is not None else [int(mask[np.argmax(place[:, 1])])]
    far = np.min([((place - points[v]) ** 2).sum(axis=1) for v in chosen], axis=0)
    while len(chosen) < count:
        farthest = int(far.argmax())
        chosen.append(int(mask[farthest]))
        far = np.minimum(far, ((place - place[farthest]) ** 2).sum(axis=1))
    return np.array(chosen, np.int64)


@lru_cache(maxsize=2)
def measured_face(data: Path) -> MeasuredFace:
    """The measured points of the ICT model in folder ``data`` (read once)."""
    return MeasuredFace.from_ict(ICTRig.load(data))
