"""Lips that meet instead of passing through each other: a correction on top of the rig.

ICT's deltas are linear, so closing shapes can push the lips through each other (mouthClose = jawOpen = 1 gives a gap of
-7 mm). Wherever the inner-lip gap turns negative, upper and lower lip are moved apart vertically by half of it each.
The correction is a rule, applied to the drawn head (``runtime/rig_asset.py``); lip measures read the linear rig.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ..runtime.arkit import ARKIT_INDEX
from .rig import INNER_LIP_PAIRS, ICTRig

_REACH_CM = 0.8
_CORNERS = [60, 64]


def seal_fields(rig: ICTRig, vertices: np.ndarray) -> np.ndarray:
    """Vertical motion (3, n) f32 of ICT ``vertices`` per unit of overlap at each of the three inner-lip pairs.

    Upwards on the upper lip, downwards on the lower one (told apart by how they follow the jaw), fading out within 8 mm
    of the inner lips and towards the next pair, nothing at the corners; scaled so that each pair's gap grows by exactly
    its own overlap.
    """
    upper, lower = (rig.landmarks[[pair[k] for pair in INNER_LIP_PAIRS]] for k in (0, 1))
    ends = _raw_fields(rig, upper, lower, np.concatenate([upper, lower]))
    return (np.linalg.inv(ends[:, :3] - ends[:, 3:]) @ _raw_fields(rig, upper, lower, vertices)).astype(np.float32)


def _raw_fields(rig: ICTRig, upper: np.ndarray, lower: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    rest = rig.neutral[vertices]
    corners = rig.neutral[rig.landmarks[_CORNERS]]
    across = np.concatenate([corners[:1, 0], rig.neutral[upper, 0], corners[1:, 0]])
    chain = np.concatenate([rig.neutral[upper], rig.neutral[lower], corners])
    fade = np.exp(-((cKDTree(chain).query(rest)[0] / _REACH_CM) ** 2))
    jaw = rig.deltas[ARKIT_INDEX["jawOpen"], :, 1]
    side = 1.0 - 2.0 * np.clip((jaw[vertices] - jaw[upper[1]]) / (jaw[lower[1]] - jaw[upper[1]]), 0.0, 1.0)
    shares = np.stack([np.interp(rest[:, 0], across, unit) for unit in np.eye(5)[1:4]])
    return side * fade * shares
