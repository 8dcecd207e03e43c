"""The whole way from the stream of a face to servo commands, one step a period."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.errors import InputError
from ...runtime.presentation import NS
from ..frames import WeightReader
from .follower import FORESEEN, Follower
from .mixing import Mixer, pose_terms
from .reference import Reference
from .robot_map import RobotMap

FAR_PAST, FAR_FUTURE = NS, 5 * NS
"""Stamps farther from now than this are refused, ns."""
MAX_OFFSET = 0.5
"""An offset of the head beyond this is refused, metres."""
CLIPPED = 0.002
"""Share of its range by which a joint must miss what is asked to be called clipped."""
LAG = 0.01
"""Share of its range that a joint may be off its target without being called saturated."""
RISE_S = 0.12
"""Time in which a robot at rest joins a stream that begins, s."""


@dataclass(frozen=True)
class Command:
    """What the servos are told; arrays (J,), rad (m for sliders) and seconds.

    Attributes:
        position, velocity, acceleration: the command.
        asked: where the face would have the joint at this moment, without any limit.
        target: the same within the range.
        clipped: whether the range keeps the joint from what is asked.
        saturated: whether a cap of motion keeps it more than ``LAG`` of its range from its target.
    """

    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    asked: np.ndarray
    target: np.ndarray
    clipped: np.ndarray
    saturated: np.ndarray


class Presence:
    """How much of the stream is shown: 0 at rest, 1 in full, with a smooth way between."""

    def __init__(self, ease: float) -> None:
        self._ease = ease
        self.share = 0.0
        self._rate = 0.0

    def advance(self, present: bool, period: float) -> None:
        """Go on by a period towards 1 (``present``) or 0."""
        self._rate = 1.0 / RISE_S if present else -1.0 / self._ease
        self.share = min(max(self.share + self._rate * period, 0.0), 1.0)

    def at(self, ahead: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The share in ``ahead`` seconds, and its first and second derivative."""
        r = np.clip(self.share + self._rate * ahead, 0.0, 1.0)
        moving = self._rate * ((r > 0.0) & (r < 1.0))
        share = r**3 * (10.0 - 15.0 * r + 6.0 * r * r)
        return share, moving * 30.0 * r**2 * (1.0 - r) ** 2, moving**2 * 60.0 * r * (1.0 - r) * (1.0 - 2.0 * r)


