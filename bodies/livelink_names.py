"""The 61 channels of LiveLink Face, in both orders that are in use, and what they say about head and eyes.

On the wire (UDP) the receiver counts by Unreal's ``EARFaceBlendShape``; the CSV takes of the app carry a header, in
which the right of jaw and mouth comes before the left. Angles are radians. Their signs were fitted on the eyes of
real takes (the eyeLook weights explain ``LeftEyePitch`` to 0.002 rad) and agree with Unreal's conversion of ARKit's
transforms, which is the same for head and eyes:

* yaw is positive towards the face's right, pitch is positive downwards, roll is positive with the left ear down;
* rotation = yaw about up, then pitch about the turned left axis, then roll about the turned forward axis.

REP-103 has yaw positive to the left, pitch positive downwards, roll positive with the right ear down.
"""

from __future__ import annotations

import numpy as np

from ..runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from ..runtime.errors import InputError
from ..runtime.eyes import eye_angles
from ..runtime.rotation import matrices_from_quaternions

ANGLE_NAMES: tuple[str, ...] = (
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll",
    "RightEyeYaw", "RightEyePitch", "RightEyeRoll",
)  # fmt: skip


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


LIVELINK_NAMES: tuple[str, ...] = (*map(_capital, ARKIT_NAMES), *ANGLE_NAMES)
"""The 61 channels in the order of the wire."""

_SWAPPED = {"JawLeft": "JawRight", "JawRight": "JawLeft", "MouthLeft": "MouthRight", "MouthRight": "MouthLeft"}
LIVELINK_CSV_NAMES: tuple[str, ...] = tuple(_SWAPPED.get(name, name) for name in LIVELINK_NAMES)
"""The 61 channels in the order of a CSV take's header."""

_FROM_WIRE = np.array([LIVELINK_NAMES.index(name) for name in LIVELINK_CSV_NAMES])


def euler_angles(quaternions: np.ndarray) -> np.ndarray:
    """Yaw, pitch, roll (T, 3) in radians of quaternions xyzw (T, 4), REP-103: R = Rz(yaw) Ry(pitch) Rx(roll)."""
    r = matrices_from_quaternions(quaternions)
    yaw = np.arctan2(r[:, 1, 0], r[:, 0, 0])
    pitch = np.arcsin(np.clip(-r[:, 2, 0], -1.0, 1.0))
    roll = np.arctan2(r[:, 2, 1], r[:, 2, 2])
    return np.stack([yaw, pitch, roll], axis=1)


def livelink_values(weights: np.ndarray, head_rotation: np.ndarray) -> np.ndarray:
    """The 61 channels (T, 61) float32 in the order of :data:`LIVELINK_NAMES`.

    Args:
        weights: (T, 52), ARKit order.
        head_rotation: (T, 4) quaternions xyzw, REP-103.

    Raises:
        InputError: if shapes do not fit, values are not finite, or a quaternion is all zero.
    """
    weights, head = np.asarray(weights, np.float32), np.asarray(head_rotation, np.float64)
    if weights.ndim != 2 or weights.shape[1] != len(ARKIT_INDEX) or head.shape != (len(weights), 4):
        raise InputError(f"expected weights (T, 52) and rotations (T, 4), got {weights.shape} and {head.shape}")
    if not (np.isfinite(weights).all() and np.isfinite(head).all()):
        raise InputError("weights or rotations hold NaN or infinity: drop or hold such frames before")
    if len(head) and np.linalg.norm(head, axis=1).min() < 1e-9:
        raise InputError("expected rotations as quaternions x, y, z, w, got one that is all zero")
    out = np.zeros((len(weights), len(LIVELINK_NAMES)), np.float32)
    out[:, :52] = weights
    out[:, 52:55] = euler_angles(head) * [-1.0, 1.0, -1.0]
    for first, side in ((55, "left"), (58, "right")):
        out[:, first : first + 2] = eye_angles(weights, side) * np.float32([-1.0, 1.0])
    return out


def in_csv_order(values: np.ndarray) -> np.ndarray:
    """Channels (T, 61) from the order of the wire to that of a take's header."""
    return values[:, _FROM_WIRE]
