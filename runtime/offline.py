"""Whole clips, alone or one after another: the streaming engine given the whole file, or overlapped denoising."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .arkit import ARKIT_NAMES
from .audio_io import stream_audio
from .clip import Clip
from .clock import FPS, SAMPLE_RATE, frame_count
from .conditions import FeatureBuffer, StyleTrack
from .engine import AvatarEngine, EngineModels, Frame, decode_motion
from .errors import AudioError
from .inpainting import KeyTrack
from .keyframes import Keyframe, key_latent
from .motion import SamplerConfig
from .overlapped import QualityConfig, denoise_overlapped
from .style import StyleEmbedding
from .timeline import Prompt

DECODED = 512
"""Frames decoded at a time."""
JOIN_RAMP_S = 0.5
"""How long the style of a clip takes to ease in over that of the clip before it."""
BEFORE_S = -100.0


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
    keyframes: Sequence[Keyframe] = (),
) -> Performance:
    """Animate a file of any length, or mono samples at 16 kHz; memory grows only by the result.

    Args:
        speech, style, strength, keyframes: see :class:`Clip`.
        seed: another seed, another motion that fits.
        models: loaded networks (default: the shipped ones).
        config: sampling settings (default: those of whole files; with the live ones, the motion is what a stream
            gives); a :class:`.QualityConfig` asks for overlapped denoising instead of streaming.
        progress: called with the seconds of speech animated so far.

    Raises:
        AudioError: if there is no speech to animate.
        StyleError: if a style or a timeline cannot be used.
        InputError: if a keyframe cannot be used.
    """
    return animate_clips([Clip(speech, style, strength, keyframes)], seed, models, config, progress)


def animate_clips(
    clips: Sequence[Clip], seed: int = 0, models: EngineModels | None = None, config: SamplerConfig | None = None,
    progress: Callable[[float], None] | None = None,
) -> Performance:  # fmt: skip
    """Animate clips that follow each other (sequential composition, Media2Face section 4.2).

    Each clip after the first starts with the end of the one before it held fixed, so that they join without a jump,
    and its style eases in from there. A clip takes whole frames: its sound is padded to them.

    Args, Raises: as for :func:`animate`.
    """
    if not clips:
        raise AudioError("there is no speech to animate")
    models = models or EngineModels.load(config=config)
    config = config or models.sampler.whole_config
    prompts = [clip.prompts() for clip in clips]
    for i in range(1, len(clips)):
        prompts[i] = _eased_in(prompts[i], prompts[i - 1])
    frames: list[Frame] = []
    sound: list[np.ndarray] = []
    before: np.ndarray | None = None
    make = _overlapped if isinstance(config, QualityConfig) else _streamed
    for i, clip in enumerate(clips):
        done = len(frames) / FPS
        kept: list[np.ndarray] | None = [] if len(clips) > 1 else None

        def tell(seconds: float, done: float = done) -> None:
            if progress:
                progress(done + seconds)

        made, before = make(clip, prompts[i], models, seed + i, config, before, tell, kept)
        frames += made
        if kept is not None:
            whole = np.zeros(round(len(frames) * SAMPLE_RATE / FPS) - sum(map(len, sound)), np.float32)
            samples = np.concatenate(kept)[: len(whole)]
            whole[: len(samples)] = samples
            sound.append(whole)
    return Performance(
        weights=np.stack([f.weights for f in frames]).astype(np.float32),
        head_rotation=np.stack([f.head_rotation for f in frames]).astype(np.float32),
        head_translation=np.stack([f.head_translation for f in frames]).astype(np.float32),
        latents=np.stack([f.latent for f in frames]).astype(np.float32),
        model=models.sampler.model.name,
        seed=seed,
        audio=np.concatenate(sound) if sound else clips[0].speech,
        style=" | ".join(clip.words for clip in clips if clip.words),
        strength=clips[0].strength,
    )


def _eased_in(prompts: list[tuple], before: list[tuple]) -> list[tuple]:
    """A clip's styles, where the style with which the clip before it ended comes first."""
    last = before[-1][1] if before else None
    if not prompts or prompts[0][0].start > 0:
        prompts = [(Prompt(0.0, "", JOIN_RAMP_S), None), *prompts]
    first, style = prompts[0]
    return [(Prompt(BEFORE_S, "", 0.0), last), (replace(first, ramp=max(first.ramp, JOIN_RAMP_S)), style), *prompts[1:]]


def _blocks(clip: Clip, kept: list[np.ndarray] | None):
    blocks = [clip.speech] if isinstance(clip.speech, np.ndarray) else stream_audio(clip.speech)
    for block in blocks:
        for start in range(0, len(block), SAMPLE_RATE):
            part = np.asarray(block[start : start + SAMPLE_RATE], np.float32)
            if kept is not None:
                kept.append(part)
            yield part


def _follow(styles: StyleTrack, clip: Clip, prompts: list[tuple], models: EngineModels) -> None:
    for prompt, style in prompts:
        found = models.style.encode_text(style) if isinstance(style, str) else style
        styles.set(found.vector if found else None, clip.strength, round(prompt.start * FPS), prompt.ramp)


def _streamed(clip, prompts, models, seed, config, before, tell, kept) -> tuple[list[Frame], np.ndarray]:
    engine = AvatarEngine(models, seed, config)
    if before is not None:
        engine.sampler.go_on_from(before)
    _follow(engine.sampler.styles, clip, prompts, models)
    for key in clip.keyframes:
        engine.add_keyframe(key.time, key.weights, key.rotvec, key.translation)
    frames: list[Frame] = []
    for part in _blocks(clip, kept):
        engine.accept_waveform(part)
        frames += engine.frames_ready()
        tell(len(frames) / FPS)
    clip.finish(engine.samples)
    engine.input_finished()
    frames += engine.frames_ready()
    tell(engine.samples / SAMPLE_RATE)
    return frames, engine.sampler.states_before(engine.sampler.next_frame)


def _overlapped(clip, prompts, models, seed, config, before, tell, kept) -> tuple[list[Frame], np.ndarray]:
    sampler = models.sampler
    speech = models.speech.stream()
    heard, samples = [], 0
    for part in _blocks(clip, kept):
        speech.accept_waveform(part)
        heard.append(speech.read()[1])
        samples += len(part)
    clip.finish(samples)
    speech.input_finished()
    heard.append(speech.read()[1])
    features = FeatureBuffer(sampler.audio_dim)
    features.accept(0, np.concatenate(heard))
    del heard
    styles, keys = StyleTrack(sampler.neutral_style), KeyTrack()
    _follow(styles, clip, prompts, models)
    for key in clip.keyframes:
        keys.add(sampler.key(key.frame, key_latent(models.decoder, key.weights), key.rotvec, key.translation))
    total, seconds = frame_count(samples), samples / SAMPLE_RATE
    states = denoise_overlapped(
        sampler, features, total, seed, config, styles, keys, before, lambda share: tell(share * seconds)
    )
    frames: list[Frame] = []
    for first in range(0, total, DECODED):
        motion = sampler.frames(first, 0, states[first : first + DECODED])
        frames += decode_motion(models.decoder, motion, frames[-1].head_rotation if frames else None)
    return frames, states
