"""Another style in the middle of a motion: the past is carried over into it, and the difference fades in what is shown.

A window whose past smiles goes on smiling, whatever its prompt says: the network never saw a style change. So its past
is moved by what the two styles differ by on average, in the network's own prediction from pure noise for this speech,
and the motion goes on in the new style at once. What is shown lacks that difference at first; the ramp brings it in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .guidance import StyleShare, guided
from .motion import SamplerConfig, Style
from .sessions import Model

SHORTEST_RAMP = 5
"""A face takes at least so many frames (0.17 s) to change its style."""


@dataclass(frozen=True)
class Lift:
    """How far the sampled motion lies from the one that is shown, around one change of style.

    Attributes:
        delta: (D,) difference of the styles, standardised.
        start, ramp: frames over which the difference comes in.
        before: the style that was left.
    """

    delta: np.ndarray
    start: int
    ramp: int
    before: Style

    def at(self, frames: np.ndarray) -> np.ndarray:
        """What to take off the sampled states at ``frames``, (n, D)."""
        come = np.clip((frames - self.start + 1) / self.ramp, 0.0, 1.0)
        eased = come * come * (3.0 - 2.0 * come)
        return ((1.0 - eased)[:, None] * self.delta).astype(np.float32)


class Restyle:
    """The styles that a stream's motion has gone through.

    Args:
        style: the one it begins in.
    """

    def __init__(self, style: Style) -> None:
        self.style = style
        self._lifts: list[Lift] = []

    def lift(self, frames: np.ndarray) -> np.ndarray | float:
        """Sampled states less shown ones at ``frames``, (n, D); 0 where no style has changed."""
        return sum((one.at(frames) for one in self._lifts), start=np.float32(0.0))

    def change(
        self, style: Style, model: Model, x: np.ndarray, audio: np.ndarray, level: int, config: SamplerConfig
    ) -> np.ndarray | float:
        """Go over to ``style``; what the sampled past has to be moved by, (D,), 0 if the style is the one that holds.

        Args:
            model: the denoiser.
            x: (T, D) noise of the window.
            audio: (T, A) its speech features.
            level: noise time of pure noise.
            config: guidance.
        """
        before, self.style = self.style, style
        if style is before or (style.strength == before.strength and np.array_equal(style.vector, before.vector)):
            return np.float32(0.0)
        whole = np.ones(len(x), np.float32)
        styles = [[StyleShare(s.vector, s.strength, whole)] for s in (before, style)]
        pair, times = (np.stack([a, a]) for a in (x, np.full(len(x), level)))
        old, new = guided(model, pair, times, np.stack([audio, audio]), styles, config)
        delta = (new - old).mean(axis=0)
        self._lifts.append(Lift(delta, style.start, max(style.ramp, SHORTEST_RAMP), before))
        return delta

    def rewind(self, frame: int) -> np.ndarray | float:
        """Undo the changes that begin at ``frame`` or later; what the sampled past has to be moved back by, (D,)."""
        undone = [one for one in self._lifts if one.start >= frame]
        self._lifts = [one for one in self._lifts if one.start < frame]
        if undone:
            self.style = undone[0].before
        return sum((one.delta for one in undone), start=np.float32(0.0))

    def forget(self, frame: int) -> None:
        """Drop changes that are over before ``frame``."""
        self._lifts = [one for one in self._lifts if one.start + one.ramp > frame]
