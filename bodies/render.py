"""A headless picture of the face on the CPU: rays through Embree (PyPI ``embreex``), shading in numpy.

Nothing of a system's GL, EGL or X11 is needed. One ray goes through every pixel, four more where neighbouring pixels
differ, so edges are smooth at little cost; normals are interpolated, colours come from :mod:`media2face.bodies.paint`.
Axes and units are the rig's: REP-103, metres; the camera looks at the face from the front.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from ..runtime.errors import InputError
from .paint import SHIRT, VertexNormals, eye_colour, paint, shirt_share

TARGET = np.array([0.02, 0.0, -0.012], np.float32)  # what the camera looks at, metres
DISTANCE, HALF_ANGLE = 1.05, 0.168  # metres, radians
# Directional lights: towards the light (x forward, y left, z up), colour in linear RGB.
LIGHTS = (
    ((0.75, -0.55, 0.62), (1.55, 1.42, 1.28)),  # key, from the viewer's upper left
    ((0.70, 0.85, 0.05), (0.34, 0.40, 0.50)),  # fill
    ((-0.65, 0.75, 0.45), (0.85, 0.95, 1.15)),  # rim
)
SKY, GROUND = np.float32([0.34, 0.36, 0.40]), np.float32([0.20, 0.17, 0.16])
CATCHLIGHT = (0.88, -0.24, 0.40)  # a small light that only eyes reflect
BACKDROP = np.float32([[0.155, 0.185, 0.215], [0.036, 0.044, 0.056]])  # centre and corners, linear RGB
WRAP = np.float32([0.42, 0.20, 0.13])  # how far light creeps round skin, by colour: blood scatters red
EDGE = 0.06  # difference of neighbouring pixels (display values) above which a pixel gets more rays
BANDS = 24  # of rows, in each of which rays are cast only between the head's outermost vertices
_GAMMA = (np.linspace(0.0, 1.0, 8192) ** (2 / 2.2)).astype(np.float32)  # display value of a square root of light
_SUBPIXELS = np.float32([[-0.125, -0.375], [0.375, -0.125], [-0.375, 0.125], [0.125, 0.375]])


class Renderer:
    """Pictures of one rig.

    Args:
        rig: the run-time rig (``neutral`` (V, 3) m, ``triangles``, ``parts``, ``landmarks``, ``eye_centres``,
            ``neck_pivot``).
        size: width and height in pixels.
    """

    def __init__(self, rig, size: tuple[int, int] = (512, 512)):
        width, height = (int(n) for n in size)
        if width < 16 or height < 16:
            raise InputError(f"expected a picture of at least 16 x 16 pixels, got {width} x {height}")
        self.size = (width, height)
        self.pivot = np.asarray(rig.neck_pivot, np.float32)
        self.vertex_count = len(rig.neutral)
        self._paint = paint(rig)
        self._table, self._triangles = self._paint.table(), self._paint.triangles
        self._normals = VertexNormals(np.asarray(rig.neutral, np.float32), self._triangles)
        self._scale = np.tan(HALF_ANGLE) / min(width, height) * 2
        column, row = np.meshgrid(np.arange(width), np.arange(height))
        self._pixels = np.stack([column, row], -1).reshape(-1, 2).astype(np.float32)
        self._backdrop = self._make_backdrop()
        lights = np.float32([d for d, _ in LIGHTS])
        self._lights = lights / np.linalg.norm(lights, axis=1, keepdims=True)
        self._catchlight = np.float32(CATCHLIGHT) / np.linalg.norm(CATCHLIGHT)
        self._light_colours = np.float32([c for _, c in LIGHTS])

    def render(
        self,
        vertices: np.ndarray,
        head_quaternion: Sequence[float] | np.ndarray = (0.0, 0.0, 0.0, 1.0),
        head_translation: Sequence[float] | np.ndarray = (0.0, 0.0, 0.0),
    ) -> np.ndarray:
        """One picture, uint8 (H, W, 3).

        Args:
            vertices: (V, 3) metres, the head in its rest pose.
            head_quaternion: (4,) xyzw, rotation about the neck pivot.
            head_translation: (3,) metres, the pivot's offset from rest.

        Raises:
            InputError: wrong shapes, or values that are not finite.
        """
        vertices = np.asarray(vertices, np.float32)
        if vertices.shape != (self.vertex_count, 3):
            raise InputError(f"expected vertices ({self.vertex_count}, 3) of this rig, got {vertices.shape}")
        if not np.isfinite(vertices).all():
            raise InputError("expected finite vertices, got NaN or infinity")
        turn = rotation_matrix(head_quaternion)
        translation = np.asarray(head_translation, np.float32)
        if translation.shape != (3,) or not np.isfinite(translation).all():
            raise InputError(f"expected a translation of three finite numbers x, y, z in m, got {head_translation}")
        rest = vertices + self._paint.offset
        moved = (rest - self.pivot) @ turn.T + self.pivot + translation
        world = moved + self._paint.stays[:, None] * (rest - moved)
        self._table[self._paint.mouth, 3] = self._mouth_light(vertices)
        scene = _Scene(world, self._triangles, self._normals(world), self._table)
        image = self._backdrop.copy()
        seen = self._covered(world)
        image[seen] = self._trace(scene, self._pixels[seen], self._backdrop[seen])
        edges = self._edges(image)
        if len(edges):
            around = (self._pixels[edges] + _SUBPIXELS[:, None]).reshape(-1, 2)
            finer = self._trace(scene, around, np.tile(self._backdrop[edges], (len(_SUBPIXELS), 1)))
            image[edges] = finer.reshape(len(_SUBPIXELS), -1, 3).mean(axis=0)
        return np.round(255.0 * image).astype(np.uint8).reshape(self.size[1], self.size[0], 3)

    def _covered(self, world: np.ndarray) -> np.ndarray:
        """Indices of the pixels where the head may be: in each band of rows, those between its outermost vertices."""
        width, height = self.size
        away = TARGET[0] + DISTANCE - world[:, 0]
        column = (world[:, 1] - TARGET[1]) / away / self._scale + (width - 1) / 2
        row = (height - 1) / 2 - (world[:, 2] - TARGET[2]) / away / self._scale
        tall = -(-height // BANDS)
        band = np.clip(row / tall, -1, BANDS).astype(np.int64) + 1  # one band above and one below the picture
        left, right = np.full(BANDS + 2, width, np.float32), np.full(BANDS + 2, -1, np.float32)
        np.minimum.at(left, band, column)
        np.maximum.at(right, band, column)
        left = np.minimum(np.minimum(left[:-2], left[1:-1]), left[2:]) - 2  # triangles may reach into the next band
        right = np.maximum(np.maximum(right[:-2], right[1:-1]), right[2:]) + 2
        columns, bands = np.arange(width), np.arange(height) // tall
        return np.flatnonzero((columns >= left[bands, None]) & (columns <= right[bands, None]))

    def _mouth_light(self, vertices: np.ndarray) -> np.ndarray:
        """How much light reaches the inside of the mouth: less further in, more when it is open."""
        upper, lower = vertices[self._paint.lips]
        opening = np.clip(upper[2] - lower[2], 0.0, 0.04)
        depth = np.clip((upper[0] + 0.002 - vertices[self._paint.mouth, 0]) / (0.020 + 0.5 * opening), 0.0, None)
        return (0.15 + 0.70 * opening / (opening + 0.003)) * np.exp(-1.9 * depth)

    def _trace(self, scene: _Scene, pixels: np.ndarray, backdrop: np.ndarray) -> np.ndarray:
        """Display values in [0, 1], (n, 3), of points of the picture given in pixels (n, 2)."""
        width, height = self.size
        rays = np.empty((len(pixels), 3), np.float32)
        rays[:, 0] = -1.0
        rays[:, 1] = (pixels[:, 0] - (width - 1) / 2) * self._scale
        rays[:, 2] = ((height - 1) / 2 - pixels[:, 1]) * self._scale
        hit, triangle, u, v = scene.cast(TARGET + np.float32([DISTANCE, 0, 0]), rays)
        colour = backdrop.copy()
        if len(hit):
            view = -rays[hit]
            view /= _length(view)
            colour[hit] = self._shade(scene.attributes(triangle, u, v), view)
        return colour

    def _shade(self, attributes: np.ndarray, view: np.ndarray) -> np.ndarray:
        """Light leaving (n, 3) points towards the viewer, as display values."""
        normal = attributes[:, :3] / np.maximum(_length(attributes[:, :3]), 1e-9)
        albedo, occlusion = attributes[:, 3:6], attributes[:, 6:7]
        gloss, sheen, skin, eye = attributes[:, 7], attributes[:, 8], attributes[:, 9:10], attributes[:, 10] > 0.5
        if eye.any():
            albedo[eye] = eye_colour(albedo[eye])
        cloth = np.flatnonzero(attributes[:, 11] > 0)
        if len(cloth):
            share = shirt_share(attributes[cloth, 11])[:, None]
            albedo[cloth] += share * (SHIRT - albedo[cloth])
            skin[cloth] *= 1 - share
            sheen[cloth] *= 1 - 0.9 * share[:, 0]
        shade = np.clip(1.35 * occlusion - 0.05, 0.02, 1.0)
        towards = normal @ self._lights.T  # (n, lights)
        facing = np.einsum("ij,ij->i", normal, view)[:, None]
        mirrored = 2.0 * facing * normal - view
        # A Phong lobe of a quarter of the exponent is as wide as a Blinn lobe; Schlick's term lifts grazing angles.
        peak = np.clip(mirrored @ self._lights.T, 1e-6, 1.0) ** (0.25 * gloss[:, None])
        strength = sheen[:, None] * (0.35 + 0.65 * np.clip(1.0 - facing, 0.0, 1.0) ** 4)
        shine = (peak * strength * np.clip(4.0 * towards, 0.0, 1.0)) @ self._light_colours
        light = (GROUND + (SKY - GROUND) * (0.5 + 0.5 * normal[:, 2:3])) * occlusion
        for channel, wrap in enumerate(WRAP):
            creep = wrap * skin
            wrapped = np.clip((towards + creep) / (1.0 + creep), 0.0, None)
            light[:, channel] += shade[:, 0] * (wrapped @ self._light_colours[:, channel])
        if eye.any():
            spark = np.clip(mirrored[eye] @ self._catchlight, 0.0, 1.0) ** 90
            shade[eye] = np.maximum(shade[eye], 0.6)  # lids dim an eye but do not take its catchlight
            shine[eye] += 1.1 * spark[:, None]
        return _display(albedo * light + shine * shade)

    def _edges(self, image: np.ndarray) -> np.ndarray:
        """Indices of the pixels that differ from a neighbour by more than ``EDGE``."""
        grey = image.reshape(self.size[1], self.size[0], 3).mean(axis=2)
        marked = np.zeros(grey.shape, bool)
        down, right = np.abs(np.diff(grey, axis=0)) > EDGE, np.abs(np.diff(grey, axis=1)) > EDGE
        marked[:-1] |= down
        marked[1:] |= down
        marked[:, :-1] |= right
        marked[:, 1:] |= right
        return np.flatnonzero(marked)

    def _make_backdrop(self) -> np.ndarray:
        centre = (np.array(self.size) - 1) / 2
        far = np.linalg.norm((self._pixels - centre) / max(self.size), axis=1, keepdims=True)
        share = np.clip(far / 0.75, 0.0, 1.0) ** 1.3
        return _display((BACKDROP[0] + (BACKDROP[1] - BACKDROP[0]) * share).astype(np.float32))


class _Scene:
    """The triangles that face the camera in one frame, ready for rays."""

    def __init__(self, world: np.ndarray, triangles: np.ndarray, normals: np.ndarray, colours: np.ndarray):
        a, b, c = (world[triangles[:, k]] for k in range(3))
        facing = np.einsum("ij,ij->i", np.cross(b - a, c - a), TARGET + np.float32([DISTANCE, 0, 0]) - a) > 0
        self._triangles = np.ascontiguousarray(triangles[facing])
        self._attributes = np.concatenate([normals, colours], axis=1)
        self._scene = EmbreeScene()
        self._mesh = TriangleMesh(self._scene, world, self._triangles) if len(self._triangles) else None

    def cast(self, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rays (n, 3) from one origin: indices of those that hit, and triangle, u, v for each of these."""
        if self._mesh is None:
            return (np.zeros(0, np.int64),) * 4
        origins = np.broadcast_to(origin.astype(np.float32), rays.shape).copy()
        found = self._scene.run(origins, rays, query="INTERSECT", output=True)
        hit = np.flatnonzero(found["primID"] >= 0)
        return hit, found["primID"][hit], found["u"][hit], found["v"][hit]

    def attributes(self, triangle: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Normal and paint (n, K) interpolated at barycentric points."""
        corner = self._triangles[triangle]
        u, v = u[:, None], v[:, None]
        a = self._attributes
        out = np.take(a, corner[:, 0], axis=0) * (1 - u - v)
        out += np.take(a, corner[:, 1], axis=0) * u
        out += np.take(a, corner[:, 2], axis=0) * v
        return out


def rotation_matrix(quaternion: Sequence[float] | np.ndarray) -> np.ndarray:
    """(3, 3) float32 rotation of a quaternion xyzw, which is normalised first.

    Raises:
        InputError: not four finite numbers, or all zero.
    """
    q = np.asarray(quaternion, np.float64)
    length = np.linalg.norm(q) if q.shape == (4,) else np.nan
    if not np.isfinite(length) or length < 1e-9:
        raise InputError(f"expected a quaternion of four finite numbers x, y, z, w, not all zero, got {quaternion}")
    x, y, z, w = q / length
    return np.float32(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def contact_sheet(frames: Sequence[np.ndarray], columns: int = 6, gap: int = 4) -> np.ndarray:
    """Pictures (H, W, 3) uint8 of one size side by side, row by row, as one picture.

    Raises:
        InputError: no pictures, or of different sizes.
    """
    if not len(frames) or len({f.shape for f in frames}) != 1:
        raise InputError(f"expected one or more pictures of one size, got {[f.shape for f in frames][:4]}")
    columns = min(columns, len(frames))
    height, width, _ = frames[0].shape
    rows = -(-len(frames) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, frame in enumerate(frames):
        y, x = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = frame
    return sheet


def _length(vectors: np.ndarray) -> np.ndarray:
    """(n, 1) lengths of (n, 3); einsum is several times faster here than numpy.linalg.norm."""
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]


def _display(linear: np.ndarray) -> np.ndarray:
    """Linear light to display values in [0, 1]: a soft shoulder, then gamma 2.2."""
    toned = linear * (1.0 + linear / 4.0) / (1.0 + linear)  # 1.0 in gives 0.625 out, 4.0 gives 1.6 -> clipped
    root = np.sqrt(np.clip(toned * np.float32(1.25), 0.0, 1.0))
    return np.take(_GAMMA, (root * np.float32(len(_GAMMA) - 1)).astype(np.int32))
