"""Overlapped batching denoising (Media2Face section 4.1): speech of any length as windows that are denoised together.

At every DDIM step all windows are predicted, a bounded number of them in one pass, and where they overlap their
predictions are cross-faded into one timeline that the next step starts from. So windows agree before they are done, and
how they are grouped into passes does not matter. Slower than streaming, and better informed: each frame hears what
comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .conditions import FeatureBuffer, StyleTrack
from .errors import ConfigError
from .guidance import guided
from .inpainting import KeyTrack
from .motion import SamplerConfig
from .sampler import MotionSampler
from .schedulers import DDIMScheduler


@dataclass(frozen=True)
class QualityConfig(SamplerConfig):
    """How the motion is sampled in the mode ``--quality``; ``hop``, ``lookahead`` and ``reach`` mean nothing there.

    Raises:
        ConfigError: if a value is out of its range.
    """

    window: int = 96  # frames denoised together, as in training
    overlap: int = 32  # frames that two windows share: one second to agree in
    batch: int = 8  # windows in one pass of the network: 8 x 96 frames x 3 branches take about 100 MB
    steps: int = 25
    noise_span: int = 1
    temperature: float = 1.0
    head_temperature: float = 1.0
    past: int = 16  # frames before the first, held fixed: rest, or the end of the clip before

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (("window", 16, 200), ("batch", 1, 256), ("overlap", 1, self.window // 2)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} must lie within {low} and {high}, got {value}")
        if self.past + self.overlap >= self.window:
            raise ConfigError(f"past + overlap must be less than window={self.window}, got {self.past}+{self.overlap}")


def denoise_overlapped(
    sampler: MotionSampler, features: FeatureBuffer, total: int, seed: int, config: QualityConfig,
    styles: StyleTrack | None = None, keys: KeyTrack | None = None, before: np.ndarray | None = None,
    progress: Callable[[float], None] | None = None,
) -> np.ndarray:  # fmt: skip
    """Sample a whole clip.

    Args:
        sampler: the denoiser.
        features: all speech features of the clip.
        total: its frames, T.
        seed: chooses among the motions that fit; noise is a function of seed and frame alone.
        config: windows, steps, guidance.
        styles: what it follows (default: neutral).
        keys: what it passes through.
        before: (n, D) standardised states before frame 0, held fixed (default: rest).
        progress: called with the share that is done, 0 to 1, after every pass; an exception raised in it cancels.

    Returns:
        (T, D) standardised states, float32. Memory is the timeline's, some 2 kB a frame, and one pass of the network.

    Raises:
        ConfigError: if there are more steps than the model was trained with.
    """
    styles = styles or StyleTrack(sampler.neutral_style)
    past = config.past
    held = _last(sampler.rest[None] if before is None else before, past)
    scheduler = DDIMScheduler(sampler.train_steps)
    scheduler.set_timesteps(config.steps)
    length = min(config.window, past + total)
    starts = _starts(past + total, length, config.overlap)
    fade = _fade(length, config.overlap)
    passes = [starts[i : i + config.batch] for i in range(0, len(starts), config.batch)]
    audio = np.concatenate(
        [features.read(np.arange(k, min(k + 4096, total))).astype(np.float16) for k in range(-past, total, 4096)]
    )
    mask = keys.mask(np.arange(total), held[-1]) if keys else None
    x = sampler.noise(seed, np.arange(total), config)
    clean, summed, weight = None, np.empty_like(x), np.empty(total, np.float32)
    done = 0
    for t in scheduler.timesteps:
        times = np.full(total, t)
        if mask:
            x, times = mask.enter(x, times, clean)
        summed[:], weight[:] = 0.0, 0.0
        for group in passes:
            spans = [np.arange(s - past, s - past + length) for s in group]
            windows = np.stack([_window(held, x, s, length) for s in group])
            window_times = np.stack([_window(np.zeros(past, np.int64), times, s, length) for s in group])
            heard = np.stack([audio[s : s + length] for s in group]).astype(np.float32)
            mixes = [styles.mix(frames) for frames in spans]
            made = guided(sampler.model, windows, window_times, heard, mixes, config)
            for s, one in zip(group, made, strict=True):
                cut = max(past - s, 0)  # frames that were known
                place = slice(s + cut - past, s + length - past)
                summed[place] += fade[cut:, None] * one[cut:]
                weight[place] += fade[cut:]
            done += 1
            if progress:
                progress(done / (len(passes) * len(scheduler.timesteps)))
        clean = summed / weight[:, None]
        clean = mask.pull(clean) if mask else clean
        x = scheduler.step(clean, int(t), x)
    return x


def _starts(frames: int, length: int, overlap: int) -> list[int]:
    """First frames of the windows; the last one ends with the clip."""
    regular = list(range(0, max(frames - length, 0), length - overlap))
    return [*regular, frames - length]


def _fade(length: int, overlap: int) -> np.ndarray:
    """Weight of a window's frames, (length,): linear cross-fades at both ends."""
    edge = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1.0
    return np.minimum(edge / (overlap + 1), 1.0).astype(np.float32)


def _last(states: np.ndarray, count: int) -> np.ndarray:
    missing = max(count - len(states), 0)
    return np.concatenate([np.repeat(states[:1], missing, axis=0), states])[-count:].astype(np.float32)


def _window(held: np.ndarray, values: np.ndarray, start: int, length: int) -> np.ndarray:
    """Rows ``start`` ... of ``held`` followed by ``values``."""
    past = len(held)
    if start >= past:
        return values[start - past : start - past + length]
    return np.concatenate([held[start:], values[: length - (past - start)]])
