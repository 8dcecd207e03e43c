"""What an utterance follows from frame to frame: its styles, and its speech features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .clock import FPS, features_needed, interpolate_features
from .errors import InputError
from .guidance import StyleShare
from .motion import Style

ALWAYS = -(10**6)
"""A frame before all others: what starts there holds from the start."""
LONGEST_GAP = 500
"""Features that may be missing in a row, at 50 Hz."""


class StyleTrack:
    """The styles of an utterance, each of which eases in over those before it.

    Args:
        neutral: (P,) embedding that holds where no style was set.
    """

    def __init__(self, neutral: np.ndarray) -> None:
        self.neutral = np.asarray(neutral, np.float32)
        self._styles: list[Style] = []
        self._none = Style(self.neutral, start=ALWAYS)

    def latest(self, frame: int) -> Style:
        """The style that has begun last at ``frame``."""
        return next((s for s in reversed(self._styles) if s.start <= frame), self._none)

    def check(self, vector: np.ndarray | None, strength: float, ramp_s: float) -> np.ndarray:
        """The embedding (P,), neutral for None.

        Raises:
            InputError: if its shape is wrong, or strength or ramp is out of range.
        """
        vector = self.neutral if vector is None else np.asarray(vector, np.float32)
        if vector.shape != self.neutral.shape or not np.isfinite(vector).all():
            raise InputError(f"expected a finite style embedding {self.neutral.shape}, got shape {vector.shape}")
        if not 0.0 <= strength <= 3.0:
            raise InputError(f"style strength must lie within 0 and 3, got {strength}")
        if not 0.0 <= ramp_s <= 60.0:
            raise InputError(f"a style's ramp must lie within 0 and 60 s, got {ramp_s}")
        return vector

    def set(self, vector: np.ndarray | None, strength: float, start: int, ramp_s: float) -> None:
        """Follow a style from frame ``start`` on; what was to begin there or later is dropped. See :meth:`check`."""
        vector = self.check(vector, strength, ramp_s)
        self._styles = [s for s in self._styles if s.start < start]
        self._styles.append(Style(vector, strength, start, max(round(ramp_s * FPS), 1)))

    def hold(self, vector: np.ndarray, strength: float) -> None:
        """Follow a style from the start, and no other. See :meth:`check`."""
        self.set(vector, strength, ALWAYS, 0.0)

    def restart(self) -> None:
        """Before frame 0 of another utterance: the style that was last set holds from the start."""
        self._styles = [replace(s, start=ALWAYS, ramp=1) for s in self._styles[-1:]]

    def shifted(self, by: int) -> StyleTrack:
        """The same styles, ``by`` frames later."""
        other = StyleTrack(self.neutral)
        other._styles = [replace(s, start=s.start + by) for s in self._styles]
        return other

    def forget(self, frame: int) -> None:
        """Drop the styles that had no share left before ``frame``."""
        over = [i for i, s in enumerate(self._styles) if s.start + s.ramp <= frame]
        self._styles = self._styles[over[-1] :] if over else self._styles

    def mix(self, frames: np.ndarray) -> list[StyleShare]:
        """The styles that have a share at any of the absolute ``frames`` (T,), with their gradient masks."""
        shares = [np.ones(len(frames), np.float32)]
        for style in self._styles:
            own = style.shares(frames)
            shares = [s * (1.0 - own) for s in shares] + [own]
        styles = [Style(self.neutral), *self._styles]
        active = [(s, share) for s, share in zip(styles, shares, strict=True) if share.max() > 1e-3]
        total = sum(share for _, share in active)
        return [StyleShare(s.vector, s.strength, share / total) for s, share in active]


class FeatureBuffer:
    """Speech features of an utterance, (n, A) at 50 Hz, read at frame times.

    Attributes:
        gaps: features that never came and were filled by holding the last.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.gaps = 0
        self._rows = np.zeros((0, dim), np.float32)
        self._first = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def end(self) -> int:
        """Index behind the newest feature."""
        return self._first + len(self._rows)

    def accept(self, first: int, features: np.ndarray) -> None:
        """Take consecutive features; what was already there is ignored, a gap is filled and counted.

        Raises:
            InputError: if the shape is wrong, values are not finite, or the gap is longer than ten seconds.
        """
        features = np.asarray(features, np.float32)
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise InputError(f"expected speech features (n, {self.dim}), got {features.shape}")
        if not np.isfinite(features).all():
            raise InputError("speech features hold NaN or infinite values: check the speech encoder's input")
        missing = first - self.end
        if missing > LONGEST_GAP:
            raise InputError(f"speech features jump from {self.end} to {first}: start a new utterance instead")
        if missing > 0:
            self._hold(missing)
            self.gaps += missing
        elif missing < 0:
            features = features[-missing:]
        if len(features):
            self._rows = np.concatenate([self._rows, features])

    def ready(self, frame: int) -> bool:
        """Whether ``frame`` can be read."""
        return features_needed(frame) <= self.end

    def read(self, frames: np.ndarray) -> np.ndarray:
        """Features (T, A) at ``frames``; the last one is held beyond the end."""
        short = features_needed(int(frames.max())) - self.end
        if short > 0:
            self._hold(short)
        return interpolate_features(self._rows, self._first, frames)

    def forget(self, frame: int) -> None:
        """Drop what no frame from ``frame`` on reads; the first stays for frames before 0."""
        surplus = features_needed(frame) - 4 - self._first
        if frame > 0 and surplus > 0:
            self._rows = self._rows[surplus:]
            self._first += surplus

    def _hold(self, count: int) -> None:
        held = self._rows[-1] if len(self._rows) else np.zeros(self.dim, np.float32)
        self._rows = np.concatenate([self._rows, np.tile(held, (count, 1))])
