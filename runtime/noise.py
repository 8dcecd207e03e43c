"""The noise that motion is sampled from: of each frame the same however windows are cut, and tempered by region."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from .motion import SamplerConfig


def initial_noise(
    seed: int, frames: np.ndarray, dim: int, config: SamplerConfig, axes: Mapping[str, np.ndarray], latent_dim: int
) -> np.ndarray:
    """Noise (T, dim) of frames (T,), a function of seed and absolute frame alone.

    Every entry is standard normal, and then tempered. Over ``config.noise_span`` frames the face's is smoothed, in the
    manner of noise priors of video diffusion: what one frame makes of it, the next one does not undo. Lids and gaze
    keep white noise, which blinks come from, and so does the head, which noise pushes.
    """
    later = range(config.noise_span)
    whites = [np.stack([_white(seed, int(frame) + i, dim) for frame in frames]) for i in later]
    noise = whites[0]
    if config.noise_span > 1:
        window = np.hanning(config.noise_span + 2)[1:-1].astype(np.float32)
        window /= np.linalg.norm(window)
        own = noise[:, :latent_dim]
        smooth = sum(share * white[:, :latent_dim] for share, white in zip(window, whites, strict=True))
        noise[:, :latent_dim] = smooth + (own - smooth) @ axes["eyes"].T @ axes["eyes"]
    return tempered(noise, config, axes, latent_dim)


def tempered(white, config: SamplerConfig, axes: Mapping, latent_dim: int):
    """White noise (..., D) with each region's temperature, numpy or torch alike.

    Args:
        white: standard normal; its first ``latent_dim`` entries are the latent.
        config: the temperatures.
        axes: ``mouth`` and ``eyes``, orthonormal directions (r, latent_dim) that have a temperature of their own.
        latent_dim: of the face; what follows it is the head's pose.
    """
    noise = config.temperature * white
    noise[..., latent_dim:] = config.head_temperature * white[..., latent_dim:]
    z = white[..., :latent_dim]
    for region, own in (("mouth", config.mouth_temperature), ("eyes", config.eye_temperature)):
        noise[..., :latent_dim] += (own - config.temperature) * (z @ axes[region].T @ axes[region])
    return noise


def pushes(noise: np.ndarray, push: np.ndarray) -> np.ndarray:
    """How far noise (T, D) moves a head of mass, (T, 6): it accelerates by ``push`` (6,) for each unit of its own."""
    return np.cumsum(np.cumsum(push * noise[:, -len(push) :], axis=0), axis=0)


@lru_cache(maxsize=64)
def _white(seed: int, frame: int, dim: int) -> np.ndarray:
    """(dim,) standard normal; shared, so not to be changed."""
    return np.random.Generator(np.random.Philox(key=[seed, frame])).standard_normal(dim).astype(np.float32)
