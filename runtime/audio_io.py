"""Sound from files and arrays, as the engine wants it: mono float32 at 16 kHz.

Files are read through libsndfile (WAV, FLAC, OGG/Vorbis, OGG/Opus, MP3, AIFF, ...) block by block and resampled by a
streaming soxr filter, so memory does not grow with the length of a file and the result does not depend on the size of
the blocks. Defects are never silent: NaN and infinity become 0 and are counted, full-scale runs are counted as clipped,
both are logged once per file; everything that is not usable audio raises :class:`AudioError`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
import soundfile
import soxr

from .audio_defects import Cleaner, Defects
from .clock import SAMPLE_RATE
from .errors import AudioError

log = logging.getLogger(__name__)

MIN_RATE, MAX_RATE, MAX_CHANNELS = 8_000, 192_000, 8
_READ_FRAMES = 32_768
_SURROUND = 0.5
_DIAGONAL = 2.0**-0.5
# Shares of the channels in the mono mix, before they are made to sum to 1: the centre carries speech, the LFE none.
_WAV_ORDER = {  # FL FR FC LFE BL BR SL SR: WAV, FLAC, AIFF
    3: (_DIAGONAL, _DIAGONAL, 1.0),
    4: (1.0, 1.0, _SURROUND, _SURROUND),
    5: (_DIAGONAL, _DIAGONAL, 1.0, _SURROUND, _SURROUND),
    6: (_DIAGONAL, _DIAGONAL, 1.0, 0.0, _SURROUND, _SURROUND),
    7: (_DIAGONAL, _DIAGONAL, 1.0, 0.0, _SURROUND, _SURROUND, _SURROUND),
    8: (_DIAGONAL, _DIAGONAL, 1.0, 0.0, _SURROUND, _SURROUND, _SURROUND, _SURROUND),
}
_VORBIS_ORDER = {  # FL FC FR BL BR LFE: OGG
    **_WAV_ORDER,
    3: (_DIAGONAL, 1.0, _DIAGONAL),
    5: (_DIAGONAL, 1.0, _DIAGONAL, _SURROUND, _SURROUND),
    6: (_DIAGONAL, 1.0, _DIAGONAL, _SURROUND, _SURROUND, 0.0),
    7: (_DIAGONAL, 1.0, _DIAGONAL, _SURROUND, _SURROUND, _SURROUND, 0.0),
    8: (_DIAGONAL, 1.0, _DIAGONAL, _SURROUND, _SURROUND, _SURROUND, _SURROUND, 0.0),
}


@dataclass(frozen=True)
class Audio:
    """A whole recording: ``samples`` float32 (n,) in [-1, 1] at 16 kHz, and what its source was like."""

    samples: np.ndarray
    source_rate: int
    channels: int
    defects: Defects = field(default_factory=Defects)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


class StreamingResampler:
    """Mono samples of any rate to 16 kHz (or ``out_rate``); the cut into chunks changes nothing, bit for bit.

    ``quality`` is soxr's: "HQ" for files; "LQ" halves the filter's delay (20 ms instead of 40 at 48 kHz) for live use
    and still keeps the speech band. n samples in give round(n * out_rate / rate) samples out (at least 1) in the end.
    """

    def __init__(self, rate: int, out_rate: int = SAMPLE_RATE, quality: str = "HQ"):
        self.rate, self.out_rate = _checked_rate(rate), _checked_rate(out_rate)
        self._quality = quality
        self.reset()

    def reset(self) -> None:
        """Forget the signal so far."""
        self._filter = soxr.ResampleStream(self.rate, self.out_rate, 1, dtype="float32", quality=self._quality)
        self._taken = self._given = 0

    def accept(self, samples: np.ndarray) -> np.ndarray:
        """Take float32 (n,), give what is ready, float32 (m,) in [-1, 1]."""
        return self._push(np.ascontiguousarray(samples, np.float32), last=False)

    def finish(self) -> np.ndarray:
        """The rest of the signal, float32 (m,); then the resampler is ready for another signal."""
        rest = self._push(np.zeros(0, np.float32), last=True)
        self.reset()
        return rest

    def _push(self, samples: np.ndarray, last: bool) -> np.ndarray:
        self._taken += len(samples)
        if self.rate == self.out_rate:
            return np.clip(samples, -1.0, 1.0)
        out = self._filter.resample_chunk(samples, last=last)
        if last and self._taken:
            missing = max(round(self._taken * self.out_rate / self.rate), 1) - self._given
            out = np.pad(out[:missing], (0, max(missing - len(out), 0)))
        self._given += len(out)
        return np.clip(out, -1.0, 1.0)


class AudioFile:
    """An open recording, read once from start to end in bounded memory; a context manager.

    Attributes:
        rate, channels: of the source. defects: grows while blocks are read.
        expected: samples at 16 kHz that the header promises, or None where the format cannot tell.

    Raises:
        AudioError: missing, empty, truncated or not audio; 0 frames; rate outside 8 to 192 kHz; over 8 channels.
    """

    def __init__(self, path: str | PathLike[str]):
        self.path = Path(path)
        if not self.path.exists():
            raise AudioError(f"no such audio file: {self.path}")
        if self.path.is_dir():
            raise AudioError(f"expected an audio file, got a folder: {self.path}")
        if self.path.stat().st_size == 0:
            raise AudioError(f"{self.path} is empty (0 bytes)")
        try:
            self._file = soundfile.SoundFile(self.path)
        except (soundfile.LibsndfileError, OSError) as error:
            raise AudioError(
                f"{self.path} is not audio that can be read ({_reason(error)}); expected WAV, FLAC, OGG (Vorbis or "
                "Opus), MP3 or AIFF"
            ) from error
        try:
            self.rate, self.channels = _checked_rate(self._file.samplerate), self._file.channels
            if self.channels > MAX_CHANNELS:
                raise AudioError(f"{self.path} has {self.channels} channels; at most {MAX_CHANNELS} are understood")
            _check_wav_length(self.path)
            if self._file.frames == 0:
                raise AudioError(f"{self.path} holds no sound (0 samples)")
        except AudioError:
            self._file.close()
            raise
        self._order = _VORBIS_ORDER if self._file.format == "OGG" else _WAV_ORDER
        known = 0 < self._file.frames < 2**62
        self.expected = max(round(self._file.frames * SAMPLE_RATE / self.rate), 1) if known else None
        self._frames = self._file.frames if known else None
        self.defects = Defects()

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def blocks(self, rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
        """Everything, as mono float32 (m,) pieces of varying length at ``rate`` Hz; defects are logged at the end.

        Raises:
            AudioError: the data end or break before the length the header promises.
        """
        cleaner, resampler = Cleaner(self.defects), StreamingResampler(self.rate, rate)
        while True:
            try:
                frames = self._file.read(_READ_FRAMES, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise self._truncated(_reason(error)) from error
            if not len(frames):
                break
            yield resampler.accept(mix_to_mono(cleaner(frames), self._order))
        if not self.defects.frames:
            raise AudioError(f"{self.path} holds no sound (0 samples could be decoded)")
        if self._frames and self.defects.frames < self._frames and not self._is_estimate():
            raise self._truncated("the data end early")
        yield resampler.finish()
        for line in self.defects.describe():
            log.warning("%s: %s", self.path, line)
        if self._file.format == "OGG" and not _ogg_ends(self.path):
            log.warning("%s: no end-of-stream mark; a part of the recording may be missing", self.path)

    def _is_estimate(self) -> bool:
        """An MP3 without a Xing, Info or VBRI tag promises nothing: its length is guessed from its first frames."""
        if self._file.format not in ("MP3", "MPEG"):
            return False
        with self.path.open("rb") as file:
            head = file.read(10)
            if head[:3] == b"ID3":
                sizes = [b & 0x7F for b in head[6:10]]
                file.seek(10 + (sizes[0] << 21 | sizes[1] << 14 | sizes[2] << 7 | sizes[3]))
            first = head + file.read(1024)
        return not any(tag in first for tag in (b"Xing", b"Info", b"VBRI"))

    def _truncated(self, why: str) -> AudioError:
        return AudioError(
            f"{self.path} is truncated or damaged ({why}): {self.defects.frames / self.rate:.2f} s of "
            f"{(self._frames or 0) / self.rate:.2f} s could be read; save or copy the file again"
        )


def read_audio(path: str | PathLike[str]) -> Audio:
    """A whole file in memory (3.8 MB a minute); for long files see :func:`stream_audio`.

    Raises:
        AudioError: see :class:`AudioFile`.
    """
    with AudioFile(path) as source:
        samples, n = np.empty(source.expected or SAMPLE_RATE, np.float32), 0
        for block in source.blocks():
            if n + len(block) > len(samples):
                samples = np.concatenate([samples, np.empty(max(len(samples) // 2, len(block)), np.float32)])
            samples[n : n + len(block)] = block
            n += len(block)
        return Audio(samples[:n], source.rate, source.channels, source.defects)


def stream_audio(path: str | PathLike[str], block_s: float = 1.0) -> Iterator[np.ndarray]:
    """A file as float32 blocks of ``block_s`` seconds at 16 kHz (the last one shorter), in bounded memory.

    The file is opened, and refused, when the first block is asked for.

    Raises:
        AudioError: see :class:`AudioFile`.
    """
    size = round(block_s * SAMPLE_RATE)
    if size < 1:
        raise AudioError(f"expected a block of at least one sample (1/16000 s), got {block_s} s")
    held: list[np.ndarray] = []
    count = 0
    with AudioFile(path) as source:
        for piece in source.blocks():
            held.append(piece)
            count += len(piece)
            if count >= size:
                joined = np.concatenate(held)
                whole = count - count % size
                yield from joined[:whole].reshape(-1, size)
                held, count = [joined[whole:]], count - whole
        if count:
            yield np.concatenate(held)


def to_16k_mono(samples: np.ndarray, rate: int) -> Audio:
    """An array of one recording as the engine wants it.

    Args:
        samples: (n,) or (n, channels); floats in [-1, 1], or signed integers at full scale.
        rate: samples per second, 8000 to 192000.

    Raises:
        AudioError: no samples, wrong shape or type, or an impossible rate.
    """
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or not samples.size or (samples.ndim == 2 and samples.shape[1] > MAX_CHANNELS):
        raise AudioError(f"expected samples of shape (n,) or (n, channels <= {MAX_CHANNELS}), got {samples.shape}")
    if samples.dtype.kind == "i":
        samples = samples.astype(np.float32) / float(2 ** (8 * samples.dtype.itemsize - 1))
    elif samples.dtype.kind != "f":
        raise AudioError(f"expected float or signed integer samples, got {samples.dtype}")
    frames = samples.reshape(len(samples), -1).astype(np.float32)
    defects, resampler = Defects(), StreamingResampler(rate)
    mono = mix_to_mono(Cleaner(defects)(frames), _WAV_ORDER)
    out = np.concatenate([resampler.accept(mono), resampler.finish()])
    return Audio(out, int(rate), frames.shape[1], defects)


def mix_to_mono(frames: np.ndarray, order: dict[int, tuple[float, ...]] = _WAV_ORDER) -> np.ndarray:
    """(n, channels) to (n,) float32: stereo is averaged, surround keeps the centre strong and drops the LFE."""
    channels = frames.shape[1]
    if channels == 1:
        return np.ascontiguousarray(frames[:, 0], np.float32)
    shares = np.array(order.get(channels, (1.0,) * channels), np.float32)
    return frames.astype(np.float32, copy=False) @ (shares / shares.sum())


def _checked_rate(rate: int) -> int:
    if isinstance(rate, bool) or int(rate) != rate or not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(f"expected a sample rate of {MIN_RATE} to {MAX_RATE} Hz, got {rate}")
    return int(rate)


def _check_wav_length(path: Path) -> None:
    """libsndfile quietly shortens a WAV whose data chunk runs past the end of the file: refuse it instead."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                there = size - file.tell()
                if there < length < 0xFFFFF000:  # writers into pipes leave a length near 2**32
                    raise AudioError(
                        f"{path} is truncated: its header promises {length} bytes of sound, {there} are there; "
                        "save or copy the file again"
                    )
                return
            file.seek(length + length % 2, 1)


def _ogg_ends(path: Path) -> bool:
    """Whether the last page of an OGG file carries the end-of-stream flag; Opus and Vorbis cut short lack it."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 65_536, 0))
        tail = file.read()
    last = tail.rfind(b"OggS")
    return last < 0 or (len(tail) > last + 5 and bool(tail[last + 5] & 4))


def _reason(error: Exception) -> str:
    text = str(getattr(error, "error_string", None) or error)
    return text.strip().rstrip(".").removeprefix("Error : ")
