"""The range-of-motion set: many people, each with blendshapes of their own, and their expressions. Synthetic geometry.

The paper's set is 43,652 scans of 300 people. Here a :class:`Person` is made from a neutral mesh in the rig's topology
(sampled from the rig's identity modes, or anybody's): personal blendshapes (``data/personal_shapes.py``), correctives
where linear shapes fail (``data/correctives.py``) and lips that meet (``data/lip_seal.py``). Expressions come from real
takes (LiveLink, tracked video) and from rules (``data/expressions.py``). Identities and takes are split: seeds of their
own for train, val and test, and frames by take (or the parts of a take, in time).

Everything but the weights of real takes is made by rules and is called synthetic wherever it is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..runtime.arkit import ARKIT_INDEX
from ..runtime.errors import InputError
from .correctives import Combinations, LidsOnEyes, keep_contact
from .geometry_maps import FaceAtlas
from .lip_seal import seal_fields
from .personal_shapes import PersonalShapes
from .rig import INNER_LIP_PAIRS, PARTS, ICTRig, eye_centre

IDENTITY_LIMIT = 2.5
SEEDS = {"train": 1, "val": 2, "test": 3}
"""First number of the seed of each split's identities: no person is in two of them."""
PRESSURE = 0.35
"""Outward bulge of lips per cm that they press into each other, up to :data:`PRESSURE_LIMIT` cm of overlap."""
PRESSURE_LIMIT = 0.3

_BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")
_LID_PAIRS = (((43, 47), (44, 46)), ((37, 41), (38, 40)))


def sample_identities(n: int, split: str, modes: int = 100) -> np.ndarray:
    """Coefficients (n, modes) of a split, N(0, 1) cut at 2.5; person i of a split is always the same.

    Raises:
        InputError: if there is no such split.
    """
    if split not in SEEDS:
        raise InputError(f"expected a split of {sorted(SEEDS)}, got {split!r}")
    rows = [np.random.default_rng((SEEDS[split], i)).normal(size=modes) for i in range(n)]
    return np.clip(np.array(rows).reshape(n, modes), -IDENTITY_LIMIT, IDENTITY_LIMIT).astype(np.float32)


@dataclass
class Person:
    """One neutral and what the rules make of it; positions cm, ICT axes, vertices as in ``RangeOfMotion.vertices``.

    Attributes:
        neutral: (n, 3).
        mixing: (52, 52) personal shapes as mixtures of the shared ones.
        turning: (n, 3, 3) of deltas.
        eye_centres: (2, 3), left then right.
        blinks: (2, n, 3) deltas of this person's full blinks, left then right.
    """

    neutral: np.ndarray
    mixing: np.ndarray
    turning: np.ndarray
    eye_centres: np.ndarray
    blinks: np.ndarray


