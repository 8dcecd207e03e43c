"""How the simulated head looks: primitives that URDF knows, hung on joints."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...runtime.errors import ConfigError

COLOURS = {
    "skin": (0.86, 0.66, 0.55), "dark": (0.10, 0.10, 0.12), "grey": (0.45, 0.47, 0.50), "light": (0.82, 0.84, 0.86),
    "white": (0.95, 0.95, 0.93), "iris": (0.16, 0.36, 0.50), "lip": (0.70, 0.30, 0.30), "brow": (0.25, 0.16, 0.11),
    "orange": (0.93, 0.50, 0.14), "teal": (0.13, 0.55, 0.55), "yellow": (0.95, 0.78, 0.25),
}  # fmt: skip
"""sRGB, 0 to 1."""
SIZES = {"box": 3, "sphere": 1, "cylinder": 2}
"""Numbers that give a shape's size: edges x, y, z; radius; radius and length (along z); metres."""


def _vector(what: str, value: object, count: int, low: float, high: float) -> tuple[float, ...]:
    ok = isinstance(value, (list, tuple)) and len(value) == count
    if not ok or any(isinstance(v, bool) or not isinstance(v, (int, float)) or not low <= v <= high for v in value):
        raise ConfigError(f"{what}: expected {count} numbers from {low:g} to {high:g}, got {value!r}")
    return tuple(float(v) for v in value)


@dataclass(frozen=True)
class Shape:
    """A box, sphere or cylinder at ``at`` (m), turned by ``rpy`` (rad about the fixed axes x, y, z)."""

    kind: str
    size: tuple[float, ...]
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rpy: tuple[float, float, float] = (0.0, 0.0, 0.0)
    colour: str = "grey"

    def __post_init__(self) -> None:
        if self.kind not in SIZES:
            raise ConfigError(f"kind: expected one of {', '.join(SIZES)}, got {self.kind!r}")
        object.__setattr__(self, "size", _vector("size", self.size, SIZES[self.kind], 1e-4, 10.0))
        object.__setattr__(self, "at", _vector("at", self.at, 3, -10.0, 10.0))
        object.__setattr__(self, "rpy", _vector("rpy", self.rpy, 3, -7.0, 7.0))
        if self.colour not in COLOURS:
            raise ConfigError(f"colour: expected one of {', '.join(COLOURS)}, got {self.colour!r}")


@dataclass(frozen=True)
class JointModel:
    """Where a joint is: at ``at`` (m) in the link of the joint ``parent`` ('' for the base), turning about ``axis``.

    A joint of the kind ``slider`` moves along its axis instead.
    """

    axis: tuple[float, float, float]
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    parent: str = ""
    slider: bool = False
    shapes: tuple[Shape, ...] = ()

    def __post_init__(self) -> None:
        axis = _vector("axis", self.axis, 3, -1.0, 1.0)
        length = math.hypot(*axis)
        if length < 0.1:
            raise ConfigError(f"axis: expected a direction, got {self.axis!r}")
        object.__setattr__(self, "axis", tuple(v / length for v in axis))
        object.__setattr__(self, "at", _vector("at", self.at, 3, -10.0, 10.0))
        if not isinstance(self.parent, str) or not isinstance(self.slider, bool):
            raise ConfigError("parent: expected the name of a joint; slider: expected true or false")
        object.__setattr__(self, "shapes", tuple(self.shapes))
