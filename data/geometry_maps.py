"""Face geometry as coordinate maps: 3D positions or offsets stored on a small image in UV space, and back.

The atlas is our own: ICT's UV layout of the skin, with the eye slits pulled open (upper and lower lids lie less than a
texel apart in the original, so a small map would glue them) and rows and columns spread by how much the skin moves
there, so that mouth and lids get most texels. The mouth's lining and the tongue have charts in the last columns.

Mesh to map (:meth:`FaceAtlas.to_map`) solves for the texels whose bilinear samples reproduce the vertices best, with
little smoothing; map to mesh (:meth:`FaceAtlas.to_mesh`) is the bilinear sampling. Teeth, gums and eyeballs are not on
the map: they move with the jaw's weights or turn rigidly (``runtime/rig_asset.py``). Hair-thin parts (lashes) and the
back of the head ride on points of the map.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from ..runtime.arkit import ARKIT_INDEX
from ..runtime.errors import ConfigError, InputError
from .rig import PARTS, ICTRig, uv_islands

LIP_WEIGHT = 10.0
LID_WEIGHT = 8.0
_SMOOTHING = 1e-3
_EYES = ((36, (37, 38), (41, 40), 39), (42, (43, 44), (47, 46), 45))
_SIDE_COLUMNS = 16
_LID_ROOM = 4.0  # lids are thin: they get more texels than their motion alone would give them


@dataclass
class FaceAtlas:
    """Where each vertex of skin, mouth lining and tongue lies on a map of ``height`` x ``width`` texels.

    Attributes:
        charted: (n,) ICT vertices that lie on the map.
        place: (n, 2) f32 their row and column, in texels.
        importance: (n,) f32 weight of each vertex in fits and losses: lips 10, lids 5, others 1.
    """

    height: int
    width: int
    charted: np.ndarray
    place: np.ndarray
    importance: np.ndarray

    @classmethod
    def build(cls, rig: ICTRig, height: int = 64, width: int = 80) -> FaceAtlas:
        """Lay out the atlas; the last 16 columns hold the mouth's lining and the tongue.

        Raises:
            ConfigError: if the map is too small to hold the lips apart.
        """
        if height < 48 or width < 48 + _SIDE_COLUMNS:
            raise ConfigError(f"expected a map of at least 48 x {48 + _SIDE_COLUMNS} texels, got {height} x {width}")
        skin = np.arange(*PARTS["face"])
        uv = _open_eyes(uv_of(rig, skin, "M_Face"), rig.landmarks)
        motion = np.sqrt(np.linalg.norm(rig.deltas[:, skin], axis=2).max(axis=0))
        motion[near(rig, skin, range(36, 48), 0.6)] *= _LID_ROOM
        uv = np.stack([_spread(uv[:, 0], motion), _spread(uv[:, 1], motion)], axis=1)
        skin_place = _fit_box(uv, 0, 0, height, width - _SIDE_COLUMNS)
        lining = np.arange(*PARTS["mouth_socket"])
        uv = uv_of(rig, lining, "M_BackHead")
        left, split = width - _SIDE_COLUMNS + 1, round(0.72 * height)
        lining_place = _fit_box(uv, 1, left, split - 2, _SIDE_COLUMNS - 2)
        tongue = np.flatnonzero(np.abs(rig.deltas[ARKIT_INDEX["tongueOut"]]).max(axis=1) > 0)
        uv = uv_of(rig, tongue, "M_GumsTongue")
        tongue_place = _fit_box(uv, split + 1, left, height - split - 2, _SIDE_COLUMNS - 2)
        importance = np.ones(len(skin) + len(lining) + len(tongue), np.float32)
        importance[near(rig, skin, range(36, 48), 0.4)] = LID_WEIGHT
        importance[near(rig, skin, range(48, 68), 0.5)] = LIP_WEIGHT
        return cls(
            height,
            width,
            np.concatenate([skin, lining, tongue]),
            np.concatenate([skin_place, lining_place, tongue_place]).astype(np.float32),
            importance,
        )

    @cached_property
    def fingerprint(self) -> str:
        """Names the layout: generator and drawn head must share it."""
        return hashlib.sha256(self.charted.tobytes() + np.round(self.place, 3).tobytes()).hexdigest()[:16]

    @cached_property
    def sampler(self) -> sp.csr_matrix:
        """(n, height x width): each vertex as a bilinear blend of four texels."""
        texels, shares = bilinear(self.place, self.height, self.width)
        rows = np.repeat(np.arange(len(texels)), 4)
        return sp.csr_matrix((shares.ravel(), (rows, texels.ravel())), shape=(len(texels), self.height * self.width))

    @cached_property
    def _solver(self):
        def differences(k: int) -> sp.spmatrix:
            return sp.diags([-np.ones(k - 1), np.ones(k - 1)], [0, 1], shape=(k - 1, k))

        slope = sp.vstack([
            sp.kron(sp.eye(self.height), differences(self.width)), sp.kron(differences(self.height), sp.eye(self.width))
        ])  # fmt: skip
        weighted = self.sampler.T @ sp.diags(self.importance)
        return splu((weighted @ self.sampler + _SMOOTHING * slope.T @ slope).tocsc()), weighted

    def to_map(self, values: np.ndarray) -> np.ndarray:
        """Maps (..., C, H, W) f32 of per-vertex values (..., n, C), n = ``len(charted)``.

        Raises:
            InputError: if the values are not one row per charted vertex.
        """
        values = np.asarray(values, np.float64)
        if values.ndim < 2 or values.shape[-2] != len(self.charted):
            raise InputError(f"expected values (..., {len(self.charted)}, C), got {values.shape}")
        lead, channels = values.shape[:-2], values.shape[-1]
        solver, weighted = self._solver
        columns = np.moveaxis(values.reshape(-1, len(self.charted), channels), 1, 0).reshape(len(self.charted), -1)
        texels = solver.solve(weighted @ columns)
        return texels.T.reshape(*lead, channels, self.height, self.width).astype(np.float32)

    def to_mesh(self, maps: np.ndarray) -> np.ndarray:
        """Per-vertex values (..., n, C) of maps (..., C, H, W)."""
        if maps.shape[-2:] != (self.height, self.width):
            raise InputError(f"expected maps (..., C, {self.height}, {self.width}), got {maps.shape}")
        lead, channels = maps.shape[:-3], maps.shape[-3]
        flat = self.sampler @ maps.reshape(-1, self.height * self.width).T
        return np.moveaxis(flat.reshape(len(self.charted), -1, channels), 0, 1).reshape(*lead, -1, channels)

    @cached_property
    def texel_weight(self) -> np.ndarray:
        """(H, W) f32 weight of each texel in a loss: the importance of the vertices that read it, mean 1."""
        weight = (self.sampler.T @ self.importance).reshape(self.height, self.width)
        return (weight / weight.mean()).astype(np.float32)

    def ride(self, rig: ICTRig, vertices: np.ndarray, reach: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
        """Points of the map whose motion carries vertices that are not on it.

        For each vertex, among the charted ones within ``reach`` cm, the one whose motion over the 52 shapes fits best,
        and the share of that motion (0 where nothing near fits: the vertex stays).

        Returns:
            place (m, 2) f32 and share (m,) f32.
        """
        motion = rig.deltas[:, self.charted].transpose(1, 0, 2).reshape(len(self.charted), -1)
        wanted = rig.deltas[:, vertices].transpose(1, 0, 2).reshape(len(vertices), -1)
        distance, near_by = cKDTree(rig.neutral[self.charted]).query(rig.neutral[vertices], k=32)
        best = np.zeros(len(vertices), np.int64)
        share = np.zeros(len(vertices), np.float32)
        for i, candidates in enumerate(near_by):
            candidates = candidates[distance[i] <= reach]
            if len(candidates) == 0:
                continue
            moves = motion[candidates]
            scale = np.clip(moves @ wanted[i] / np.maximum((moves**2).sum(1), 1e-6), 0.0, 1.2)
            left = ((wanted[i] - scale[:, None] * moves) ** 2).sum(1)
            best[i], share[i] = candidates[left.argmin()], scale[left.argmin()]
        return self.place[best], share


def bilinear(place: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Four texel numbers (n, 4) int64 and their shares (n, 4) f32 for points (n, 2) given as row and column."""
    row = np.clip(place[:, 0], 0, height - 1)
    column = np.clip(place[:, 1], 0, width - 1)
    top = np.minimum(row.astype(np.int64), height - 2)
    left = np.minimum(column.astype(np.int64), width - 2)
    down, right = row - top, column - left
    corner = top * width + left
    texels = np.stack([corner, corner + 1, corner + width, corner + width + 1], axis=1)
    shares = np.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right], axis=1)
    return texels, shares.astype(np.float32)


