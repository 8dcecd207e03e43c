"""Where speech comes from: a file delivered at a chosen pace, or a microphone."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .audio_io import stream_audio
from .clock import SAMPLE_RATE
from .errors import AudioError
from .intake import Chunk

NS = 1_000_000_000


def utterance_id(name: str) -> str:
    """An id that no other utterance has: a readable name and the time in milliseconds, base 36."""
    digits, value = "", time.time_ns() // 1_000_000
    while value:
        value, rest = divmod(value, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    clean = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:64]
    return f"{clean or 'speech'}-{digits}"


_IDLE = "idle:"


def is_idle(utterance: str) -> bool:
    """Whether frames of this utterance are those of a face that listens."""
    return utterance.startswith(_IDLE)


def idle_id() -> str:
    """An id for a stretch of listening; no utterance that is spoken has a colon."""
    return utterance_id("idle").replace("-", ":", 1)


class FileSpeech:
    """A file as chunks, each due at a moment; memory stays bounded.

    Args:
        path: the sound file; opened, and refused, at once.
        chunk_s: length of a chunk, s.
        pace: 1 is real time, 2 twice as fast, 0 as fast as possible.

    Raises:
        AudioError: if the file cannot be read (also later, from :meth:`next`, where it ends too early).
    """

    def __init__(self, path: str | Path, chunk_s: float = 0.032, pace: float = 1.0) -> None:
        self.utterance = utterance_id(Path(path).stem)
        self.pace = pace
        self.sent = 0
        self.began: int | None = None
        self.finished = False
        self._chunks = self._cut(path, max(round(chunk_s * SAMPLE_RATE), 1))
        self._ahead: np.ndarray | None = next(self._chunks)

    def due(self, now: int) -> float:
        """Seconds until the next chunk is complete (0 if it is)."""
        if self.began is None or self.pace == 0 or self._ahead is None:
            return 0.0
        return max((self._time(self.sent + len(self._ahead)) - now) / NS, 0.0)

    def next(self, now: int) -> Chunk:
        """The next chunk; its stamp is the capture time of its first sample."""
        if self.began is None:
            self.began = now
        samples = self._ahead
        stamp = now if self.pace == 0 else self._time(self.sent)
        self._ahead = next(self._chunks, None)
        self.finished = self._ahead is None
        chunk = Chunk(self.utterance, self.sent, SAMPLE_RATE, samples[:, None], stamp, self.finished)
        self.sent += len(samples)
        return chunk

    def _time(self, sample: int) -> int:
        return self.began + round(sample * NS / SAMPLE_RATE / self.pace)

    @staticmethod
    def _cut(path: str | Path, size: int) -> Iterator[np.ndarray]:
        rest = np.zeros(0, np.float32)
        for block in stream_audio(path):
            rest = np.concatenate([rest, block])
            whole = len(rest) // size * size
            yield from rest[:whole].reshape(-1, size)
            rest = rest[whole:]
        if len(rest):
            yield rest


class Microphone:
    """A live input, mono at 16 kHz where the device allows it, else at its own rate.

    Args:
        device: name or number of the input; "" is the default one.
        chunk_s: length of a chunk, s.

    Raises:
        AudioError: if there is no sound system, or no such device.
    """

    def __init__(self, device: str = "", chunk_s: float = 0.032) -> None:
        sd = sound_system()
        wanted = int(device) if device.isdigit() else device or None
        self.lost = 0
        self._chunks: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()
        self.restart()
        for rate in (SAMPLE_RATE, None):
            try:
                rate = rate or int(sd.query_devices(wanted, "input")["default_samplerate"])
                self._stream = sd.InputStream(
                    samplerate=rate, device=wanted, channels=1, dtype="float32",
                    blocksize=round(chunk_s * rate), callback=self._take,
                )  # fmt: skip
                break
            except (sd.PortAudioError, ValueError) as error:
                reason = error
        else:
            raise AudioError(
                f"no microphone can be opened ({reason}): plug one in, choose another device, or use a file"
            )
        self.rate = rate

    def restart(self) -> None:
        """Begin a new utterance."""
        self.utterance = utterance_id("mic")
        self.sent = 0
        self._anchor: int | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._stream.start()

    def stop(self) -> None:
        """Stop listening and let the device go."""
        self._stream.stop()
        self._stream.close()

    def next(self, now: int) -> Chunk | None:
        """The next chunk, stamped by counting samples from the first, or None if none is complete yet."""
        try:
            samples = self._chunks.get_nowait()
        except queue.Empty:
            return None
        if self._anchor is None:
            self._anchor = now - round(len(samples) * NS / self.rate)
        stamp = self._anchor + round(self.sent * NS / self.rate)
        chunk = Chunk(self.utterance, self.sent, self.rate, samples, stamp)
        self.sent += len(samples)
        return chunk

    def _take(self, indata: np.ndarray, frames: int, when: object, status: object) -> None:
        self.lost += bool(status and status.input_overflow)
        self._chunks.put(indata.copy())


def sound_system():
    """The ``sounddevice`` module.

    Raises:
        AudioError: if it, or PortAudio beneath it, is not installed.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the wheel is there, libportaudio2 is not
        why = f"no microphone or loudspeaker ({error}): install sounddevice and libportaudio2, or use files"
        raise AudioError(why) from error
    return sounddevice