class RobotPlayer:
    """Takes frames as they come and gives a command each period.

    Args:
        robot: the map.
        lead: commands are carried out this much after they are given, s; what is looked at is that much further ahead.

    Attributes:
        stopped: a soft stop holds it at rest.
        counts: what was refused or left out.
    """

    def __init__(self, robot: RobotMap, lead: float = 0.0) -> None:
        self.robot = robot
        self.mixer = Mixer(robot)
        self.stopped = False
        self._reader = WeightReader()
        self._reference = Reference(len(robot.joints))
        self._presence = Presence(robot.ease_s)
        self._time: int | None = None
        self._period = round(NS * robot.period)
        self._ahead = np.array((0, *FORESEEN), np.float64) * robot.period
        latency = np.array([round(1e6 * j.latency_ms + NS * lead) for j in robot.joints], np.int64)
        self._looks = latency[:, None] + np.round(NS * self._ahead).astype(np.int64)
        self._deadband = np.array([j.deadband for j in robot.joints])
        self._held = np.zeros(len(robot.joints))
        self.followers = [
            Follower(*j.range, j.velocity, j.acceleration, j.jerk, robot.period, start)
            for j, start in zip(robot.joints, self.mixer.rest, strict=True)
        ]

    @property
    def counts(self) -> Counter[str]:
        """What was superseded, by kind."""
        return self._reference.counts

    @property
    def stale(self) -> bool:
        """Whether nothing comes any more."""
        newest, limit = self._reference.newest, round(self.robot.stale_after_s * NS)
        return newest is None or self._time is None or self._time - newest > limit

    def face(
        self, present: int, names: Sequence[str], weights: np.ndarray, now: int, utterance: str = "", revision: int = 0
    ) -> None:
        """Take the weights of a frame that is to be seen at ``present``, ns.

        Raises:
            InputError: unknown or doubled names, wrong lengths, NaN, or a stamp far from ``now``.
        """
        _check_stamp(present, now)
        row = self.mixer.face(self._reader.read(names, weights))
        hold = np.clip(self._held, row - self._deadband, row + self._deadband)
        if self._reference.face(present, hold, utterance, revision):
            self._held = hold

    def pose(self, present: int, rotation: np.ndarray, translation: np.ndarray, now: int) -> None:
        """Take a head pose: quaternion xyzw (4,), offset (3,) m.

        Raises:
            InputError: NaN, no rotation, an offset beyond half a metre, or a stamp far from ``now``.
        """
        _check_stamp(present, now)
        rotation, translation = np.asarray(rotation, np.float64), np.asarray(translation, np.float64)
        length = float(np.linalg.norm(rotation)) if np.abs(rotation).max() < 2.0 else np.nan
        if not 0.5 < length < 2.0:
            raise InputError(f"expected the head's rotation as a unit quaternion, got {np.round(rotation, 3).tolist()}")
        if not np.abs(translation).max() <= MAX_OFFSET:
            raise InputError(f"expected the head's offset in metres, got {np.round(translation, 3).tolist()}")
        self._reference.pose(present, self.mixer.pose(pose_terms(rotation / length, translation)))

    def forget(self) -> None:
        """Leave the stream; the joints go on from where they are."""
        self._reference.clear()

    def step(self, now: int) -> Command:
        """Go on by one period and return the command for ``now``, ns.

        A step is a period of the robot's motion however late it comes, so a program that was held up never makes a
        joint jump.
        """
        time = self._tell(now)
        self._reference.forget(time)
        self._presence.advance(not self.stopped and not self.stale, self.robot.period)
        position, velocity, acceleration, asked = self._aim(time)
        ahead = np.stack([position, velocity, acceleration], axis=-1)[:, 1:].tolist()
        for follower, states in zip(self.followers, ahead, strict=True):
            follower.step(states)
        state = np.array([(f.position, f.velocity, f.acceleration) for f in self.followers]).T
        target = position[:, 0]
        span = self.mixer.hard_high - self.mixer.hard_low
        late = np.array([f.saturated for f in self.followers]) & (np.abs(state[0] - target) > LAG * span)
        beyond = np.abs(asked - np.clip(asked, self.mixer.low, self.mixer.high))
        return Command(*state, asked, target, beyond > CLIPPED * span, late)

    def _aim(self, time: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Position, velocity, acceleration (J, M) of the reference, column 0 the present, and what is asked (J,)."""
        mixer = self.mixer
        zero = mixer.position(np.zeros(len(self.followers)))
        # the commands of this step are for `time`; plans start one period earlier
        looks = time + self._looks - np.array([0] + [self._period] * len(FORESEEN))
        away, velocity, acceleration, plain = self._reference.at(looks, mixer.low - zero, mixer.high - zero)
        share, rising, bending = self._presence.at(self._ahead)
        rest = mixer.rest[:, None]
        asked = rest[:, 0] + share[0] * (plain[:, 0] + zero - rest[:, 0])
        away = away + zero[:, None] - rest
        position = rest + share * away
        acceleration = share * acceleration + 2.0 * rising * velocity + bending * away
        velocity = share * velocity + rising * away
        return position, velocity, acceleration, asked

    def _tell(self, now: int) -> int:
        """The time of this step: periods are even, whatever the jitter of the calls; jumps are taken as they are."""
        due = now if self._time is None else self._time + self._period
        late = now - due
        if abs(late) > 5 * self._period:
            if late < -NS:
                self._reference.clear()  # the clock was set back: the stamps that wait are of another time
            due = now
        else:
            due += late // 20
        self._time = due
        return due


def _check_stamp(present: int, now: int) -> None:
    if not now - FAR_PAST <= present <= now + FAR_FUTURE:
        raise InputError(
            f"the stamp is {(present - now) / NS:+.1f} s from now: expected the moment at which the frame is to be "
            "seen, by this machine's clock"
        )
