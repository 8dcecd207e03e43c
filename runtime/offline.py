"""A whole clip at once: the same streaming engine, given the whole file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .arkit import ARKIT_NAMES
from .audio_io import stream_audio
from .clock import FPS, SAMPLE_RATE
from .engine import AvatarEngine, EngineModels, Frame
from .errors import AudioError
from .sampler import SamplerConfig
from .style import StyleEmbedding


@dataclass
class Performance:
    """The animation of one clip; what every exporter takes."""

    weights: np.ndarray
    """(T, 52) float32 in [0, 1]."""
    head_rotation: np.ndarray
    """(T, 4) float32, quaternion xyzw about the neck pivot, REP-103 axes."""
    head_translation: np.ndarray
    """(T, 3) float32, metres."""
    latents: np.ndarray
    """(T, D) float32, GNPFA expression latents."""
    model: str
    seed: int
    audio: str | Path | np.ndarray | None = None
    """The speech: a file, or mono samples at 16 kHz."""
    fps: int = FPS
    names: tuple[str, ...] = field(default=ARKIT_NAMES)
    style: str = ""
    """The words of the style; '' for none, or for a picture."""
    strength: float = 1.0


def animate(
    speech: str | Path | np.ndarray,
    style: StyleEmbedding | str | None = None,
    strength: float = 1.0,
    seed: int = 0,
    models: EngineModels | None = None,
    config: SamplerConfig | None = None,
    progress: Callable[[float], None] | None = None,
) -> Performance:
    """Animate a file of any length, or mono samples at 16 kHz; memory grows only by the result.

    Args:
        speech: path of an audio file, or float32 (n,) at 16 kHz.
        style: words, or an embedding of words or of a picture; None is neutral.
        strength: of the style, 0 to 3.
        seed: another seed, another motion that fits.
        models: loaded networks (default: the shipped ones).
        config: sampling settings.
        progress: called with the seconds of speech animated so far.

    Raises:
        AudioError: if there is no speech to animate.
        StyleError: if the style cannot be used.
    """
    models = models or EngineModels.load(config=config)
    engine = AvatarEngine(models, seed, config)
    if style is not None:
        engine.set_style(style, strength, ramp=0.0)
    blocks = [speech] if isinstance(speech, np.ndarray) else stream_audio(speech)
    frames: list[Frame] = []
    for block in blocks:
        for start in range(0, len(block), SAMPLE_RATE):
            engine.accept_waveform(block[start : start + SAMPLE_RATE])
            frames += engine.frames_ready()
            if progress:
                progress(len(frames) / FPS)
    if engine.samples == 0:
        raise AudioError("the speech holds no samples: nothing to animate")
    engine.input_finished()
    frames += engine.frames_ready()
    if progress:
        progress(engine.samples / SAMPLE_RATE)
    return Performance(
        weights=np.stack([f.weights for f in frames]).astype(np.float32),
        head_rotation=np.stack([f.head_rotation for f in frames]).astype(np.float32),
        head_translation=np.stack([f.head_translation for f in frames]).astype(np.float32),
        latents=np.stack([f.latent for f in frames]).astype(np.float32),
        model=models.sampler.model.name,
        seed=seed,
        audio=speech,
        style=style if isinstance(style, str) else "",
        strength=strength,
    )
