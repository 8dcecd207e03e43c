"""Pictures of random people for the vision encoders: the drawn head with varied light, camera, skin, hair, background.

Rays through Embree give, for each pixel, the surface that it shows; one such cast is then shaded as several people
under several lights. This is for training and tests only (the product's renderer is ``bodies/render.py``): one ray a
pixel, no picture of a real person, everything but the geometry drawn by rules: synthetic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from ..bodies.paint import HAIR, SKIN_TONE, VertexNormals, eye_colour, paint, shirt_share
from ..runtime.errors import InputError
from ..runtime.face_crop import SIDE_M, face_middle
from ..runtime.rig_asset import RigAsset

MARGIN = 1.2
"""Side of a stored picture in sides of the crop: room for the crop to be moved when training."""
_SKINS = np.float32([[0.78, 0.56, 0.46], [0.62, 0.38, 0.28], [0.45, 0.26, 0.17], [0.26, 0.135, 0.085],
                     [0.11, 0.055, 0.036], [0.70, 0.46, 0.32]])  # fmt: skip
_HAIRS = np.float32([[0.02, 0.015, 0.012], [0.06, 0.035, 0.02], [0.15, 0.08, 0.04], [0.45, 0.32, 0.16],
                     [0.30, 0.10, 0.04], [0.45, 0.44, 0.43]])  # fmt: skip
_IRISES = np.float32(
    [[0.06, 0.03, 0.015], [0.12, 0.07, 0.03], [0.12, 0.16, 0.08], [0.14, 0.22, 0.34], [0.2, 0.24, 0.26]]
)

_PER_VERTEX = ("albedo", "occlusion", "gloss", "sheen", "skin", "eye", "cloth", "offset", "stays")


def _visible(rig: RigAsset, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices that a picture of the face may show, and the triangles between them, numbered anew."""
    rest = rig.neutral
    keep = rest[:, 2] > -0.15
    for name in ("gums", "teeth"):
        part = slice(*rig.parts[name])
        keep[part] = rest[part, 0] > 0.072
    for side, centre in zip(("eye_left", "eye_right"), rig.eye_centres, strict=True):
        part = slice(*rig.parts[side])
        keep[part] = rest[part, 0] > centre[0] - 0.002
    chosen = triangles[keep[triangles].all(axis=1)]
    used, numbered = np.unique(chosen, return_inverse=True)
    return used, np.ascontiguousarray(numbered.reshape(-1, 3).astype(np.int32))


@dataclass
class View:
    """What the camera sees: ``rotation`` (3, 3) of the head towards the camera, ``distance`` in m, ``shift`` (2,) of
    the picture's middle from the face's (left, up) in sides of the crop, ``zoom`` of the crop's side."""

    rotation: np.ndarray
    distance: float
    shift: np.ndarray
    zoom: float

    @classmethod
    def sample(cls, rng: np.random.Generator, turned: float = 0.04) -> View:
        """Mostly frontal heads; a share ``turned`` looks 70 degrees or more away."""
        yaw = np.clip(rng.normal(0, 22), -62, 62) if rng.random() < 0.85 else rng.uniform(-65, 65)
        if rng.random() < turned:
            yaw = rng.choice([-1, 1]) * rng.uniform(78, 180)
        pitch, roll = np.clip(rng.normal(0, 12), -38, 38), rng.normal(0, 6)
        distance = float(np.exp(rng.uniform(np.log(0.32), np.log(2.5))))
        return cls(
            head_rotation(yaw, pitch, roll), distance, rng.normal(0, 0.015, 2), float(np.exp(rng.normal(0, 0.04)))
        )


def head_rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3, 3) from degrees: yaw to the head's left, pitch down, roll to its right shoulder, in REP-103 axes."""
    a, b, c = np.radians([yaw, pitch, roll])
    z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    x = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    return (z @ y @ x).astype(np.float32)


