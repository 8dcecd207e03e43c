"""Random windows of cached motion and their noise times: what denoiser and student are trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from media2face.data.performance import NOISES
from media2face.data.styles import CAPTION_INTENSITIES, level_of
from media2face.models.media2face.config import DenoiserConfig

SHARES = {"synthetic": 0.8, "grid": 0.12, "facegood": 0.08}
PAST = 32
SLOWEST = 0.995
"""Share of a deviation of the head that is left after a frame, at most."""
PLAIN, EMPHATIC = 0.8, 0.9
"""Intensities of motion from which plain words ("happy") and emphatic ones ("very happy") are said of it. Below are
"slightly" and the like; above the second, plain and emphatic words alike: who asks for happy wants to see it."""

QUIET = 3.0
"""How much likelier than others clips without speech are."""
STRAY = 0.8
"""How far a prompt's embedding is moved at most, in its own length: an emoji's picture lies at a cosine of 0.6 to 0.9
from the texts of its style, and only texts are captions."""


def caption_row(intensity: float, rng: np.random.Generator) -> int:
    """A row of ``data.styles.CAPTION_INTENSITIES`` whose words suit motion of ``intensity`` in [0, 1]."""
    either = ("medium", "strong")[rng.integers(2)]
    level = "slight" if intensity < PLAIN else "medium" if intensity < EMPHATIC else either
    return int(rng.choice([row for row, said in enumerate(CAPTION_INTENSITIES) if level_of(said) == level]))


def strayed(prompt: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An embedding (P,) of length 1 near another, moved by up to :data:`STRAY` in a random direction."""
    away = rng.standard_normal(len(prompt)).astype(np.float32)
    near = prompt + np.float32(rng.uniform(0.0, STRAY) / np.linalg.norm(away)) * away
    return near / np.linalg.norm(near)


class Windows:
    """Random windows of cached clips, as the engine will see them: a face at rest, with held features, before frame 0.

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
        chances = [
            shares[c["source"]] * c["frames"] / frames[c["source"]] * (QUIET if c["id"].startswith(NOISES) else 1.0)
            for c in self.clips
        ]
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

    def head_dynamics(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """(2, 6): what each channel of the head's pose, standardised by ``mean`` and ``std`` (D,), is of the frame
        before and of the one before that, by least squares, drawn in where it would not come to rest."""
        products, targets = np.zeros((6, 2, 2)), np.zeros((6, 2))
        for pose in self._poses(mean, std):
            before = np.stack([pose[1:-1], pose[:-2]], axis=-1)  # (T, 6, 2)
            products += np.einsum("tci,tcj->cij", before, before)
            targets += np.einsum("tci,tc->ci", before, pose[2:])
        fit = np.linalg.solve(products + 1e-9 * np.eye(2), targets[..., None])[..., 0]
        for row in fit:
            swing = np.abs(np.roots([1.0, *-row])).max()
            shrink = min(1.0, SLOWEST / swing)
            row *= [shrink, shrink**2]
        return np.ascontiguousarray(fit.T)

    def head_errors(self, mean: np.ndarray, std: np.ndarray, frames: int) -> np.ndarray:
        """(frames, 6): root mean squares of what :meth:`head_dynamics` miss 1, 2, ... frames ahead."""
        dynamics = self.head_dynamics(mean, std)
        squares, count = np.zeros((frames, 6)), 0
        for pose in self._poses(mean, std):
            now, before = pose[1:-frames], pose[: -frames - 1]
            for ahead in range(frames):
                now, before = dynamics[0] * now + dynamics[1] * before, now
                squares[ahead] += ((pose[ahead + 2 : len(pose) - frames + ahead + 1] - now) ** 2).sum(axis=0)
            count += len(now)
        return np.sqrt(squares / max(count, 1))

    def _poses(self, mean: np.ndarray, std: np.ndarray) -> Iterator[np.ndarray]:
        for clip in self.clips:
            rows = np.array(self.states[clip["start"] : clip["start"] + clip["frames"], -6:], np.float64)
            yield (rows - mean[-6:]) / std[-6:]

    def window(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """States (length, D), features (length, A) and a prompt embedding (P,) of one random window."""
        clip = self.clips[min(int(np.searchsorted(self.chances, rng.random())), len(self.clips) - 1)]
        first = int(rng.integers(-PAST, max(clip["frames"] - length, -PAST) + 1))
        place = np.arange(first, first + length)
        rows = clip["start"] + np.clip(place, 0, clip["frames"] - 1)
        low, high = rows.min(), rows.max() + 1
        states = np.array(self.states[low:high])[rows - low]
        states[place < 0, :-6] = self.rest[:-6]  # the head is where the clip finds it: it does not jump
        reading = int(rng.integers(2))
        features = np.asarray(self.features[reading, low:high], np.float32)[rows - low]
        style = self.record["styles"].index(clip["style"])
        level = caption_row(clip["intensity"], rng)
        if clip["style"] == "neutral" and rng.random() < 0.5:
            prompt = np.array(self.record["neutral_style"], np.float32)
        else:
            prompt = self.prompts[style, level, rng.integers(self.prompts.shape[2])]
        return states, features, strayed(prompt, rng)

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
