"""Noise schedule and DDIM sampler of a network that predicts the clean sample; it knows nothing of the network.

Media2Face uses a cosine schedule with 500 noising steps and DDIM sampling (section 5.1). The caller writes the loop::

    scheduler.set_timesteps(4)
    for t in scheduler.timesteps:
        clean = network(x, t)
        x = scheduler.step(clean, t, x)
"""

from __future__ import annotations

import numpy as np

from .errors import ConfigError


def cosine_alphas(steps: int, offset: float = 0.008) -> np.ndarray:
    """Cumulative signal level of the cosine schedule at times 0 ... ``steps``, float64 (steps + 1,).

    ``result[0]`` is 1 (no noise) and ``result[steps]`` is almost 0; Nichol and Dhariwal 2021, equation 17.
    """
    t = np.arange(steps + 1, dtype=np.float64) / steps
    level = np.cos((t + offset) / (1 + offset) * np.pi / 2) ** 2
    return np.clip(level / level[0], 1e-5, 1.0)


class DDIMScheduler:
    """Deterministic DDIM (eta = 0) over a cosine schedule, for networks that predict x0.

    Args:
        train_steps: noising steps the network was trained with (paper: 500).

    Raises:
        ConfigError: from :meth:`set_timesteps` if the number of steps is not within 1 ... ``train_steps``.
    """

    def __init__(self, train_steps: int = 500) -> None:
        if train_steps < 1:
            raise ConfigError(f"train_steps must be positive, got {train_steps}")
        self.train_steps = train_steps
        self.alphas = cosine_alphas(train_steps)
        self.timesteps: np.ndarray = np.array([], np.int64)

    def set_timesteps(self, steps: int) -> None:
        """Choose ``steps`` times, from ``train_steps`` downwards, evenly spaced."""
        if not 1 <= steps <= self.train_steps:
            raise ConfigError(f"steps must lie within 1 and {self.train_steps}, got {steps}")
        self.timesteps = np.round(np.linspace(self.train_steps, 0, steps + 1)[:-1]).astype(np.int64)

    def add_noise(self, clean: np.ndarray, noise: np.ndarray, t: int) -> np.ndarray:
        """x_t of the forward process, any shape."""
        a = self.alphas[t]
        return (np.sqrt(a) * clean + np.sqrt(1 - a) * noise).astype(np.float32)

    def levels(self, t: int) -> tuple[float, float]:
        """Signal levels at time ``t`` and at the one that follows it, the last being followed by no noise."""
        index = int(np.flatnonzero(self.timesteps == t)[0])
        following = self.timesteps[index + 1] if index + 1 < len(self.timesteps) else 0
        return float(self.alphas[t]), float(self.alphas[following])

    def step(self, clean: np.ndarray, t: int, sample: np.ndarray) -> np.ndarray:
        """From x_t and the predicted clean sample to the next, less noisy x (any shape, float32)."""
        a, b = self.levels(t)
        noise = (sample - np.sqrt(a) * clean) / np.sqrt(1 - a)
        return (np.sqrt(b) * clean + np.sqrt(1 - b) * noise).astype(np.float32)
