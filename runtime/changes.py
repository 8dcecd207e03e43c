"""What is asked of a live motion, and waits until its utterance's turn comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

KEPT = 256
"""Changes that may wait; the oldest are forgotten."""


@dataclass(frozen=True)
class StyleChange:
    """A style for ``utterance`` (empty: the present one) from absolute frame ``frame`` on (None: soon)."""

    vector: np.ndarray
    strength: float = 1.0
    utterance: str = ""
    frame: int | None = None
    ramp: float = 0.3


@dataclass(frozen=True)
class KeyChange:
    """A face to pass through at absolute frame ``frame`` of ``utterance`` (empty: the present one; None: soon)."""

    latent: np.ndarray
    rotvec: np.ndarray | None = None
    translation: np.ndarray | None = None
    utterance: str = ""
    frame: int | None = None

    @property
    def face(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Latent, and the head's rotation vector and translation."""
        return self.latent, self.rotvec, self.translation


class Waiting:
    """Changes for utterances that have not begun, in order of their coming."""

    def __init__(self) -> None:
        self._changes: list[StyleChange | KeyChange] = []

    def add(self, change: StyleChange | KeyChange) -> None:
        """Keep one."""
        self._changes = [*self._changes, change][-KEPT:]

    def take(self, utterance: str) -> Iterator[StyleChange | KeyChange]:
        """Those for an utterance, which wait no longer."""
        mine = [c for c in self._changes if c.utterance == utterance]
        self._changes = [c for c in self._changes if c.utterance != utterance]
        return iter(mine)
