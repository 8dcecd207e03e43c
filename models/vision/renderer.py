"""A small differentiable renderer on the CPU: R of equation 3 and its twin.

Visibility is hard and comes from Embree (no gradient); the point that a ray meets on its triangle, the normal there,
the colours and the light are computed in torch, so gradients reach vertices, head pose, colours and light. What a
moving silhouette uncovers has no gradient, as in every renderer with hard visibility: losses compare the pixels that
both pictures show the head in. Mitsuba 3 renders silhouettes too, at about ten times the time for this size.
"""

from __future__ import annotations

import numpy as np
import torch
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from torch import Tensor


class Renderer:
    """Pictures of one topology.

    Args:
        triangles: (F, 3) vertices of each triangle, counter-clockwise from outside.
        size: side of the pictures in pixels.
        group: (V,) which vertices share a normal (coincident ones on both sides of a seam); None is each its own.
    """

    def __init__(self, triangles: np.ndarray, size: int, group: np.ndarray | None = None) -> None:
        self.size = size
        self._triangles = np.ascontiguousarray(triangles, np.int32)
        self._corners = torch.from_numpy(np.array(triangles, np.int64))
        self._group = None if group is None else torch.from_numpy(np.array(group, np.int64))
        along = (np.arange(size) + 0.5) / size * 2 - 1
        column, row = np.meshgrid(along, -along)
        self._plane = torch.from_numpy(np.stack([column.ravel(), row.ravel()], 1).astype(np.float32))

    def normals(self, vertices: Tensor) -> Tensor:
        """Area-weighted unit normals (B, V, 3) of vertices (B, V, 3)."""
        a, b, c = (vertices[:, self._corners[:, k]] for k in range(3))
        flat = torch.linalg.cross(b - a, c - a)
        total = torch.zeros_like(vertices)
        for k in range(3):
            corner = self._corners[:, k] if self._group is None else self._group[self._corners[:, k]]
            total = total.index_add(1, corner, flat)
        if self._group is not None:
            total = total[:, self._group]
        return torch.nn.functional.normalize(total, dim=2, eps=1e-12)

    def rays(self, half: Tensor, distance: Tensor) -> Tensor:
        """Directions (B, S * S, 3) of a camera at (distance, 0, 0) that sees ``half`` metres round the origin."""
        plane = self._plane[None] * half[:, None, None]
        return torch.cat([-distance[:, None, None].expand(*plane.shape[:2], 1), plane], dim=2)

    @torch.no_grad()
    def visible(self, vertices: Tensor, rays: Tensor, distance: Tensor) -> Tensor:
        """Triangle that each ray meets first, (B, S * S), -1 for none; triangles seen from behind are not there."""
        out = torch.full(rays.shape[:2], -1, dtype=torch.int64)
        for row, (points, directions, away) in enumerate(zip(vertices.numpy(), rays.numpy(), distance, strict=True)):
            camera = np.float32([float(away), 0, 0])
            a, b, c = (points[self._triangles[:, k]] for k in range(3))
            front = np.flatnonzero(np.einsum("ij,ij->i", np.cross(b - a, c - a), camera - a) > 0)
            if not len(front):
                continue
            scene = EmbreeScene()
            mesh = TriangleMesh(scene, np.ascontiguousarray(points, np.float32), self._triangles[front])
            found = scene.run(
                np.broadcast_to(camera, directions.shape).copy(), directions, query="INTERSECT", output=True
            )
            del mesh
            hit = found["primID"]
            out[row] = torch.from_numpy(np.where(hit >= 0, front[np.maximum(hit, 0)], -1))
        return out

    def __call__(
        self, vertices: Tensor, colours: Tensor, half: Tensor, distance: Tensor, light: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Render.

        Args:
            vertices: (B, V, 3) metres, the camera looks along -x at the origin from ``distance`` (B,).
            colours: (B, V, 3) linear albedo, or light already in it.
            half: (B,) metres, half the side of what is seen at the origin's depth.
            light: (B, 3, 9) coefficients of second-order spherical harmonics for each channel; None: colours alone.

        Returns:
            pictures (B, 3, S, S), and (B, S, S) bool where the head is seen.
        """
        vertices, colours = vertices.float(), colours.float()
        rays = self.rays(half, distance)
        triangle = self.visible(vertices, rays, distance)
        seen = triangle >= 0
        batch, pixel = seen.nonzero(as_tuple=True)
        corner = self._corners[triangle[batch, pixel]]
        a, b, c = (vertices[batch, corner[:, k]] for k in range(3))
        shares = _meet(a, b, c, rays[batch, pixel], distance[batch])[:, :, None]
        colour = sum(shares[:, k] * colours[batch, corner[:, k]] for k in range(3))
        if light is not None:
            normals = self.normals(vertices)
            normal = sum(shares[:, k] * normals[batch, corner[:, k]] for k in range(3))
            shade = torch.einsum("nk,nck->nc", harmonics(torch.nn.functional.normalize(normal, dim=1)), light[batch])
            colour = colour * shade.clamp_min(0.02)
        out = torch.zeros(*seen.shape, 3).index_put((batch, pixel), colour)
        shape = (len(vertices), self.size, self.size)
        return out.transpose(1, 2).reshape(shape[0], 3, *shape[1:]), seen.reshape(shape)


def _meet(a: Tensor, b: Tensor, c: Tensor, ray: Tensor, distance: Tensor) -> Tensor:
    """Barycentric shares (n, 3) of the point where rays from (distance, 0, 0) cross the planes of triangles."""
    origin = torch.stack([distance, torch.zeros_like(distance), torch.zeros_like(distance)], dim=1)
    first, second, out = b - a, c - a, origin - a
    across = torch.linalg.cross(ray, second)
    area = (first * across).sum(1)
    area = torch.where(area.abs() < 1e-12, torch.full_like(area, 1e-12), area)
    u = (out * across).sum(1) / area
    v = (ray * torch.linalg.cross(out, first)).sum(1) / area
    return torch.stack([1 - u - v, u, v], dim=1)


def harmonics(normal: Tensor) -> Tensor:
    """Real spherical harmonics up to the second order, (n, 9), without their constants, of unit normals (n, 3)."""
    x, y, z = normal.unbind(1)
    return torch.stack([torch.ones_like(x), x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1], dim=1)
