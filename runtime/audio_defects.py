"""What can be wrong with samples: NaN and infinity are replaced by 0, clipped runs are counted; both are reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLIP_LEVEL = 0.999  # of full scale; two such samples in a row are a clipped run, a lone peak is not
CLIP_WARN = 1e-3  # share of clipped samples from which a signal is reported


@dataclass
class Defects:
    """What was wrong with a signal, counted in frames (all channels of one instant) at its own rate."""

    frames: int = 0
    nonfinite: int = 0
    clipped: int = 0

    @property
    def clipped_share(self) -> float:
        """Share of the frames that lie in a full-scale run, 0 to 1."""
        return self.clipped / self.frames if self.frames else 0.0

    def describe(self) -> list[str]:
        """One sentence for each defect worth a user's attention."""
        lines = []
        if self.nonfinite:
            lines.append(f"{self.nonfinite} of {self.frames} samples were NaN or infinite and were replaced by 0")
        if self.clipped_share > CLIP_WARN:
            lines.append(f"{100 * self.clipped_share:.1f} % of the samples are clipped; lower the recording level")
        return lines


class Cleaner:
    """Zeroes what is not finite and counts defects, across block borders; frames (n, channels) in and out."""

    def __init__(self, defects: Defects):
        self._defects = defects
        self._was_full = False
        self._was_counted = False

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        finite = np.isfinite(frames)
        if not finite.all():
            self._defects.nonfinite += int((~finite.all(axis=1)).sum())
            frames = np.where(finite, frames, 0.0).astype(np.float32)
        full = (np.abs(frames) >= CLIP_LEVEL).any(axis=1)
        before = np.concatenate([[self._was_full], full[:-1]])
        after = np.concatenate([full[1:], [False]])
        run = full & (before | after)
        late = bool(full[0] and self._was_full and not self._was_counted)  # the frame before turns out to open a run
        self._defects.clipped += int(run.sum()) + late
        self._defects.frames += len(frames)
        self._was_full, self._was_counted = bool(full[-1]), bool(run[-1])
        return frames
