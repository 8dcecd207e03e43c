"""What linear shapes get wrong, put right by rules: combinations, bulging flesh, lids on the eyeball, lips that meet.

Synthetic: an artist's usual correctives, written down, not taken from scans. Four kinds:

* **combinations** (:class:`Combinations`): products of weights times fields. Shapes that work against each other or
  twice take part of their deltas back (smile and pucker, blink and squint), flesh bulges along the normals (cheek of a
  smile with an open jaw, brow, chin). All vanish for a single shape at 0 and at 1: there the sculpted shape holds;
* **contact that carries over** (:func:`keep_contact`): where the mean identity's lips are closed, everybody's are;
* **pressure**: lips that press on each other spread outwards;
* **lids** (:class:`LidsOnEyes`): skin that would pass through eyeball or cornea is pushed out along the radius.

Lips that would still pass through each other meet by ``data/lip_seal.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..runtime.arkit import ARKIT_INDEX
from ..runtime.eyes import eye_angles
from .rig import ICTRig

EYE_RADIUS, CORNEA_BULGE, CORNEA_DEG = 1.50, 0.16, 20.0
"""The drawn eyeball, cm: a sphere and a bulge that falls off from the gaze, see ``data/face_asset.py``."""
LID_CM = 0.01
"""Clearance between lid and eyeball."""
CLOSED_CM, OPEN_CM = 0.08, 0.35
"""Lips of the mean identity: closed up to the first gap, free of anybody else's from the second on."""


@dataclass(frozen=True)
class _Rule:
    """activation = product of the weights of ``of`` (sides averaged where none is named), each to its power."""

    of: dict[str, float]
    back: dict[str, float] | None = None  # shape -> part of its delta that is added (negative: taken back)
    bump: tuple[tuple[int, ...], float, float] | None = None  # landmarks around the centre, reach and height in cm
    near: tuple[tuple[int, ...], float] | None = None  # landmarks and reach that `back` is confined to


_SIDES = (("Left", 54, 46, 35, 24, 47, 45, 26, 12, 22), ("Right", 48, 41, 31, 19, 40, 36, 17, 4, 21))
_MOUTH = tuple(range(48, 60))


