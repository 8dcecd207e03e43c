"""What a robot is: joints, what moves them, and the limits that nothing may break."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches

from ...runtime.arkit import ARKIT_NAMES
from ...runtime.errors import ConfigError
from .shapes import JointModel, Shape

POSE_NAMES = ("head_roll", "head_pitch", "head_yaw", "head_x", "head_y", "head_z")
"""Terms of the head pose: rad about x (forward), y (left), z (up); metres along them. Pitch is positive downwards."""
TERM_NAMES: tuple[str, ...] = ARKIT_NAMES + POSE_NAMES
MAX_JOINTS, MAX_CHANNEL = 128, 65_535
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


class MapError(ConfigError):
    """A value of a robot map that cannot be: ``key`` is where, relative to its object ('' for the object itself)."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key}: {text}" if key else text)
        self.key, self.text = key, text


@dataclass(frozen=True)
class Joint:
    """One servo.

    Its position is ``rest + direction * sum(coefficient * term)``, held within ``range``.

    Attributes:
        name: of the joint in the URDF and in the topics.
        channel: of the servo controller, or the servo's id on its bus.
        terms: rad (or m) per unit of an ARKit weight, rad per rad, or m per m of the head pose.
        range: lowest and highest position, rad (m for a slider).
        rest: position of the neutral face.
        direction: -1 for a servo that is mounted the other way round.
        velocity, acceleration, jerk: caps, rad/s, rad/s^2, rad/s^3.
        latency_ms: from a command to its movement; commands leave that much earlier.
        deadband: changes of the target below it are left out, rad: a servo that hums at rest.
        model: how the simulated head shows it.
    """

    name: str
    channel: int
    terms: Mapping[str, float]
    range: tuple[float, float]
    rest: float
    velocity: float
    acceleration: float
    jerk: float
    direction: int = 1
    latency_ms: float = 0.0
    deadband: float = 0.0
    model: JointModel | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise MapError("name", f"expected letters, digits and _, a letter first, got {self.name!r}")
        _whole("channel", self.channel, 0, MAX_CHANNEL)
        self._check_terms()
        if not isinstance(self.range, (list, tuple)) or len(self.range) != 2:
            raise MapError("range", f"expected [lowest, highest], got {self.range!r}")
        low, high = (_number("range", v, -1000.0, 1000.0) for v in self.range)
        if low >= high:
            raise MapError(
                "range", f"expected [lowest, highest], got [{low:g}, {high:g}]: the two are inverted or equal"
            )
        object.__setattr__(self, "range", (low, high))
        rest = _number("rest", self.rest, -1000.0, 1000.0)
        if not low <= rest <= high:
            raise MapError("rest", f"expected a position within the range [{low:g}, {high:g}], got {rest:g}")
        object.__setattr__(self, "rest", rest)
        for key, most in (("velocity", 1e3), ("acceleration", 1e6), ("jerk", 1e8)):
            object.__setattr__(self, key, _number(key, getattr(self, key), 1e-4, most))
        if isinstance(self.direction, bool) or self.direction not in (-1, 1):
            raise MapError("direction", f"expected 1 or -1, got {self.direction!r}")
        object.__setattr__(self, "latency_ms", _number("latency_ms", self.latency_ms, 0.0, 500.0))
        object.__setattr__(self, "deadband", _number("deadband", self.deadband, 0.0, high - low))

    def _check_terms(self) -> None:
        if not isinstance(self.terms, Mapping) or not self.terms:
            raise MapError("terms", "expected at least one, such as {jawOpen: 0.5}")
        terms = {}
        for name, value in self.terms.items():
            if name not in TERM_NAMES:
                near = get_close_matches(str(name), TERM_NAMES, n=1, cutoff=0.0)
                raise MapError(f"terms.{name}", f"no ARKit shape or head pose has this name; did you mean {near[0]}?")
            terms[name] = _number(f"terms.{name}", value, -1000.0, 1000.0)
        object.__setattr__(self, "terms", terms)


@dataclass(frozen=True)
class RobotMap:
    """A robot: its joints, and how it behaves when nothing comes.

    Attributes:
        robot: its name.
        rate: commands per second.
        stale_after_s: without a new frame for so long, it goes to rest.
        ease_s: time that going to rest takes, s; a soft stop takes it too.
        joints: at most 128.
        body: shapes of the simulated head that no joint moves.
    """

    robot: str
    joints: tuple[Joint, ...]
    rate: float = 50.0
    stale_after_s: float = 0.5
    ease_s: float = 0.8
    body: tuple[Shape, ...] = field(default=())

    def __post_init__(self) -> None:
        if not isinstance(self.robot, str) or not NAME.fullmatch(self.robot):
            raise MapError("robot", f"expected letters, digits and _, a letter first, got {self.robot!r}")
        object.__setattr__(self, "joints", tuple(self.joints))
        if not 0 < len(self.joints) <= MAX_JOINTS:
            raise MapError("joints", f"expected 1 to {MAX_JOINTS} joints, got {len(self.joints)}")
        for key, low, high in (("rate", 10.0, 500.0), ("stale_after_s", 0.05, 60.0), ("ease_s", 0.05, 60.0)):
            object.__setattr__(self, key, _number(key, getattr(self, key), low, high))
        owner: dict[int, str] = {}
        names: set[str] = set()
        for joint in self.joints:
            if joint.name in names:
                raise MapError(f"joints.{joint.name}", "two joints have this name")
            if joint.channel in owner:
                raise MapError(
                    f"joints.{joint.name}.channel",
                    f"channel {joint.channel} is taken by the joint {owner[joint.channel]}: each joint has its own",
                )
            names.add(joint.name)
            owner[joint.channel] = joint.name
        self._check_parents(names)

    def _check_parents(self, names: set[str]) -> None:
        parents = {joint.name: joint.model.parent for joint in self.joints if joint.model}
        for name, parent in parents.items():
            if parent and parent not in names:
                raise MapError(f"joints.{name}.model.parent", f"no joint is called {parent!r}")
            seen = {name}
            while parent:
                if parent in seen:
                    raise MapError(f"joints.{name}.model.parent", "a joint cannot be its own ancestor")
                seen.add(parent)
                parent = parents.get(parent, "")

    @property
    def names(self) -> tuple[str, ...]:
        """The joints' names, in order."""
        return tuple(joint.name for joint in self.joints)

    @property
    def period(self) -> float:
        """Seconds between commands."""
        return 1.0 / self.rate


def keys_of(kind: type) -> tuple[set[str], set[str]]:
    """All keys of a dataclass, and those without a default."""
    from dataclasses import MISSING

    every = {f.name for f in fields(kind)}
    return every, {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}


def _number(key: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise MapError(key, f"expected a number, got {value!r}")
    if not low <= value <= high:
        raise MapError(key, f"expected a number from {low:g} to {high:g}, got {value:g}")
    return float(value)


def _whole(key: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise MapError(key, f"expected a whole number from {low} to {high}, got {value!r}")
