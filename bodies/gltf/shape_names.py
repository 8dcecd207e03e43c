"""The spellings in which files name the 52 ARKit shapes, and what of a list of names is understood.

Known: ``jawOpen`` (Apple), ``JawOpen`` (Unreal, VRoid's perfect sync), ``jaw_open``, ``eyeBlink_L``, ``eyeBlink.L``,
``eyeBlinkL``, ``EYE_BLINK_LEFT``, with a prefix (``blendShape1.eyeBlink_L``, ``Wolf3D_Head:jawOpen``,
``ARKit_jawOpen``) or Blender's number behind (``jawOpen.001``). Some rigs cut ``browInnerUp`` and ``cheekPuff`` in two
halves: each follows the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...runtime.arkit import ARKIT_NAMES

_PLAIN = {name.lower(): name for name in ARKIT_NAMES}
_HALVED = ("browinnerup", "cheekpuff")
_SIDES = {"l": "left", "r": "right", "left": "left", "right": "right"}
_SIDED = re.compile(r"(.+?)[._\s-]+(left|right|l|r)", re.IGNORECASE)
_CAMEL = re.compile(r"(.*[a-z])([LR])")
MAX_NAME = 200


@dataclass(frozen=True)
class Match:
    """What of a file's shape names is understood.

    Attributes:
        found: (place in the list, ARKit name) of every understood name. missing: ARKit names that no name stands for.
        unused: names that stand for no ARKit shape.
    """

    found: tuple[tuple[int, str], ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]


def arkit_name(name: object) -> str | None:
    """The ARKit shape that a name stands for, or None."""
    if not isinstance(name, str) or len(name) > MAX_NAME:
        return None
    for base, side in _readings(re.sub(r"\.\d{3}$", "", name.strip())):
        for candidate in _without_prefixes(base):
            plain = re.sub(r"[^a-z0-9]", "", candidate.lower())
            if plain + side in _PLAIN:
                return _PLAIN[plain + side]
            if side and plain in _HALVED:
                return _PLAIN[plain]
    return None


def match(names: Sequence[str]) -> Match:
    """Match a list of names; one shape may be driven in several places."""
    known = [(place, arkit_name(name)) for place, name in enumerate(names)]
    found = tuple((place, name) for place, name in known if name)
    reached = {name for _, name in found}
    return Match(
        found,
        tuple(n for n in ARKIT_NAMES if n not in reached),
        tuple(str(names[place]) for place, name in known if not name),
    )


def _readings(name: str) -> Iterator[tuple[str, str]]:
    """The name without and with its last letters read as a side."""
    yield name, ""
    for pattern in (_SIDED, _CAMEL):
        sided = pattern.fullmatch(name)
        if sided:
            yield sided[1], _SIDES[sided[2].lower()]


def _without_prefixes(name: str) -> Iterator[str]:
    """The name, then what follows its last ``. : | /``, then that less one word before ``_`` after another."""
    yield name
    last = re.split(r"[.:|/]", name)[-1]
    words = last.split("_")
    for first in range(len(words)):
        yield "_".join(words[first:])
