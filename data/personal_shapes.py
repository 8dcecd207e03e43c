"""Blendshapes of one's own: how a person's neutral face decides how that person shows the 52 shapes. Synthetic.

ICT's expressions are the same linear deltas for everybody. Nobody's scans are at hand to learn the differences from, so
they are made by rules, all of them smooth functions of the neutral mesh alone (what G_geo is given), and all of them
nothing for the mean identity:

* *size*: mouth and jaw move with the distance from nose to chin, each eye's lids with that eye's opening, brows, cheeks
  and nose with the length of the nose;
* *strength and asymmetry*: each shape is a little stronger or weaker, and stronger on one side, with fixed random
  responses to twenty measures of the face (:data:`MEASURES`);
* *company*: shapes recruit others (a smile with more or less dimple, upper lip, cheek), :data:`COMPANY`;
* *direction*: deltas turn and shear with the surface: the deformation gradient from the mean neutral to this one,
  smoothed, without its change of volume, in the spirit of deformation transfer (Sumner and Popovic 2004); and muscles
  pull in directions of one's own: rotations about :data:`REGIONS`, mirrored between the sides, none at the lids.

``jawOpen`` and ``mouthClose`` share their strength, so that lips which close on the mean identity close on everybody.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.spatial.distance import cdist

from ..runtime.arkit import ARKIT_INDEX, ARKIT_NAMES, indices
from ..runtime.errors import InputError
from .rig import PARTS, ICTRig

MEASURES: dict[str, tuple[tuple[int, int], ...]] = {
    "mouth_width": ((48, 54),), "upper_lip": ((51, 62),), "lower_lip": ((66, 57),), "philtrum": ((33, 51),),
    "chin": ((57, 8),), "nose_length": ((27, 33),), "nose_width": ((31, 35),), "face_width": ((0, 16),),
    "jaw_width": ((4, 12),), "eye_distance": ((39, 42),), "eye_open_left": ((43, 47), (44, 46)),
    "eye_open_right": ((37, 41), (38, 40)), "eye_width": ((36, 39), (42, 45)), "brow_left": ((24, 44), (23, 43)),
    "brow_right": ((19, 37), (20, 38)), "face_length": ((27, 8),), "jaw_length": ((0, 8), (16, 8)),
    "cheek": ((41, 48), (46, 54)), "corner_left": ((54, 45),), "corner_right": ((48, 36),),
}  # fmt: skip
"""Lengths between Multi-PIE points, as log ratios to the mean identity over their usual spread."""

COMPANY: dict[str, dict[str, float]] = {
    "mouthSmile": {"mouthDimple": 0.20, "mouthUpperUp": 0.18, "mouthStretch": 0.15, "cheekSquint": 0.25},
    "mouthFrown": {"mouthShrugLower": 0.15, "mouthStretch": 0.15}, "mouthPucker": {"mouthFunnel": 0.15},
    "mouthFunnel": {"mouthPucker": 0.15}, "mouthUpperUp": {"noseSneer": 0.25}, "noseSneer": {"browDown": 0.20},
    "browInnerUp": {"browOuterUp": 0.25}, "browOuterUp": {"browInnerUp": 0.15}, "browDown": {"eyeSquint": 0.20},
    "eyeBlink": {"cheekSquint": 0.12}, "eyeSquint": {"cheekSquint": 0.20}, "mouthStretch": {"mouthFrown": 0.20},
    "mouthLowerDown": {"mouthStretch": 0.15}, "mouthPress": {"mouthDimple": 0.15}, "cheekPuff": {"mouthPress": 0.15},
    "mouthDimple": {"mouthSmile": 0.15},
}  # fmt: skip
"""Shape -> what it takes along, at the most (more or less, by the neutral); sides stay apart."""

REGIONS: dict[str, tuple[tuple[int, ...], float]] = {
    "corners": ((48, 54), 2.0), "cheeks": ((41, 46, 48, 54), 2.2), "chin": ((8, 57), 2.4), "brows": ((19, 24), 2.2),
}  # fmt: skip
"""Where directions differ: landmarks at the centres and reach in cm."""
_TURN_RAD = 0.30  # at the most, about each axis
_MIRRORED = 0.7  # of that about y and z, where the sides mirror each other
_LIDS_CM = 1.0  # directions stay as they are near the lids
_STRENGTH, _ASYMMETRY = 0.22, 0.15  # at the most, as parts of 1
_SEED = 20240
_RINGS = 3
_SHEAR_LIMIT = 0.3
_ANCHORS, _BLUR_CM = 500, 1.6
_EYES = tuple(n for n in ARKIT_NAMES if n.startswith(("eyeBlink", "eyeSquint", "eyeWide", "eyeLook")))
_MOUTH = tuple(n for n in ARKIT_NAMES if n.startswith(("jaw", "mouth", "cheekPuff")))


class PersonalShapes:
    """Personal blendshapes over ``vertices`` of a rig.

    Args:
        rig: the rig whose deltas everybody shares.
        vertices: ICT vertices (n,) to work on.
    """

    def __init__(self, rig: ICTRig, vertices: np.ndarray) -> None:
        self.rig, self.vertices = rig, np.asarray(vertices, np.int64)
        self._mean_lengths = _lengths(rig.neutral[rig.landmarks][None])[0]
        modes = rig.identity[:, rig.landmarks].astype(np.float32)
        crowd = np.random.default_rng(_SEED).normal(size=(512, len(modes)))
        people = rig.neutral[rig.landmarks] + np.einsum("bk,kvc->bvc", crowd, modes)
        self._spread = np.log(_lengths(people) / self._mean_lengths).std(axis=0)
        self._strength, self._sides, self._company = _responses()
        rng = np.random.default_rng(_SEED + 1)
        self._directions = rng.normal(size=(len(MEASURES), 3 * len(REGIONS))) / np.sqrt(len(MEASURES))

    def measures(self, landmarks: np.ndarray) -> np.ndarray:
        """Measures (B, 20) of landmarks (B, 68, 3) cm of neutrals; about unit variance, bounded to 3, 0 at the mean."""
        ratio = np.log(np.maximum(_lengths(landmarks), 1e-3) / self._mean_lengths) / self._spread
        return (3.0 * np.tanh(ratio / 3.0)).astype(np.float32)

    def sizes(self, landmarks: np.ndarray) -> np.ndarray:
        """How far each shape moves by the size of what moves, (B, 52), 0.6 to 1.6."""
        length = _lengths(landmarks) / self._mean_lengths
        of = {name: np.clip(length[:, i, None], 0.6, 1.6) for i, name in enumerate(MEASURES)}
        lower = np.linalg.norm(landmarks[:, 33] - landmarks[:, 8], axis=1)
        mean = np.linalg.norm(np.subtract(*self.rig.neutral[self.rig.landmarks[[33, 8]]]))
        out = np.repeat(of["nose_length"], len(ARKIT_NAMES), axis=1)
        out[:, indices(_MOUTH)] = np.clip(lower / mean, 0.6, 1.6)[:, None]
        for side in ("Left", "Right"):
            out[:, indices([n for n in _EYES if n.endswith(side)])] = of[f"eye_open_{side.lower()}"]
        out[:, ARKIT_INDEX["tongueOut"]] = 1.0
        return out

    def mixing(self, landmarks: np.ndarray) -> np.ndarray:
        """(B, 52, 52): row k says which shared shapes a personal shape k is made of; the unit matrix at the mean."""
        found = self.measures(landmarks)
        gain = 1.0 + _STRENGTH * np.tanh(found @ self._strength.T) + _ASYMMETRY * np.tanh(found @ self._sides.T)
        out = np.eye(len(ARKIT_NAMES)) * (gain * self.sizes(landmarks))[:, None, :]
        for taker, taken, most, response in self._company:
            out[:, taker, taken] += most * np.tanh(found @ response)
        return out.astype(np.float32)

    def turning(self, neutral: np.ndarray) -> np.ndarray:
        """(n, 3, 3): how deltas turn and shear at each vertex of a neutral (n, 3) cm; unit matrices at the mean.

        Raises:
            InputError: if the neutral has other vertices.
        """
        if neutral.shape != (len(self.vertices), 3):
            raise InputError(f"expected a neutral of {len(self.vertices)} vertices, got {neutral.shape}")
        spread = self.blur[1]
        slope = (spread @ self.slopes(neutral - self.rig.neutral[self.vertices])).reshape(-1, 3, 3)
        return self.turned(slope, self.measures(self._landmarks(neutral)[None])[0], self.turn_fields)

    def slopes(self, moved: np.ndarray) -> np.ndarray:
        """(a, 9): how the surface deforms about each anchor of :attr:`blur`, linear in how the neutral moved (n, 3)."""
        slope = np.stack([gradient @ moved for gradient in self._gradients], axis=2)  # d moved / d surface, tangential
        normal = self.normals
        # the normal turns with the surface: what tilts the tangents tilts it back
        tilt = np.einsum("vab,va->vb", slope, normal)
        slope = slope - tilt[:, :, None] * normal[:, None, :]
        return self.blur[0] @ slope.reshape(len(slope), 9)

    def turned(self, slope: np.ndarray, measures: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """(..., n, 3, 3) f32 from deformations (..., n, 3, 3), measures (..., 20), ``turn_fields`` (n, regions, 3)."""
        slope = self._pull(measures, fields) @ (_SHEAR_LIMIT * np.tanh(slope / _SHEAR_LIMIT) + np.eye(3))
        volume = np.cbrt(np.maximum(np.linalg.det(slope), 0.1))
        return (slope / volume[..., None, None]).astype(np.float32)

    def _pull(self, measures: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """Rotations (..., n, 3, 3) of the directions in which these people's muscles pull."""
        amount = _TURN_RAD * np.tanh(measures @ self._directions)
        turn = np.einsum("nrx,...rx->...nx", fields, amount.reshape(*amount.shape[:-1], len(REGIONS), 3))
        angle = np.linalg.norm(turn, axis=-1)[..., None, None]
        x, y, z = np.moveaxis(turn, -1, 0)
        zero = np.zeros_like(x)
        cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
        return np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * cross @ cross

    def _landmarks(self, neutral: np.ndarray) -> np.ndarray:
        number = np.full(len(self.rig.neutral), -1)
        number[self.vertices] = np.arange(len(self.vertices))
        return neutral[number[self.rig.landmarks]]

    @cached_property
    def turn_fields(self) -> np.ndarray:
        """(n, regions, 3): share of each region's rotation about x, y, z; those about y and z are odd in x, so that the
        middle of the face stays in the middle.
        """
        rest, marks = self.rig.neutral[self.vertices], self.rig.neutral[self.rig.landmarks]
        far = 1.0 - np.exp(-((cdist(rest, marks[36:48]).min(axis=1) / _LIDS_CM) ** 2))
        odd = np.tanh(rest[:, 0] / 2.0)
        fields = []
        for centres, reach in REGIONS.values():
            near = np.exp(-((cdist(rest, marks[list(centres)]).min(axis=1) / reach) ** 2)) * far
            fields.append(near[:, None] * np.stack([np.ones_like(odd), _MIRRORED * odd, _MIRRORED * odd], axis=1))
        return np.stack(fields, axis=1).astype(np.float32)

    @cached_property
    def edges(self) -> sp.csr_matrix:
        """Which vertices are joined by an edge (n, n)."""
        number = np.full(len(self.rig.neutral), -1)
        number[self.vertices] = np.arange(len(self.vertices))
        faces = self.rig.faces.astype(np.int64)
        quads = faces[faces[:, 3] >= 0]
        sides = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], quads[:, [2, 3]], quads[:, [3, 0]],
                                faces[faces[:, 3] < 0][:, [2, 0]]])  # fmt: skip
        sides = number[sides]
        sides = sides[(sides >= 0).all(axis=1)]
        n = len(self.vertices)
        joined = sp.coo_matrix((np.ones(len(sides)), sides.T), shape=(n, n)).tocsr()
        return ((joined + joined.T) > 0).astype(np.float32).tocsr()

    @cached_property
    def normals(self) -> np.ndarray:
        """Unit normals (n, 3) f32 of the mean neutral, outwards."""
        rest, faces = self.rig.neutral, self.rig.faces.astype(np.int64)
        last = np.where(faces[:, 3] < 0, faces[:, 0], faces[:, 3])
        across = np.cross(rest[faces[:, 2]] - rest[faces[:, 0]], rest[last] - rest[faces[:, 1]])
        triangle = faces[:, 3] < 0
        across[triangle] = np.cross(
            rest[faces[triangle, 1]] - rest[faces[triangle, 0]], rest[faces[triangle, 2]] - rest[faces[triangle, 0]]
        )
        normal = np.zeros_like(rest)
        for corner in range(4):
            used = faces[:, corner] >= 0
            np.add.at(normal, faces[used, corner], across[used])
        normal = normal[self.vertices]
        return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)

    @cached_property
    def blur(self) -> tuple[np.ndarray, np.ndarray]:
        """From the skin to :data:`_ANCHORS` points (a, n) and from there to all vertices (n, a): lips, mouth lining and
        lids lie close together and must turn together.
        """
        rest = self.rig.neutral[self.vertices]
        skin = np.flatnonzero(self.vertices < PARTS["narrow_face"][1])
        anchors = rest[np.random.default_rng(_SEED).choice(skin, min(_ANCHORS, len(skin)), replace=False)]
        near = np.exp(-cdist(anchors, rest, "sqeuclidean") / (2 * _BLUR_CM**2)).astype(np.float32) + 1e-12
        gather = np.zeros_like(near)
        gather[:, skin] = near[:, skin] / near[:, skin].sum(axis=1, keepdims=True)
        return gather, np.ascontiguousarray((near / near.sum(axis=0)).T)

    @cached_property
    def _gradients(self) -> list[sp.csr_matrix]:
        """Three (n, n) matrices: derivatives along x, y, z of a vertex field, by least squares over three rings."""
        rest = self.rig.neutral[self.vertices].astype(np.float64)
        reach = sp.eye(len(rest), format="csr")
        for _ in range(_RINGS):
            reach = reach + reach @ self.edges
        reach = reach.tocoo()
        centre, other = reach.row, reach.col
        step = rest[other] - rest[centre]
        square = (step**2).sum(axis=1)
        usual = np.bincount(centre, square, len(rest)) / np.bincount(centre, minlength=len(rest)) + 1e-9
        weight = np.exp(-square / usual[centre])
        spread = np.zeros((len(rest), 3, 3))
        np.add.at(spread, centre, weight[:, None, None] * step[:, :, None] * step[:, None, :])
        trace = np.trace(spread, axis1=1, axis2=2)[:, None, None] + 1e-9
        inverse = np.linalg.inv(spread + 0.02 * trace * np.eye(3))
        share = weight[:, None] * np.einsum("eab,eb->ea", inverse[centre], step)
        shape = (len(rest), len(rest))
        out = []
        for axis in range(3):
            matrix = sp.coo_matrix((share[:, axis], (centre, other)), shape=shape).tocsr()
            out.append((matrix - sp.diags(np.asarray(matrix.sum(axis=1)).ravel())).astype(np.float32))
        return out


