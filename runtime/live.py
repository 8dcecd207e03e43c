"""Motion on time: one sampler stream that follows the clock, utterance after utterance, and listens in between.

The stream of :mod:`.sampler` knows frames only. This class knows when each is to be seen. It samples no further ahead
than ``horizon``, so that a change of style or an interrupt still reaches the frames to come when speech arrives faster
than real time; where the machine falls behind it takes fewer steps, and in the end leaves frames out, so that latency
never grows. Every motion goes on from where the one before it left the face.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field, replace

import numpy as np

from .changes import KeyChange, StyleChange, Waiting
from .clock import FPS
from .errors import InputError
from .idle import Pauses, Shown
from .intake import GRID_FEATURES, GRID_FRAMES
from .motion import MotionFrame
from .presentation import NS, frame_offset
from .sampler import MotionSampler
from .shedding import Shedder

GAP_FEATURES = 50
"""A longer gap (1 s) in the features is not filled but joined behind."""
RECENT_FEATURES = 1500
APPROACH = 6
"""A keyframe that is wanted soon is this many frames (0.2 s) away, so that the face can get there."""


@dataclass
class _Utterance:
    start: int  # presentation of frame 0, ns
    first_feature: int
    parts: list[tuple[int, np.ndarray]] = field(default_factory=list)  # features that came before it was its turn
    samples: int | None = None


class LiveMotion:
    """What the node ``motion_sampler`` calls.

    Args:
        sampler: the loaded networks.
        seed: chooses among the motions that fit.
        horizon: how far ahead of presentation motion is sampled, s.
        silence: speech feature of silence, see :class:`.Pauses`; None leaves the face still between utterances.
        listener: samples what is seen between utterances; None: ``sampler``.

    Attributes:
        counts: what went wrong, by kind.
        shedder: how many DDIM steps there is time for.
    """

    def __init__(
        self, sampler: MotionSampler, seed: int = 0, horizon: float = 0.6, silence: np.ndarray | None = None,
        listener: MotionSampler | None = None,
    ) -> None:  # fmt: skip
        self._sampler, self._seed = sampler, seed
        self._config = sampler.config
        self.stream = sampler.stream(seed)
        self.counts: Counter[str] = Counter()
        self.shedder = Shedder(sampler.config.steps, self.counts)
        self._horizon = round(horizon * NS)
        self._queue: OrderedDict[str, _Utterance] = OrderedDict()
        self._current: str | None = None
        self._frame0 = self._feature0 = 0
        self._style: StyleChange | None = None
        self._later = Waiting()
        self._before: Shown | None = None
        self._pauses = Pauses(listener or sampler, silence, seed)
        self._recent: deque[tuple[int, np.ndarray]] = deque()

    @property
    def utterance(self) -> str | None:
        """The utterance whose motion is being sampled."""
        return self._current

    @property
    def next_frame(self) -> int:
        """Absolute index of the next frame of the present utterance."""
        return self._frame0 + self.stream.next_frame

    @property
    def listens_since(self) -> int:
        """When frame 0 of the present listening is seen, ns; 0 if the face does not listen."""
        return self._pauses.since

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
        due = [moment for moment in (self._speech_due(), self._idle_due(now)) if moment is not None]
        return max((min(due) - now) / NS, 0.0) if due else None

    def step(self, now: int) -> tuple[str, list[MotionFrame], bool] | None:
        """Sample a hop: (utterance, frames with absolute indices, whether the utterance ends); None if none is due.

        Between utterances it is a hop of listening, of an utterance for which :func:`.is_idle` holds.
        """
        self._yield_floor()
        idle, speech = self._idle_due(now), self._speech_due()
        begins = speech is not None and speech <= now and self.stream.next_frame == 0
        if idle is not None and (idle <= now or (begins and not self._pauses.covers(self._present(self._frame0)))):
            style = (self._style.vector, self._style.strength) if self._style else None
            return (*self._pauses.listen(now, self._config, style), False)
        if speech is None or speech > now:
            return None
        if self.stream.finished:
            self._close_current()
            return None
        if self.stream.next_frame == 0:
            self._pauses.end(self.stream, self._present(self._frame0))
        hopeless = self.shedder.look(self._present(self.next_frame) - now, self.stream.hops_ready(4))
        self.stream.adjust(steps=self.shedder.steps)
        if hopeless:
            self._catch_up(now)
        frames = [f.shifted(self._frame0) for f in self.stream.frames_ready(limit=1)]
        return self._current, frames, self.stream.finished

    def set_style(self, change: StyleChange, soon: int) -> None:
        """Follow a style. "Soon" is the next frame to be sampled, or an earlier one seen at ``soon`` (ns) or later.

        Raises:
            InputError: see :meth:`.SamplerStream.set_style`.
        """
        if change.utterance and change.utterance != self._current:
            self.stream.styles.check(change.vector, change.strength, change.ramp)
            self._later.add(change)
            return
        self._pauses.set_style(change, soon)
        soonest = min(self.frame_at(soon), self.next_frame) if self._current is not None else None
        self._use(change, soonest if change.frame is None else change.frame)

    def add_keyframe(self, change: KeyChange, soon: int) -> int:
        """Pass through a face; returns its absolute frame. One for a later utterance waits for it.

        Raises:
            InputError: see :meth:`.SamplerStream.add_keyframe`; or a later utterance's frame is not said.
        """
        if change.utterance not in ("", self._current):
            if change.frame is None:
                raise InputError("a keyframe for an utterance to come needs its frame")
            self._later.add(change)
            return change.frame
        soonest = max(self.frame_at(soon), self.next_frame) + APPROACH
        frame = soonest if change.frame is None else change.frame
        self.stream.add_keyframe(frame - self._frame0, *change.face, replace_old=change.frame is None)
        return frame

    def adjust(self, **settings: float) -> None:
        """Change steps, temperatures or guidance; they act from the next hop on.

        Raises:
            ConfigError: if a value is out of its range.
        """
        config = replace(self._config, **settings)
        if config == self._config:
            return
        if config.steps != self._config.steps:
            self.shedder.steps = self.shedder.full = config.steps
        self._config = config
        self.stream.adjust(**settings)
        self._pauses.adjust(**settings)

    def interrupt(self, now: int) -> tuple[str, list[MotionFrame]] | None:
        """Stop speaking at ``now``: (utterance, frames that ease to rest); whatever waits is dropped as well."""
        heard = self._heard(now)
        if heard is None:
            return None
        at = max((now - heard.start) * FPS // NS + 1 - heard.frame0, 0)
        frames = [f.shifted(heard.frame0) for f in heard.stream.interrupt(at)]
        self._queue.clear()
        self._current = self._before = None
        self._pauses.shown = heard
        return heard.utterance, frames

    def frame_at(self, moment: int) -> int:
        """The frame of the present utterance that is seen at ``moment`` (ns), not below 0."""
        start = self._queue[self._current].start if self._current else moment
        return max((moment - start) * FPS // NS, 0)

    # ------------------------------------------------------------------------------------------------ inside

    def _speech_due(self) -> int | None:
        """When :meth:`step` has to look at speech again, ns."""
        if self._current is None:
            return None
        if self.stream.finished and len(self._queue) > 1:
            return list(self._queue.values())[1].start - self._horizon
        return self._present(self.next_frame) - self._horizon if self.stream.hops_ready(4) else None

    def _idle_due(self, now: int) -> int | None:
        """When frames of listening are to be sampled, ns; None while speech is seen."""
        if self._current is not None and self.stream.next_frame:
            if not self.stream.finished:
                return None
            self._pauses.shown = self._sampled()
        return self._pauses.due(now, self._next_speech())

    def _next_speech(self) -> int | None:
        """When the next utterance is to be seen, ns."""
        if self._current is not None and not self.stream.next_frame:
            return self._present(self._frame0)
        return next((u.start for name, u in self._queue.items() if name != self._current), None)

    @property
    def _features_end(self) -> int:
        return self._feature0 + self.stream.features.end

    def _sampled(self) -> Shown:
        return Shown(self._current, self.stream, self._queue[self._current].start, self._frame0)

    def _present(self, frame: int) -> int:
        return self._queue[self._current].start + frame_offset(frame)

    def _heard(self, now: int) -> Shown | None:
        """What is said at ``now``: the present utterance, or the one before where that has not begun."""
        before, current = self._before, self._sampled() if self._current is not None else None
        for spoken in (before, current):
            if spoken is None or (spoken is before and current is not None and now >= current.start):
                continue
            if now < spoken.present(spoken.stream.next_frame) or not spoken.stream.finished:
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

    def _reopen_at(self, first_feature: int) -> None:
        before, frame0 = self.stream, self._frame0
        if before.next_frame:
            self._pauses.shown = self._sampled()
        self._open_at(first_feature)
        self.stream.follow(before, self._frame0 - frame0)

    def _open_at(self, first_feature: int) -> None:
        tenth = -(-first_feature // GRID_FEATURES)
        self._frame0, self._feature0 = tenth * GRID_FRAMES, tenth * GRID_FEATURES
        self._recent.clear()
        self.stream = self._sampler.stream(self._seed, replace(self._config, steps=self.shedder.steps))
        if self._style:
            self.stream.styles.hold(self._style.vector, self._style.strength)
        for change in self._later.take(self._current):
            if isinstance(change, StyleChange):
                self._use(change, change.frame)
                continue
            try:
                self.stream.add_keyframe(change.frame - self._frame0, *change.face)
            except InputError:
                self.counts["keyframes that came too late or twice"] += 1

    def _use(self, change: StyleChange, frame: int | None) -> None:
        local = None if frame is None else max(frame - self._frame0, 0)
        self.stream.set_style(change.vector, change.strength, local, change.ramp)
        self._style = change

    def _feed(self, first: int, features: np.ndarray) -> None:
        if first > self._features_end + GAP_FEATURES:
            self.counts["joined behind a gap"] += 1
            self._reopen_at(first)
        self._recent.append((first, features))
        while self._features_end - self._recent[0][0] > RECENT_FEATURES:
            self._recent.popleft()
        skip = max(self._feature0 - first, 0)
        if skip < len(features):
            self.stream.accept_features(first + skip - self._feature0, features[skip:])

    def _finish_current(self) -> None:
        samples = self._queue[self._current].samples
        local = samples - self._frame0 * 16_000 // FPS
        if not len(self.stream.features) or local <= 0:
            self._close_current()
        else:
            self.stream.input_finished(local)

    def _close_current(self) -> None:
        self._before = self._sampled()
        del self._queue[self._current]
        if self.stream.next_frame:
            self._pauses.shown = self._before
        self._current = None
        self._open_next()

    def _yield_floor(self) -> None:
        """End the present utterance where the next one begins, if it is still being sampled then."""
        while self._current is not None and len(self._queue) > 1:
            following = list(self._queue.values())[1]
            if following.start > self._present(self.next_frame):
                return
            self._close_current()

    def _catch_up(self, now: int) -> None:
        """Go on at the frame that is seen now; what lies between is left out."""
        lost, parts = self.next_frame, list(self._recent)
        newest = max(self._features_end - GRID_FEATURES, 0)
        self._reopen_at(min(self.frame_at(now) * GRID_FEATURES // GRID_FRAMES, newest))
        for first, features in parts:
            self._feed(first, features)
        self.counts["frames left out to catch up"] += max(self.next_frame - lost, 0)
        if self._queue[self._current].samples is not None:
            self._finish_current()
