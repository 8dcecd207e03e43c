"""A face that listens: motion of the denoiser for silence, between utterances, at a low rate.

The motion is learned, not made by rules: breathing head, blinks, gaze and small changes of expression, in the style
that holds. It goes on from where the last utterance left the face, and the next one goes on from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .changes import StyleChange
from .clock import FPS
from .errors import ModelError
from .feature_stream import FeatureEncoder
from .motion import RANGES, TEMPERATURES, MotionFrame, SamplerConfig
from .presentation import NS, frame_offset
from .sampler import MotionSampler, SamplerStream
from .sources import idle_id

HOP = 10
"""Frames sampled together: a third of a second, so that a silent face takes little of the processor."""
LEAD_NS = NS // 4
"""Idle frames are sampled this much before they are to be seen; what speech replaces of them is thrown away."""
AFTER_NS = NS // 6
"""A face begins to listen this much after it was told to: time to sample, and to publish, the first frames."""
SETTLED_S = 2.0
DENOISER = "denoiser"


def listener_beside(sampler: MotionSampler) -> MotionSampler:
    """The denoiser beside the student, for listening: with no speech to follow, the student's head hardly moves.

    ``sampler`` itself where it is the denoiser, or there is none, or one that counts in other units or with other
    companions.
    """
    if sampler.model.name == DENOISER:
        return sampler
    try:
        other = MotionSampler(sampler.model.path.parent, [sampler.model.provider], model=DENOISER)
    except ModelError:
        return sampler
    wanted = sampler.model.meta.get("requires")
    alike = np.array_equal(other.mean, sampler.mean) and np.array_equal(other.std, sampler.std)
    return other if alike and other.model.meta.get("requires") == wanted else sampler


def silence_feature(encoder: FeatureEncoder) -> np.ndarray:
    """The speech feature (A,) of silence that has lasted."""
    stream = encoder.stream()
    stream.accept_waveform(np.zeros(round(SETTLED_S * 16_000), np.float32))
    stream.input_finished()
    return stream.read()[1][-5:].mean(axis=0)


@dataclass(frozen=True)
class Shown:
    """Motion of speech, and when it is seen; the stream's frame 0 is frame ``frame0`` of the utterance."""

    utterance: str
    stream: SamplerStream
    start: int
    frame0: int

    def present(self, frame: int) -> int:
        """When a frame of the stream is to be seen, ns."""
        return self.start + frame_offset(self.frame0 + frame)

    def states_before(self, moment: int) -> np.ndarray:
        """The motion up to ``moment`` (ns), see :meth:`.SamplerStream.states_before`."""
        return self.stream.states_before(max(_nearest(moment - self.start) - self.frame0, 0))


