"""Keyframes by inpainting in the temporal domain (Media2Face section 4.2): known frames among unknown ones.

A key enters the window clean, with noise time 0, so that the network bends the motion towards it and away from it. Its
neighbours are pulled to it by a gradient mask at every denoising step, so that the motion arrives and leaves without a
jump also where the network bends too little.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .clock import FPS
from .errors import InputError


@dataclass(frozen=True)
class Key:
    """A state to be shown at ``frame``.

    Attributes:
        frame: absolute index.
        state: (D,) standardised.
        free: (D,) bool; where True, the key says nothing (the head of a key that is only a face).
        before, after: frames over which its neighbours ease towards it and away from it.
    """

    frame: int
    state: np.ndarray
    free: np.ndarray
    before: int
    after: int

    def share(self, frames: np.ndarray) -> np.ndarray:
        """How much of the key shows at each of ``frames``, (T,) in [0, 1]."""
        away = frames - self.frame
        near = np.clip(1.0 - np.abs(away) / np.where(away < 0, self.before, self.after), 0.0, 1.0)
        return (0.5 - 0.5 * np.cos(np.pi * near)).astype(np.float32)


class KeyTrack:
    """The keys of an utterance, in order."""

    def __init__(self) -> None:
        self._keys: list[Key] = []

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def last(self) -> int:
        """Frame of the last key; -1 without any."""
        return self._keys[-1].frame if self._keys else -1

    def add(self, key: Key, replace_old: bool = False) -> None:
        """Take a key; neighbouring keys never reach beyond each other, so that each is hit.

        Raises:
            InputError: if there is one at its frame already, unless ``replace_old``.
        """
        if not replace_old and any(k.frame == key.frame for k in self._keys):
            raise InputError(f"two keyframes ask for frame {key.frame} ({key.frame / FPS:.2f} s): leave one out")
        kept = sorted([*(k for k in self._keys if k.frame != key.frame), key], key=lambda k: k.frame)
        for i, (one, two) in enumerate(zip(kept[:-1], kept[1:], strict=True)):
            gap = two.frame - one.frame
            kept[i], kept[i + 1] = replace(one, after=min(one.after, gap)), replace(two, before=min(two.before, gap))
        self._keys = kept

    def shifted(self, by: int) -> KeyTrack:
        """The keys that still lie ahead of frame 0 when all are moved by ``by`` frames."""
        other = KeyTrack()
        other._keys = [replace(k, frame=k.frame + by) for k in self._keys if k.frame + by >= 0]
        return other

    def forget(self, frame: int) -> None:
        """Drop keys that no longer act at ``frame``."""
        self._keys = [k for k in self._keys if k.frame + k.after >= frame]

    def next_after(self, frame: int) -> int | None:
        """Frame of the first key at ``frame`` or later."""
        return next((k.frame for k in self._keys if k.frame >= frame), None)

    def mask(self, frames: np.ndarray, origin: np.ndarray, lift: np.ndarray | float = 0.0) -> KeyMask | None:
        """The keys as they act on ``frames`` (T,) in a row, None if none does.

        Args:
            frames: unknown frames.
            origin: (D,) state before the first of them.
            lift: (T, D) what the sampled states lie above the shown ones, see :mod:`.restyle`.
        """
        first, end = int(frames[0]), int(frames[-1]) + 1
        near = [k for k in self._keys if k.frame - k.before < end and k.frame + k.after > first]
        if near and np.ndim(lift):
            last = len(frames) - 1
            near = [replace(k, state=k.state + lift[int(np.clip(k.frame - first, 0, last))]) for k in near]
        return KeyMask(near, frames, origin) if near else None


class KeyMask:
    """Keys on the unknown frames of a window, or of a whole clip; see :meth:`KeyTrack.mask`."""

    def __init__(self, keys: list[Key], frames: np.ndarray, origin: np.ndarray) -> None:
        self._origin = origin
        self._pulls = []
        for key in keys:
            low = max(key.frame - key.before - int(frames[0]), 0)
            touched = slice(low, max(key.frame + key.after + 1 - int(frames[0]), 0))
            self._pulls.append((touched, key.share(frames[touched])[:, None] * ~key.free, key.state))
        self._inside = [(int(k.frame - frames[0]), k) for k in keys if frames[0] <= k.frame <= frames[-1]]

    def enter(self, x: np.ndarray, times: np.ndarray, clean: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Noisy states (T, D) and their times (T,) with the keys in place, clean and at time 0.

        ``clean`` (T, D) is the last prediction, from which a key takes what it leaves free.
        """
        x, times = x.copy(), times.copy()
        for i, key in self._inside:
            x[i] = np.where(key.free, self._between(i, clean), key.state)
            times[i] = 0
        return x, times

    def pull(self, clean: np.ndarray) -> np.ndarray:
        """Predicted clean states (T, D), drawn towards the keys; at a key's frame they are the key."""
        clean = clean.copy()
        for i, key in self._inside:  # the network says nothing about frames that it was given
            clean[i] = np.where(key.free, self._between(i, clean), key.state)
        for touched, share, state in self._pulls:
            clean[touched] += share * (state - clean[touched])
        return clean

    def _between(self, i: int, clean: np.ndarray | None) -> np.ndarray:
        """What lies between a frame's neighbours, (D,)."""
        if clean is None:
            return self._origin
        before = clean[i - 1] if i else self._origin
        return 0.5 * (before + clean[i + 1]) if i + 1 < len(clean) else before
