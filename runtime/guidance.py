"""Guidance of Media2Face's equation 9 over a batch of windows, each under one style or several (section 4.2).

Several styles in one window are in-betweened: each has its prediction, and a gradient mask over the frames mixes them
at every denoising step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .motion import SamplerConfig
from .sessions import Model


@dataclass(frozen=True)
class StyleShare:
    """A style of a window, how strongly it acts, and its share at each frame."""

    vector: np.ndarray
    """(P,) embedding."""
    strength: float
    share: np.ndarray
    """(T,) gradient mask; the shares of a window's styles sum to 1 at every frame."""


def guided(
    model: Model, x: np.ndarray, times: np.ndarray, audio: np.ndarray, styles: Sequence[Sequence[StyleShare]],
    config: SamplerConfig,
) -> np.ndarray:  # fmt: skip
    """Predict the clean states: (1 - s_A - s_P) G(X) + s_A G(X, A) + s_P G(X, A, P), equation 9.

    A style's strength moves weight from s_P to s_A, so that 0 is no style. Branches without weight are not computed.

    Args:
        model: the denoiser.
        x: (B, T, D) noisy states, standardised.
        times: (B, T) noise times, 0 for frames that are known.
        audio: (B, T, A) speech features.
        styles: what each window follows, see :class:`StyleShare`.
        config: gives ``guidance_audio`` (s_A) and ``guidance_style`` (s_P).

    Returns:
        (B, T, D) float32.
    """
    s_a, s_p = config.guidance_audio, config.guidance_style
    rows: list[tuple[int, np.ndarray, np.ndarray, bool, bool]] = []  # window, weights (T,), style, hears, follows
    for i, mix in enumerate(styles):
        heard = sum(s.share * (s_a + s_p * (1.0 - s.strength)) for s in mix)
        branches = [(np.full(x.shape[1], 1.0 - s_a - s_p), mix[0].vector, False, False)]
        branches.append((heard, mix[0].vector, True, False))
        branches += [(s.share * (s_p * s.strength), s.vector, True, True) for s in mix]
        rows += [(i, *b) for b in branches if np.abs(b[0]).max() > 1e-6]
    window = np.array([r[0] for r in rows])
    predicted = model.run(
        {
            "x": x[window],
            "t": times[window].astype(np.int64),
            "audio": audio[window].astype(np.float32),
            "style": np.stack([r[2] for r in rows]).astype(np.float32),
            "has_audio": np.array([r[3] for r in rows], np.float32),
            "has_style": np.array([r[4] for r in rows], np.float32),
        }
    )["clean"]
    clean = np.zeros_like(x)
    for (i, weights, *_), one in zip(rows, predicted, strict=True):
        clean[i] += weights.astype(np.float32)[:, None] * one
    return clean
