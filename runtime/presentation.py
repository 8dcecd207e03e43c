"""When things are seen and heard: utterances on one timeline, frames waiting for their moment, sound read by the clock.

All times are integer nanoseconds of one clock. Sample 0 of an utterance is presented ``delay`` after it was captured,
but never before the utterance ahead of it has been spoken (speech synthesis is faster than speech).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from .clock import FPS, SAMPLE_RATE

NS = 1_000_000_000
FRAME_NS = NS // FPS
KEPT = 64


def frame_offset(frame: int) -> int:
    """Audio time of frame k, ns."""
    return frame * NS // FPS


class Timeline:
    """When each utterance starts to be heard.

    Args:
        delay: from capture to presentation, ns.
    """

    def __init__(self, delay: int) -> None:
        self.delay = delay
        self._starts: OrderedDict[str, int] = OrderedDict()
        self._busy_until = 0

    def begin(self, utterance: str, anchor: int) -> int:
        """Presentation time of the utterance's sample 0, decided once; ``anchor`` is its capture time."""
        if utterance not in self._starts:
            self.put(utterance, max(anchor + self.delay, self._busy_until))
        return self._starts[utterance]

    def put(self, utterance: str, start: int) -> None:
        """Take over a start that was decided elsewhere."""
        self._starts[utterance] = start
        while len(self._starts) > KEPT:
            self._starts.popitem(last=False)

    def get(self, utterance: str) -> int | None:
        """The start, if it is decided."""
        return self._starts.get(utterance)

    def finish(self, utterance: str, samples: int) -> None:
        """The utterance is complete with ``samples`` samples at 16 kHz: the next one waits until it has been heard."""
        start = self._starts.get(utterance)
        if start is not None:
            self._busy_until = max(self._busy_until, start + samples * NS // SAMPLE_RATE)

    def stop(self, now: int) -> None:
        """Nothing is being said any more (an interrupt): the next utterance need not wait."""
        self._busy_until = min(self._busy_until, now)


@dataclass(frozen=True)
class Queued:
    """A frame that waits: ``present`` is the moment at which it is to be seen, ns."""

    utterance: str
    frame: int
    revision: int
    present: int
    value: Any


class FrameQueue:
    """Frames in order of presentation, each given out at most ``ahead`` ns before it is to be seen.

    A higher revision replaces what waits from its first frame on; a lower one is refused, unless it only goes on where
    the motion ended (a sampler that was started again). Of several frames that are late, only the latest is given out.
    The newest utterance wins: frames of the one before end where it begins.
    """

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self.counts: Counter[str] = Counter()
        self._waiting: list[Queued] = []
        self._revision: dict[str, int] = {}
        self._next: dict[str, int] = {}
        self._newest = ""

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, utterance: str, start: int, first: int, revision: int, values: list[Any]) -> int:
        """Take consecutive frames of an utterance whose frame 0 is seen at ``start``; returns how many were taken."""
        known = self._revision.get(utterance)
        if known is None:
            self._forget()
        elif revision < known and first < self._next[utterance]:
            self.counts["frames of an old revision"] += len(values)
            return 0
        elif utterance != self._newest and revision <= known:
            self.counts["frames of an old utterance"] += len(values)
            return 0
        if known is None or revision > known:
            begin = start + frame_offset(first)
            self._waiting = [q for q in self._waiting if q.present < begin]
            self._next[utterance] = first
            self._newest = utterance
        self._revision[utterance] = revision
        expected = self._next[utterance]
        if first > expected:
            self.counts["frames that never came"] += first - expected
        skip = max(expected - first, 0)
        if skip:
            self.counts["duplicate frames"] += min(skip, len(values))
        fresh = values[skip:]
        for k, value in enumerate(fresh, first + skip):
            self._waiting.append(Queued(utterance, k, revision, start + frame_offset(k), value))
        self._next[utterance] = max(expected, first + len(values))
        return len(fresh)

    def due(self, now: int) -> list[Queued]:
        """Frames whose time to go out has come, in order."""
        n = 0
        while n < len(self._waiting) and self._waiting[n].present - self.ahead <= now:
            n += 1
        ready, self._waiting = self._waiting[:n], self._waiting[n:]
        late = sum(q.present < now for q in ready)
        if late:
            self.counts["late frames"] += late
            keep = max(late - 1, 0)  # of the late ones only the latest still says anything
            self.counts["late frames left out"] += keep
            ready = ready[keep:]
        return ready

    def next_time(self) -> int | None:
        """When :meth:`due` will have something, or None."""
        return self._waiting[0].present - self.ahead if self._waiting else None

    def _forget(self) -> None:
        if len(self._revision) >= KEPT:
            oldest = next(iter(self._revision))
            del self._revision[oldest], self._next[oldest]


HOLD_FRAMES, EASE_FRAMES = 15, 15
"""A face without motion in the middle of an utterance holds for half a second, then takes as long to come to rest."""


