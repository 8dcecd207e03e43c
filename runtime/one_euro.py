"""The one-euro filter: smooth at rest, quick when things move (Casiez, Roussel, Vogel 2012). Causal."""

from __future__ import annotations

import numpy as np


class OneEuro:
    """Low-pass filter of vectors whose cutoff grows with their speed.

    Args:
        cutoff: Hz at rest. slope: Hz more per unit of speed (units of the signal per second).
        speed_cutoff: Hz, smoothing of the speed.
        together: one speed for the whole vector (its length) rather than one for each component.
    """

    def __init__(self, cutoff: float, slope: float, speed_cutoff: float = 2.0, together: bool = False) -> None:
        if not (cutoff > 0 and slope >= 0 and speed_cutoff > 0):
            raise ValueError(f"expected cutoffs > 0 and slope >= 0, got {cutoff}, {slope}, {speed_cutoff}")
        self.cutoff, self.slope, self.speed_cutoff, self.together = cutoff, slope, speed_cutoff, together
        self.reset()

    def reset(self) -> None:
        """Forget; the next value passes as it is."""
        self._value: np.ndarray | None = None
        self._speed: np.ndarray | float = 0.0
        self._time = 0.0

    def __call__(self, value: np.ndarray, time: float) -> np.ndarray:
        """Filtered ``value`` (n,) at ``time`` s; a time that does not go on counts as a millisecond later."""
        value = np.asarray(value, np.float64)
        if self._value is None:
            self._value, self._time, self._speed = value, time, np.zeros_like(value)
            return value
        dt = max(time - self._time, 1e-3)
        share = _share(self.speed_cutoff, dt)
        self._speed = self._speed + share * ((value - self._value) / dt - self._speed)
        pace = np.linalg.norm(self._speed) / np.sqrt(value.size) if self.together else np.abs(self._speed)
        self._value = self._value + _share(self.cutoff + self.slope * pace, dt) * (value - self._value)
        self._time = time
        return self._value


def _share(cutoff: np.ndarray | float, dt: float) -> np.ndarray | float:
    turn = 2 * np.pi * cutoff * dt
    return turn / (turn + 1)
