"""The motion sampler: speech features and style in, head motion (expression latent and head pose) out, hop by hop.

Each hop samples a few frames by DDIM, with the motion already given out held fixed as the window's past. Windows, noise
and features are indexed by absolute frame, so any arrival of the input gives the same motion (Media2Face section 4.1;
holding the past fixed is the temporal inpainting of section 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .clock import FPS, features_needed, frame_count, interpolate_features
from .errors import InputError
from .motion import Key, MotionFrame, SamplerConfig, Style
from .schedulers import DDIMScheduler
from .sessions import load_model, require

REWIND = 32
"""Frames behind the newest that a style change or an interrupt may still replace."""


class MotionSampler:
    """The shared denoiser and its statistics; :meth:`stream` opens one utterance.

    Args:
        weights_dir: folder of the weights (default: the shipped ones).
        providers: see :func:`media2face.runtime.sessions.load_model`.
        config: sampling settings.
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
        model: str = "denoiser",
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
        self.config = config or SamplerConfig()
        self.latent_dim: int = meta["latent_dim"]
        self.audio_dim: int = meta["audio_dim"]
        self.style_dim: int = meta["style_dim"]
        self.mean = np.array(meta["mean"], np.float32)
        self.std = np.array(meta["std"], np.float32)
        self.rest = ((np.array(meta["rest"], np.float32) - self.mean) / self.std).astype(np.float32)
        self.neutral_style = np.array(meta["neutral_style"], np.float32)
        self.train_steps: int = meta["train_steps"]
        self.axes = {region: np.array(rows, np.float32) for region, rows in meta["axes"].items()}

    def stream(self, seed: int = 0, config: SamplerConfig | None = None) -> SamplerStream:
        """Open one utterance; ``seed`` chooses among the motions that fit it."""
        return SamplerStream(self, seed, config or self.config)

    def predict(
        self, x: np.ndarray, t: np.ndarray, audio: np.ndarray, style: np.ndarray | None, config: SamplerConfig,
        strength: float = 1.0,
    ) -> np.ndarray:  # fmt: skip
        """Guided prediction of the clean states, equation 9: (T, D) from x (T, D), t (T,), audio (T, A), style (P,)."""
        s_p = config.guidance_style * strength
        s_a = config.guidance_audio + config.guidance_style * (1.0 - strength)
        branches = [(w, *on) for w, on in ((1.0 - s_a - s_p, (0, 0)), (s_a, (1, 0)), (s_p, (1, 1))) if abs(w) > 1e-6]
        weights = np.array([b[0] for b in branches], np.float32)
        n = len(branches)
        vector = self.neutral_style if style is None else style
        clean = self.model.run(
            {
                "x": np.broadcast_to(x, (n, *x.shape)).copy(),
                "t": np.broadcast_to(t, (n, *t.shape)).astype(np.int64),
                "audio": np.broadcast_to(audio, (n, *audio.shape)).astype(np.float32),
                "style": np.broadcast_to(vector, (n, len(vector))).astype(np.float32),
                "has_audio": np.array([b[1] for b in branches], np.float32),
                "has_style": np.array([b[2] for b in branches], np.float32),
            }
        )["clean"]
        return np.tensordot(weights, clean, axes=1)


