"""Rest pose and the 52 shapes of a head, asked of the GNPFA decoder, and the pieces that a file is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.arkit import ARKIT_INDEX
from ..paint import VertexNormals
from .lids import close_lids

if TYPE_CHECKING:
    from ...runtime.decoder import FaceDecoder


@dataclass
class Piece:
    """A mesh of n vertices with its shapes; ROS axes, metres.

    Attributes:
        points, normals: (n, 3) at rest. triangles: (m, 3) int64.
        deltas, turns: (52, n, 3) what each shape adds to points and normals.
        colours: (n, 3) linear RGB, or None where a texture has them; uv: (n, 2), v downwards, or None.
        stays: (n,) 1 where a vertex does not follow the head.
    """

    points: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    deltas: np.ndarray
    turns: np.ndarray
    colours: np.ndarray | None = None
    uv: np.ndarray | None = None
    stays: np.ndarray | None = None

    def take(self, rows: np.ndarray, triangles: np.ndarray) -> Piece:
        """The vertices ``rows`` with ``triangles`` that already number them."""
        pick = {k: getattr(self, k) for k in ("points", "normals", "colours", "uv", "stays")}
        picked = {k: None if v is None else v[rows] for k, v in pick.items()}
        return replace(self, triangles=triangles, deltas=self.deltas[:, rows], turns=self.turns[:, rows], **picked)


@dataclass
class Shapes:
    """A head of V vertices: ``rest``, ``normals`` (V, 3); ``deltas``, ``turns`` (52, V, 3), eyeballs at rest."""

    rest: np.ndarray
    deltas: np.ndarray
    normals: np.ndarray
    turns: np.ndarray

    @classmethod
    def ask(cls, decoder: FaceDecoder, neutral: np.ndarray | None = None) -> Shapes:
        """Decode the neutral and the 52 shapes at weight 1.

        ``mouthClose`` is what closes an open jaw: it is taken on top of ``jawOpen``, as ARKit defines it; alone, the
        lips it moves would already touch. ``eyeBlink`` is closed where the decoder's leaves a slit (0.2 to 0.7 mm).
        """
        rig = decoder.rig
        weights = np.concatenate([np.zeros((1, 52)), np.eye(52)]).astype(np.float32)
        close, jaw = 1 + ARKIT_INDEX["mouthClose"], ARKIT_INDEX["jawOpen"]
        weights[close, jaw] = 1.0
        meshes = decoder.mesh(decoder.latents(weights), neutral)
        deltas = meshes[1:] - meshes[0]
        deltas[close - 1] = meshes[close] - meshes[1 + jaw]
        rest = rig.neutral if neutral is None else np.asarray(neutral, np.float32)
        blinks = {side: ARKIT_INDEX[f"eyeBlink{side.capitalize()}"] for side in ("left", "right")}
        for side, delta in close_lids(rest, {s: deltas[k] for s, k in blinks.items()}, rig).items():
            deltas[blinks[side]] = delta
        for side in ("eye_left", "eye_right"):
            deltas[:, slice(*rig.parts[side])] = 0.0  # nodes of their own turn the eyes
        normals = VertexNormals(rest, rig.triangles)
        base = normals(rest)
        turns = np.stack([normals(rest + delta) - base for delta in deltas])
        return cls(rest, deltas, base, turns)

    def piece(self, used: np.ndarray, triangles: np.ndarray, offset: np.ndarray, **extra: np.ndarray | None) -> Piece:
        """Vertices ``used`` of the rig, moved by ``offset`` (V, 3), with ``triangles`` that number them."""
        points = (self.rest + offset)[used]
        return Piece(points, self.normals[used], triangles, self.deltas[:, used], self.turns[:, used], **extra)


def numbered(triangles: np.ndarray, ranges: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of some ranges (n,), and the triangles among them (m, 3), which number these."""
    used = np.concatenate([np.arange(*r) for r in ranges])
    number = np.full(max(triangles.max() + 1, used.max() + 1), -1)
    number[used] = np.arange(len(used))
    inside = number[triangles]
    return used, inside[(inside >= 0).all(axis=1)]
