"""The latest transform between frames, from what is published on ``/tf`` and ``/tf_static``."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from .errors import InputError
from .rotation import matrices_from_quaternions

MAX_FRAMES, MAX_DEPTH = 1000, 64


class FrameTree:
    """Frames and their parents; only the latest transform of each is kept (points to look at need no history)."""

    def __init__(self) -> None:
        self._parents: OrderedDict[str, tuple[str, np.ndarray, np.ndarray]] = OrderedDict()

    def put(self, parent: str, child: str, rotation: np.ndarray, translation: np.ndarray) -> None:
        """Frame ``child`` in ``parent``: quaternion xyzw, m.

        Raises:
            InputError: if they are no rotation and no place.
        """
        length = float(np.linalg.norm(rotation))
        if not np.isfinite(length) or abs(length - 1.0) > 0.01 or not np.isfinite(translation).all() or parent == child:
            raise InputError(f"the transform from {parent!r} to {child!r} is no rotation and translation")
        self._parents[child] = (parent, matrices_from_quaternions(np.asarray(rotation)[None])[0], np.array(translation))
        self._parents.move_to_end(child)
        if len(self._parents) > MAX_FRAMES:
            self._parents.popitem(last=False)

    def transform(self, point: np.ndarray, source: str, target: str) -> np.ndarray:
        """``point`` (3,) of frame ``source`` in frame ``target``.

        Raises:
            InputError: if nothing connects the two.
        """
        if source == target:
            return np.asarray(point, np.float64)
        up, down = self._chain(source), self._chain(target)
        shared = next((frame for frame in up if frame in down), None)
        if shared is None:
            raise InputError(f"no transform connects {source!r} with {target!r}: publish it on /tf, or give the point "
                             f"in {target!r}")  # fmt: skip
        rotation, translation = up[shared]
        in_shared = rotation @ np.asarray(point, np.float64) + translation
        rotation, translation = down[shared]
        return rotation.T @ (in_shared - translation)

    def _chain(self, frame: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Every ancestor of ``frame``, itself first, with the transform from ``frame`` to it."""
        rotation, translation = np.eye(3), np.zeros(3)
        found = {frame: (rotation, translation)}
        while frame in self._parents and len(found) < MAX_DEPTH:
            frame, turn, shift = self._parents[frame]
            rotation, translation = turn @ rotation, turn @ translation + shift
            if frame in found:
                break
            found[frame] = (rotation, translation)
        return found
