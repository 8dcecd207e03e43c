"""Motion on time: one sampler stream that follows the clock, utterance after utterance.

The stream of :mod:`.sampler` knows frames only. This class knows when each is to be seen. It samples no further ahead
than ``horizon``, so that a change of style or an interrupt still reaches the frames to come when speech arrives faster
than real time; where the machine falls behind it takes fewer steps, and in the end leaves frames out, so that latency
never grows.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

import numpy as np

from .clock import FPS, features_needed
from .intake import GRID_FEATURES, GRID_FRAMES
from .presentation import NS, frame_offset
from .sampler import MotionFrame, MotionSampler, SamplerStream

log = logging.getLogger(__name__)

GAP_FEATURES = 50
"""A longer gap (1 s) in the features is not filled but joined behind."""
HOPELESS_NS = NS // 2
"""Frames that are later than this are not made any more."""
RECENT_FEATURES = 1500
KEPT_STYLES = 32


@dataclass(frozen=True)
class StyleChange:
    """A style for ``utterance`` (empty: the present one) from absolute frame ``frame`` on (None: soon)."""

    vector: np.ndarray
    strength: float = 1.0
    utterance: str = ""
    frame: int | None = None
    ramp: float = 0.3


@dataclass
class _Utterance:
    start: int  # presentation of frame 0, ns
    first_feature: int
    parts: list[tuple[int, np.ndarray]] = field(default_factory=list)  # features that came before it was its turn
    samples: int | None = None


@dataclass
class _Spoken:
    """An utterance whose motion has been sampled, and that may still be heard."""

    utterance: str
    stream: SamplerStream
    start: int
    frame0: int


class LiveMotion:
    """What the node ``motion_sampler`` calls.

    Args:
        sampler: the loaded networks.
        seed: chooses among the motions that fit.
        horizon: how far ahead of presentation motion is sampled, s.

    Attributes:
        counts: what went wrong, by kind.
        steps: DDIM steps of the hops to come.
    """

    def __init__(self, sampler: MotionSampler, seed: int = 0, horizon: float = 0.6) -> None:
        self._sampler, self._seed = sampler, seed
        self.stream = sampler.stream(seed)
        self.counts: Counter[str] = Counter()
        self.steps = self._full_steps = sampler.config.steps
        self._horizon = round(horizon * NS)
        self._queue: OrderedDict[str, _Utterance] = OrderedDict()
        self._current: str | None = None
        self._frame0 = self._feature0 = self._features_end = 0
        self._style: StyleChange | None = None
        self._later: list[StyleChange] = []
        self._before: _Spoken | None = None
        self._recent: deque[tuple[int, np.ndarray]] = deque()

    @property
    def utterance(self) -> str | None:
        """The utterance whose motion is being sampled."""
        return self._current

    @property
    def next_frame(self) -> int:
        """Absolute index of the next frame of the present utterance."""
        return self._frame0 + self.stream.next_frame

    def accept(self, utterance: str, start: int, first: int, features: np.ndarray) -> None:
        """Take speech features (n, A) of an utterance whose frame 0 is seen at ``start``, ns.

        Raises:
            InputError: see :meth:`.SamplerStream.accept_features`.
        """
        waiting = self._queue.get(utterance)
        if waiting is None:
            waiting = self._queue[utterance] = _Utterance(start, first)
        waiting.start = start
        if self._current is None:
            self._open_next()
        if utterance == self._current:
            self._feed(first, features)
        else:
            waiting.parts.append((first, features))

    def finish(self, utterance: str, samples: int) -> None:
        """The utterance is complete with ``samples`` samples at 16 kHz."""
        known = self._queue.get(utterance)
        if known is None:
            return
        known.samples = samples
        if utterance == self._current:
            self._finish_current()

    def moved(self, utterance: str, start: int) -> None:
        """The playback clock has decided when the utterance starts."""
        if utterance in self._queue:
            self._queue[utterance].start = start

    def speaking(self, now: int) -> str | None:
        """The utterance that is being said at ``now``, or is about to be."""
        heard = self._heard(now)
        return heard.utterance if heard else None

    def waiting(self) -> list[str]:
        """The present utterance and those that wait, in order."""
        return list(self._queue)

    def wait(self, now: int) -> float | None:
        """Seconds until :meth:`step` has work, 0 if it has now, None if it waits for input."""
        if self._current is None:
            return None
        if self.stream.finished and len(self._queue) > 1:
            when = list(self._queue.values())[1].start
        elif self._hops_ready():
            when = self._present(self.next_frame)
        else:
            return None
        return max((when - self._horizon - now) / NS, 0.0)

    def step(self, now: int) -> tuple[str, list[MotionFrame], bool] | None:
        """Sample a hop: (utterance, frames with absolute indices, whether the utterance ends); None if none is due."""
        self._yield_floor()
        if self.wait(now) != 0.0:
            return None
        if self.stream.finished:
            self._close_current()
            return None
        self._shed(now)
        frames = [_shifted(f, self._frame0) for f in self.stream.frames_ready(limit=1)]
        return self._current, frames, self.stream.finished

    def set_style(self, change: StyleChange, soon: int) -> None:
        """Follow a style. "Soon" is the next frame to be sampled, or an earlier one seen at ``soon`` (ns) or later.

        Raises:
            InputError: see :meth:`.SamplerStream.set_style`.
        """
        if change.utterance and change.utterance != self._current:
            self._later = [*self._later, change][-KEPT_STYLES:]
            return
        frame = change.frame
        if frame is None and self._current is not None:
            frame = min(self.frame_at(soon), self.next_frame)
        local = None if frame is None else max(frame - self._frame0, 0)
        self.stream.set_style(change.vector, change.strength, local, change.ramp)
        self._style = change

    def add_keyframe(
        self, frame: int | None, soon: int, latent: np.ndarray, rotvec: np.ndarray | None,
        translation: np.ndarray | None,
    ) -> int:  # fmt: skip
        """Pass through a face at absolute frame ``frame`` of the present utterance (None: soon); returns the frame.

        Raises:
            InputError: see :meth:`.SamplerStream.add_keyframe`.
        """
        if frame is None:
            frame = max(self.frame_at(soon), self.next_frame + self.stream.config.hop)
        self.stream.add_keyframe(frame - self._frame0, latent, rotvec, translation)
        return frame

    def interrupt(self, now: int) -> tuple[str, list[MotionFrame]] | None:
        """Stop speaking at ``now``: (utterance, frames that ease to rest); whatever waits is dropped as well."""
        heard = self._heard(now)
        if heard is None:
            return None
        at = max((now - heard.start) * FPS // NS + 1 - heard.frame0, 0)
        frames = [_shifted(f, heard.frame0) for f in heard.stream.interrupt(at)]
        self._queue.clear()
        self._current = self._before = None
        return heard.utterance, frames

    def frame_at(self, moment: int) -> int:
        """The frame of the present utterance that is seen at ``moment`` (ns), not below 0."""
        start = self._queue[self._current].start if self._current else moment
        return max((moment - start) * FPS // NS, 0)

    # ------------------------------------------------------------------------------------------------ inside

    def _present(self, frame: int) -> int:
        return self._queue[self._current].start + frame_offset(frame)

    def _heard(self, now: int) -> _Spoken | None:
        """What is said at ``now``: the present utterance, or the one before where that has not begun."""
        before, current = self._before, None
        if self._current is not None:
            start = self._queue[self._current].start
            current = _Spoken(self._current, self.stream, start, self._frame0)
        for spoken in (before, current):
            if spoken is None or (spoken is before and current is not None and now >= current.start):
                continue
            end = spoken.start + frame_offset(spoken.frame0 + spoken.stream.next_frame)
            if now < end or not spoken.stream.finished:
                return spoken
        return None

    def _open_next(self) -> None:
        self._current = next(iter(self._queue), None)
        if self._current is None:
            return
        waiting = self._queue[self._current]
        self._open_at(waiting.first_feature)
        parts, waiting.parts = waiting.parts, []
        for first, features in parts:
            self._feed(first, features)
        if waiting.samples is not None:
            self._finish_current()

    def _open_at(self, first_feature: int) -> None:
        tenth = -(-first_feature // GRID_FEATURES)
        self._frame0, self._feature0 = tenth * GRID_FRAMES, tenth * GRID_FEATURES
        self._features_end = self._feature0
        self._recent.clear()
        self.stream = self._sampler.stream(self._seed)
        self.stream.adjust(steps=self.steps)
        if self._style:
            self.stream.set_style(self._style.vector, self._style.strength, ramp_s=0.0)
        mine = [c for c in self._later if c.utterance == self._current]
        self._later = [c for c in self._later if c.utterance != self._current]
        for change in mine:
            local = None if change.frame is None else max(change.frame - self._frame0, 0)
            self.stream.set_style(change.vector, change.strength, local, change.ramp)
            self._style = change

    def _feed(self, first: int, features: np.ndarray) -> None:
        if first > self._features_end + GAP_FEATURES:
            self.counts["joined behind a gap"] += 1
            self._open_at(first)
        self._recent.append((first, features))
        while self._features_end - self._recent[0][0] > RECENT_FEATURES:
            self._recent.popleft()
        skip = max(self._feature0 - first, 0)
        if skip < len(features):
            self.stream.accept_features(first + skip - self._feature0, features[skip:])
            self._features_end = max(self._features_end, first + len(features))

    def _finish_current(self) -> None:
        samples = self._queue[self._current].samples
        local = samples - self._frame0 * 16_000 // FPS
        if self._features_end == self._feature0 or local <= 0:
            self._close_current()
        else:
            self.stream.input_finished(local)

    def _close_current(self) -> None:
        closed = self._queue.pop(self._current)
        self._before = _Spoken(self._current, self.stream, closed.start, self._frame0)
        self._current = None
        self._open_next()

    def _hops_ready(self) -> int:
        """Hops that could be sampled at once, counted up to four."""
        stream, config = self.stream, self.stream.config
        if stream.finished:
            return 0
        if stream.total_frames is not None:
            return min(-(-(stream.total_frames - stream.next_frame) // config.hop), 4)
        have = self._features_end - self._feature0
        last = stream.next_frame + config.hop + config.lookahead - 1
        return sum(features_needed(last + i * config.hop) <= have for i in range(4))

    def _yield_floor(self) -> None:
        """End the present utterance where the next one begins, if it is still being sampled then."""
        while self._current is not None and len(self._queue) > 1:
            following = list(self._queue.values())[1]
            if following.start > self._present(self.next_frame):
                return
            self._close_current()

    def _shed(self, now: int) -> None:
        margin = self._present(self.next_frame) - now
        ready = self._hops_ready()
        if ready < 2 or margin > NS // 10:
            steps = min(self.steps + 1, self._full_steps)
        else:
            steps = max(self.steps - 1, 1)
            self.counts["hops with fewer steps"] += 1
        if steps != self.steps:
            self.steps = steps
            self.stream.adjust(steps=steps)
        if margin < -HOPELESS_NS and ready > 1:
            self._catch_up(now)

    def _catch_up(self, now: int) -> None:
        """Go on at the frame that is seen now, from rest; what lies between is left out."""
        lost, parts = self.next_frame, list(self._recent)
        newest = max(self._features_end - GRID_FEATURES, 0)
        self._open_at(min(self.frame_at(now) * GRID_FEATURES // GRID_FRAMES, newest))
        for first, features in parts:
            self._feed(first, features)
        self.counts["frames left out to catch up"] += max(self.next_frame - lost, 0)
        if self._queue[self._current].samples is not None:
            self._finish_current()


def _shifted(f: MotionFrame, by: int) -> MotionFrame:
    return MotionFrame(f.index + by, f.revision, f.latent, f.head_rotvec, f.head_translation)
