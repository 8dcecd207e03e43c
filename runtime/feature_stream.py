"""What every speech encoder does: a stream takes audio in any pieces, counts bad samples, ends, hands features out."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod

import numpy as np

from .clock import FPS, SAMPLE_RATE, frame_count
from .errors import AudioError

log = logging.getLogger(__name__)

TAIL_FRAMES = 8  # motion frames after the end of speech that features still cover
MAX_BLOCK = 50  # features for which audio is taken at once: bounds memory and the time of one call


class FeatureEncoder(ABC):
    """A shared model; every utterance has a stream of its own (`stream`)."""

    dim: int
    stride: int
    receptive_field: int

    @abstractmethod
    def samples_for(self, feature: int) -> int:
        """How many samples of the utterance must have come before this feature is known."""

    @abstractmethod
    def stream(self, with_phones: bool = False) -> FeatureStream:
        """A new stream."""

    def encode(self, samples: np.ndarray) -> np.ndarray:
        """Features (m, dim) of a whole utterance (n,) at 16 kHz: the same stream given everything at once."""
        stream = self.stream()
        stream.accept_waveform(samples)
        stream.input_finished()
        return stream.read()[1]


class FeatureStream(ABC):
    """State of one utterance: samples not yet used, and features not yet read."""

    encoder: FeatureEncoder

    def reset(self) -> None:
        """Back to the start of an utterance; nothing of the last one is kept."""
        self.bad_samples = 0  # NaN or infinite samples replaced by 0
        self._samples = np.zeros(0, np.float32)
        self._received = 0
        self._features: list[np.ndarray] = []
        self._read = 0
        self._finished = False

    @property
    def available(self) -> int:
        """Number of features known so far, read or not."""
        return self._read + sum(map(len, self._features))

    def accept_waveform(self, samples: np.ndarray) -> None:
        """Append mono audio (n,), floating point in [-1, 1] at 16 kHz, any n; compute every feature it completes.

        Raises:
            AudioError: for another shape or type, or after `input_finished`.
        """
        if self._finished:
            raise AudioError("audio came after input_finished: call reset() to begin a new utterance")
        samples = np.asarray(samples)
        if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
            raise AudioError(
                f"expected mono floating point samples of shape (n,) at 16 kHz, got {samples.dtype} {samples.shape}: "
                "mix down and divide integers by their full scale first"
            )
        self._received += len(samples)
        self._append(samples)

    def input_finished(self) -> None:
        """The utterance is over: silence is added until features cover ceil(duration * 30) + 8 motion frames."""
        if self._finished:
            return
        self._finished = True
        encoder = self.encoder
        motion_frames = frame_count(self._received) + TAIL_FRAMES
        last = math.ceil((motion_frames * SAMPLE_RATE / FPS - encoder.receptive_field / 2) / encoder.stride)
        self._append(np.zeros(max(0, encoder.samples_for(last) - self._received), np.float32))

    def read(self) -> tuple[int, np.ndarray]:
        """(index of the first, features (m, dim) float32) that came since the last read; m may be 0."""
        features = np.concatenate(self._features) if self._features else np.zeros((0, self.encoder.dim), np.float32)
        first, self._features = self._read, []
        self._read += len(features)
        return first, features

    def _append(self, samples: np.ndarray) -> None:
        samples = samples.astype(np.float32)
        bad = ~np.isfinite(samples)
        count = int(np.count_nonzero(bad))
        if count:
            if not self.bad_samples:
                log.warning("audio holds samples that are not numbers: replaced by silence and counted")
            self.bad_samples += count
            samples[bad] = 0.0
        step = MAX_BLOCK * self.encoder.stride
        for start in range(0, len(samples), step):  # in pieces, so that an hour at once needs no copy of an hour
            self._samples = np.concatenate([self._samples, samples[start : start + step]])
            self._advance()

    @abstractmethod
    def _advance(self) -> None:
        """Compute every feature that `_samples` completes, append to `_features`, drop samples no longer needed."""