@dataclass
class SamplerStream:
    """The sampling state of one utterance.

    Verbs: :meth:`accept_features`, :meth:`input_finished`, :meth:`frames_ready`, :meth:`set_style`,
    :meth:`add_keyframe`, :meth:`interrupt`, :meth:`reset`.
    """

    sampler: MotionSampler
    seed: int
    config: SamplerConfig
    gaps: int = 0
    """Feature frames that never came and were filled by holding the last."""
    revision: int = 0
    """Counts changes of style, keyframes and interrupts; frames carry the one they were made under."""
    _styles: list[Style] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Back to rest, before frame 0; the style that was last set stays."""
        self.next_frame = 0
        self.total_frames: int | None = None
        self.interrupted = False
        self._features = np.zeros((0, self.sampler.audio_dim), np.float32)
        self._first_feature = 0
        self._history = np.tile(self.sampler.rest, (self.config.past + REWIND, 1))
        self._rewindable = REWIND
        self._keys: list[Key] = []
        self._styles = [replace(s, start=-(10**6), ramp=1) for s in self._styles[-1:]]
        self._scheduler = DDIMScheduler(self.sampler.train_steps)
        self._scheduler.set_timesteps(self.config.steps)

    @property
    def finished(self) -> bool:
        """Whether the last frame of the utterance has been given out."""
        return self.interrupted or (self.total_frames is not None and self.next_frame >= self.total_frames)

    def set_steps(self, steps: int) -> None:
        """Change the DDIM steps of the hops to come (load shedding)."""
        self.config = replace(self.config, steps=steps)
        self._scheduler.set_timesteps(steps)

    def accept_features(self, first_index: int, features: np.ndarray) -> None:
        """Take consecutive speech features (n, A); what was already there is ignored, a gap is filled and counted.

        Raises:
            InputError: if the shape is wrong, values are not finite, or the gap is longer than ten seconds.
        """
        features = np.asarray(features, np.float32)
        if features.ndim != 2 or features.shape[1] != self.sampler.audio_dim:
            raise InputError(f"expected speech features (n, {self.sampler.audio_dim}), got {features.shape}")
        if not np.isfinite(features).all():
            raise InputError("speech features hold NaN or infinite values: check the speech encoder's input")
        end = self._first_feature + len(self._features)
        missing = first_index - end
        if missing > 500:
            raise InputError(f"speech features jump from {end} to {first_index}: start a new utterance instead")
        if missing > 0:
            held = self._features[-1] if len(self._features) else np.zeros(features.shape[1], np.float32)
            self._features = np.concatenate([self._features, np.tile(held, (missing, 1))])
            self.gaps += missing
        elif missing < 0:
            features = features[-missing:]
        if len(features):
            self._features = np.concatenate([self._features, features])

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
        vector = self.sampler.neutral_style if vector is None else np.asarray(vector, np.float32)
        if vector.shape != (self.sampler.style_dim,) or not np.isfinite(vector).all():
            raise InputError(f"expected a finite style embedding ({self.sampler.style_dim},), got shape {vector.shape}")
        if not 0.0 <= strength <= 3.0:
            raise InputError(f"style strength must lie within 0 and 3, got {strength}")
        if not 0.0 <= ramp_s <= 60.0:
            raise InputError(f"a style's ramp must lie within 0 and 60 s, got {ramp_s}")
        wanted = self.next_frame if at_frame is None else at_frame
        start = wanted if wanted >= self.next_frame else self._rewind(wanted)
        self.revision += 1
        self._styles = [s for s in self._styles if s.start < start]
        self._styles.append(Style(vector, strength, start, max(round(ramp_s * FPS), 1)))
        return start

    def add_keyframe(
        self, frame: int, latent: np.ndarray, rotvec: np.ndarray | None = None, translation: np.ndarray | None = None,
        reach_s: float = 0.27,
    ) -> None:  # fmt: skip
        """Make frame ``frame`` show the given state; its neighbours ease towards it over ``reach_s`` seconds.

        Raises:
            InputError: if the frame is already out or a shape is wrong.
        """
        if frame < self.next_frame:
            raise InputError(f"a keyframe must lie ahead: frame {frame} was asked for, {self.next_frame} is next")
        latent = np.asarray(latent, np.float32)
        if latent.shape != (self.sampler.latent_dim,) or not np.isfinite(latent).all():
            raise InputError(f"expected a finite latent ({self.sampler.latent_dim},), got shape {latent.shape}")
        rest = self.sampler.rest * self.sampler.std + self.sampler.mean
        state = np.concatenate(
            [
                latent,
                rest[-6:-3] if rotvec is None else np.asarray(rotvec, np.float32),
                rest[-3:] if translation is None else np.asarray(translation, np.float32),
            ]
        )
        if state.shape != self.sampler.rest.shape or not np.isfinite(state).all():
            raise InputError("expected a finite rotation vector (3,) and translation (3,) for the keyframe")
        self.revision += 1
        self._keys.append(Key(frame, (state - self.sampler.mean) / self.sampler.std, max(round(reach_s * FPS), 1)))

    def interrupt(self, at_frame: int | None = None, ease_s: float = 0.2) -> list[MotionFrame]:
        """Barge-in: stop this utterance and return the frames, of a higher revision, that ease to rest."""
        start = self.next_frame if at_frame is None else self._rewind(at_frame)
        self.revision += 1
        n = max(round(ease_s * FPS), 1)
        share = (0.5 - 0.5 * np.cos(np.pi * np.arange(1, n + 1) / n)).astype(np.float32)[:, None]
        states = (1.0 - share) * self._history[-1] + share * self.sampler.rest
        self._push(states)
        frames = self._frames(start, states)
        self.next_frame = start + n
        self.interrupted = True
        return frames

    # ------------------------------------------------------------------------------------------------ inside

    def _hop_ready(self) -> bool:
        last = self.next_frame + self.config.hop + self.config.lookahead - 1
        have = self._first_feature + len(self._features)
        if self.total_frames is not None:
            return have > 0
        return features_needed(last) <= have

    def _audio(self, frames: np.ndarray) -> np.ndarray:
        short = features_needed(int(frames[-1])) - (self._first_feature + len(self._features))
        if short > 0:  # beyond the end of a finished utterance
            self._features = np.concatenate([self._features, np.tile(self._features[-1], (short, 1))])
        return interpolate_features(self._features, self._first_feature, frames)

    def _noise(self, frames: np.ndarray) -> np.ndarray:
        """Noise of each frame, a function of seed and absolute frame alone, with each region's temperature."""
        dim, config = len(self.sampler.rest), self.config
        rows = [np.random.Generator(np.random.Philox(key=[self.seed, int(k)])).standard_normal(dim) for k in frames]
        white = np.stack(rows).astype(np.float32)
        noise = config.temperature * white
        z = white[:, : self.sampler.latent_dim]
        for axes, own in ((self.sampler.axes["mouth"], config.mouth_temperature),
                          (self.sampler.axes["eyes"], config.eye_temperature)):  # fmt: skip
            noise[:, : self.sampler.latent_dim] += (own - config.temperature) * (z @ axes.T @ axes)
        return noise

    def _style_at(self, frame: int) -> tuple[np.ndarray | None, float]:
        vector, strength = self.sampler.neutral_style, 1.0
        for style in self._styles:
            share = style.share(frame)
            vector = (1.0 - share) * vector + share * style.vector
            strength = (1.0 - share) * strength + share * style.strength
        return vector, strength

    def _hop(self) -> list[MotionFrame]:
        config, first = self.config, self.next_frame
        unknown = np.arange(first, first + config.hop + config.lookahead)
        frames = np.arange(first - config.past, unknown[-1] + 1)
        audio = self._audio(frames)
        style, strength = self._style_at(first)
        past = self._history[-config.past :]
        x = self._noise(unknown)
        for t in self._scheduler.timesteps:
            times = np.where(frames < first, 0, t)
            clean = self.sampler.predict(np.concatenate([past, x]), times, audio, style, config, strength)
            x = self._scheduler.step(clean[config.past :], int(t), x)
        count = config.hop if self.total_frames is None else min(config.hop, self.total_frames - first)
        states = x[:count]
        for key in self._keys:
            share = key.share(unknown[:count])
            states = (1.0 - share) * states + share * key.state
        self._push(states)
        self.next_frame = first + count
        self._forget()
        return self._frames(first, states)

    def _push(self, states: np.ndarray) -> None:
        self._history = np.concatenate([self._history, states])[-(self.config.past + REWIND) :]
        self._rewindable = min(self._rewindable + len(states), REWIND)

    def _frames(self, first: int, states: np.ndarray) -> list[MotionFrame]:
        z = self.sampler.latent_dim
        plain = states * self.sampler.std + self.sampler.mean
        return [
            MotionFrame(first + i, self.revision, s[:z], s[z : z + 3], s[z + 3 : z + 6]) for i, s in enumerate(plain)
        ]

    def _rewind(self, frame: int) -> int:
        """Take frames back to ``frame`` or as far as possible, on the grid of hops; the frame to go on with."""
        target = max(frame, self.next_frame - self._rewindable + self.config.hop - 1, 0)
        target -= target % self.config.hop
        back = self.next_frame - target
        if back <= 0:
            return self.next_frame
        self._history = np.concatenate([np.tile(self.sampler.rest, (back, 1)), self._history[:-back]])
        self.next_frame = target
        self._rewindable -= back
        return target

    def _forget(self) -> None:
        """Drop features that no window, even a rewound one, will read again; keep the first for frames before 0."""
        oldest = self.next_frame - self.config.past - REWIND
        surplus = features_needed(oldest) - 4 - self._first_feature
        if oldest > 0 and surplus > 0:
            self._features = self._features[surplus:]
            self._first_feature += surplus
        self._keys = [k for k in self._keys if k.frame + k.reach >= self.next_frame]
