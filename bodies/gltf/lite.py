"""Fewer triangles, and triangles in an order that a graphics card (or its imitation in software) draws fast.

Needs ``meshoptimizer`` (PyPI; Kapoulkine, MIT), which is a tool for building the shipped heads, not for running.
"""

from __future__ import annotations

from ctypes import c_float, c_size_t, c_uint
from importlib.util import find_spec

import numpy as np

from .shapes import Piece


def installed() -> bool:
    """Whether the tool is there."""
    return find_spec("meshoptimizer") is not None


def tidy(piece: Piece) -> Piece:
    """The same piece with triangles ordered for the vertex cache and vertices in the order of their first use; without
    the tool, as it was."""
    if not installed():
        return piece
    import meshoptimizer

    indices = np.ascontiguousarray(piece.triangles.reshape(-1), np.uint32)
    ordered = np.empty_like(indices)
    meshoptimizer.optimize_vertex_cache(ordered, indices, len(indices), len(piece.points))
    _, first, number = np.unique(ordered, return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    rows = ordered[np.sort(first)].astype(np.int64)
    return piece.take(rows, place[number].reshape(-1, 3))


def simplify(piece: Piece, share: float, important: np.ndarray | None = None) -> Piece:
    """About ``share`` of the triangles. Vertices are left out, none is moved: every shape stays true at those kept.

    Args:
        important: (n,) more than 1 where detail must stay (lids, lips).
    """
    import meshoptimizer

    motion = piece.deltas.transpose(1, 0, 2).reshape(len(piece.points), -1)
    kept = np.linalg.svd(motion - motion.mean(axis=0), full_matrices=False)
    modes = (kept[0] * kept[1])[:, :8]  # how a vertex moves, in eight numbers (metres)
    weight = np.ones(len(piece.points)) if important is None else important
    size = np.ptp(piece.points, axis=0).max()
    attributes = [modes / size * weight[:, None], 0.02 * piece.normals * weight[:, None]]
    if piece.uv is not None:
        attributes.append(0.5 * piece.uv)
    if piece.colours is not None:
        attributes.append(0.05 * piece.colours)
    attributes = np.ascontiguousarray(np.concatenate(attributes, axis=1), np.float32)
    indices = np.ascontiguousarray(piece.triangles.reshape(-1), np.uint32)
    out = np.empty_like(indices)
    # wrapped numbers: the binding declares no types for this call
    count = meshoptimizer.simplify_with_attributes(
        out, indices, np.ascontiguousarray(piece.points, np.float32), attributes,
        np.ones(attributes.shape[1], np.float32), *map(c_size_t, (len(indices), len(piece.points), 12)),
        *map(c_size_t, (4 * attributes.shape[1], attributes.shape[1])), None,
        c_size_t(int(share * len(piece.triangles)) * 3), c_float(1.0), c_uint(0),
    )  # fmt: skip
    return tidy(piece.take(np.arange(len(piece.points)), out[:count].astype(np.int64).reshape(-1, 3)))