class Studio:
    """Takes pictures of the drawn head.

    Args:
        rig: the run-time rig.
        size: side of the pictures in pixels.
        margin: side of the picture in sides of the crop.
    """

    def __init__(self, rig: RigAsset, size: int = 128, margin: float = MARGIN) -> None:
        if size < 16:
            raise InputError(f"expected pictures of at least 16 pixels, got {size}")
        self.rig, self.size, self.margin = rig, size, margin
        full = paint(rig)
        self._keep, triangles = _visible(rig, full.triangles)
        inner = np.zeros(len(rig.neutral), bool)
        inner[full.mouth] = True
        inner = inner[self._keep]
        self._paint = p = replace(
            full, triangles=triangles, mouth=np.flatnonzero(inner),
            **{k: getattr(full, k)[self._keep] for k in _PER_VERTEX},
        )  # fmt: skip
        rest, marks = rig.neutral[self._keep], rig.neutral[rig.landmarks]
        self._rest = rest
        self._normals = VertexNormals(rest, triangles)
        hair = np.clip(np.where(inner | (p.eye > 0.5), 0.0, 1.0 - p.skin), 0, 1).astype(np.float32)
        clean = np.where(
            hair[:, None] < 0.9, (p.albedo - hair[:, None] * HAIR) / np.maximum(1 - hair, 0.1)[:, None], SKIN_TONE
        )
        relative = np.clip(clean / SKIN_TONE, 0.25, 1.6)
        away = np.linalg.norm(rest - marks[[62, 66]].mean(axis=0), axis=1)
        self._lips = np.clip((0.9 - relative[:, 1]) / 0.45, 0, 1) * (away < 0.04) * ~inner
        self._relative = np.where(self._lips[:, None] > 0, 1.0, relative)
        self._top = hair * (rest[:, 2] > 0.070) + hair * (rest[:, 0] < 0.06) * (rest[:, 2] <= 0.070)
        self._brows = np.clip(hair - self._top, 0, 1)
        low = np.clip((marks[33, 2] + 0.002 - rest[:, 2]) / 0.012, 0, 1) * np.clip((rest[:, 2] + 0.105) / 0.02, 0, 1)
        self._beard = low * np.clip((rest[:, 0] - 0.0) / 0.02, 0, 1) * (1 - self._lips) * ~inner * (away > 0.004)
        self._inner = inner
        self._skin = (~inner & (p.eye < 0.5)).astype(np.float32)

    def cast(self, vertices: np.ndarray, neutral: np.ndarray, view: View) -> Cast:
        """What each pixel sees of a head (V, 3) in metres at rest pose, whose neutral is (V, 3)."""
        rig, p = self.rig, self._paint
        middle, size = face_middle(neutral[rig.landmarks], rig.neutral[rig.landmarks])
        rest = vertices[self._keep] + p.offset
        pivot = rig.neck_pivot
        moved = (rest - pivot) @ view.rotation.T
        towards = view.rotation @ (middle - pivot)
        world = moved + p.stays[:, None] * ((rest - pivot) - moved) - towards  # the face's middle is the origin
        half = 0.5 * self.margin * SIDE_M * size * view.zoom
        along = (np.arange(self.size) + 0.5) / self.size * 2 - 1
        y, z = np.meshgrid(along * half, -along * half)
        y, z = y + view.shift[0] * 2 * half / self.margin, z + view.shift[1] * 2 * half / self.margin
        rays = np.stack([np.full(y.size, -view.distance), y.ravel(), z.ravel()], axis=1).astype(np.float32)
        camera, world = np.float32([view.distance, 0, 0]), world.astype(np.float32)
        a, b, c = (world[p.triangles[:, k]] for k in range(3))
        facing = np.einsum("ij,ij->i", np.cross(b - a, c - a), camera - a) > 0
        triangles = np.ascontiguousarray(p.triangles[facing])
        scene = EmbreeScene()
        mesh = TriangleMesh(scene, world, triangles)
        found = scene.run(np.broadcast_to(camera, rays.shape).copy(), rays, query="INTERSECT", output=True)
        del mesh
        hit = np.flatnonzero(found["primID"] >= 0)
        corner = triangles[found["primID"][hit]]
        u, v = found["u"][hit][:, None], found["v"][hit][:, None]
        ray = rays[hit]
        opening = max(float(vertices[rig.landmarks[62], 2] - vertices[rig.landmarks[66], 2]), 0.0)
        depth = np.clip(
            (vertices[rig.landmarks[62], 0] + 0.002 - vertices[self._keep, 0]) / (0.02 + 0.5 * opening), 0, None
        )
        light = np.where(self._inner, (0.25 + 0.7 * opening / (opening + 0.003)) * np.exp(-1.9 * depth), p.occlusion)
        # the face's middle in the picture: from the picture's middle, in pixels
        pixels = self.size / self.margin
        centre = (self.size - 1) / 2 + np.array([-view.shift[0], view.shift[1]]) * pixels
        return Cast(
            self.size, hit, corner, np.concatenate([1 - u - v, u, v], axis=1).astype(np.float32),
            self._normals(world), light.astype(np.float32),
            -ray / np.linalg.norm(ray, axis=1, keepdims=True), centre.astype(np.float32), pixels / view.zoom,
        )  # fmt: skip

    def shade(self, cast: Cast, rng: np.random.Generator, backdrop: np.ndarray | None = None) -> np.ndarray:
        """The cast as one random person under one random light, uint8 (S, S, 3)."""
        p = self._paint
        albedo = self._person(rng)
        table = np.column_stack([cast.normals, albedo, cast.light, p.skin, p.eye, p.cloth, p.gloss, p.sheen])
        seen = (table[cast.corner] * cast.shares[:, :, None]).sum(axis=1).astype(np.float32)
        normal = seen[:, :3] / np.maximum(np.linalg.norm(seen[:, :3], axis=1, keepdims=True), 1e-9)
        colour, occlusion, eye = seen[:, 3:6], seen[:, 6:7], seen[:, 8] > 0.5
        if eye.any():
            direction = colour[eye]
            angle = np.arctan2(np.hypot(direction[:, 1], direction[:, 2]), direction[:, 0])[:, None]
            iris = _IRISES[rng.integers(len(_IRISES))] * rng.uniform(0.6, 1.5)
            tint = eye_colour(direction)
            colour[eye] = np.where((angle < 0.41) & (angle > 0.18), 0.4 * tint + 0.6 * iris, tint) * rng.uniform(
                0.7, 1.1
            )
        cloth = shirt_share(seen[:, 9])[:, None]
        colour += cloth * (rng.uniform(0.02, 0.7, 3).astype(np.float32) - colour)
        gloss, sheen = np.clip(seen[:, 10:11], 2, 300), seen[:, 11:12] * rng.uniform(0.2, 2.2)
        light = np.zeros_like(colour)
        shine = np.zeros_like(colour)
        up = 0.5 + 0.5 * normal[:, 2:3]
        tint = rng.normal(1.0, 0.08, 3)
        light += rng.uniform(0.08, 0.7) * tint * (rng.uniform(0.4, 1.0) + up * rng.uniform(0, 0.8)) * occlusion
        for _ in range(rng.integers(1, 4)):
            direction = rng.normal(size=3) + [0.9, 0, 0.35]
            direction /= np.linalg.norm(direction)
            strength = np.exp(rng.normal(-0.3, 0.6)) * rng.normal(1.0, 0.1, 3)
            wrap = rng.uniform(0.0, 0.45) * seen[:, 7:8]
            facing = np.clip((normal @ direction[:, None] + wrap) / (1 + wrap), 0, None)
            light += facing * strength * np.clip(1.3 * occlusion - 0.03, 0.02, 1)
            half = direction + cast.towards
            half /= np.linalg.norm(half, axis=1, keepdims=True)
            peak = np.clip(np.einsum("ij,ij->i", normal, half), 1e-6, 1)[:, None] ** gloss
            shine += sheen * peak * strength * (facing > 0) * occlusion
        exposure = rng.uniform(0.7, 1.5)
        linear = exposure * (colour * light + shine)
        image = (rng.random((1, 1, 3)) if backdrop is None else backdrop) * np.ones((cast.size, cast.size, 3))
        flat = image.reshape(-1, 3)
        flat[cast.hit] = np.clip(linear * (1 + linear / 4) / (1 + linear) * 1.25, 0, 1) ** (1 / 2.2)
        return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)

    def _person(self, rng: np.random.Generator) -> np.ndarray:
        """Albedo (V, 3) of one random person; the eyeballs keep their directions."""
        p, rest = self._paint, self._rest
        share = rng.dirichlet(np.full(len(_SKINS), 0.5))
        tone = (share @ _SKINS) * rng.normal(1.0, 0.05, 3) * np.exp(rng.normal(0, 0.12))
        albedo = tone * self._relative ** rng.uniform(0.3, 1.3)
        blotches = sum(
            rng.normal(0, 0.07) * np.sin(rest @ rng.normal(0, 60, 3) + rng.uniform(0, 6.3)) for _ in range(4)
        )
        albedo *= (1 + blotches[:, None]) * (1 + rng.uniform(0, 0.05) * rng.normal(size=(len(rest), 1)))
        lip = tone * rng.uniform([0.6, 0.35, 0.4], [1.15, 0.95, 0.98])
        albedo += (rng.uniform(0.3, 1.0) * self._lips)[:, None] * (lip - albedo)
        hair = (rng.dirichlet(np.full(len(_HAIRS), 0.3)) @ _HAIRS) * np.exp(rng.normal(0, 0.3))
        strands = hair * (1 + 0.3 * rng.normal(size=(len(rest), 1)))
        top = self._top * (rng.random() > 0.12)
        brows = self._brows * rng.uniform(0.25, 1.0)
        beard = self._beard * (rng.uniform(0.1, 0.9) if rng.random() < 0.25 else 0.0)
        for amount in (brows, beard, top):
            albedo += amount[:, None] * (strands - albedo)
        skin = self._skin[:, None]
        mouth = p.albedo * rng.uniform(0.75, 1.2)
        return np.where(p.eye[:, None] > 0.5, p.albedo, skin * albedo + (1 - skin) * mouth).astype(np.float32)


