"""From weights and a head pose to joint targets: a matrix, a rest position, and what is tuned live."""

from __future__ import annotations

import numpy as np

from ...runtime.errors import ConfigError
from ...runtime.rotation import matrices_from_quaternions
from .robot_map import POSE_NAMES, TERM_NAMES, RobotMap

FACE_TERMS = len(TERM_NAMES) - len(POSE_NAMES)
MAX_GAIN = 3.0


def pose_terms(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Roll, pitch, yaw (rad) and x, y, z (m), (6,), of a unit quaternion xyzw (4,) and an offset (3,) in REP-103 axes.

    The rotation is Rz(yaw) Ry(pitch) Rx(roll), as everywhere in ROS.
    """
    r = matrices_from_quaternions(np.asarray(rotation, np.float64)[None])[0]
    pitch = np.arcsin(np.clip(-r[2, 0], -1.0, 1.0))
    return np.array([np.arctan2(r[2, 1], r[2, 2]), pitch, np.arctan2(r[1, 0], r[0, 0]), *translation], np.float64)


class Mixer:
    """Offsets of the joints from rest, and the live tuning: gain, offset, and a range within the map's.

    Attributes:
        rest, low, high: (J,) rad; those of the map as tuned.
        gain: (J,) factor of what the face asks for.
        offset: (J,) rad, added to everything, also at rest.
    """

    def __init__(self, robot: RobotMap) -> None:
        joints = robot.joints
        matrix = np.zeros((len(joints), len(TERM_NAMES)))
        for i, joint in enumerate(joints):
            for name, coefficient in joint.terms.items():
                matrix[i, TERM_NAMES.index(name)] = joint.direction * coefficient
        self._face, self._pose = matrix[:, :FACE_TERMS], matrix[:, FACE_TERMS:]
        self._names = robot.names
        self.hard_low = np.array([j.range[0] for j in joints])
        self.hard_high = np.array([j.range[1] for j in joints])
        self.low, self.high = self.hard_low.copy(), self.hard_high.copy()
        self._rest = np.array([j.rest for j in joints])
        self.gain, self.offset = np.ones(len(joints)), np.zeros(len(joints))

    @property
    def rest(self) -> np.ndarray:
        """Where the joints are when the face is neutral, (J,)."""
        return np.clip(self._rest + self.offset, self.low, self.high)

    def face(self, weights: np.ndarray) -> np.ndarray:
        """What weights (52,) ask for, (J,) rad away from rest."""
        return self.gain * (self._face @ weights)

    def pose(self, terms: np.ndarray) -> np.ndarray:
        """What a head pose (6,) asks for, (J,) rad away from rest."""
        return self.gain * (self._pose @ terms)

    def position(self, away: np.ndarray) -> np.ndarray:
        """Positions (..., J) of offsets from rest, not clipped."""
        return self._rest + self.offset + away

    def tune(self, joint: str, key: str, value: float) -> None:
        """Set ``gain``, ``offset``, ``min`` or ``max`` of a joint.

        Raises:
            ConfigError: unknown, not finite, outside the map's range, or a range turned inside out.
        """
        if joint not in self._names:
            raise ConfigError(f"no joint {joint!r}")
        i = self._names.index(joint)
        low, high = self.hard_low[i], self.hard_high[i]
        bounds = {
            "gain": (0.0, MAX_GAIN),
            "offset": (low - high, high - low),
            "min": (low, self.high[i]),
            "max": (self.low[i], high),
        }
        if key not in bounds:
            raise ConfigError(f"{joint}.{key}: expected one of {', '.join(bounds)}")
        least, most = bounds[key]
        if not least <= value <= most:
            raise ConfigError(f"{joint}.{key}: expected a number from {least:g} to {most:g}, got {value:g}")
        {"gain": self.gain, "offset": self.offset, "min": self.low, "max": self.high}[key][i] = value
