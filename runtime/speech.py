"""Speech to features, live: 50 feature vectors a second, each with a fixed look-ahead, whatever the chunks.

Feature j is centred at (320 j + 200) / 16000 s and is known once sample 320 (j + delay) + 400 has come. The encoder is
causal and carries its past in caches, so that any cutting of the same audio gives the same features (to rounding).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .clock import SAMPLE_RATE
from .errors import AudioError
from .feature_stream import MAX_BLOCK, FeatureEncoder, FeatureStream
from .sessions import load_model, require


class SpeechEncoder(FeatureEncoder):
    """The shared model; every utterance has a stream of its own (`stream`).

    Args:
        weights_dir: folder of speech_frontend.onnx and speech_context.onnx, the shipped one if None.
        providers: as of `sessions.load_model`.
        threads: threads inside one operator.

    Raises:
        ModelError: weights missing, damaged, of another version, or not of one pair.
    """

    def __init__(
        self, weights_dir: str | Path | None = None, providers: str | Sequence[str] | None = None, threads: int = 1
    ):
        self.frontend = load_model("speech_frontend", weights_dir, providers, threads)
        self.context = load_model("speech_context", weights_dir, providers, threads)
        require(self.context, "speech_frontend", self.frontend.fingerprint)
        meta = self.context.meta
        self.dim = int(meta["dim"])
        self.delay = int(meta["delay"])
        self.stride = int(meta["stride"])
        self.receptive_field = int(self.frontend.meta["receptive_field"])
        self.phones: tuple[str, ...] = tuple(meta["phones"])

    @property
    def fingerprint(self) -> str:
        """Which weights these are; generators name the one that they were trained with."""
        return self.context.fingerprint

    @property
    def lookahead_s(self) -> float:
        """Audio needed after a feature's centre, s."""
        return (self.stride * self.delay + self.receptive_field / 2) / SAMPLE_RATE

    def samples_for(self, feature: int) -> int:
        """How many samples of the utterance must have come before this feature is known."""
        return self.stride * (feature + self.delay) + self.receptive_field

    def stream(self, with_phones: bool = False) -> SpeechStream:
        """A new stream; with_phones keeps the phone logits too, for `SpeechStream.read_phones`."""
        return SpeechStream(self, with_phones)


class SpeechStream(FeatureStream):
    """State of one utterance: samples not yet used, caches, features not yet read."""

    def __init__(self, encoder: SpeechEncoder, with_phones: bool = False):
        self.encoder = encoder
        self.with_phones = with_phones
        self.reset()

    def reset(self) -> None:
        """Back to the start of an utterance; nothing of the last one is kept."""
        super().reset()
        meta = self.encoder.context.meta
        self._frames = 0  # frames computed so far; `_samples` begin at sample stride * _frames
        self._position = np.zeros(meta["position_past"], np.float32)
        self._past = np.zeros(meta["past"], np.float32)
        self._logits: list[np.ndarray] = []
        self._read_logits = 0

    def read_phones(self) -> tuple[int, np.ndarray]:
        """(index of the first, phone logits (m, 42)) since the last call; needs `with_phones`."""
        if not self.with_phones:
            raise AudioError("this stream keeps no phones: make it with stream(with_phones=True)")
        logits = np.concatenate(self._logits) if self._logits else np.zeros((0, len(self.encoder.phones)), np.float32)
        first, self._logits = self._read_logits, []
        self._read_logits += len(logits)
        return first, logits

    def _advance(self) -> None:
        encoder = self.encoder
        while True:
            ready = min(MAX_BLOCK, (len(self._samples) - encoder.receptive_field) // encoder.stride + 1)
            if ready < 1:
                return
            audio = self._samples[: encoder.stride * (ready - 1) + encoder.receptive_field]
            frames = encoder.frontend.run({"audio": audio[None]})["frames"]
            feeds = {
                "frames": frames,
                "position_past": self._position,
                "past": self._past,
                "seen": np.array(self._frames, np.int64),
            }
            out = encoder.context.run(feeds, keep=("position_next", "past_next"))
            self._position, self._past = out["position_next"], out["past_next"]
            fresh = max(0, encoder.delay - self._frames)  # hidden states that speak of the time before the start
            self._features.append(out["hidden"][0, fresh:])
            if self.with_phones:
                self._logits.append(out["phone_logits"][0, fresh:])
            self._frames += ready
            self._samples = self._samples[encoder.stride * ready :]
