"""``speech_encoder``: chunks of sound in, speech features at 50 Hz out."""

from __future__ import annotations

from array import array

import numpy as np
from std_msgs.msg import Header

from media2face.runtime.clock import FEATURE_STRIDE, SAMPLE_RATE
from media2face.runtime.intake import GRID_FEATURES, GRID_SAMPLES, AudioIntake, Piece
from media2face.runtime.speech_window import load_speech_encoder
from media2face_msgs.msg import AudioChunk, SpeechFeatures

from . import qos, runner
from .audio_messages import chunk_of
from .base import NS, AvatarNode, to_stamp
from .parameters import PRECISION, PROVIDER, WEIGHTS


class SpeechEncoderNode(AvatarNode):
    """Runs the speech encoder of the weights folder over whatever is spoken."""

    NAME = "speech_encoder"
    PARAMETERS = (PROVIDER, WEIGHTS, PRECISION)

    def setup(self) -> None:
        self.encoder = load_speech_encoder(self.weights(), self.value("provider"))
        self.intake = AudioIntake()
        self.stream = self.encoder.stream()
        self.first_feature = 0
        self.features = self.give(SpeechFeatures, "speech_features", qos.FEATURES)
        self.take(AudioChunk, "audio", self.on_audio, qos.AUDIO)
        self.take(Header, "interrupted", self.on_interrupted, qos.EVENT)

    def stop(self) -> None:
        self.intake = AudioIntake()

    def troubles(self):
        return self.counts + self.intake.counts if hasattr(self, "intake") else self.counts

    def on_audio(self, message: AudioChunk) -> None:
        began = self.now()
        chunk = chunk_of(message)
        if chunk is None:
            self.refuse("audio that cannot be read", f"utterance {message.utterance!r}: encoding, channels or length")
            return
        for piece in self.intake.push(chunk):
            self._encode(piece)
        self.measure("encode", (self.now() - began) / NS)

    def on_interrupted(self, message: Header) -> None:
        self.intake.close(message.frame_id)

    def _encode(self, piece: Piece) -> None:
        if piece.starts:
            self.stream.reset()
            self.first_feature = piece.first_sample // GRID_SAMPLES * GRID_FEATURES
        self.stream.accept_waveform(piece.samples)
        if piece.ends:
            self.stream.input_finished()
        first, data = self.stream.read()
        if len(data) or piece.ends:
            self._publish(piece, self.first_feature + first, data)

    def _publish(self, piece: Piece, first: int, data: np.ndarray) -> None:
        message = SpeechFeatures(
            utterance=piece.utterance,
            first_feature=first,
            rate=SAMPLE_RATE / FEATURE_STRIDE,
            dim=self.encoder.dim,
            encoder=self.encoder.fingerprint,
            data=array("f", np.ascontiguousarray(data, np.float32).tobytes()),
            last=piece.ends,
            samples=piece.first_sample + len(piece.samples) if piece.ends else 0,
        )
        message.header.stamp = to_stamp(piece.anchor)
        self.features.publish(message)


def main() -> int:
    """Run this node."""
    return runner.main(SpeechEncoderNode)
