"""Faces that GNPFA was never trained on, made from the rig's test seeds, and the baselines that stand beside it.

Identities and expressions are held out (``data/range_of_motion.py``: split ``test``; the last tenth of each LiveLink
take, FACEGOOD's test take, new random faces). The geometry is made by rules: synthetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.curve_takes import read_facegood
from ..data.expressions import ExpressionSampler, range_of_motion
from ..data.face_asset import identity_neutral
from ..data.range_of_motion import Person, RangeOfMotion, sample_identities
from ..data.real_motion import FACEGOOD_SPLITS
from ..data.rig import PARTS, from_ros, to_ros
from ..runtime.decoder import FaceDecoder
from ..runtime.rig_asset import RigAsset

SEED = 41


@dataclass
class Face:
    """One person and what the person shows: weights (T, 52), true offsets (T, n, 3) cm over the mapped vertices.

    ``neutral`` (V, 3) metres is the person in the topology of the drawn head.
    """

    person: Person
    neutral: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray


class TestFaces:
    """Held-out people and expressions.

    Args:
        rom: the range-of-motion set's maker.
        head: the drawn head.
        data: folder of the study data.
        people, faces: how many people, the mean identity first, and expressions of each.
    """

    __test__ = False

    def __init__(self, rom: RangeOfMotion, head: RigAsset, data: Path, people: int = 16, faces: int = 24) -> None:
        self.rom, self.head = rom, head
        self.skin = np.arange(PARTS["face"][1] - PARTS["face"][0])
        """Places of the skin among the mapped vertices."""
        order = np.argsort(head.source, kind="stable")
        self.drawn = order[np.searchsorted(head.source[order], rom.vertices)]
        """(n,) vertex of the drawn head of each mapped vertex."""
        self.lips = np.flatnonzero(rom.atlas.importance[self.skin] == rom.atlas.importance.max())
        draw = ExpressionSampler(data, "test", SEED)
        talk = facegood_test(data)
        rng = np.random.default_rng(SEED)
        self.people: list[Face] = []
        for identity in (None, *sample_identities(people - 1, "test", len(rom.rig.identity))):
            third = faces // 3
            spoken = talk[rng.integers(len(talk), size=third)] if len(talk) else draw.sample(third, "speech")
            weights = np.concatenate([draw.sample(third, "range_of_motion"), spoken, draw.sample(faces - 2 * third)])
            person = rom.sampled(identity)
            neutral = head.neutral if identity is None else identity_neutral(rom.rig, head, identity)
            self.people.append(Face(person, neutral, weights, rom.offsets(person, weights)))

    def mesh(self, face: Face) -> np.ndarray:
        """The truth as vertices (T, V, 3) of the drawn head, metres: what lies on the map exactly, the rest riding."""
        maps = self.rom.atlas.to_map(face.offsets)
        out = self.head.pose(maps, face.weights, None if face.neutral is self.head.neutral else face.neutral)
        out[:, self.drawn] = to_ros(face.person.neutral + face.offsets)
        return out

    def skin_offsets(self, face: Face, mesh: np.ndarray) -> np.ndarray:
        """(T, s, 3) cm by which a mesh (T, V, 3) of this person differs from the neutral, on the skin."""
        return from_ros(mesh - face.neutral)[:, self.drawn[self.skin]]

    def true(self) -> np.ndarray:
        """All true offsets of the skin (N, s, 3) cm, person after person."""
        return np.concatenate([f.offsets[:, self.skin] for f in self.people])

    def away(self, face: Face, from_own: bool) -> np.ndarray:
        """(T, s) mm: how far the truth lies from linear shapes: the person's own, or the rig's that all share."""
        linear = self.rom.blendshapes(face.person, face.weights) if from_own else self.rom.linear(face.weights)
        return 10 * np.linalg.norm((face.offsets - linear)[:, self.skin], axis=-1)


def best_codes(decoder: FaceDecoder, faces: TestFaces, face: Face, z: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Codes (T, D) whose decoded skin lies nearest to the truth: Gauss-Newton from ``z`` with numerical derivatives.

    The counterpart of projecting onto principal axes: the best that as many numbers can say in this space.
    """
    step, out = 0.1, z.copy()
    for code, true in zip(out, face.offsets[:, faces.skin], strict=True):
        for _ in range(rounds):
            around = np.concatenate([code[None], code + step * np.eye(len(code), dtype=np.float32)])
            made = faces.skin_offsets(face, decoder.mesh(around, face.neutral))
            slope = ((made[1:] - made[0]) / step).reshape(len(code), -1)
            square = slope @ slope.T
            damping = 3e-3 * np.trace(square) / len(code) * np.eye(len(code))
            code += np.linalg.solve(square + damping, slope @ (true - made[0]).ravel()).astype(np.float32)
    return out


def facegood_test(data: Path) -> np.ndarray:
    """Frames (n, 52) of FACEGOOD's test take, which nothing was trained on; none where the data lacks it."""
    takes = [data / "facegood" / f"{name}.npz" for name, split in FACEGOOD_SPLITS.items() if split == "test"]
    found = [read_facegood(path).weights for path in takes if path.is_file()]
    return np.clip(np.concatenate(found), 0, 1).astype(np.float32) if found else np.zeros((0, 52), np.float32)


def real_frames(data: Path) -> dict[str, np.ndarray]:
    """Held-out frames of real takes by source, (n, 52) each."""
    frames = {"livelink": range_of_motion(data, "test"), "facegood": facegood_test(data)}
    return {k: v for k, v in frames.items() if len(v)}


class LinearFaces:
    """Mean and principal axes of the training split's faces, over the skin: the linear baseline.

    It reads a face's own geometry (projection), so it is an auto-encoder of as many numbers as it has axes.
    """

    def __init__(self, faces: TestFaces, data: Path, people: int = 90, each: int = 20, axes: int = 256) -> None:
        self.faces = faces
        made = _training_faces(faces.rom, data, people, each)
        rows = np.concatenate([offsets[:, faces.skin].reshape(each, -1) for offsets in made])
        self.mean = rows.mean(axis=0)
        rows -= self.mean
        values, vectors = np.linalg.eigh(rows @ rows.T)
        top = np.argsort(values)[::-1][: min(axes, len(rows) - 1)]
        self.axes = (vectors[:, top] / np.sqrt(values[top])).T.astype(np.float32) @ rows
        self.share = np.cumsum(values[top]) / values.sum()
        """Share of the training faces' variance that the first axes explain."""

    def rebuild(self, offsets: np.ndarray, dimensions: int) -> np.ndarray:
        """Offsets (N, s, 3) cm through ``dimensions`` axes."""
        flat = offsets.reshape(len(offsets), -1) - self.mean
        return ((flat @ self.axes[:dimensions].T) @ self.axes[:dimensions] + self.mean).reshape(offsets.shape)

    def met(self, offsets: np.ndarray, face: Face) -> np.ndarray:
        """The same lips rule that follows G_geo, applied to offsets of one person (T, s, 3)."""
        rom, skin = self.faces.rom, self.faces.skin
        whole = np.zeros((len(offsets), len(rom.vertices), 3), np.float32)
        whole[:, skin] = offsets
        return (rom.meet(face.person.neutral + whole, face.person.neutral) - face.person.neutral)[:, skin]


def _training_faces(rom: RangeOfMotion, data: Path, people: int, each: int) -> Iterator[np.ndarray]:
    draw = ExpressionSampler(data, "train", SEED)
    for person in rom.people(people, "train"):
        half = each // 2
        weights = np.concatenate([draw.sample(half, "range_of_motion"), draw.sample(each - half)])
        yield rom.offsets(person, weights)