def _rules() -> list[_Rule]:
    rules = [
        _Rule({"mouthPucker": 1, "mouthFunnel": 1}, {"mouthPucker": -0.35, "mouthFunnel": -0.20}),
        _Rule({"mouthPucker": 1, "jawOpen": 1}, {"mouthFunnel": 0.35}, near=(_MOUTH, 1.2)),
        _Rule({"cheekPuff": 1, "jawOpen": 1}, {"cheekPuff": -0.80}),
        _Rule({"cheekPuff": 1, "mouthPucker": 1}, {"cheekPuff": 0.30}),
        _Rule({"mouthClose": 1, "jawOpen": 1}, bump=((8, 57, 57), 1.3, 0.16)),
        _Rule({"mouthShrugLower": 1, "mouthFrown": 1}, {"mouthShrugLower": 0.25}, ((8, 57), 1.2, 0.22), ((8, 57), 2.5)),
        _Rule({"mouthRollLower": 1, "mouthRollUpper": 1}, bump=((33, 51), 0.9, 0.14)),
        _Rule({"mouthRollLower": 1, "jawOpen": 1}, {"mouthRollLower": 0.30}, ((57, 57, 8), 1.0, 0.16)),
        _Rule({"jawLeft": 1, "jawOpen": 1}, {"jawLeft": -0.30}),
        _Rule({"jawRight": 1, "jawOpen": 1}, {"jawRight": -0.30}),
        _Rule({"mouthLeft": 1, "mouthPucker": 1}, {"mouthLeft": 0.35}, near=(_MOUTH, 2.0)),
        _Rule({"mouthRight": 1, "mouthPucker": 1}, {"mouthRight": 0.35}, near=(_MOUTH, 2.0)),
        _Rule({"browInnerUp": 1, "browDown": 1}, bump=((21, 22), 1.1, 0.22)),
        _Rule({"browInnerUp": 1, "browOuterUp": 1}, {"browInnerUp": -0.25, "browOuterUp": -0.15}),
        _Rule({"jawForward": 1, "jawOpen": 1}, {"jawForward": -0.30}),
    ]  # fmt: skip
    for side, corner, lower_lid, wing, brow, lid, outer, brow_end, jaw, brow_start in _SIDES:
        own = {n: n + side for n in ("mouthSmile", "mouthFrown", "mouthStretch", "mouthDimple", "mouthUpperUp",
               "mouthLowerDown", "mouthPress", "cheekSquint", "noseSneer", "browDown", "browOuterUp", "eyeBlink",
               "eyeSquint", "eyeLookDown", "eyeWide")}  # fmt: skip
        smile = own["mouthSmile"]
        rules += [
            _Rule({smile: 1, "jawOpen": 1}, {smile: -0.22}, ((corner, wing, lower_lid), 1.3, 0.25), ((corner,), 2.5)),
            _Rule({smile: 1, "jawOpen": 1}, bump=((corner, corner, 8), 1.4, -0.20)),
            _Rule({smile: 1, "mouthPucker": 1}, {smile: -0.45, "mouthPucker": -0.20}, near=((corner,), 3.0)),
            _Rule({smile: 1, "mouthFunnel": 1}, {smile: -0.35}, near=((corner,), 3.0)),
            _Rule({smile: 1, own["mouthFrown"]: 1}, {smile: -0.30, own["mouthFrown"]: -0.30}),
            _Rule({smile: 1, own["cheekSquint"]: 1}, bump=((lower_lid, lower_lid, corner), 1.5, 0.32)),
            _Rule({smile: 1, own["mouthUpperUp"]: 1}, {own["mouthUpperUp"]: -0.25}, ((wing, corner), 0.9, -0.18)),
            _Rule({own["noseSneer"]: 1, own["mouthUpperUp"]: 1}, {own["mouthUpperUp"]: -0.30}, ((wing,), 0.8, 0.18)),
            _Rule({own["mouthDimple"]: 1, own["mouthStretch"]: 1}, bump=((corner, corner, corner, jaw), 0.9, -0.22)),
            _Rule({own["mouthStretch"]: 1, "jawOpen": 1}, {own["mouthStretch"]: -0.25}, near=((corner,), 2.0)),
            _Rule({own["mouthLowerDown"]: 1, "jawOpen": 1}, {own["mouthLowerDown"]: -0.25}),
            _Rule({own["mouthPress"]: 1, "mouthShrugLower": 1}, bump=((57, corner), 0.8, 0.15)),
            _Rule({own["eyeBlink"]: 1, own["eyeSquint"]: 1}, {own["eyeSquint"]: -0.75}, near=((lid,), 2.0)),
            _Rule({own["eyeBlink"]: 1, own["cheekSquint"]: 1}, bump=((outer,), 0.9, 0.14)),
            _Rule({own["eyeBlink"]: 1, own["eyeLookDown"]: 1}, {own["eyeLookDown"]: -0.60}, near=((lid,), 2.0)),
            _Rule({own["eyeBlink"]: 1, own["eyeWide"]: 1}, {own["eyeWide"]: -0.80}),
            _Rule({own["eyeSquint"]: 1, own["browDown"]: 1}, bump=((brow, brow_end), 0.9, 0.20)),
            _Rule({own["browDown"]: 1, own["noseSneer"]: 1}, {own["browDown"]: -0.15}, ((27, brow_start), 0.8, 0.18)),
            _Rule({own["browDown"]: 1, own["browOuterUp"]: 1}, {own["browDown"]: -0.25, own["browOuterUp"]: -0.25}),
        ]  # fmt: skip
    return rules


RULES = tuple(_rules())
BENT: dict[str, tuple[tuple[int, ...], float, float]] = {
    "mouthSmileLeft": ((54, 46, 35), 1.6, 0.18), "mouthSmileRight": ((48, 41, 31), 1.6, 0.18),
    "browInnerUp": ((21, 22), 1.8, 0.12), "cheekPuff": ((51, 57), 1.6, -0.15), "mouthPucker": ((51, 57), 1.2, 0.15),
    "eyeBlinkLeft": ((44, 47), 0.7, 0.06), "eyeBlinkRight": ((38, 41), 0.7, 0.06), "jawOpen": ((8,), 1.8, 0.15),
    "noseSneerLeft": ((35,), 0.9, 0.10), "noseSneerRight": ((31,), 0.9, 0.10),
}  # fmt: skip
"""Shapes on a bent path: half-way (4 w (1 - w) = 1) a bump stands out by so many cm; none at rest and at the end."""