@dataclass
class Cast:
    """Surfaces behind the pixels of one picture of ``size`` x ``size``.

    Attributes:
        hit: (n,) pixels that show the head. corner, shares: (n, 3) vertices and barycentric shares.
        normals: (V, 3). light: (V,) share of the surroundings' light that arrives. towards: (n, 3) to the camera.
        centre: (2,) pixel x, y of the face's middle. side: the crop's side in pixels, for a face of this size.
    """

    size: int
    hit: np.ndarray
    corner: np.ndarray
    shares: np.ndarray
    normals: np.ndarray
    light: np.ndarray
    towards: np.ndarray
    centre: np.ndarray
    side: float


def backdrop(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random background (S, S, 3) in [0, 1]: a gradient, waves, boxes and discs, grain."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    image = rng.random(3) + (x * rng.normal(0, 0.4) + y * rng.normal(0, 0.4))[..., None]
    for _ in range(rng.integers(0, 4)):
        fx, fy = rng.normal(0, 12, 2)
        image = image + rng.normal(0, 0.12, 3) * np.sin(fx * x + fy * y + rng.uniform(0, 6.3))[..., None]
    for _ in range(rng.integers(0, 7)):
        cx, cy, w, h = *rng.uniform(-0.6, 0.6, 2), *rng.uniform(0.03, 0.5, 2)
        round_ = ((x - cx) / w) ** 2 + ((y - cy) / h) ** 2 < 1
        box = (np.abs(x - cx) < w) & (np.abs(y - cy) < h)
        image = np.where((round_ if rng.random() < 0.5 else box)[..., None], rng.random(3), image)
    return np.clip(image + rng.uniform(0, 0.06) * rng.normal(size=image.shape), 0, 1)
