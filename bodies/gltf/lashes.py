"""Eyelashes: strips that grow from the edges of the lids and go where these go."""

from __future__ import annotations

import numpy as np

from ...runtime.eyes import eye_middle
from .lids import lid_edges
from .shapes import Piece, Shapes

UPPER, LOWER = 7.5e-3, 3.0e-3
"""Lengths in metres where they are longest."""
_ROWS = np.array([0.0, 0.35, 0.7, 1.0])
_INNER_END = 0.86  # no lashes beyond this share of a lid, towards the nose


def lashes(rig, form: Shapes) -> Piece:
    """All four strips as one piece; ``uv`` runs along the lid (u) and from tip to root (v)."""
    roots, across, length, upper, strips = [], [], [], [], []
    for (_, lid), path in lid_edges(rig).items():
        run = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(rig.neutral[path], axis=0), axis=1))])
        run /= run[-1]
        path = path[run < _INNER_END]
        run = run[: len(path)] / _INNER_END
        strips.append((sum(map(len, roots)), len(path)))
        roots.append(path)
        across.append(run)
        full = (0.55 + 0.45 * np.sin(np.pi * np.clip(0.95 - 0.75 * run, 0, 1))) * np.clip(8 * (1 - run), 0, 1) ** 0.5
        length.append((UPPER if lid == "upper" else LOWER) * full)
        upper.append(np.full(len(path), 1.0 if lid == "upper" else -1.0))
    root, run, length, upper = (np.concatenate(a) for a in (roots, across, length, upper))
    balls = [slice(*rig.parts[f"eye_{side}"]) for side in ("left", "right")]
    middle = [eye_middle(form.rest[b], rig.neutral[b], c) for b, c in zip(balls, rig.eye_centres, strict=True)]
    centres = np.array(middle)[(rig.neutral[root, 1] < 0).astype(int)]
    poses = [_grow(form.rest, root, centres, run, length, upper, strips)]
    for delta in form.deltas:
        moved = np.abs(delta[root]).max() > 0
        poses.append(_grow(form.rest + delta, root, centres, run, length, upper, strips) if moved else poses[0])
    points, normals = (np.stack(a) for a in zip(*poses, strict=True))
    triangles = []
    for first, count in strips:
        k = (first + np.arange(count - 1))[:, None] * len(_ROWS) + np.arange(len(_ROWS) - 1)
        a, b, c, d = (n.reshape(-1) for n in (k, k + 1, k + len(_ROWS), k + len(_ROWS) + 1))
        triangles += [np.stack([a, c, b], 1), np.stack([b, c, d], 1)]
    uv = np.stack([np.repeat(run, len(_ROWS)), np.tile(1.0 - _ROWS, len(root))], axis=1)
    uv[:, 1] = (
        0.01 + 0.48 * uv[:, 1] + 0.5 * (np.repeat(upper, len(_ROWS)) < 0)
    )  # the lower lids have the picture's lower half
    return Piece(
        points[0], normals[0], np.concatenate(triangles), points[1:] - points[0], normals[1:] - normals[0], uv=uv
    )


def texture(width: int = 512, height: int = 128) -> np.ndarray:
    """Coverage (height, width) in 0..1: hairs from roots (bottom of each half) to tips; lower lids below."""
    rng = np.random.default_rng(11)
    half = height // 2
    out = np.zeros((height, width), np.float32)
    column = np.arange(width)
    for lower in (0, 1):
        for _ in range(38 if lower else 95):
            start, reach = rng.uniform(0, width), rng.uniform(0.55, 1.0) * (0.85 if lower else 1.0)
            lean, bend = rng.normal(-6, 7), rng.normal(0, 5)
            for row in range(half):
                along = (half - 1 - row) / (half - 1) / reach
                if along > 1:
                    continue
                middle = start + lean * along + bend * along**2
                thick = 1.7 * (1 - along) ** 0.7 + 0.25
                cover = np.clip(thick - np.abs(column - middle) + 0.5, 0, 1) * (0.9 if lower else 1.0)
                line = out[lower * half + row]
                np.maximum(line, cover * (1 - 0.35 * along), out=line)
    return out


def _grow(
    points: np.ndarray, root: np.ndarray, centres: np.ndarray, run: np.ndarray, length, upper, strips
) -> tuple[np.ndarray, np.ndarray]:
    """Points and normals (n x rows, 3) of the strips on a lid in one pose: away from the eyeball, then curling."""
    base = points[root]
    out, along = base - centres, np.empty_like(base)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    for first, count in strips:
        part = slice(first, first + count)
        along[part] = np.gradient(base[part], axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    side = np.sign(base[:, 1:2])  # +1 on the face's left, where lids run from left to right
    up = np.cross(along, out) * side * upper[:, None]
    fan = -along * (0.55 - run)[:, None] * 0.7
    t = (_ROWS[:, None] * length)[..., None]
    curl = _ROWS[:, None, None]
    place = base + t * ((1.0 - 0.35 * curl) * out + (0.05 + 0.55 * curl) * up + fan)
    normal = np.repeat(up[:, None], len(_ROWS), axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-9)
    return place.transpose(1, 0, 2).reshape(-1, 3), normal.reshape(-1, 3)
