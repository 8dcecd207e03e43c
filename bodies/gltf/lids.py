"""The edges of the eyelids, where lashes grow and where a blink closes."""

from __future__ import annotations

import heapq

import numpy as np

LIDS = {  # landmarks of each lid's edge, from the outer corner of the eye to the inner
    ("left", "upper"): (45, 44, 43, 42), ("left", "lower"): (45, 46, 47, 42),
    ("right", "upper"): (36, 37, 38, 39), ("right", "lower"): (36, 41, 40, 39),
}  # fmt: skip


def lid_edges(rig) -> dict[tuple[str, str], np.ndarray]:
    """Vertices (n,) along the edge of each lid, keyed by side and ``upper`` or ``lower``."""
    first, last = rig.parts["face"]
    near: dict[int, set[int]] = {}
    for triangle in rig.triangles[((rig.triangles >= first) & (rig.triangles < last)).all(axis=1)].tolist():
        for vertex in triangle:
            near.setdefault(vertex, set()).update(triangle)
    edges = {}
    for lid, marks in LIDS.items():
        corners = [int(rig.landmarks[m]) for m in marks]
        way = [v for a, b in zip(corners, corners[1:], strict=False) for v in _way(rig.neutral, near, a, b)[:-1]]
        edges[lid] = np.array([*way, corners[-1]])
    return edges


def close_lids(rest: np.ndarray, deltas: dict[str, np.ndarray], rig) -> dict[str, np.ndarray]:
    """Blinks that close: what a lid lacks to meet the other is added in proportion to how far it moves.

    Args:
        rest: (V, 3). deltas: ``left`` and ``right`` -> (V, 3) of eyeBlink at 1.
    """
    edges, closed = lid_edges(rig), {}
    for side, delta in deltas.items():
        upper, lower = edges[side, "upper"], edges[side, "lower"]
        order = np.argsort(rest[lower, 1])
        blinked = rest + delta

        def gap(points: np.ndarray, upper=upper, lower=lower[order]) -> np.ndarray:
            return points[upper, 2] - np.interp(points[upper, 1], points[lower, 1], points[lower, 2])

        before, after = gap(rest), gap(blinked)
        wide = before > 0.4 * before.max()
        more = np.clip((after[wide] + 1e-4) / np.maximum(before[wide] - after[wide], 1e-6), 0.0, 0.15)
        along = np.argsort(rest[upper[wide], 1])
        share = np.interp(rest[:, 1], rest[upper[wide], 1][along], more[along])
        near = np.abs(rest[:, 1] - rest[upper, 1].mean()) < 0.025
        lid = near & (rest[:, 2] > np.interp(rest[:, 1], rest[lower[order], 1], rest[lower[order], 2]))
        closed[side] = delta * (1.0 + share * lid)[:, None]
    return closed


def _way(points: np.ndarray, near: dict[int, set[int]], start: int, goal: int) -> list[int]:
    """The shortest way along edges (Dijkstra), both ends included."""
    queue, best, before = [(0.0, start)], {start: 0.0}, {}
    while queue:
        cost, at = heapq.heappop(queue)
        if at == goal:
            break
        for to in near[at]:
            new = cost + float(np.linalg.norm(points[to] - points[at]))
            if new < best.get(to, np.inf):
                best[to], before[to] = new, at
                heapq.heappush(queue, (new, to))
    way = [goal]
    while way[-1] != start:
        way.append(before[way[-1]])
    return way[::-1]