class Combinations:
    """Fields and activations of :data:`RULES` and :data:`BENT` over ``vertices``.

    Attributes:
        fields: (m, n, 3) f32 cm on the mean identity, to be turned like any delta.
    """

    def __init__(self, rig: ICTRig, vertices: np.ndarray, normals: np.ndarray) -> None:
        rest = rig.neutral[vertices]

        def bump(centre: tuple[int, ...], reach: float, height: float) -> np.ndarray:
            middle = rig.neutral[rig.landmarks[list(centre)]].mean(axis=0)
            middle = rest[np.linalg.norm(rest - middle, axis=1).argmin()]
            near = np.exp(-(((rest - middle) ** 2).sum(axis=1)) / reach**2)
            return height * near[:, None] * normals

        fields = []
        for rule in RULES:
            field = np.zeros((len(vertices), 3), np.float32)
            for name, part in (rule.back or {}).items():
                field += part * sum(rig.deltas[k][vertices] for k in _columns(name))
            if rule.near:
                marks = rig.neutral[rig.landmarks[list(rule.near[0])]]
                field *= np.exp(-((cKDTree(marks).query(rest)[0] / rule.near[1]) ** 2))[:, None]
            if rule.bump:
                field += bump(*rule.bump)
            fields.append(field)
        fields += [bump(*b) for b in BENT.values()]
        self.fields = np.stack(fields).astype(np.float32)
        self._factors = [[(_columns(name), power) for name, power in rule.of.items()] for rule in RULES]
        self._bent = [ARKIT_INDEX[name] for name in BENT]

    def activations(self, weights: np.ndarray) -> np.ndarray:
        """(T, m) in [0, 1] of weights (T, 52)."""
        out = np.ones((len(weights), len(self._factors)), np.float32)
        for j, factors in enumerate(self._factors):
            for columns, power in factors:
                out[:, j] *= weights[:, columns].mean(axis=1) ** power
        bent = weights[:, self._bent]
        return np.concatenate([out, 4 * bent * (1 - bent)], axis=1).astype(np.float32)

    def products(self) -> list[tuple[tuple[list[int], float, float], tuple[list[int], float, float]]]:
        """Each activation as a product of two (shapes, scale, shift): scale x mean weight + shift."""
        pairs = [tuple((columns, 1.0, 0.0) for columns, _ in factors) for factors in self._factors]
        return pairs + [(([k], 4.0, 0.0), ([k], -1.0, 1.0)) for k in self._bent]


def _columns(name: str) -> list[int]:
    if name in ARKIT_INDEX:
        return [ARKIT_INDEX[name]]
    return [ARKIT_INDEX[name + "Left"], ARKIT_INDEX[name + "Right"]]


def keep_contact(own: np.ndarray, shared: np.ndarray, own_rest: np.ndarray, shared_rest: np.ndarray) -> np.ndarray:
    """By how much each lip pair's gap (T, 3) cm must shrink so that lips closed on the mean identity close here too.

    Args:
        own, shared: gaps (T, 3) of this person and of the mean identity, the linear rig.
        own_rest, shared_rest: (3,) at rest.
    """
    free = np.clip((shared - CLOSED_CM) / (OPEN_CM - CLOSED_CM), 0.0, 1.0)
    closed = 1.0 - free**2 * (3 - 2 * free)
    return closed * ((own - own_rest) - (shared - shared_rest))


class LidsOnEyes:
    """Pushes skin out of the eyeballs; ``rest`` is (n, 3) cm, ``centres`` (2, 3) left then right."""

    def __init__(self, rig: ICTRig, vertices: np.ndarray) -> None:
        self.skin = []
        for side in ("Left", "Right"):
            shapes = [k for n, k in ARKIT_INDEX.items() if n.startswith("eye") and n.endswith(side)]
            self.skin.append(np.flatnonzero(np.abs(rig.deltas[shapes][:, vertices]).max(axis=(0, 2)) > 0.02))

    def push(self, moved: np.ndarray, rest: np.ndarray, centres: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Positions (T, n, 3) with lids outside the eyes; what lies within an eye at rest stays that deep."""
        out = moved.copy()
        for side, skin, centre in zip(("left", "right"), self.skin, centres, strict=True):
            yaw, pitch = eye_angles(weights, side).T
            gaze = np.stack([np.sin(yaw) * np.cos(pitch), -np.sin(pitch), np.cos(yaw) * np.cos(pitch)], axis=1)
            straight = np.array([[0.0, 0.0, 1.0]])
            allowed = np.maximum(_depth(rest[None, skin] - centre, straight)[0], 0.0)
            arm = moved[:, skin] - centre
            depth = _depth(arm, gaze)[0] - allowed
            deep = np.maximum(depth, 0.0)
            out[:, skin] += (deep / np.linalg.norm(arm, axis=2))[:, :, None] * arm
        return out


def _depth(arm: np.ndarray, gaze: np.ndarray) -> np.ndarray:
    """How far points (T, n, 3) from the eye's centre lie under its surface, cm (1, T, n); gaze (T, 3) unit."""
    length = np.linalg.norm(arm, axis=2)
    angle = np.degrees(np.arccos(np.clip(np.einsum("tnc,tc->tn", arm, gaze) / length, -1, 1)))
    surface = EYE_RADIUS + CORNEA_BULGE * np.exp(-((angle / CORNEA_DEG) ** 2))
    return (surface + LID_CM - length)[None]
