"""Lips that meet instead of passing through each other: a correction on top of the linear rig.

ICT's deltas are linear, so closing shapes can push the lips through each other (mouthClose = jawOpen = 1 gives -7 mm).
Wherever the inner-lip gap turns negative, upper and lower lip are moved apart vertically by half of it each. The
correction is made by rules and is part of what GNPFA learns: synthetic, and the first thing in it that is not linear.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ..runtime.arkit import ARKIT_INDEX
from .rig import INNER_LIP_PAIRS, ICTRig

_REACH_CM = 0.8
_CORNER = 60, 64


class LipSeal:
    """How deep the lips cut into each other, and the motion that undoes one centimetre of it.

    Args:
        rig: the linear rig.
        vertices: ICT vertices to move.

    Attributes:
        fields: (3, n, 3) cm of motion per cm of overlap at each of the three inner-lip pairs.
    """

    def __init__(self, rig: ICTRig, vertices: np.ndarray) -> None:
        self.rig = rig
        upper, lower = (rig.landmarks[[pair[k] for pair in INNER_LIP_PAIRS]] for k in (0, 1))
        self._ends = upper, lower
        self._gap_per_shape = rig.deltas[:, upper, 1] - rig.deltas[:, lower, 1]
        rest = rig.neutral[vertices]
        knots = np.concatenate([[rig.landmarks[_CORNER[0]]], upper, [rig.landmarks[_CORNER[1]]]])
        across = rig.neutral[knots, 0]
        chain = np.concatenate([rig.neutral[upper], rig.neutral[lower], rig.neutral[rig.landmarks[list(_CORNER)]]])
        fade = np.exp(-((cKDTree(chain).query(rest)[0] / _REACH_CM) ** 2))
        jaw = rig.deltas[ARKIT_INDEX["jawOpen"], :, 1]
        side = 1.0 - 2.0 * np.clip((jaw[vertices] - jaw[upper[1]]) / (jaw[lower[1]] - jaw[upper[1]]), 0.0, 1.0)
        self.fields = np.zeros((3, len(vertices), 3), np.float32)
        for k in range(3):
            self.fields[k, :, 1] = 0.5 * side * fade * np.interp(rest[:, 0], across, np.eye(5)[k + 1])

    def overlap(self, weights: np.ndarray, rest_gap: np.ndarray | None = None) -> np.ndarray:
        """Overlap (B, 3) cm, 0 where the lips are apart, of weights (B, 52) times their personal amplitude.

        Args:
            rest_gap: (B, 3) gaps at rest of each identity, cm; the mean identity's if None.
        """
        if rest_gap is None:
            rest_gap = self.rest_gap(np.zeros((1, len(self.rig.identity)), np.float32))
        return np.maximum(-(rest_gap + weights @ self._gap_per_shape), 0.0).astype(np.float32)

    def rest_gap(self, identity: np.ndarray) -> np.ndarray:
        """Gaps (B, 3) cm at rest of identities (B, 100)."""
        upper, lower = self._ends
        modes = self.rig.identity[:, upper, 1].astype(np.float32) - self.rig.identity[:, lower, 1].astype(np.float32)
        return self.rig.neutral[upper, 1] - self.rig.neutral[lower, 1] + identity @ modes
