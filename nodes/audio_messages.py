"""Messages of sound to the engine's chunks and back; both kinds of ``audio_common_msgs`` where one is installed.

Two packages carry that name. That of ros-drivers has bytes (``AudioData.data``) whose format stands in ``AudioInfo``;
that of mgonzs13 has one typed array per format (``AudioData.int16_data``, ...) and the format beside it.
"""

from __future__ import annotations

import importlib
from array import array
from dataclasses import dataclass

import numpy as np

from media2face.runtime.intake import Chunk, pcm
from media2face_msgs.msg import AudioChunk

from .base import to_ns, to_stamp

TYPED = {
    "float32_data": "float32",
    "int32_data": "int32",
    "int16_data": "int16",
    "int8_data": "int8",
    "uint8_data": "uint8",
}
BYTES = {"S16LE": ("int16", "<i2"), "S32LE": ("int32", "<i4"), "F32LE": ("float32", "<f4"), "S8": ("int8", "i1"),
         "U8": ("uint8", "u1")}  # fmt: skip


def chunk_of(message: AudioChunk) -> Chunk | None:
    """The engine's chunk, or None where encoding, channels and array do not fit together."""
    if message.encoding == AudioChunk.FLOAT32 and not len(message.int16_data):
        samples = pcm("float32", np.frombuffer(message.float32_data, np.float32), message.channels)
    elif message.encoding == AudioChunk.INT16 and not len(message.float32_data):
        samples = pcm("int16", np.frombuffer(message.int16_data, np.int16), message.channels)
    else:
        samples = None
    if samples is None:
        return None
    return Chunk(
        message.utterance, message.first_sample, message.sample_rate, samples, to_ns(message.header.stamp), message.last
    )


def message_of(chunk: Chunk) -> AudioChunk:
    """A chunk as a float32 message."""
    message = AudioChunk(
        utterance=chunk.utterance,
        first_sample=chunk.first_sample,
        sample_rate=chunk.rate,
        channels=chunk.samples.shape[1],
        encoding=AudioChunk.FLOAT32,
        float32_data=array("f", np.ascontiguousarray(chunk.samples, np.float32).tobytes()),
        last=chunk.last,
    )
    message.header.stamp = to_stamp(chunk.stamp)
    return message


@dataclass
class ForeignAudio:
    """What an installed ``audio_common_msgs`` offers.

    Attributes:
        stamped: message type of the sound: ``AudioStamped`` (mgonzs13) or ``AudioDataStamped`` (ros-drivers).
        info: message type of the separate format topic (ros-drivers), or None.
        rate, channels, sample_format: of ros-drivers' bytes, until an info message says otherwise.
    """

    stamped: type
    info: type | None
    rate: int = 16_000
    channels: int = 1
    sample_format: str = "S16LE"

    @classmethod
    def find(cls) -> ForeignAudio | None:
        """The kind that is installed, or None."""
        try:
            messages = importlib.import_module("audio_common_msgs.msg")
        except ImportError:
            return None
        if hasattr(messages, "AudioStamped"):
            return cls(messages.AudioStamped, None)
        return cls(messages.AudioDataStamped, messages.AudioInfo)

    def describe(self, info) -> None:
        """Take ros-drivers' ``AudioInfo``."""
        self.rate, self.channels = info.sample_rate, info.channels
        self.sample_format = info.sample_format if info.coding_format.upper() in ("", "WAVE", "RAW") else "?"

    def samples(self, message) -> tuple[int, np.ndarray] | None:
        """(rate, float32 (n, channels)) of a stamped message, or None where it cannot be read (MP3, for one)."""
        if self.info is not None:
            if self.sample_format not in BYTES:
                return None
            encoding, dtype = BYTES[self.sample_format]
            raw = bytes(message.audio.data)
            if len(raw) % np.dtype(dtype).itemsize:
                return None
            values = np.frombuffer(raw, dtype)
            found = pcm(encoding, values, self.channels)
            return None if found is None else (self.rate, found)
        sound = message.audio
        data = sound.audio_data if hasattr(sound, "audio_data") else sound.audio
        for field, encoding in TYPED.items():
            values = getattr(data, field, ())
            if len(values):
                found = pcm(encoding, np.asarray(values), sound.info.channels)
                return None if found is None else (sound.info.rate, found)
        return None
