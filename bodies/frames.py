"""What a bridge sends: whole frames, each at the moment at which it is to be seen.

Expressions and head poses are published up to 100 ms ahead of that moment. A :class:`Stage` holds them until then, so
that a receiver that draws what comes, as game engines do, is in step with the sound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..runtime.arkit import ARKIT_NAMES, indices
from ..runtime.errors import InputError
from ..runtime.presentation import NS, FrameQueue, frame_offset

AHEAD = NS // 250
"""Frames leave this much early, which is about what sending takes, ns."""
FAR_PAST, FAR_FUTURE = 10 * NS, 5 * NS
"""Stamps farther from now than this are of another clock: the frame is refused, ns."""
MAX_NAMES = 256
POSES_KEPT = 64


@dataclass(frozen=True)
class FaceFrame:
    """One frame of the face.

    Attributes:
        utterance, frame, revision: as in the message ``Expression``.
        present: when it is to be seen, ns.
        weights: (52,) float32 in ARKit order, 0 to 1.
        rotation: (4,) quaternion xyzw of the head against its rest pose, REP-103.
        translation: (3,) offset of the neck pivot from rest, metres, REP-103.
    """

    utterance: str
    frame: int
    revision: int
    present: int
    weights: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray


class WeightReader:
    """Named weights, in whatever order, to (52,) in ARKit order; shapes that are not named are at rest."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] | list[str] = ARKIT_NAMES
        self._places = np.arange(len(ARKIT_NAMES))

    def read(self, names: Sequence[str], weights: np.ndarray) -> np.ndarray:
        """Weights (52,) float32, clipped to [0, 1].

        Raises:
            InputError: unknown or doubled names, another number of weights than names, NaN or infinity.
        """
        if len(names) != len(weights) or not 0 < len(names) <= MAX_NAMES:
            raise InputError(f"expected one weight for each of 1 to {MAX_NAMES} names, "
                             f"got {len(names)} names and {len(weights)} weights")  # fmt: skip
        if names is not self._names and list(names) != list(self._names):
            places = indices(names)
            if len(set(places.tolist())) != len(places):
                raise InputError("a shape is named twice")
            self._names, self._places = list(names), places
        values = np.asarray(weights, np.float32)
        if not np.isfinite(values).all():
            raise InputError("weights hold NaN or infinite values")
        full = np.zeros(len(ARKIT_NAMES), np.float32)
        full[self._places] = np.clip(values, 0.0, 1.0)
        return full


class Stage:
    """Frames that wait for their moment, put together from expressions and head poses of the same stamp.

    A higher revision replaces what waits. Of frames that come late only the newest is given out, and none that is
    older than what has been given out. A frame whose head pose has not come wears the last one.
    """

    def __init__(self) -> None:
        self._queue = FrameQueue(AHEAD)
        self._reader = WeightReader()
        self._poses: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._pose = (np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(3))
        self._shown = 0

    @property
    def counts(self) -> Counter[str]:
        """What was late, replaced or missing."""
        return self._queue.counts

    def face(
        self,
        utterance: str,
        frame: int,
        revision: int,
        present: int,
        names: Sequence[str],
        weights: np.ndarray,
        now: int,
    ) -> None:
        """Take an expression.

        Raises:
            InputError: weights that cannot be used, or a stamp far from ``now``.
        """
        self._check_stamp(present, now)
        values = self._reader.read(names, weights)
        self._queue.push(utterance, present - frame_offset(frame), frame, revision, [values])

    def pose(self, present: int, rotation: np.ndarray, translation: np.ndarray, now: int) -> None:
        """Take a head pose: quaternion xyzw (any length but 0) and metres.

        Raises:
            InputError: NaN, no rotation at all, an offset of more than a metre, or a stamp far from ``now``.
        """
        self._check_stamp(present, now)
        length = float(np.linalg.norm(rotation))
        if not np.isfinite(length) or not 0.5 < length < 2.0:
            raise InputError(f"expected the head's rotation as a unit quaternion, got {np.round(rotation, 3).tolist()}")
        if not np.isfinite(translation).all() or np.abs(translation).max() > 1.0:
            raise InputError(f"expected the head's offset in metres, got {np.round(translation, 3).tolist()}")
        self._poses[present] = (np.asarray(rotation) / length, np.asarray(translation))
        while len(self._poses) > POSES_KEPT:
            del self._poses[min(self._poses)]

    def due(self, now: int) -> list[FaceFrame]:
        """Frames that are to be seen by ``now``, in order: usually none or one."""
        if self._shown > now + FAR_FUTURE:  # the clock was set back
            self._shown = 0
            self._poses = {stamp: pose for stamp, pose in self._poses.items() if stamp <= now + FAR_FUTURE}
        frames = []
        for item in self._queue.due(now):
            if item.present < self._shown:
                self._queue.counts["late frames left out"] += 1
                continue
            self._shown = item.present
            self._pose = self._poses.pop(item.present, self._pose)
            frames.append(FaceFrame(item.utterance, item.frame, item.revision, item.present, item.value, *self._pose))
        if frames:
            self._poses = {stamp: pose for stamp, pose in self._poses.items() if stamp > self._shown}
        return frames

    def next_time(self) -> int | None:
        """When the next frame is to be seen, ns, or None."""
        return self._queue.next_time()

    @staticmethod
    def _check_stamp(present: int, now: int) -> None:
        if not now - FAR_PAST <= present <= now + FAR_FUTURE:
            raise InputError(f"the stamp is {(present - now) / NS:+.1f} s from now: expected the moment at which the "
                             "frame is to be seen, by this machine's clock")  # fmt: skip
