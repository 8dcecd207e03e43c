"""The rows of the motion table: each makes a face and a head for a take, by seed.

All generated rows run through the runtime's own sampler, hop by hop, at the live setting: the shipped denoiser, and the
baselines of ``training/train_baseline.py`` in their own spaces. Speech features and style embeddings are computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from media2face.evaluation.measured_face import MeasuredFace
from media2face.evaluation.motion_takes import Take, performed_again
from media2face.runtime.clock import frame_count
from media2face.runtime.decoder import FaceDecoder
from media2face.runtime.errors import InputError
from media2face.runtime.motion import TEMPERATURES
from media2face.runtime.sampler import MotionSampler, SamplerConfig
from media2face.runtime.speech import SpeechEncoder
from media2face.runtime.style import StyleEncoder


@dataclass(frozen=True, eq=False)
class Motion:
    """What a row made: displacements (T, N, 3) mm of the measured points, head rotation (T, 3), weights if any."""

    offsets: np.ndarray
    rotvec: np.ndarray
    weights: np.ndarray | None


@dataclass
class Shared:
    """What every row reads: the encoders, the decoder and the measured points, with a memory of speech features."""

    face: MeasuredFace
    speech: SpeechEncoder
    style: StyleEncoder
    decoder: FaceDecoder

    @classmethod
    def load(cls, face: MeasuredFace) -> Shared:
        """The shipped networks."""
        return cls(face, SpeechEncoder(), StyleEncoder(), FaceDecoder())

    @cached_property
    def _heard(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        return {}

    def features(self, take: Take) -> np.ndarray:
        """Speech features (n, A) at 50 Hz of a take."""
        key = id(take.samples)  # the samples are kept beside the features, so no other array can get their id
        if key not in self._heard:
            self._heard[key] = take.samples, self.speech.encode(take.samples)
        return self._heard[key][1]

    def face_of(self, weights: np.ndarray, rotvec: np.ndarray) -> Motion:
        """The motion of weights (T, 52) and head rotations (T, 3)."""
        return Motion(self.face.offsets(weights), np.asarray(rotvec, np.float32), weights)


Row = Callable[[Take, int], Motion]
"""A row of the table: a take and a seed to a motion."""


class Sampled:
    """A generator's row.

    Args:
        shared: encoders and decoder.
        model: name of the weights; None is what the engine runs by default. folder: where they lie (None: shipped).
        config: sampling settings; None is the shipped live setting of these weights.
        other_speech: hear this take's speech instead of one's own (the shuffled control).
    """

    def __init__(
        self, shared: Shared, model: str | None = None, folder: Path | None = None, config: SamplerConfig | None = None,
        other_speech: Callable[[Take], Take] | None = None,
    ) -> None:  # fmt: skip
        self.shared, self._other = shared, other_speech
        self.sampler = MotionSampler(
            folder, "cpu", config, **({} if model is None else {"model": model}),
            speech_fingerprint=shared.speech.fingerprint, style_fingerprint=shared.style.fingerprint,
            decoder_fingerprint=shared.decoder.fingerprint,
        )  # fmt: skip
        self.space: str = self.sampler.model.meta.get("space", "z")

    def __call__(self, take: Take, seed: int, vector: np.ndarray | None = None) -> Motion:
        """The take's motion under its prompt, or under the style embedding ``vector`` (P,) where one is given."""
        stream = self.sampler.stream(seed)
        if vector is None and take.prompt:
            vector = self.shared.style.encode_text(take.prompt).vector
        if vector is not None:
            stream.set_style(vector, ramp_s=0.0)
        heard = self.shared.features(take)
        if self._other is not None:
            heard = np.resize(self.shared.features(self._other(take)), heard.shape)
        stream.accept_features(0, heard)
        stream.input_finished(len(take.samples))
        frames = stream.frames_ready()
        return self._motion(np.stack([f.latent for f in frames]), np.stack([f.head_rotvec for f in frames]))

    def _motion(self, latent: np.ndarray, rotvec: np.ndarray) -> Motion:
        if self.space == "vertices":
            return Motion(latent.reshape(len(latent), -1, 3), rotvec, None)
        if self.space == "weights":
            return self.shared.face_of(np.clip(latent, 0.0, 1.0), rotvec)
        return self.shared.face_of(self.shared.decoder.weights(latent), rotvec)

    def mean_face(self) -> Row:
        """The row that never moves: the mean of the training states."""
        mean = self.sampler.mean
        weights = self.shared.decoder.weights(mean[None, : self.sampler.latent_dim])

        def still(take: Take, seed: int) -> Motion:
            frames = frame_count(len(take.samples))
            return self.shared.face_of(np.repeat(weights, frames, axis=0), np.tile(mean[-6:-3], (frames, 1)))

        return still


def shuffled(takes: list[Take]) -> Callable[[Take], Take]:
    """Gives each take the next one's speech, among takes of the same kind.

    Raises:
        InputError: if there is but one.
    """
    if len(takes) < 2:
        raise InputError("expected at least two takes to exchange their speech")
    following = {id(a): b for a, b in zip(takes, takes[1:] + takes[:1], strict=True)}
    return lambda take: following[id(take)]


def rules_again(shared: Shared) -> Row:
    """The row of another performance by the rules that made the truth, of synthetic takes: what a generator that knew
    them wholly would reach."""

    def performed(take: Take, seed: int) -> Motion:
        made = performed_again(take, seed)
        return shared.face_of(made.weights, made.head_rotvec)

    return performed


def true_motion(shared: Shared, take: Take) -> Motion:
    """The take's own motion."""
    return shared.face_of(take.weights, take.rotvec)


def available(folder: Path | None, shared: Shared) -> dict[str, Sampled]:
    """The baselines found in ``folder`` (``onnx_export.baselines``), by name, each with its sampling settings.

    A regressor has no noise and takes one pass a hop; the others take the denoiser's live setting.
    """
    rows = {}
    for path in sorted(folder.glob("*.onnx")) if folder else ():
        row = Sampled(shared, path.stem, folder)
        if row.sampler.model.meta.get("objective") == "regression":
            row.sampler.config = replace(row.sampler.config, steps=1, **dict.fromkeys(TEMPERATURES, 0.0))
        rows[path.stem] = row
    return rows
