"""Random windows of cached motion and their noise times: what denoiser and student are trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from media2face.models.media2face.config import DenoiserConfig

SHARES = {"synthetic": 0.8, "grid": 0.12, "facegood": 0.08}
PAST = 32


class Windows:
    """Random windows of cached clips, as the engine will see them: at rest, with held features, before frame 0.

    Args:
        cache: folder written by ``training.motion_cache``.
        split: of the clips.
        shares: of the windows, by source; sources that are not named are left out.

    Raises:
        ValueError: if the cache has no clips of the split and the named sources.
    """

    def __init__(self, cache: Path, split: str, shares: dict[str, float]) -> None:
        self.record = json.loads((cache / "index.json").read_text())
        self.states = np.load(cache / "states.npy", mmap_mode="r")
        self.features = np.load(cache / "features.npy", mmap_mode="r")
        self.prompts = np.load(cache / "prompts.npy")
        self.rest = np.array(self.record["rest"], np.float32)
        self.clips = [c for c in self.record["clips"] if c["split"] == split and shares.get(c["source"])]
        if not self.clips:
            raise ValueError(f"{cache} holds no clips of split {split!r} from {', '.join(shares)}")
        frames = {s: sum(c["frames"] for c in self.clips if c["source"] == s) for s in shares}
        chances = [shares[c["source"]] * c["frames"] / frames[c["source"]] for c in self.clips]
        self.chances = np.cumsum(chances) / np.sum(chances)

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation (D,) of the states; near-constant dimensions get a floor."""
        rows = np.concatenate([self.states[c["start"] : c["start"] + c["frames"]] for c in self.clips])
        std = rows.std(axis=0)
        return rows.mean(axis=0), np.maximum(std, 0.1 * np.median(std[:-6])) if len(std) > 6 else std

    def rates(self) -> tuple[np.ndarray, np.ndarray]:
        """Root mean squares (D,) of the first and second differences of neighbouring states."""
        squares, count = np.zeros((2, self.states.shape[1])), np.zeros(2)
        for clip in self.clips:
            rows = np.array(self.states[clip["start"] : clip["start"] + clip["frames"]])
            for order in (1, 2):
                change = np.diff(rows, n=order, axis=0)
                squares[order - 1] += (change**2).sum(axis=0)
                count[order - 1] += len(change)
        return tuple(np.sqrt(squares / np.maximum(count, 1)[:, None]).astype(np.float32))

    def window(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """States (length, D), features (length, A) and a prompt embedding (P,) of one random window."""
        clip = self.clips[min(int(np.searchsorted(self.chances, rng.random())), len(self.clips) - 1)]
        first = int(rng.integers(-PAST, max(clip["frames"] - length, -PAST) + 1))
        place = np.arange(first, first + length)
        rows = clip["start"] + np.clip(place, 0, clip["frames"] - 1)
        low, high = rows.min(), rows.max() + 1
        states = np.array(self.states[low:high])[rows - low]
        states[place < 0] = self.rest
        reading = int(rng.integers(2))
        features = np.asarray(self.features[reading, low:high], np.float32)[rows - low]
        style = self.record["styles"].index(clip["style"])
        level = int(np.clip(np.round(clip["intensity"] * self.prompts.shape[1]) - 1, 0, self.prompts.shape[1] - 1))
        if clip["style"] == "neutral" and rng.random() < 0.5:
            prompt = np.array(self.record["neutral_style"], np.float32)
        else:
            prompt = self.prompts[style, level, rng.integers(self.prompts.shape[2])]
        return states, features, prompt

    def batch(self, rng: np.random.Generator, size: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """States (B, T, D), features (B, T, A) and prompt embeddings (B, P) of ``size`` windows."""
        rows = [self.window(rng, length) for _ in range(size)]
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True))


def noise_times(config: DenoiserConfig, size: int, length: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Which frames are noised and how much: times (B, T) and mask (B, T).

    Half of the windows end in a few noised frames, as a stream's do; others are noised from a random frame on, or
    wholly. Noised frames share one time; a quarter start from pure noise, where few-step sampling begins.
    """
    kind = rng.random(size)
    start = np.where(kind < 0.15, 0, rng.integers(0, length - 4, size))
    start = np.where(kind > 0.6, length - rng.integers(2, 13, size), start)
    t = rng.integers(1, config.train_steps + 1, size)
    t = np.where(rng.random(size) < 0.25, config.train_steps, t)
    noised = np.arange(length)[None] >= np.maximum(start, 0)[:, None]
    return torch.from_numpy(noised * t[:, None]), torch.from_numpy(noised.astype(np.float32))