class StarvedFace:
    """What is shown when motion stops coming: the last frame, then frames that ease from it to rest.

    Args:
        item: the last frame; its value is (anything, weights (52,), quaternion xyzw (4,), translation (3,)).
    """

    def __init__(self, item: Queued) -> None:
        self.item = item
        self._given = 0

    def next_time(self) -> int | None:
        """When the next eased frame is to be seen, ns; None once the face is at rest."""
        if self._given == EASE_FRAMES:
            return None
        return self._present(HOLD_FRAMES + self._given)

    def due(self, now: int) -> Queued | None:
        """The eased frame for ``now``, if there is one; those before it are left out."""
        step = self._given
        while step < EASE_FRAMES and self._present(HOLD_FRAMES + step) <= now:
            step += 1
        if step == self._given:
            return None
        self._given = step
        share = np.float32(0.5 - 0.5 * np.cos(np.pi * step / EASE_FRAMES))
        tag, weights, rotation, translation = self.item.value
        upright = np.array([0.0, 0.0, 0.0, 1.0 if rotation[3] >= 0 else -1.0], np.float32)
        rotation = (1.0 - share) * rotation + share * upright
        rotation = rotation / np.linalg.norm(rotation)
        value = (tag, (1.0 - share) * weights, rotation, (1.0 - share) * translation)
        ahead = HOLD_FRAMES + step - 1
        return Queued(self.item.utterance, self.item.frame + ahead, self.item.revision, self._present(ahead), value)

    def _present(self, ahead: int) -> int:
        k = self.item.frame
        return self.item.present + frame_offset(k + ahead) - frame_offset(k)


@dataclass
class _Track:
    start: int
    first: int  # index of samples[0]
    samples: np.ndarray
    end: int | None = None  # known length, samples
    cut: int | None = None  # silent from this moment on, ns


class PlaybackBuffer:
    """The sound of utterances, read by the clock: what is to be heard at time t is what :meth:`read` gives for t.

    Attributes:
        underruns: blocks in which sound was wanted that had not come.
    """

    def __init__(self) -> None:
        self.underruns = 0
        self._tracks: OrderedDict[str, _Track] = OrderedDict()

    def begin(self, utterance: str, start: int, first: int = 0) -> None:
        """Open an utterance; the ones before it fall silent when it starts."""
        for track in self._tracks.values():
            track.cut = min(track.cut, start) if track.cut is not None else start
        self._tracks[utterance] = _Track(start, first, np.zeros(0, np.float32))

    def append(self, utterance: str, samples: np.ndarray) -> None:
        """Add sound, mono float32 at 16 kHz."""
        track = self._tracks.get(utterance)
        if track is not None:
            track.samples = np.concatenate([track.samples, samples])

    def finish(self, utterance: str) -> None:
        """No more sound comes."""
        track = self._tracks.get(utterance)
        if track is not None:
            track.end = track.first + len(track.samples)

    def stop(self, utterance: str, now: int) -> None:
        """Silence from now on (an interrupt)."""
        track = self._tracks.get(utterance)
        if track is not None:
            track.cut = now if track.cut is None else min(track.cut, now)
            track.end = track.first + len(track.samples)

    def received(self, utterance: str) -> float:
        """Audio time up to which sound has come, s."""
        track = self._tracks.get(utterance)
        return (track.first + len(track.samples)) / SAMPLE_RATE if track else 0.0

    def playing(self, now: int) -> bool:
        """Whether an utterance is to be heard at ``now``, or later."""
        return any(not self._over(track, now) for track in self._tracks.values())

    def read(self, now: int, count: int) -> np.ndarray:
        """The ``count`` samples that are heard from ``now`` on, float32; older sound is forgotten."""
        out = np.zeros(count, np.float32)
        starved = False
        for track in self._tracks.values():
            position = (now - track.start) * SAMPLE_RATE // NS
            begin = max(track.first - position, 0)
            end = count
            if track.end is not None:
                end = min(end, track.end - position)
            if track.cut is not None:
                end = min(end, (track.cut - now) * SAMPLE_RATE // NS)
            if begin >= end:
                continue
            have = min(end, track.first + len(track.samples) - position)
            if have > begin:
                low = position + begin - track.first
                out[begin:have] += track.samples[low : low + have - begin]
            starved |= have < end
        self.underruns += starved
        self._forget(now)
        return out

    def _over(self, track: _Track, now: int) -> bool:
        if track.cut is not None and now >= track.cut:
            return True
        return track.end is not None and now >= track.start + track.end * NS // SAMPLE_RATE

    def _forget(self, now: int) -> None:
        for utterance in [u for u, t in self._tracks.items() if self._over(t, now)][:-1]:
            del self._tracks[utterance]
        for track in self._tracks.values():
            heard = (now - track.start) * SAMPLE_RATE // NS - track.first
            surplus = min(heard, len(track.samples))
            if surplus > SAMPLE_RATE:
                track.samples = track.samples[surplus:]
                track.first += surplus
