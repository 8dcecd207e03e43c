"""The whole chain for one stream of speech, without ROS: waveform in, frames of a face out.

The nodes run the same three parts (speech encoder, motion sampler, face decoder) as separate processes; this class runs
them in one, for the command line, for tests and for programs that want three lines of code::

    engine = AvatarEngine.load()
    engine.accept_waveform(samples)
    for frame in engine.frames_ready(): ...
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .clock import FPS
from .decoder import FaceDecoder
from .errors import InputError
from .feature_stream import FeatureEncoder
from .keyframes import key_latent
from .motion import MotionFrame, SamplerConfig
from .precision import precise_folder
from .rotation import quaternions_from_rotvecs
from .sampler import MotionSampler
from .speech_window import load_speech_encoder
from .style import StyleEmbedding, StyleEncoder


@dataclass(frozen=True)
class Frame:
    """One frame of the face, ready to be worn."""

    index: int
    revision: int
    latent: np.ndarray
    """(D,) GNPFA expression latent."""
    weights: np.ndarray
    """(52,) in [0, 1], in the order of ARKIT_NAMES."""
    head_rotation: np.ndarray
    """(4,) quaternion xyzw about the neck pivot, REP-103 axes."""
    head_translation: np.ndarray
    """(3,) metres."""


@dataclass
class EngineModels:
    """The loaded networks; many engines may share them."""

    speech: FeatureEncoder
    style: StyleEncoder
    sampler: MotionSampler
    decoder: FaceDecoder

    @classmethod
    def load(
        cls,
        weights_dir: str | Path | None = None,
        providers: str | None = None,
        config: SamplerConfig | None = None,
        model: str = "student",
        precision: str = "fp32",
    ) -> EngineModels:
        """Load every network and check that they were trained together; ``precision`` as of :mod:`.precision`.

        Raises:
            ConfigError: if the precision is none.
            ModelError: if a file is missing, wrong, or was trained with other companions.
        """
        weights_dir = precise_folder(weights_dir, precision)
        speech = load_speech_encoder(weights_dir, providers)
        style = StyleEncoder(weights_dir, providers)
        decoder = FaceDecoder(weights_dir, providers)
        sampler = MotionSampler(
            weights_dir, providers, config, model,
            speech_fingerprint=speech.fingerprint,
            style_fingerprint=style.fingerprint,
            decoder_fingerprint=decoder.fingerprint,
        )  # fmt: skip
        return cls(speech, style, sampler, decoder)


class AvatarEngine:
    """One avatar's stream of speech.

    Args:
        models: the networks.
        seed: chooses among the motions that fit the speech.
        config: sampling settings (default: those the models were loaded with).
    """

    def __init__(self, models: EngineModels, seed: int = 0, config: SamplerConfig | None = None) -> None:
        self.models = models
        self.speech = models.speech.stream()
        self.sampler = models.sampler.stream(seed, config)
        self.samples = 0
        self._last_quaternion: np.ndarray | None = None

    @classmethod
    def load(cls, seed: int = 0, **options) -> AvatarEngine:
        """Load the shipped models and open a stream; options as in :meth:`EngineModels.load`."""
        return cls(EngineModels.load(**options), seed)

    def accept_waveform(self, samples: np.ndarray) -> None:
        """Take speech: mono float32 at 16 kHz, any number of samples.

        Raises:
            InputError: if the array is not one-dimensional.
        """
        samples = np.asarray(samples, np.float32)
        if samples.ndim != 1:
            raise InputError(f"expected mono samples (n,), got shape {samples.shape}: mix the channels first")
        self.samples += len(samples)
        self.speech.accept_waveform(samples)

    def input_finished(self) -> None:
        """The utterance is over; its remaining frames become ready."""
        self.speech.input_finished()
        self.sampler.input_finished(self.samples)

    def frames_ready(self, limit: int | None = None) -> list[Frame]:
        """Every frame that can be made from what has come, in order; at most ``limit`` hops."""
        self._pass_features()
        return self._decode(self.sampler.frames_ready(limit))

    @property
    def finished(self) -> bool:
        """Whether the last frame of the utterance has been given out."""
        return self.sampler.finished

    def set_style(
        self,
        style: StyleEmbedding | str | None,
        strength: float = 1.0,
        start: float | None = None,
        ramp: float = 0.3,
    ) -> float:
        """Follow a style from audio time ``start`` (s; default: the next frame), easing in over ``ramp`` seconds.

        Returns:
            The audio time from which frames are touched, s.
        """
        if isinstance(style, str):
            style = self.models.style.encode_text(style)
        at_frame = None if start is None else round(start * FPS)
        vector = None if style is None else style.vector
        return self.sampler.set_style(vector, strength, at_frame, ramp) / FPS

    def add_keyframe(
        self, time: float, weights: np.ndarray, rotvec: np.ndarray | None = None, translation: np.ndarray | None = None
    ) -> None:
        """Pass through these 52 weights (ARKIT_NAMES order) at audio time ``time``, s.

        Args:
            rotvec, translation: (3,) of the head, rad and m; None leaves it free.

        Raises:
            InputError: see :meth:`.SamplerStream.add_keyframe`.
        """
        latent = key_latent(self.models.decoder, weights)
        self.sampler.add_keyframe(round(time * FPS), latent, rotvec, translation)

    def interrupt(self) -> list[Frame]:
        """Stop this utterance (barge-in); the frames that ease to rest, under a higher revision."""
        return self._decode(self.sampler.interrupt())

    def reset(self) -> None:
        """Ready for a new utterance; the style stays."""
        self.speech.reset()
        self.sampler.reset()
        self.samples = 0
        self._last_quaternion = None

    def _pass_features(self) -> None:
        first, features = self.speech.read()
        if len(features):
            self.sampler.accept_features(first, features)

    def _decode(self, motion: list[MotionFrame]) -> list[Frame]:
        frames = decode_motion(self.models.decoder, motion, self._last_quaternion)
        if frames:
            self._last_quaternion = frames[-1].head_rotation
        return frames


def decode_motion(decoder: FaceDecoder, motion: list[MotionFrame], before: np.ndarray | None = None) -> list[Frame]:
    """Head motion as faces; ``before`` is the quaternion of the frame ahead of it, whose sign the next ones keep."""
    if not motion:
        return []
    weights = decoder.weights(np.stack([m.latent for m in motion]))
    rotations = quaternions_from_rotvecs(np.stack([m.head_rotvec for m in motion]), before)
    return [
        Frame(m.index, m.revision, m.latent, w, q, m.head_translation)
        for m, w, q in zip(motion, weights, rotations, strict=True)
    ]
