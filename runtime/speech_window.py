"""A published Wav2Vec2 live: features block by block, each block read inside a window of bounded past and future.

Block b holds the features bH ... bH + H - 1. Its window reaches from feature max(0, bH - L) to bH + H - 1 + R and is a
function of the absolute sample alone, so any cutting of the same audio gives the same features. L, H and R (left, hop,
lookahead) are in the file's record, since a generator must be trained with the features that it will hear.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from .clock import SAMPLE_RATE
from .errors import AudioError, ModelError
from .feature_stream import FeatureEncoder, FeatureStream
from .sessions import load_model, weights_folder
from .speech import SpeechEncoder

log = logging.getLogger(__name__)

MODEL = "speech_hub"
"""Name of the file (``speech_hub.onnx``), written by ``onnx_export.hub_speech``."""


class WindowedSpeechEncoder(FeatureEncoder):
    """The shared model; every utterance has a stream of its own (`stream`). The verbs are those of `SpeechEncoder`.

    Args:
        weights_dir: folder of speech_hub.onnx.
        providers: as of `sessions.load_model`.
        threads: threads inside one operator.

    Raises:
        ModelError: weights missing, damaged, or of another version.
    """

    phones: tuple[str, ...] = ()

    def __init__(
        self, weights_dir: str | Path | None = None, providers: str | Sequence[str] | None = None, threads: int = 1
    ):
        self.model = load_model(MODEL, weights_dir, providers, threads)
        meta = self.model.meta
        try:
            self.name = str(meta["checkpoint"])
            self.dim, self.stride, self.receptive_field = (int(meta[k]) for k in ("dim", "stride", "receptive_field"))
            self.left, self.hop, self.lookahead = (int(meta["window"][k]) for k in ("left", "hop", "lookahead"))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the record of {self.model.path} lacks what a windowed encoder needs ({error!r}): export it again "
                "with media2face.onnx_export.hub_speech"
            ) from error
        log.info(
            "%s runs over windows: features come up to %.0f ms after their sound; keep presentation_delay above that",
            self.name, 1000 * self.lookahead_s,
        )  # fmt: skip

    @property
    def fingerprint(self) -> str:
        """Which weights and which window these are; generators name the one that they were trained with."""
        return self.model.fingerprint

    @property
    def lookahead_s(self) -> float:
        """Audio needed after the centre of a block's first feature, s: the longest that any feature waits."""
        return (self.stride * (self.hop - 1 + self.lookahead) + self.receptive_field / 2) / SAMPLE_RATE

    def samples_for(self, feature: int) -> int:
        """How many samples of the utterance must have come before this feature is known."""
        last = (feature // self.hop + 1) * self.hop - 1 + self.lookahead
        return self.stride * last + self.receptive_field

    def stream(self, with_phones: bool = False) -> WindowedSpeechStream:
        """A new stream.

        Raises:
            AudioError: if phones are asked for: a published encoder has none.
        """
        if with_phones:
            raise AudioError(f"{self.name} has no phones: use the shipped speech encoder where phones are needed")
        return WindowedSpeechStream(self)


class WindowedSpeechStream(FeatureStream):
    """State of one utterance: the samples of the present window, features not yet read."""

    def __init__(self, encoder: WindowedSpeechEncoder):
        self.encoder = encoder
        self.reset()

    def reset(self) -> None:
        """Back to the start of an utterance; nothing of the last one is kept."""
        super().reset()
        self._next = 0  # first feature of the next block
        self._start = 0  # feature at whose first sample `_samples` begin

    def _advance(self) -> None:
        encoder = self.encoder
        while True:
            past = min(self._next, encoder.left)
            need = encoder.samples_for(self._next) - encoder.stride * (self._next - past)
            skipped = encoder.stride * (self._next - past - self._start)
            self._samples, self._start = self._samples[skipped:], self._next - past
            if len(self._samples) < need:
                return
            features = encoder.model.run({"audio": self._samples[None, :need]})["features"][0]
            self._features.append(features[past : past + encoder.hop])
            self._next += encoder.hop


def load_speech_encoder(
    weights_dir: str | Path | None = None, providers: str | Sequence[str] | None = None, threads: int = 1
) -> FeatureEncoder:
    """The speech encoder of a weights folder: the published one where there is a speech_hub.onnx, else our own.

    Raises:
        ModelError: as of the two classes.
    """
    published = (weights_folder(weights_dir) / f"{MODEL}.onnx").is_file()
    return (WindowedSpeechEncoder if published else SpeechEncoder)(weights_dir, providers, threads)
