"""Eyes that look at a point instead of where the motion turns them, for as long as the point is fresh.

Points and angles are in the head's frame (REP-103: x forward, y left, z up), whose origin is the neck pivot.
"""

from __future__ import annotations

import numpy as np

from .arkit import ARKIT_INDEX, ARKIT_NAMES
from .errors import InputError
from .eyes import TURN_RAD, eye_angles
from .presentation import FRAME_NS, Queued, frame_offset
from .rotation import matrices_from_quaternions

EYES: dict[str, tuple[float, float, float]] = {"left": (0.094, 0.031, 0.086), "right": (0.094, -0.031, 0.086)}
"""Centres of the eyeballs of the drawn head, m."""
SPEED = 9.0
"""Fastest turn of an eye, rad/s: about that of a saccade of 30 degrees."""
TAKEN_S, RELEASED_S = 0.12, 0.5
"""How long the eyes take to leave the generated motion, and to come back to it."""
NEAREST = 0.03
"""Points nearer than this to an eye are refused, m."""

_LOOK = {side: {k: ARKIT_INDEX[f"eyeLook{k}{side.capitalize()}"] for k in TURN_RAD} for side in EYES}


def eye_turns(point: np.ndarray) -> np.ndarray:
    """Yaw (positive to the left) and pitch (positive downwards) of both eyes, (2, 2) in rad, left eye first.

    Args:
        point: (3,) in the head's frame, m. Each eye turns to it by itself, so near points make them converge, and as
            far as eyes turn.
    """
    ways = np.asarray(point, np.float64) - np.array(list(EYES.values()))
    yaw = np.arctan2(ways[:, 1], ways[:, 0])
    pitch = np.arctan2(-ways[:, 2], np.hypot(ways[:, 0], ways[:, 1]))
    left = np.array([TURN_RAD["Out"], TURN_RAD["In"]])  # how far each eye turns to the left
    right = left[::-1]
    return np.stack([np.clip(yaw, -right, left), np.clip(pitch, -TURN_RAD["Up"], TURN_RAD["Down"])], axis=1)


def with_eye_turns(weights: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Weights (52,) whose eyeLook shapes make :func:`.eye_angles` give ``turns`` (2, 2); the rest is as it was."""
    out = np.array(weights, np.float32)
    for (side, look), (yaw, pitch) in zip(_LOOK.items(), turns, strict=True):
        outward = yaw if side == "left" else -yaw
        for name, angle in (("Out", outward), ("In", -outward), ("Down", pitch), ("Up", -pitch)):
            out[look[name]] = np.clip(angle / TURN_RAD[name], 0.0, 1.0)
    return out


def turns_of(weights: np.ndarray) -> np.ndarray:
    """What eyeLook shapes of weights (52,) make of the eyes: (2, 2) as from :func:`eye_turns`."""
    return np.stack([eye_angles(np.asarray(weights)[None], side)[0] for side in EYES]).astype(np.float64)


def optical_rotation(forward: np.ndarray) -> np.ndarray:
    """Quaternion xyzw of a frame with z along ``forward`` (3,), x to the right and y down ("optical frame").

    ``forward`` lies within 90 degrees of the head's x axis.
    """
    z = np.asarray(forward, np.float64) / np.linalg.norm(forward)
    x = np.cross(z, (0.0, 0.0, 1.0))
    x /= np.linalg.norm(x)
    m = np.stack([x, np.cross(z, x), z], axis=1)
    w = 0.5 * np.sqrt(max(1.0 + np.trace(m), 1e-12))
    return np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], 4.0 * w * w]) / (4.0 * w)


class Gaze:
    """Where the eyes of a stream of frames look.

    Args:
        fresh_s: how long a point counts after it was given.
    """

    def __init__(self, fresh_s: float = 1.0) -> None:
        self.fresh_s = fresh_s
        self._point: np.ndarray | None = None
        self._on_head = False
        self._until = -np.inf
        self._share = 0.0
        self._turns: np.ndarray | None = None
        self._last: float | None = None

    def active(self, time: float) -> bool:
        """Whether the eyes look at a point at ``time`` (s), or are on their way back."""
        return self._share > 0.0 or (self._point is not None and time <= self._until)

    def look_at(self, point: np.ndarray, now: float, on_head: bool = False) -> None:
        """Look at ``point`` (3,), m, from time ``now`` (s) on; ``on_head`` says that it is in the head's frame.

        Otherwise it is in the frame of the head's rest pose, and the eyes make up for the head's motion.

        Raises:
            InputError: NaN, infinity, or a point in the face.
        """
        point = np.asarray(point, np.float64)
        if point.shape != (3,) or not np.isfinite(point).all():
            raise InputError(f"expected a point to look at as three finite coordinates in m, got {point.tolist()}")
        if min(np.linalg.norm(point - eye) for eye in EYES.values()) < NEAREST:
            raise InputError(f"the point to look at, {np.round(point, 3).tolist()} m, lies in the face: "
                             "expected metres from the neck pivot, x forward")  # fmt: skip
        self._point, self._on_head, self._until = point, on_head, now + self.fresh_s

    def apply(self, weights: np.ndarray, rotation: np.ndarray, translation: np.ndarray, time: float) -> np.ndarray:
        """Weights (52,) of the frame seen at ``time`` (s), with the eyes where they are to look.

        Args:
            rotation: (4,) quaternion xyzw of the head against rest.
            translation: (3,) offset of the neck pivot, m.
        """
        step = 0.0 if self._last is None else float(np.clip(time - self._last, 0.0, 0.05))
        self._last = time
        fresh = self._point is not None and time <= self._until
        if not fresh and self._share == 0.0:
            return weights
        rate = step / TAKEN_S if fresh else -step / RELEASED_S
        self._share = float(np.clip(self._share + rate, 0.0, 1.0))
        own = turns_of(weights)
        if self._share == 0.0:
            self._turns = None
            return weights
        goal = eye_turns(self._in_head(rotation, translation)) if fresh else self._turns
        before = own if self._turns is None else self._turns
        self._turns = before + np.clip(goal - before, -SPEED * step, SPEED * step)
        eased = self._share * self._share * (3.0 - 2.0 * self._share)
        return with_eye_turns(weights, (1.0 - eased) * own + eased * self._turns)

    def _in_head(self, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
        if self._on_head:
            return self._point
        turn = matrices_from_quaternions(np.asarray(rotation)[None])[0]
        return turn.T @ (self._point - np.asarray(translation, np.float64))


class IdleFace:
    """Frames of a silent face, for as long as its eyes have somewhere to look.

    Args:
        utterance: an id of its own.
        start: when frame 0 is to be seen, ns.
        value: of the frames: (None, weights (52,), quaternion xyzw (4,), translation (3,)), usually the last ones seen.
    """

    def __init__(self, utterance: str, start: int, value: tuple | None = None) -> None:
        rest = (None, np.zeros(len(ARKIT_NAMES), np.float32), np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(3))
        self._utterance, self._start = utterance, start
        self._value = rest if value is None else (None, *value[1:])
        self._next = 0

    def next_time(self) -> int:
        """When the next frame is to be seen, ns."""
        return self._start + frame_offset(self._next)

    def due(self, now: int) -> Queued | None:
        """The frame for ``now``, if there is one; those before it are left out."""
        if now < self.next_time():
            return None
        frame = max((now - self._start) // FRAME_NS, self._next)
        self._next = frame + 1
        return Queued(self._utterance, frame, 0, self._start + frame_offset(frame), self._value)