class IdleMotion:
    """One stretch of listening.

    Args:
        sampler: the denoiser.
        silence: (A,) speech feature of silence.
        start: when its first frame is to be seen, ns.
        before: (n, D) standardised states that it goes on from; None is rest.
        seed, config: as for a stream of speech; ``hop``, ``lookahead`` and ``steps`` are its own.
        style: (embedding, strength) that holds.
    """

    def __init__(
        self, sampler: MotionSampler, silence: np.ndarray, start: int, before: np.ndarray | None, seed: int,
        config: SamplerConfig, style: tuple[np.ndarray, float] | None = None,
    ) -> None:  # fmt: skip
        self.utterance = idle_id()
        self.start = start
        self._silence = np.asarray(silence, np.float32)
        # one temperature for both networks: what the denoiser needs is as much more than the student's
        live, own = SamplerConfig(), sampler.config
        self._more = {k: getattr(own, k) / getattr(live, k) for k in TEMPERATURES}
        warmer = self._warmer({k: getattr(config, k) for k in self._more})
        settings = replace(config, hop=HOP, lookahead=0, steps=own.steps, noise_span=own.noise_span, **warmer)
        # another noise each time: two pauses do not look alike
        self.stream: SamplerStream = sampler.stream(seed + start // NS, settings)
        self.stream.grid = 1  # what is on its way out already is not taken back for the sake of whole hops
        if style is not None:
            self.stream.styles.hold(*style)
        if before is not None:
            self.stream.go_on_from(before)

    def present(self, frame: int) -> int:
        """When a frame is to be seen, ns."""
        return self.start + frame_offset(frame)

    @property
    def end(self) -> int:
        """When the first frame that is not sampled yet is to be seen, ns."""
        return self.present(self.stream.next_frame)

    def adjust(self, **settings: float) -> None:
        """See :meth:`.SamplerStream.adjust`."""
        self.stream.adjust(**self._warmer(settings))

    def _warmer(self, settings: dict[str, float]) -> dict[str, float]:
        warmer = {k: min(self._more[k] * v, RANGES[k][1]) for k, v in settings.items() if k in self._more}
        return settings | warmer

    def step(self) -> list[MotionFrame]:
        """The next :data:`HOP` frames."""
        features = self.stream.features
        while not features.ready(self.stream.next_frame + HOP):
            features.accept(features.end, np.tile(self._silence, (HOP * 2, 1)))
        return self.stream.frames_ready(limit=1)


class Pauses:
    """What is seen before, between and after utterances.

    Args:
        sampler, silence, seed: see :class:`IdleMotion`; without ``silence`` the face stays as the last utterance left
            it.

    Attributes:
        shown: the motion of speech that is seen last, or was.
    """

    def __init__(self, sampler: MotionSampler, silence: np.ndarray | None, seed: int) -> None:
        self._sampler, self._silence, self._seed = sampler, silence, seed
        self.shown: Shown | None = None
        self._idle: IdleMotion | None = None

    @property
    def since(self) -> int:
        """When frame 0 of the present listening is seen, ns; 0 if there is none."""
        return self._idle.start if self._idle else 0

    def due(self, now: int, end: int | None) -> int | None:
        """When frames of listening are to be sampled, ns; None if there is no pause.

        Args:
            now: ns.
            end: when the next utterance begins to be seen, ns; None if there is none.
        """
        if self._silence is None:
            return None
        begin = self._begin(now)
        return None if end is not None and begin >= end else max(begin - LEAD_NS, now)

    def covers(self, moment: int) -> bool:
        """Whether listening has been sampled up to ``moment`` (ns), or does not take place."""
        return self._idle is None or self._idle.end >= moment

    def listen(
        self, now: int, config: SamplerConfig, style: tuple[np.ndarray, float] | None
    ) -> tuple[str, list[MotionFrame]]:
        """The next frames of listening, and the id under which they go."""
        if self._idle is None:
            begin = self._begin(now)
            before = self.shown.states_before(begin) if self.shown else None
            self._idle = IdleMotion(self._sampler, self._silence, begin, before, self._seed, config, style)
        return self._idle.utterance, self._idle.step()

    def end(self, stream: SamplerStream, moment: int) -> None:
        """Speech begins to be seen at ``moment`` (ns): ``stream`` goes on from what is seen then."""
        if self._idle is not None:
            stream.go_on_from(self._idle.stream.states_before(max(_nearest(moment - self._idle.start), 0)))
        elif self.shown is not None:
            stream.go_on_from(self.shown.states_before(moment))
        self._idle = None

    def set_style(self, change: StyleChange, soon: int) -> None:
        """Listen in another style, from ``soon`` (ns) on."""
        if self._idle is not None:
            frame = min((soon - self._idle.start) * FPS // NS, self._idle.stream.next_frame)
            self._idle.stream.set_style(change.vector, change.strength, max(frame, 0), change.ramp)

    def adjust(self, **settings: float) -> None:
        """See :meth:`.SamplerStream.adjust`."""
        if self._idle is not None:
            self._idle.adjust(**settings)

    def _begin(self, now: int) -> int:
        """When the next frame of listening is to be seen, ns."""
        if self._idle is not None:
            return self._idle.end
        ended = self.shown.present(self.shown.stream.next_frame) if self.shown else 0
        return max(ended, now + AFTER_NS)


def _nearest(offset: int) -> int:
    return (offset * FPS + NS // 2) // NS
