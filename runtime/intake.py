"""From chunks of sound, as they come, to one continuous utterance at 16 kHz; whatever is wrong is counted.

Stated behaviour:

- a gap is filled with silence, never shifted; a chunk that comes a little out of order is put in its place;
- a duplicate, or a chunk whose moment has passed, is dropped;
- a chunk whose rate, channels, encoding or position cannot be right is refused;
- an utterance that begins while another is open ends that one: the newest speaker has the floor;
- a reader that joins (or joins again) in the middle of an utterance starts at the next tenth of a second, the grid on
  which samples (1600), speech features (5) and frames (3) meet.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

from .audio_io import MAX_CHANNELS, MAX_RATE, MIN_RATE, StreamingResampler, mix_to_mono

GRID_SAMPLES, GRID_FEATURES, GRID_FRAMES = 1600, 5, 3
"""A tenth of a second in samples at 16 kHz, in speech features and in frames."""

MAX_GAP_S = 10.0
HOLD_S = 0.1
MAX_ID = 128


@dataclass(frozen=True)
class Chunk:
    """A piece of an utterance as it came: ``samples`` float32 (n, channels), ``stamp`` of the first one in ns."""

    utterance: str
    first_sample: int
    rate: int
    samples: np.ndarray
    stamp: int
    last: bool = False


@dataclass(frozen=True)
class Piece:
    """A continuous piece of an utterance, mono at 16 kHz.

    Attributes:
        utterance: its id.
        anchor: capture time of the utterance's sample 0, ns.
        first_sample: index of ``samples[0]`` at 16 kHz.
        samples: float32 (n,), may be empty.
        starts: this piece opens the utterance (or joins it in its middle).
        ends: the utterance is over with this piece.
        cut: it is over because another one took the floor.
    """

    utterance: str
    anchor: int
    first_sample: int
    samples: np.ndarray
    starts: bool = False
    ends: bool = False
    cut: bool = False


@dataclass
class _Open:
    """The utterance that has the floor."""

    utterance: str
    rate: int
    channels: int
    anchor: int
    position: int  # next sample wanted, at the source's rate
    given: int  # next sample to give, at 16 kHz
    resampler: StreamingResampler
    fresh: bool = True
    held: dict[int, Chunk] = field(default_factory=dict)


class AudioIntake:
    """Reads chunks of one avatar's speech.

    Attributes:
        counts: how often something was wrong, by kind.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._open: _Open | None = None
        self._over: deque[str] = deque(maxlen=256)
        self._stray: tuple[str, int] | None = None

    @property
    def utterance(self) -> str | None:
        """Id of the open utterance."""
        return self._open.utterance if self._open else None

    def close(self, utterance: str) -> None:
        """Take the floor from ``utterance`` (an interrupt); what still comes of it is refused."""
        if utterance not in self._over:
            self._over.append(utterance)
        if self._open and self._open.utterance == utterance:
            self._open = None

    def push(self, chunk: Chunk) -> list[Piece]:
        """Take a chunk; return what can be given on, in order."""
        if not self._valid(chunk):
            return []
        pieces: list[Piece] = []
        current = self._open
        if current is None or current.utterance != chunk.utterance:
            if chunk.utterance in self._over:
                self.counts["after the end"] += 1
                return []
            if current is not None:
                self.counts["cut short by another utterance"] += 1
                pieces.append(self._end(current, cut=True))
            self._begin(chunk)
        elif (chunk.rate, chunk.samples.shape[1]) != (current.rate, current.channels):
            self.counts["rate or channels changed"] += 1
            return []
        return pieces + self._take(chunk)

    def _valid(self, chunk: Chunk) -> bool:
        wrong = None
        if not 0 < len(chunk.utterance) <= MAX_ID:
            wrong = "no utterance id"
        elif not MIN_RATE <= chunk.rate <= MAX_RATE:
            wrong = "impossible rate"
        elif chunk.samples.ndim != 2 or not 1 <= chunk.samples.shape[1] <= MAX_CHANNELS:
            wrong = "impossible channels"
        elif not len(chunk.samples) and not chunk.last:
            wrong = "empty"
        elif chunk.first_sample > 2**53:
            wrong = "impossible position"
        if wrong:
            self.counts[wrong] += 1
        return wrong is None

    def _begin(self, chunk: Chunk) -> None:
        tenth = chunk.rate / 10
        grid = -int(-chunk.first_sample // tenth) if chunk.first_sample else 0
        if chunk.first_sample:
            self.counts["joined in the middle"] += 1
        self._open = _Open(
            utterance=chunk.utterance,
            rate=chunk.rate,
            channels=chunk.samples.shape[1],
            anchor=chunk.stamp - round(chunk.first_sample * 1e9 / chunk.rate),
            position=round(grid * tenth),
            given=grid * GRID_SAMPLES,
            resampler=StreamingResampler(chunk.rate, quality="LQ"),
        )

    def _take(self, chunk: Chunk) -> list[Piece]:
        current = self._open
        end = chunk.first_sample + len(chunk.samples)
        ahead = chunk.first_sample - current.position
        if end <= current.position and not (chunk.last and end == current.position):
            if not current.fresh or end < current.position - current.rate:
                self.counts["duplicate or too late"] += 1
            return []
        if ahead > MAX_GAP_S * current.rate:
            stray, self._stray = self._stray, (chunk.utterance, end)
            self.counts["jump"] += 1
            if stray != (chunk.utterance, chunk.first_sample):
                return []
            self._begin(chunk)  # two in a row: the stream itself has moved on
            return self._take(chunk)
        self._stray = None
        if ahead > 0:
            if chunk.first_sample in current.held:
                self.counts["duplicate or too late"] += 1
                return []
            current.held[chunk.first_sample] = chunk
            waiting = sum(len(c.samples) for c in current.held.values())
            if waiting < HOLD_S * current.rate and not any(c.last for c in current.held.values()):
                return []
            self.counts["gaps"] += 1
            return self._drain(fill=True)
        if ahead < 0 and not current.fresh and end > current.position:
            self.counts["overlapping"] += 1
        current.held[chunk.first_sample] = chunk
        if len(current.held) > 1:
            self.counts["out of order"] += 1
        return self._drain(fill=False)

    def _drain(self, fill: bool) -> list[Piece]:
        """Give on what is held and continuous; with ``fill``, silence up to the first held chunk as well."""
        current = self._open
        parts: list[np.ndarray] = []
        ended = False
        for first in sorted(current.held):
            missing = first - current.position
            if missing > 0:
                if not fill:
                    break
                self.counts["samples of silence filled in"] += missing
                parts.append(np.zeros((missing, current.channels), np.float32))
                current.position = first
            chunk = current.held.pop(first)
            fresh = chunk.samples[max(current.position - first, 0) :]
            parts.append(fresh)
            current.position += len(fresh)
            if chunk.last:
                ended = True
                break
        samples = self._resample(current, parts)
        piece = Piece(current.utterance, current.anchor, current.given, samples, starts=current.fresh)
        current.given += len(samples)
        current.fresh = False
        if not ended:
            return [piece]
        return [piece, self._end(current)]

    def _resample(self, current: _Open, parts: list[np.ndarray]) -> np.ndarray:
        samples = mix_to_mono(np.concatenate(parts)) if parts else np.zeros(0, np.float32)
        finite = np.isfinite(samples)
        if not finite.all():
            self.counts["samples not finite"] += int((~finite).sum())
            samples = np.where(finite, samples, np.float32(0.0))
        return current.resampler.accept(samples)

    def _end(self, current: _Open, cut: bool = False) -> Piece:
        rest = current.resampler.finish()
        self.close(current.utterance)
        self._open = None
        return Piece(current.utterance, current.anchor, current.given, rest, starts=current.fresh, ends=True, cut=cut)


def pcm(encoding: str, values: np.ndarray, channels: int) -> np.ndarray | None:
    """Interleaved values as float32 (n, channels) in [-1, 1]; None where they cannot be that.

    Args:
        encoding: ``float32``, ``int16``, ``int32``, ``int8`` or ``uint8`` (offset binary).
        values: (n * channels,).
        channels: 1 to 8.
    """
    if not 1 <= channels <= MAX_CHANNELS or len(values) % channels:
        return None
    scale = {"float32": 1.0, "int16": 2.0**-15, "int32": 2.0**-31, "int8": 2.0**-7, "uint8": 2.0**-7}[encoding]
    samples = np.asarray(values, np.float32)
    if encoding == "uint8":
        samples = samples - 128.0
    return (samples * np.float32(scale)).reshape(-1, channels)
