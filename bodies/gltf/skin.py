"""The skin's texture: the renderer's paint (:mod:`media2face.bodies.paint`), drawn per texel instead of per vertex.

The face lies on ICT's chart; the back of the head, neck and shoulders on the chart beside it, whose seam is mended
here: the triangles that ran from one island to the other get vertices of their own.
"""

from __future__ import annotations

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from ..paint import (
    HAIR,
    LIP,
    SHIRT,
    SKIN_TONE,
    Paint,
    blush,
    brow_share,
    cloth_depth,
    hair_share,
    lash_share,
    lip_share,
    shirt_share,
    smooth,
)

_FACE, _BACK = (0.0, 0.64), (0.67, 0.30)
"""Where a chart begins on the texture, and how wide it is."""
_LONG = 0.1  # edge on the chart above which a triangle lies over the seam
_CHUNK = 1 << 15


def chart(rig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The skin's vertices and where they lie on the texture.

    Returns:
        ``used`` (n,) vertices of the rig, some twice; ``triangles`` (m, 3) into them; ``uv`` (n, 2), v downwards.
    """
    parts = [rig.parts[p] for p in ("face", "head_neck", "eye_sockets")]
    used = np.concatenate([np.arange(*r) for r in parts])
    number = np.full(len(rig.neutral), -1)
    number[used] = np.arange(len(used))
    triangles = number[rig.triangles]
    triangles = triangles[(triangles >= 0).all(axis=1)]
    uv = rig.uv[used].astype(np.float64)
    used, triangles, uv = _mend(rig.neutral[used].astype(np.float64), used, triangles, uv)
    back = uv[:, 0] > 1.0 - 0.5 * (1 - _BACK[1])
    back[: len(number[number >= 0])] = uv[: len(number[number >= 0]), 0] > 1.0
    uv[:, 0] = np.where(back, _BACK[0] + (uv[:, 0] - 1.0) * _BACK[1], _FACE[0] + uv[:, 0] * _FACE[1])
    uv[:, 1] = 1.0 - uv[:, 1]
    return used, triangles, uv


def _mend(points: np.ndarray, used: np.ndarray, triangles: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, ...]:
    """Give triangles over the back's seams corners of their own, laid where the chart goes on from their lowest."""
    edges = uv[triangles] - uv[np.roll(triangles, 1, axis=1)]
    back = uv[triangles, 0].min(axis=1) > 1.0
    torn = back & (np.abs(edges).max(axis=(1, 2)) > _LONG)
    whole = triangles[back & ~torn]
    copies, sources = [], []
    for corners in triangles[torn]:
        anchor = corners[np.argmin(uv[corners, 1])]
        around = np.array([anchor])
        for _ in range(3):
            around = np.unique(whole[np.isin(whole, around).any(axis=1)])
        away = points[around] - points[anchor]
        weight = np.exp(-0.5 * (away**2).sum(axis=1) / 0.008**2)[:, None]
        slope = np.linalg.lstsq(away * weight, (uv[around] - uv[anchor]) * weight, rcond=0.05)[0]
        copies.append(uv[anchor] + (points[corners] - points[anchor]) @ slope)
        sources.append(used[corners])
    triangles = triangles.copy()
    triangles[torn] = len(used) + np.arange(3 * len(copies)).reshape(-1, 3)
    return np.concatenate([used, *sources]), triangles, np.concatenate([uv, *copies])


def bake(rig, coat: Paint, used: np.ndarray, triangles: np.ndarray, uv: np.ndarray, height: int) -> np.ndarray:
    """Linear colours (height, 1.5 height, 3): skin, brows, lashes' roots, hair and shirt.

    What sees little of the sky is darker, as in the renderer."""
    size = np.array([height * 3 // 2, height])
    corners = np.column_stack([uv * size, np.zeros(len(uv))]).astype(np.float32)
    column, row = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    origins = np.stack([column, row, np.ones_like(row)], -1).reshape(-1, 3).astype(np.float32)
    scene = EmbreeScene()
    mesh = TriangleMesh(scene, corners, np.ascontiguousarray(triangles, np.int32))
    found = scene.run(origins, np.tile(np.float32([0, 0, -1]), (len(origins), 1)), query="INTERSECT", output=True)
    del mesh
    hit = np.flatnonzero(found["primID"] >= 0)
    corner = used[triangles[found["primID"][hit]]]
    u, v = found["u"][hit], found["v"][hit]
    shares = np.stack([1 - u - v, u, v], axis=1)
    points = np.einsum("nk,nkc->nc", shares, rig.neutral[corner])
    sky = (shares * coat.occlusion[corner]).sum(axis=1)
    marks = rig.neutral[rig.landmarks]
    image = np.zeros((len(origins), 3), np.float32)
    for first in range(0, len(hit), _CHUNK):
        part = slice(first, first + _CHUNK)
        image[hit[part]] = _colour(points[part], marks) * (1.0 - 0.5 * (1.0 - sky[part, None]))
    known = found["primID"].reshape(size[1], size[0]) >= 0
    return _spread(image.reshape(size[1], size[0], 3), known)


def _colour(points: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Linear albedo (n, 3) of points (n, 3) of the skin at rest."""
    albedo = np.tile(SKIN_TONE, (len(points), 1))
    blush(albedo, points, marks)
    blotch = noise(points, 70.0, 1) + 0.6 * noise(points, 190.0, 2)
    albedo *= 1.0 + 0.05 * blotch[:, None] * np.float32([0.35, 1.0, 1.1])
    albedo *= 1.0 + 0.03 * noise(points, 1200.0, 3)[:, None]
    lips = lip_share(points, marks)
    lines = _where(lips, points * [1.0, 1.0, 0.18], 1300.0, 7)
    albedo += lips[:, None] * (LIP * (1.0 + 0.10 * lines[:, None]) - albedo)
    albedo += lash_share(points, marks)[:, None] * (HAIR * 0.5 - albedo)
    hair = hair_share(points)
    strands = _where(hair, points * [1.0, 1.0, 0.30], 1900.0, 8) + _where(hair, points, 300.0, 9)
    hair = np.clip(hair * (1.0 + 0.6 * (1.0 - hair) * strands), 0, 1)
    albedo += hair[:, None] * (HAIR * (1.2 + 0.35 * strands[:, None]) - albedo)
    brows = brow_share(points, marks)
    slant = np.column_stack([0 * points[:, 0], np.abs(points[:, 1]) + 0.9 * points[:, 2], 0.25 * points[:, 2]])
    brows = np.clip(brows * (1.0 + 0.5 * _where(brows, slant, 2300.0, 10)), 0, 1)
    albedo += brows[:, None] * (1.3 * HAIR - albedo)
    cloth = cloth_depth(points)
    share = shirt_share(cloth)
    weave = 1.0 + 0.08 * _where(share, points, 1800.0, 11) + 0.05 * _where(share, points, 60.0, 12)
    albedo += share[:, None] * (SHIRT * weave[:, None] - albedo)
    hem = smooth(1.0 - np.abs(cloth + 0.3) / 1.2)[:, None]
    return (albedo * (1.0 - 0.45 * hem)).astype(np.float32)


def _where(share: np.ndarray, points: np.ndarray, frequency: float, seed: int) -> np.ndarray:
    """Noise where ``share`` is more than nothing, 0 elsewhere."""
    out = np.zeros(len(points), np.float32)
    rows = np.flatnonzero(share > 0)
    out[rows] = noise(points[rows], frequency, seed)
    return out


def noise(points: np.ndarray, frequency: float, seed: int) -> np.ndarray:
    """Smooth random values in -1..1 at points (n, 3): a lattice of ``frequency`` cells a metre, blended."""
    place = np.asarray(points, np.float64) * frequency
    cell = np.floor(place).astype(np.int64)
    within = place - cell
    within = within * within * (3 - 2 * within)
    total = np.zeros(len(place))
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, within, 1 - within), axis=1)
        total += weight * _hash(cell + corner, seed)
    return (1.6 * total).clip(-1, 1).astype(np.float32)


def _hash(cells: np.ndarray, seed: int) -> np.ndarray:
    """A fixed random value in -1..1 for each lattice point (n, 3)."""
    mixed = (cells * [73856093, 19349663, 83492791]).sum(axis=1) + seed * 2654435761
    mixed = (mixed ^ (mixed >> 13)) * 1274126177 & 0xFFFFFFFF
    mixed = (mixed ^ (mixed >> 16)) * 2246822519 & 0xFFFFFFFF
    return (mixed ^ (mixed >> 15)) / 2147483647.5 - 1.0


def _spread(image: np.ndarray, known: np.ndarray, rounds: int = 12) -> np.ndarray:
    """Carry colours some texels past the chart's edges, and their mean everywhere else."""
    image, known = image.copy(), known.copy()
    mean = image[known].mean(axis=0)
    for _ in range(rounds):
        total, count = np.zeros_like(image), np.zeros(known.shape, np.float32)
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            total += np.roll(image * known[..., None], step, axis)
            count += np.roll(known, step, axis)
        new = ~known & (count > 0)
        image[new] = total[new] / count[new, None]
        known |= new
    image[~known] = mean
    return image