def _lengths(landmarks: np.ndarray) -> np.ndarray:
    """(B, 20) cm."""
    return np.stack(
        [
            np.mean([np.linalg.norm(landmarks[:, a] - landmarks[:, b], axis=-1) for a, b in pairs], axis=0)
            for pairs in MEASURES.values()
        ],
        axis=1,
    )


def _responses() -> tuple[np.ndarray, np.ndarray, list[tuple[int, int, float, np.ndarray]]]:
    """Fixed random responses to the measures: of strength and asymmetry (52, 20), and of company."""
    rng = np.random.default_rng(_SEED)
    count = len(MEASURES)

    def response() -> np.ndarray:
        return (rng.normal(size=count) * (rng.random(count) < 0.4) / np.sqrt(0.4 * count)).astype(np.float32)

    strength = np.zeros((len(ARKIT_NAMES), count), np.float32)
    sides = np.zeros_like(strength)
    drawn: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for k, name in enumerate(ARKIT_NAMES):
        stem = name.removesuffix("Left").removesuffix("Right")
        paired = stem + "Left" in ARKIT_INDEX and not stem.startswith(("jaw", "eyeLook")) and stem != "mouth"
        stem = "jawOpen" if name == "mouthClose" else stem
        if stem not in drawn:
            drawn[stem] = response(), response()
        strength[k] = drawn[stem][0]
        if paired:
            sides[k] = drawn[stem][1] * (1.0 if name.endswith("Left") else -1.0)
    company = []
    for taker, taken in COMPANY.items():
        for other, most in taken.items():
            weights = response()
            for a, b in zip(_both(taker), _both(other), strict=True):
                if (a, b, most) not in [(x, y, m) for x, y, m, _ in company]:
                    company.append((a, b, most, weights))
    return strength, sides, company


def _both(stem: str) -> tuple[int, int]:
    if stem in ARKIT_INDEX:
        return ARKIT_INDEX[stem], ARKIT_INDEX[stem]
    return ARKIT_INDEX[stem + "Left"], ARKIT_INDEX[stem + "Right"]


def company_pairs() -> list[tuple[int, int]]:
    """Shapes that may bring others along, (shape, other) as columns of the 52."""
    return [(taker, taken) for taker, taken, _, _ in _responses()[2]]