class RangeOfMotion:
    """People and their expressions over the vertices that lie on the geometry map.

    Args:
        rig: any rig in ICT's form.
        atlas: its map; None builds the edge configuration's.
    """

    def __init__(self, rig: ICTRig, atlas: FaceAtlas | None = None) -> None:
        self.rig, self.atlas = rig, atlas or FaceAtlas.build(rig)
        self.vertices = self.atlas.charted
        self.shapes = PersonalShapes(rig, self.vertices)
        self.combinations = Combinations(rig, self.vertices, self.shapes.normals)
        self.lids = LidsOnEyes(rig, self.vertices)
        self.seal = seal_fields(rig, self.vertices)
        number = np.full(len(rig.neutral), -1)
        number[self.vertices] = np.arange(len(self.vertices))
        self.landmarks = number[rig.landmarks]
        """(68,) places of the landmarks in ``vertices``."""
        self.lid_marks = self.landmarks[np.array(_LID_PAIRS)]
        """(2, pairs, 2) places of upper and lower lid, left eye first."""
        self.deltas = np.ascontiguousarray(rig.deltas[:, self.vertices])
        self._centres = np.stack([eye_centre(rig.neutral[slice(*PARTS[f"eye_{s}"])]) for s in ("left", "right")])
        self.rest_gap = self.gaps(rig.neutral[self.vertices][None])[0]
        shut = self.rig.neutral[self.vertices] + self.deltas[[ARKIT_INDEX[n] for n in _BLINKS]]
        self.shut_gaps = self.lid_gaps(shut).diagonal()
        self._bulge = np.abs(self.seal)[:, :, None] * np.array([0.0, 0.0, 1.0], np.float32)

    def sampled(self, identity: np.ndarray | None) -> Person:
        """The person of identity coefficients (100,); None is the mean identity."""
        balls = [self.rig.rest(identity, np.arange(*PARTS[f"eye_{s}"])) for s in ("left", "right")]
        return self.person(self.rig.rest(identity, self.vertices), np.stack([eye_centre(ball) for ball in balls]))

    def person(self, neutral: np.ndarray, eye_centres: np.ndarray | None = None) -> Person:
        """The person of a neutral (n, 3) cm over ``vertices``.

        Raises:
            InputError: if the neutral has other vertices or values that are not finite.
        """
        neutral = np.asarray(neutral, np.float32)
        if neutral.shape != (len(self.vertices), 3):
            raise InputError(f"expected a neutral of {len(self.vertices)} vertices on the map, got {neutral.shape}")
        if not np.isfinite(neutral).all():
            raise InputError("the neutral holds NaN or infinity: give centimetres of a whole mesh")
        marks = neutral[self.landmarks]
        if eye_centres is None:
            around = [self.landmarks[list(eye)] for eye in (range(42, 48), range(36, 42))]
            shift = [(neutral[a] - self.rig.neutral[self.vertices[a]]).mean(axis=0) for a in around]
            eye_centres = self._centres + np.stack(shift)
        mixing, turning = self.shapes.mixing(marks[None])[0], self.shapes.turning(neutral)
        blinks = np.zeros((2, *neutral.shape), np.float32)
        for k, name in enumerate(_BLINKS):
            row = mixing[ARKIT_INDEX[name]]
            blinks[k] = np.einsum("nab,nb->na", turning, np.tensordot(row, self.deltas, 1))
            opening, closing = (self.lid_gaps(v[None])[0, k] for v in (neutral, blinks[k]))
            gain = (self.shut_gaps[k] - opening) / closing  # a full blink shuts this eye, however wide it opens
            row *= gain
            blinks[k] *= gain
        return Person(neutral, mixing, turning, eye_centres, blinks)

    def lid_gaps(self, positions: np.ndarray) -> np.ndarray:
        """(T, 2) cm between upper and lower lids, left and right; of offsets, by how much they widen."""
        height = positions[:, self.lid_marks, 1]
        return (height[..., 0] - height[..., 1]).mean(axis=-1)

    def gaps(self, positions: np.ndarray) -> np.ndarray:
        """(T, 3) cm between the three inner-lip pairs, negative where they overlap."""
        upper, lower = (self.landmarks[[pair[k] for pair in INNER_LIP_PAIRS]] for k in (0, 1))
        return positions[:, upper, 1] - positions[:, lower, 1]

    def linear(self, weights: np.ndarray) -> np.ndarray:
        """Offsets (T, n, 3) cm of the shared linear rig, the same for everybody."""
        return (weights @ self.deltas.reshape(len(self.deltas), -1)).reshape(len(weights), -1, 3)

    def blendshapes(self, person: Person, weights: np.ndarray) -> np.ndarray:
        """Offsets (T, n, 3) cm of the person's own blendshapes alone: linear in the weights, lips may overlap."""
        flat = (np.asarray(weights, np.float32) @ person.mixing) @ self.deltas.reshape(len(self.deltas), -1)
        return np.einsum("nab,tnb->tna", person.turning, flat.reshape(len(weights), -1, 3), optimize=True)

    def meet(self, positions: np.ndarray, neutral: np.ndarray) -> np.ndarray:
        """Positions (T, n, 3) cm whose lips meet instead of passing through each other further than at rest."""
        overlap = np.maximum(np.minimum(self.gaps(neutral[None]), 0.0) - self.gaps(positions), 0.0)
        out = positions.copy()
        out[:, :, 1] += overlap @ self.seal
        return out

    def offsets(self, person: Person, weights: np.ndarray, seal: bool = True) -> np.ndarray:
        """Offsets (T, n, 3) f32 cm of a person's expressions from the person's neutral.

        Args:
            weights: (T, 52) in [0, 1], ARKit order.
            seal: let lips meet; without, they pass through each other as in the linear rig.

        Raises:
            InputError: if the shape does not fit.
        """
        weights = np.asarray(weights, np.float32)
        if weights.ndim != 2 or weights.shape[1] != len(self.deltas):
            raise InputError(f"expected weights (T, {len(self.deltas)}) in ARKit order, got {weights.shape}")
        frames = len(weights)
        active = self.combinations.activations(weights)
        flat = (weights @ person.mixing) @ self.deltas.reshape(len(self.deltas), -1)
        flat += active @ self.combinations.fields.reshape(active.shape[1], -1)
        moved = np.einsum("nab,tnb->tna", person.turning, flat.reshape(frames, -1, 3), optimize=True)
        positions = person.neutral + moved
        shared = self.gaps(self.rig.neutral[self.vertices] + self.linear(weights))
        own_rest = self.gaps(person.neutral[None])[0]
        close = keep_contact(self.gaps(positions), shared, own_rest, self.rest_gap)
        positions[:, :, 1] -= close @ self.seal
        floor = np.minimum(own_rest, 0.0)  # lips that lie one before the other at rest may stay so
        overlap = np.maximum(floor - self.gaps(positions), 0.0)
        press = PRESSURE * PRESSURE_LIMIT * np.tanh(overlap / PRESSURE_LIMIT)
        positions += np.einsum("tp,pnc->tnc", press, self._bulge)
        crossed = np.minimum(self.lid_gaps(positions), 0.0)  # lids stop where they meet: the blink gives way
        blinks = person.blinks / np.abs(self.lid_gaps(person.blinks).diagonal())[:, None, None]
        positions += np.einsum("te,enc->tnc", crossed, blinks)
        positions = self.lids.push(positions, person.neutral, person.eye_centres, weights)
        if seal:
            positions = self.meet(positions, person.neutral)
        return (positions - person.neutral).astype(np.float32)

    def people(self, n: int, split: str) -> Iterator[Person]:
        """The first ``n`` people of a split."""
        for identity in sample_identities(n, split, len(self.rig.identity)):
            yield self.sampled(identity)
