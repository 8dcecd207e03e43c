"""The motion sampler: speech features and style in, head motion (expression latent and head pose) out, hop by hop.

Each hop samples a few frames by DDIM, with the motion already given out held fixed as the window's past, and keyframes
ahead held fixed as well. Windows, noise and features are indexed by absolute frame, so any arrival of the input gives
the same motion (Media2Face section 4.1; holding frames fixed is the temporal inpainting of section 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .clock import FPS, frame_count
from .conditions import FeatureBuffer, StyleTrack
from .errors import InputError
from .guidance import StyleShare, guided
from .inpainting import Key, KeyTrack
from .motion import MotionFrame, SamplerConfig
from .noise import initial_noise, pushes
from .restyle import Restyle
from .schedulers import DDIMScheduler
from .sessions import load_model, require

REWIND = 32
"""Frames behind the newest that a style change or an interrupt may still replace."""
KEY_REACH_S = 0.27
"""How long the motion takes to arrive at a keyframe, and to leave it."""


class MotionSampler:
    """The shared denoiser and its statistics; :meth:`stream` opens one utterance.

    Args:
        weights_dir: folder of the weights (default: the shipped ones).
        providers: see :func:`media2face.runtime.sessions.load_model`.
        config: sampling settings (default: the shipped live ones, and for whole files those of ``whole_config``).
        speech_fingerprint, style_fingerprint: encoders that run beside this model; others than those it was trained
            with are refused.

    Raises:
        ModelError: if the weights are missing, wrong, or were trained with other encoders.
    """

    def __init__(
        self,
        weights_dir: str | Path | None = None,
        providers: str | Sequence[str] | None = None,
        config: SamplerConfig | None = None,
        model: str = "student",
        speech_fingerprint: str | None = None,
        style_fingerprint: str | None = None,
        decoder_fingerprint: str | None = None,
        threads: int = 1,
    ) -> None:
        self.model = load_model(model, weights_dir, providers, threads)
        companions = (("speech", speech_fingerprint), ("style", style_fingerprint), ("decoder", decoder_fingerprint))
        for companion, fingerprint in companions:
            if fingerprint is not None:
                require(self.model, companion, fingerprint)
        meta = self.model.meta
        self.config = config or SamplerConfig.of(meta)
        self.whole_config = config or SamplerConfig.of(meta, whole=True)
        self.latent_dim: int = meta["latent_dim"]
        self.audio_dim: int = meta["audio_dim"]
        self.style_dim: int = meta["style_dim"]
        self.mean = np.array(meta["mean"], np.float32)
        self.std = np.array(meta["std"], np.float32)
        self.rest = ((np.array(meta["rest"], np.float32) - self.mean) / self.std).astype(np.float32)
        self.neutral_style = np.array(meta["neutral_style"], np.float32)
        self.train_steps: int = meta["train_steps"]
        self.push = np.array(meta.get("student", {}).get("push", np.zeros(6)), np.float32)
        self.axes = {region: np.array(rows, np.float32) for region, rows in meta["axes"].items()}

    def stream(self, seed: int = 0, config: SamplerConfig | None = None) -> SamplerStream:
        """Open one utterance; ``seed`` chooses among the motions that fit it."""
        return SamplerStream(self, seed, config or self.config)

    def noise(self, seed: int, frames: np.ndarray, config: SamplerConfig) -> np.ndarray:
        """Noise (T, D) of frames (T,), see :func:`.initial_noise`."""
        return initial_noise(seed, frames, len(self.rest), config, self.axes, self.latent_dim)

    def key(
        self, frame: int, latent: np.ndarray, rotvec: np.ndarray | None = None, translation: np.ndarray | None = None,
        before: int | None = None, after: int | None = None,
    ) -> Key:  # fmt: skip
        """A keyframe from a latent (latent_dim,), rotvec (3,) rad, translation (3,) m; without these the head is free.

        The motion arrives over ``before`` frames and leaves over ``after`` (default: :data:`KEY_REACH_S`).

        Raises:
            InputError: if a shape is wrong or a value is not finite.
        """
        latent = np.asarray(latent, np.float32)
        if latent.shape != (self.latent_dim,) or not np.isfinite(latent).all():
            raise InputError(f"expected a finite latent ({self.latent_dim},), got shape {latent.shape}")
        parts, free = [latent], [np.zeros(self.latent_dim, bool)]
        for name, part in (("rotation vector", rotvec), ("translation", translation)):
            free.append(np.full(3, part is None))
            parts.append(np.zeros(3, np.float32) if part is None else np.asarray(part, np.float32))
            if parts[-1].shape != (3,) or not np.isfinite(parts[-1]).all():
                raise InputError(f"expected a finite {name} (3,) for the keyframe, got shape {parts[-1].shape}")
        state = (np.concatenate(parts) - self.mean) / self.std
        reach = round(KEY_REACH_S * FPS)
        arrive, leave = (max(reach if n is None else n, 1) for n in (before, after))
        return Key(frame, state.astype(np.float32), np.concatenate(free), arrive, leave)

    def frames(self, first: int, revision: int, states: np.ndarray) -> list[MotionFrame]:
        """Standardised states (n, D) as frames from ``first`` on."""
        z = self.latent_dim
        plain = states * self.std + self.mean
        return [MotionFrame(first + i, revision, s[:z], s[z : z + 3], s[z + 3 : z + 6]) for i, s in enumerate(plain)]


@dataclass
class SamplerStream:
    """The sampling state of one utterance.

    Verbs: :meth:`accept_features`, :meth:`input_finished`, :meth:`frames_ready`, :meth:`set_style`,
    :meth:`add_keyframe`, :meth:`interrupt`, :meth:`go_on_from`, :meth:`reset`.
    """

    sampler: MotionSampler
    seed: int
    config: SamplerConfig
    revision: int = 0
    """Counts changes of style, keyframes and interrupts; frames carry the one they were made under."""

    def __post_init__(self) -> None:
        self.styles = StyleTrack(self.sampler.neutral_style)
        self.grid = self.config.hop  # frames are taken back to a multiple of this, so that hops stay where they were
        self.reset()

    def reset(self) -> None:
        """Back to rest, before frame 0; the style that was last set stays."""
        self.next_frame = 0
        self.total_frames: int | None = None
        self.interrupted = False
        self.features = FeatureBuffer(self.sampler.audio_dim)
        self.keys = KeyTrack()
        self.styles.restart()
        self._history = np.tile(self.sampler.rest, (self.config.past + REWIND, 1))
        self._rewindable = REWIND
        self._restyle: Restyle | None = None
        self._goes_on = False
        self._scheduler = DDIMScheduler(self.sampler.train_steps)
        self._scheduler.set_timesteps(self.config.steps)

    @property
    def finished(self) -> bool:
        """Whether the last frame of the utterance has been given out."""
        return self.interrupted or (self.total_frames is not None and self.next_frame >= self.total_frames)

    @property
    def gaps(self) -> int:
        """Feature frames that never came and were filled by holding the last."""
        return self.features.gaps

    def adjust(self, **settings: float) -> None:
        """Change settings of the hops to come: steps, temperatures, guidance.

        Raises:
            ConfigError: if a value is out of its range, or there are more steps than the model was trained with.
        """
        config = replace(self.config, **settings)
        if config.steps != self.config.steps:
            self._scheduler.set_timesteps(config.steps)
        self.config = config

    def go_on_from(self, states: np.ndarray) -> None:
        """Start where another motion ended: ``states`` (n, D), standardised, lie before frame 0.

        Raises:
            InputError: if frames were given out already.
        """
        if self.next_frame:
            raise InputError("a motion can be gone on from before frame 0 only")
        n = self.config.past + REWIND
        self._goes_on = True
        first = states[:1] if len(states) else self.sampler.rest[None]
        self._history = np.concatenate([np.repeat(first, max(n - len(states), 0), axis=0), states[-n:]])

    def follow(self, other: SamplerStream, shift: int) -> None:
        """Take over the styles and the keyframes to come of a stream whose frame ``shift`` is frame 0 here."""
        self.styles = other.styles.shifted(-shift)
        self.keys = other.keys.shifted(-shift)

    def states_before(self, frame: int) -> np.ndarray:
        """The motion (n, D) up to ``frame``, standardised; beyond what was sampled it holds."""
        shown, ahead = self._shown(), frame - self.next_frame
        if ahead >= 0:
            return np.concatenate([shown, np.repeat(shown[-1:], min(ahead, len(shown)), axis=0)])
        return shown[: max(len(shown) + ahead, 1)]

    def accept_features(self, first_index: int, features: np.ndarray) -> None:
        """Take consecutive speech features (n, A), see :meth:`.FeatureBuffer.accept`."""
        self.features.accept(first_index, features)

    def input_finished(self, samples: int) -> None:
        """No more speech: the utterance had ``samples`` samples at 16 kHz."""
        self.total_frames = frame_count(samples)

    def frames_ready(self, limit: int | None = None) -> list[MotionFrame]:
        """Sample every hop whose features are there, at most ``limit`` hops, and return its frames."""
        frames: list[MotionFrame] = []
        hops = 0
        while not self.finished and (limit is None or hops < limit) and self._hop_ready():
            frames += self._hop()
            hops += 1
        return frames

    def hops_ready(self, limit: int) -> int:
        """Hops that could be sampled at once, counted up to ``limit``."""
        if self.finished:
            return 0
        if self.total_frames is not None:
            return min(-(-(self.total_frames - self.next_frame) // self.config.hop), limit)
        last = self.next_frame + self.config.hop + self.config.lookahead - 1
        return sum(self.features.ready(last + i * self.config.hop) for i in range(limit))

    def set_style(
        self, vector: np.ndarray | None, strength: float = 1.0, at_frame: int | None = None, ramp_s: float = 0.3
    ) -> int:
        """Follow another style from ``at_frame`` on (default: the next frame), easing in over ``ramp_s`` seconds.

        A frame already given out is taken back if it lies at most :data:`REWIND` frames behind; what replaces it
        carries a higher revision. ``None`` is the neutral style.

        Returns:
            The first frame that the style touches.

        Raises:
            InputError: if the vector's shape is wrong, or strength or ramp is out of range.
        """
        self.styles.check(vector, strength, ramp_s)
        wanted = self.next_frame if at_frame is None else at_frame
        start = wanted if wanted >= self.next_frame else self._rewind(wanted)
        self.revision += 1
        self.styles.set(vector, strength, start, ramp_s)
        return start

    def add_keyframe(
        self, frame: int, latent: np.ndarray, rotvec: np.ndarray | None = None, translation: np.ndarray | None = None,
        replace_old: bool = False,
    ) -> None:  # fmt: skip
        """Pass through a face at ``frame``, see :meth:`MotionSampler.key`; one that is near is arrived at in time.

        Raises:
            InputError: if the frame is already out or beyond the end, there is a key already (unless
                ``replace_old``), or a shape is wrong.
        """
        if frame < self.next_frame:
            raise InputError(f"a keyframe must lie ahead: frame {frame} was asked for, {self.next_frame} is next")
        if self.total_frames is not None and frame >= self.total_frames:
            raise InputError(f"key beyond the end: frame {frame} was asked for, the speech has {self.total_frames}")
        near = min(round(KEY_REACH_S * FPS), frame - self.next_frame + 1)
        self.keys.add(self.sampler.key(frame, latent, rotvec, translation, near), replace_old)
        self.revision += 1

    def interrupt(self, at_frame: int | None = None, ease_s: float = 0.2) -> list[MotionFrame]:
        """Barge-in: stop this utterance and return the frames, of a higher revision, that ease to rest."""
        start = self.next_frame if at_frame is None else self._rewind(at_frame)
        self.revision += 1
        n = max(round(ease_s * FPS), 1)
        share = (0.5 - 0.5 * np.cos(np.pi * np.arange(1, n + 1) / n)).astype(np.float32)[:, None]
        states = (1.0 - share) * self._shown()[-1] + share * self.sampler.rest
        self._push(states + self._lift(np.arange(start, start + n)))
        self.next_frame = start + n
        self.interrupted = True
        return self.sampler.frames(start, self.revision, states)

    # ------------------------------------------------------------------------------------------------ inside

    def _hop_ready(self) -> bool:
        if self.total_frames is not None:
            return len(self.features) > 0
        return self.features.ready(self.next_frame + self.config.hop + self.config.lookahead - 1)

    def _hop(self) -> list[MotionFrame]:
        config, first = self.config, self.next_frame
        heard = first + config.hop + config.lookahead - 1  # beyond, where a window is widened, its features are held
        key = self.keys.next_after(first)
        end = max(heard, key) if key is not None and key < first + config.hop + config.reach else heard
        unknown = np.arange(first, end + 1)
        frames = np.arange(first - config.past, end + 1)
        audio = self.features.read(np.minimum(frames, heard))
        styles = [self._follow_style(first, frames, audio)]
        past = self._history[-config.past :]
        mask = self.keys.mask(unknown, past[-1], self._lift(unknown))
        x, clean = self.sampler.noise(self.seed, unknown, config), None
        pushed = pushes(x, self.sampler.push)
        for t in self._scheduler.timesteps:
            times = np.full(len(unknown), t)
            if mask:
                x, times = mask.enter(x, times, clean)
            window, times = np.concatenate([past, x]), np.concatenate([np.zeros(config.past, np.int64), times])
            made = guided(self.sampler.model, window[None], times[None], audio[None], [styles], config)[0]
            clean = made[config.past :]
            clean[:, self.sampler.latent_dim :] += pushed
            clean = mask.pull(clean) if mask else clean
            x = self._scheduler.step(clean, int(t), x)
        count = config.hop if self.total_frames is None else min(config.hop, self.total_frames - first)
        states = x[:count] - self._lift(unknown[:count])
        self._push(x[:count])
        self.next_frame = first + count
        oldest = self.next_frame - config.past - REWIND
        self.features.forget(oldest)
        self.keys.forget(self.next_frame - REWIND)
        self.styles.forget(oldest)
        self._restyle.forget(oldest)
        return self.sampler.frames(first, self.revision, states)

    def _follow_style(self, first: int, frames: np.ndarray, audio: np.ndarray) -> StyleShare:
        """The style of a hop; if it is a new one, the past is carried over into it."""
        style = self.styles.latest(first + self.config.hop - 1)
        if self._restyle is None:
            self._restyle = Restyle(self.styles.latest(-1) if self._goes_on else style)
        if style is not self._restyle.style:
            model, level = self.sampler.model, self.sampler.train_steps
            noise = self.sampler.noise(self.seed, frames, self.config)
            self._history = self._history + self._restyle.change(style, model, noise, audio, level, self.config)
        return StyleShare(style.vector, style.strength, np.ones(len(frames), np.float32))

    def _lift(self, frames: np.ndarray) -> np.ndarray | float:
        return self._restyle.lift(frames) if self._restyle else np.float32(0.0)

    def _shown(self) -> np.ndarray:
        """The history as it is seen, see :mod:`.restyle`."""
        return self._history - self._lift(np.arange(self.next_frame - len(self._history), self.next_frame))

    def _push(self, states: np.ndarray) -> None:
        self._history = np.concatenate([self._history, states])[-(self.config.past + REWIND) :]
        self._rewindable = min(self._rewindable + len(states), REWIND)

    def _rewind(self, frame: int) -> int:
        """Take frames back to ``frame`` or as far as possible, on the grid of hops; the frame to go on with."""
        target = max(frame, self.next_frame - self._rewindable + self.grid - 1, 0)
        target -= target % self.grid
        back = self.next_frame - target
        if back <= 0:
            return self.next_frame
        self._history = np.concatenate([np.repeat(self._history[:1], back, axis=0), self._history[:-back]])
        if self._restyle:
            self._history = self._history - self._restyle.rewind(target)
        self.next_frame = target
        self._rewindable -= back
        return target
