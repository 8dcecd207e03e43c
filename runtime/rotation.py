"""Rotations of the head: rotation vectors in the models, quaternions (xyzw) on the topics."""

from __future__ import annotations

import numpy as np


def quaternions_from_rotvecs(rotvecs: np.ndarray, previous: np.ndarray | None = None) -> np.ndarray:
    """Unit quaternions xyzw (T, 4) of rotation vectors (T, 3) in radians; consecutive ones keep sign.

    ``previous`` (4,) is the quaternion before the first, for streams.
    """
    rotvecs = np.asarray(rotvecs, np.float64)
    angle = np.linalg.norm(rotvecs, axis=1, keepdims=True)
    # sin(a/2)/a, by its series near zero
    factor = np.where(angle > 1e-6, np.sin(angle / 2) / np.maximum(angle, 1e-12), 0.5 - angle**2 / 48)
    q = np.concatenate([rotvecs * factor, np.cos(angle / 2)], axis=1)
    before = np.array([0.0, 0.0, 0.0, 1.0]) if previous is None else np.asarray(previous, np.float64)
    for i in range(len(q)):
        if q[i] @ before < 0:
            q[i] = -q[i]
        before = q[i]
    return q.astype(np.float32)


def matrices_from_quaternions(quaternions: np.ndarray) -> np.ndarray:
    """Rotation matrices (T, 3, 3) of quaternions xyzw (T, 4); they are normalised first."""
    q = np.asarray(quaternions, np.float64)
    x, y, z, w = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], axis=1),
            np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], axis=1),
            np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], axis=1),
        ],
        axis=1,
    )


def rotvec_from_matrix(rotation: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) in radians of a rotation matrix (3, 3)."""
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine, cosine = np.linalg.norm(skew) / 2, (np.trace(rotation) - 1) / 2
    angle = np.arctan2(sine, cosine)
    if sine > 1e-6:
        return skew / (2 * sine) * angle
    if cosine > 0:
        return skew / 2
    outer = (rotation + np.eye(3)) / 2  # half a turn: axis times axis
    axis = outer[int(np.argmax(np.diag(outer)))]
    return axis / np.linalg.norm(axis) * np.pi


def rotvec_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) in radians of a unit quaternion xyzw (4,)."""
    return rotvec_from_matrix(matrices_from_quaternions(np.asarray(quaternion)[None])[0])
