"""Eyeballs turned by the eyeLook shapes, as rigid rotations about their centres (REP-103 axes)."""

from __future__ import annotations

import numpy as np

from .arkit import ARKIT_INDEX

TURN_RAD = {"In": 0.55, "Out": 0.64, "Up": 0.44, "Down": 0.615}
"""Turn of an eye at eyeLook... = 1, fitted to the eye angles that LiveLink recordings carry (residual 0.02 rad)."""


def eye_angles(weights: np.ndarray, side: str) -> np.ndarray:
    """Yaw (positive to the face's left) and pitch (positive downwards) in radians, (T, 2), from weights (T, 52)."""
    name = side.capitalize()
    look = {k: turn * weights[:, ARKIT_INDEX[f"eyeLook{k}{name}"]] for k, turn in TURN_RAD.items()}
    outward = 1.0 if side == "left" else -1.0
    yaw = outward * (look["Out"] - look["In"])
    return np.stack([yaw, look["Down"] - look["Up"]], axis=1).astype(np.float32)


def eye_middle(ball: np.ndarray, reference: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Centre (3,) of an eyeball (n, 3) that is ``reference`` (n, 3), whose centre is known, moved and scaled."""
    middle, before = ball.mean(axis=0), reference.mean(axis=0)
    growth = np.sqrt(((ball - middle) ** 2).sum() / ((reference - before) ** 2).sum())
    return middle - growth * (before - centre)


def rotate_eyes(points: np.ndarray, centre: np.ndarray, weights: np.ndarray, side: str) -> np.ndarray:
    """Turn the vertices of one eyeball.

    Args:
        points: (T, n, 3) or (n, 3) metres, eyes at rest.
        centre: (3,) centre of the eyeball.
        weights: (T, 52) in ARKit order.
        side: ``left`` or ``right``.

    Returns:
        (T, n, 3) float32.
    """
    yaw, pitch = eye_angles(weights, side).T
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    zero = np.zeros_like(cy)
    # R = Rz(yaw) Ry(pitch): pitch about the eye's own left axis first, then yaw about up
    turn = np.stack([
        np.stack([cy * cp, -sy, cy * sp], -1), np.stack([sy * cp, cy, sy * sp], -1), np.stack([-sp, zero, cp], -1)
    ], axis=-2)  # fmt: skip
    return ((points - centre) @ turn.transpose(0, 2, 1) + centre).astype(np.float32)
