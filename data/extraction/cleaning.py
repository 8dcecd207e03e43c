"""Cleaning of fitted motion as MMHead's appendix A.1 describes it: box-plot outliers replaced, then smoothing.

Outliers: frames whose distance from the clip's mean lies outside [Q1 - s IQR, Q3 + s IQR], for pose, expression and
size of the face. Smoothing: the paper's eq. 6 has no data term (a constant would minimise it), so the poses are kept
near the estimates:

    minimise  sum_t c_t |y_t - x_t|^2  +  lambda sum_t |y_t - y_(t-1)|^2

with c_t = 0 at outliers, which are thereby replaced from their neighbours. Its minimiser is the solution of one banded
linear system, so no Adam is needed. Ours is more careful in two ways: lids and gaze do not count as expression (a blink
is an outlier of every clip and must stay), and only short runs are replaced (a long one is a movement).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

from media2face.runtime.arkit import ARKIT_NAMES
from media2face.runtime.errors import ConfigError

_COUNTED = np.array([not n.startswith(("eyeBlink", "eyeLook")) for n in ARKIT_NAMES])
_UPPER = np.array([n.startswith(("brow", "eye")) for n in ARKIT_NAMES])


@dataclass(frozen=True)
class Cleaning:
    """How much is cleaned.

    Attributes:
        scale: s of the box plot; 1.5 marks what statistics call outliers, 3 the far ones.
        longest: frames; a longer run of outliers is a movement and stays.
        upper, mouth, pose: lambda of eq. 6 for eyes and brows, for mouth and jaw (0: the fit has smoothed them), and
            for the head.
    """

    scale: float = 3.0
    longest: int = 3
    upper: float = 0.3
    mouth: float = 0.0
    pose: float = 0.5

    def __post_init__(self) -> None:
        if not self.scale > 0 or self.longest < 0:
            raise ConfigError(f"expected scale > 0 and longest >= 0, got {self.scale} and {self.longest}")
        for name in ("upper", "mouth", "pose"):
            if not 0 <= getattr(self, name) <= 100:
                raise ConfigError(f"expected {name} in [0, 100], got {getattr(self, name)}")


def box_outliers(values: np.ndarray, scale: float = 3.0, longest: int = 3) -> np.ndarray:
    """Frames (T,) bool whose distance from the mean of ``values`` (T, D) lies outside the box plot's whiskers.

    Runs of more than ``longest`` frames are not counted. A series without spread has no outliers.
    """
    values = np.asarray(values, np.float64).reshape(len(values), -1)
    distance = np.linalg.norm(values - values.mean(axis=0), axis=1)
    low, high = np.percentile(distance, (25, 75))
    if high - low < 1e-9:
        return np.zeros(len(values), bool)
    out = (distance < low - scale * (high - low)) | (distance > high + scale * (high - low))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], out.astype(np.int8), [0]])))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first > longest:
            out[first:last] = False
    return out


def smooth_near(values: np.ndarray, strength: float, known: np.ndarray | None = None) -> np.ndarray:
    """The minimiser of the module's objective for ``values`` (T, D); ``known`` (T,) bool is where c_t is 1.

    With ``strength`` 0, unknown frames alone are replaced, linearly from their neighbours.
    """
    values = np.asarray(values, np.float64)
    frames = len(values)
    known = np.ones(frames, bool) if known is None else known
    if known.all() and strength == 0 or frames < 3 or not known.any():
        return values.copy()
    if strength == 0:
        at = np.flatnonzero(known)
        flat = values.reshape(frames, -1)
        filled = np.stack([np.interp(np.arange(frames), at, c[at]) for c in flat.T], axis=1)
        return filled.reshape(values.shape)
    degree = np.full(frames, 2.0)
    degree[[0, -1]] = 1.0
    bands = np.stack([np.full(frames, -strength), known + strength * degree])
    bands[0, 0] = 0.0
    target = values.reshape(frames, -1) * known[:, None]
    return solveh_banded(bands, target).reshape(values.shape)


@dataclass(frozen=True)
class Cleaned:
    """Motion after cleaning, and the frames (T,) bool that were replaced."""

    weights: np.ndarray
    head_rotvec: np.ndarray
    head_translation: np.ndarray
    replaced: np.ndarray


def clean(
    weights: np.ndarray,
    head_rotvec: np.ndarray,
    head_translation: np.ndarray,
    size: np.ndarray,
    bad: np.ndarray,
    config: Cleaning | None = None,
) -> Cleaned:
    """Clean a clip at the video's own frames.

    Args:
        weights: (T, 52). head_rotvec: (T, 3) rad. head_translation: (T, 3) m. size: (T,) of the face, any unit.
        bad: (T,) frames known to be wrong (bridged ones): replaced, too.
    """
    c = config or Cleaning()
    face = box_outliers(weights[:, _COUNTED], c.scale, c.longest)
    head = box_outliers(np.column_stack([head_rotvec, 5 * head_translation]), c.scale, c.longest)
    head |= box_outliers(np.log(size)[:, None], c.scale, c.longest)
    good_face, good_head = ~(face | bad), ~(head | bad)
    if not good_face.any() or not good_head.any():
        good_face = good_head = ~bad
    out = np.empty_like(weights)
    out[:, _UPPER] = smooth_near(weights[:, _UPPER], c.upper, good_face)
    out[:, ~_UPPER] = smooth_near(weights[:, ~_UPPER], c.mouth, good_face)
    return Cleaned(
        weights=np.clip(out, 0, 1).astype(np.float32),
        head_rotvec=smooth_near(head_rotvec, c.pose, good_head).astype(np.float32),
        head_translation=smooth_near(head_translation, c.pose, good_head).astype(np.float32),
        replaced=~(good_face & good_head),
    )
