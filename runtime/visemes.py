"""The fifteen visemes of OVR lip sync from ARKit weights, for heads that know only those.

A face is explained as a sum of mouth poses, one per viseme, by non-negative least squares over the mouth's shapes. Each
shape is first divided by what it does in ordinary speech, since a press of 0.1 tells as much as a jaw of 0.25. The
poses are those of :data:`TABLE`, in weights of ordinary speech; ``sil`` is what the others leave of 1. Smiles and
frowns are no part of it, so that a happy face at rest is silent. Visemes that look alike (DD and nn; CH and RR) share.
"""

from __future__ import annotations

import numpy as np

from .arkit import ARKIT_INDEX, ARKIT_NAMES
from .errors import InputError

VISEMES: tuple[str, ...] = (
    "sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou",
)  # fmt: skip

EXAMPLES: dict[str, str] = {
    "sil": "silence", "PP": "p b m", "FF": "f v", "TH": "th dh", "DD": "t d", "kk": "k g ng h", "CH": "ch j sh zh",
    "SS": "s z", "nn": "n l", "RR": "r er", "aa": "father, cat", "E": "bed, about", "ih": "see, it", "oh": "go",
    "ou": "food, w",
}  # fmt: skip

TABLE: dict[str, dict[str, float]] = {
    "PP": {"mouthPress": 0.11, "mouthClose": 0.05, "jawOpen": 0.05},
    "FF": {"mouthRollLower": 0.34, "mouthUpperUp": 0.12, "jawOpen": 0.04},
    "TH": {"jawOpen": 0.12, "mouthLowerDown": 0.13, "mouthUpperUp": 0.04, "tongueOut": 0.08},
    "DD": {"jawOpen": 0.06, "mouthLowerDown": 0.15, "mouthStretch": 0.06},
    "kk": {"jawOpen": 0.12, "mouthLowerDown": 0.11},
    "CH": {"jawOpen": 0.04, "mouthFunnel": 0.22, "mouthPucker": 0.18, "mouthLowerDown": 0.13, "mouthUpperUp": 0.06},
    "SS": {"jawOpen": 0.04, "mouthLowerDown": 0.22, "mouthUpperUp": 0.07, "mouthStretch": 0.13},
    "nn": {"jawOpen": 0.10, "mouthLowerDown": 0.19},
    "RR": {"jawOpen": 0.10, "mouthFunnel": 0.11, "mouthPucker": 0.16, "mouthLowerDown": 0.12},
    "aa": {"jawOpen": 0.34, "mouthLowerDown": 0.09, "mouthUpperUp": 0.05},
    "E": {"jawOpen": 0.18, "mouthLowerDown": 0.14, "mouthUpperUp": 0.09, "mouthStretch": 0.12},
    "ih": {"jawOpen": 0.08, "mouthLowerDown": 0.16, "mouthUpperUp": 0.07, "mouthStretch": 0.22},
    "oh": {"jawOpen": 0.18, "mouthPucker": 0.32, "mouthFunnel": 0.16, "mouthLowerDown": 0.06},
    "ou": {"jawOpen": 0.065, "mouthPucker": 0.48, "mouthFunnel": 0.15, "mouthLowerDown": 0.05},
}
"""Weights of each viseme's pose; a shape that has a left and a right one stands for both."""

ORDINARY: dict[str, float] = {
    "jawOpen": 0.22, "mouthClose": 0.06, "mouthPress": 0.08, "mouthRollLower": 0.25, "mouthUpperUp": 0.12,
    "mouthLowerDown": 0.20, "mouthStretch": 0.20, "mouthPucker": 0.30, "mouthFunnel": 0.20, "tongueOut": 0.12,
}  # fmt: skip
"""What each shape does in ordinary speech: the unit in which poses are compared."""

RIDGE = 0.02
STEPS = 80


def _columns(shape: str) -> list[int]:
    names = [shape] if shape in ARKIT_INDEX else [f"{shape}Left", f"{shape}Right"]
    return [ARKIT_INDEX[name] for name in names]


_READ = np.zeros((len(ORDINARY), len(ARKIT_NAMES)))  # 52 weights to the shapes of the table, in their units
for _row, (_shape, _unit) in zip(_READ, ORDINARY.items(), strict=True):
    _row[_columns(_shape)] = 1.0 / (_unit * len(_columns(_shape)))
POSES = np.array([[TABLE[v].get(shape, 0.0) / unit for shape, unit in ORDINARY.items()] for v in VISEMES[1:]])
_GRAM = POSES @ POSES.T + RIDGE * np.eye(len(POSES))
_STEP = 1.0 / np.linalg.norm(_GRAM, 2)


def visemes_of(weights: np.ndarray) -> np.ndarray:
    """Visemes (T, 15) in the order of :data:`VISEMES`, each 0 to 1 and 1 in sum, of weights (T, 52).

    Raises:
        InputError: for another shape, NaN or infinity.
    """
    weights = np.asarray(weights, np.float64)
    if weights.ndim != 2 or weights.shape[1] != len(ARKIT_NAMES) or not np.isfinite(weights).all():
        raise InputError(f"expected finite weights (T, {len(ARKIT_NAMES)}), got {weights.shape}")
    wanted = np.clip(weights, 0.0, 1.0) @ _READ.T @ POSES.T  # (T, 14)
    shares = ahead = np.zeros_like(wanted)
    for k in range(STEPS):  # projected gradient, accelerated (Beck and Teboulle 2009)
        before, shares = shares, np.maximum(ahead + _STEP * (wanted - ahead @ _GRAM), 0.0)
        ahead = shares + k / (k + 3.0) * (shares - before)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1.0)
    silence = 1.0 - shares.sum(axis=1, keepdims=True)
    return np.concatenate([np.maximum(silence, 0.0), shares], axis=1).astype(np.float32)