def near(rig: ICTRig, vertices: np.ndarray, landmarks: range, reach: float) -> np.ndarray:
    """Positions in ``vertices`` that lie within ``reach`` cm of one of the landmarks at rest."""
    tree = cKDTree(rig.neutral[rig.landmarks[list(landmarks)]])
    return np.flatnonzero(tree.query(rig.neutral[vertices])[0] < reach)


def uv_of(rig: ICTRig, vertices: np.ndarray, material: str) -> np.ndarray:
    """ICT's UV point (n, 2) of each vertex within one material; of several (at a seam) the last.

    Raises:
        InputError: if a vertex has none there.
    """
    faces = rig.face_material == rig.material_names.index(material)
    _, vertex = uv_islands(rig.faces[faces], rig.uv_faces[faces], len(rig.uv))
    uv = np.full((len(rig.neutral), 2), np.nan)
    used = np.flatnonzero(vertex >= 0)
    uv[vertex[used]] = rig.uv[used]
    if np.isnan(uv[vertices]).any():
        raise InputError(f"some vertices have no UV point in {material}: is this the light ICT model?")
    return uv[vertices]


def _open_eyes(uv: np.ndarray, landmarks: np.ndarray, height: float = 0.03) -> np.ndarray:
    """Pull the lids apart by up to 2 x ``height``, fading out over 0.05 around the slit."""
    out = uv.copy()
    for corner, uppers, lowers, other in _EYES:
        middle = [(uv[landmarks[a]] + uv[landmarks[b]]) / 2 for a, b in zip(uppers, lowers, strict=True)]
        slit = np.array([uv[landmarks[corner]], *middle, uv[landmarks[other]]])
        centre, half = (slit[0, 0] + slit[-1, 0]) / 2, abs(slit[-1, 0] - slit[0, 0]) / 2
        across = np.clip((uv[:, 0] - centre) / half, -1, 1)
        above = uv[:, 1] - np.polyval(np.polyfit(slit[:, 0], slit[:, 1], 2), centre + half * across)
        fade = np.sqrt(1 - across**2) * np.exp(-((above / 0.05) ** 2)) * np.abs(np.tanh(above / 0.001))
        out[:, 1] += height * np.sign(above) * fade
    return out


def _spread(coordinate: np.ndarray, weight: np.ndarray, share: float = 0.7, bins: int = 200) -> np.ndarray:
    """Stretch [0, 1] where ``weight`` is dense: a smoothed, partial histogram equalisation."""
    edges = np.linspace(0, 1, bins + 1)
    density = np.convolve(np.histogram(coordinate, edges, weights=weight)[0], np.ones(9) / 9, "same")
    density = share * density / density.sum() + (1 - share) / bins
    return np.interp(coordinate, edges, np.concatenate([[0], np.cumsum(density)]))


def _fit_box(uv: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    low, span = uv.min(axis=0), np.ptp(uv, axis=0)
    unit = (uv - low) / span
    return np.stack([top + (1 - unit[:, 1]) * (height - 1), left + unit[:, 0] * (width - 1)], axis=1)
