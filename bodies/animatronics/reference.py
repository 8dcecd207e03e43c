"""The target as a smooth function of time, made from frames that carry the moment at which they are to be seen.

Each joint looks at it ahead by its own latency. Frames (30 Hz) are joined by a cubic B-spline whose control points are
sharpened so that it passes through the frames to third order (quasi-interpolation); it is twice differentiable, and
held within the four frames around the moment, so that it never overshoots them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

import numpy as np

from ...runtime.presentation import FRAME_NS, NS

KEPT_NS = NS
"""Frames this old are forgotten."""
MAX_FRAMES = 512
STEP = FRAME_NS / NS
# value, 1st and 2nd derivative of the four cubic B-splines over a knot interval, as polynomials in u = 0 ... 1
_BASIS = np.array([[1, -3, 3, -1], [4, 0, -6, 3], [1, 3, 3, -3], [0, 0, 0, 1]]) / 6.0


class Track:
    """Vectors in time: straight between stamps, held before the first and after the last."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.stamps: list[int] = []
        self._rows: list[np.ndarray] = []
        self._arrays: tuple[np.ndarray, np.ndarray] | None = None

    def put(self, stamp: int, row: np.ndarray) -> None:
        """Add or replace the row (width,) of a stamp, ns."""
        i = bisect_left(self.stamps, stamp)
        if i < len(self.stamps) and self.stamps[i] == stamp:
            self._rows[i] = row
        else:
            self.stamps.insert(i, stamp)
            self._rows.insert(i, row)
        if len(self.stamps) > MAX_FRAMES:
            del self.stamps[0], self._rows[0]
        self._arrays = None

    def cut(self, stamp: int) -> None:
        """Forget what is to be seen at ``stamp`` or later."""
        i = bisect_left(self.stamps, stamp)
        del self.stamps[i:], self._rows[i:]
        self._arrays = None

    def forget(self, before: int) -> None:
        """Forget rows older than ``before``, but the last."""
        i = min(bisect_left(self.stamps, before), len(self.stamps) - 1)
        if i > 0:
            del self.stamps[:i], self._rows[:i]
            self._arrays = None

    def at(self, times: np.ndarray) -> np.ndarray:
        """Values at times (width, ...) ns, one row of times for each column of the track; zeros if empty."""
        if not self.stamps:
            return np.zeros(times.shape)
        if self._arrays is None:
            self._arrays = np.array(self.stamps, np.int64), np.array(self._rows, np.float64)
        stamps, rows = self._arrays
        if len(stamps) == 1:
            return np.broadcast_to(rows[0].reshape(-1, *[1] * (times.ndim - 1)), times.shape).copy()
        left = np.clip(np.searchsorted(stamps, times, "right") - 1, 0, len(stamps) - 2)
        share = np.clip((times - stamps[left]) / (stamps[left + 1] - stamps[left]), 0.0, 1.0)
        column = np.arange(self.width).reshape(-1, *[1] * (times.ndim - 1))
        return rows[left, column] * (1.0 - share) + rows[left + 1, column] * share

    def anchors(self, times: np.ndarray) -> np.ndarray:
        """The knot at or before each time: a stamp, or whole frames after one."""
        if not self.stamps:
            return times - times % FRAME_NS
        stamps = np.array(self.stamps, np.int64) if self._arrays is None else self._arrays[0]
        base = stamps[np.clip(np.searchsorted(stamps, times, "right") - 1, 0, None)]
        return base + (times - base) // FRAME_NS * FRAME_NS


class Reference:
    """What the face and the head ask of ``width`` joints: offsets from rest, in time.

    A higher revision, or another utterance, replaces the frames from its first one on.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.counts: Counter[str] = Counter()
        self.clear()

    def clear(self) -> None:
        """Forget all frames."""
        self._face, self._pose = Track(self.width), Track(self.width)
        self._utterance, self._revision = "", -1
        self._over: list[str] = []

    @property
    def newest(self) -> int | None:
        """The last stamp for which there is a face, ns."""
        return self._face.stamps[-1] if self._face.stamps else None

    def face(self, stamp: int, row: np.ndarray, utterance: str, revision: int) -> bool:
        """Take what a face asks for, (width,); False if it is superseded."""
        if utterance != self._utterance:
            if utterance in self._over:
                self.counts["frames of an old utterance"] += 1
                return False
            self._over = [*self._over[-63:], self._utterance]
            self._utterance, self._revision = utterance, revision
            self._replace(stamp)
        elif revision > self._revision:
            self._revision = revision
            self._replace(stamp)
        elif revision < self._revision and self.newest is not None and stamp <= self.newest:
            self.counts["frames of an old revision"] += 1
            return False
        self._face.put(stamp, row)
        return True

    def pose(self, stamp: int, row: np.ndarray) -> None:
        """Take what a head pose asks for, (width,)."""
        self._pose.put(stamp, row)

    def forget(self, now: int) -> None:
        """Forget what is long past."""
        self._face.forget(now - KEPT_NS)
        self._pose.forget(now - KEPT_NS)

    def at(self, times: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, ...]:
        """Offsets from rest at times (width, M) ns, held within ``low`` and ``high`` (width,).

        Returns:
            Position, velocity and acceleration, and the position before it was held within the range, each (width, M).
        """
        anchor = self._face.anchors(times)
        knots = anchor[..., None] + FRAME_NS * np.arange(-2, 4)
        asked = self._face.at(knots) + self._pose.at(knots)
        values = np.clip(asked, low[:, None, None], high[:, None, None])
        points = values[..., 1:5]
        control = points + (2.0 * points - values[..., 0:4] - values[..., 2:6]) / 6.0
        u = (times - anchor)[..., None] / FRAME_NS
        poly = control @ _BASIS  # (width, M, 4), powers of u
        position = _value(poly, u)
        velocity = _value(poly[..., 1:] * [1, 2, 3], u) / STEP
        acceleration = _value(poly[..., 2:] * [2, 6], u) / STEP**2
        least, most = points.min(axis=-1), points.max(axis=-1)
        plain = asked[..., 2] + u[..., 0] * (asked[..., 3] - asked[..., 2])
        outside = (position < least) | (position > most)
        velocity[outside] = acceleration[outside] = 0.0
        return np.clip(position, least, most), velocity, acceleration, plain

    def _replace(self, stamp: int) -> None:
        self._face.cut(stamp)
        self._pose.cut(stamp + 1)


def _value(poly: np.ndarray, u: np.ndarray) -> np.ndarray:
    result = poly[..., -1]
    for k in range(poly.shape[-1] - 2, -1, -1):
        result = result * u[..., 0] + poly[..., k]
    return result
