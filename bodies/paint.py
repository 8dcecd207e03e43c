"""Colours of the face: every vertex gets its own, found from the rig's parts, landmarks and rest shape.

The rig has no photographs of skin, so this is drawn by hand: skin with redder cheeks, nose, ears and lips, brows,
cropped hair, lash lines, eyes with iris and pupil, teeth, gums and tongue, and a shirt. Distances are metres and were
chosen by looking at the mean identity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

SKIN_TONE = np.float32([0.60, 0.365, 0.265])
FLUSH = np.float32([0.60, 0.235, 0.175])
LIP = np.float32([0.46, 0.165, 0.145])
HAIR = np.float32([0.050, 0.033, 0.024])
SHIRT = np.float32([0.050, 0.115, 0.135])
SCLERA = np.float32([0.70, 0.67, 0.64])
IRIS = np.float32([0.16, 0.24, 0.25])
INNER = (  # part inside the mouth, albedo, share of scattering, gloss, sheen
    ("mouth_socket", (0.30, 0.07, 0.06), 0.6, 30.0, 0.10),
    ("gums", (0.52, 0.19, 0.17), 0.8, 40.0, 0.30),
    ("tongue", (0.56, 0.21, 0.19), 0.8, 40.0, 0.30),
    ("teeth", (0.82, 0.78, 0.68), 0.4, 70.0, 0.45),
)
EYE_SKY = 0.8  # sky seen by a lit eye; baked per vertex, the shade under the lids would turn with the eye
IRIS_RADIUS, PUPIL_RADIUS = 0.42, 0.17  # angles at the centre of the eyeball, radians
_HAIRLINE_X = np.float32([-0.12, -0.06, -0.035, -0.005, 0.018, 0.040, 0.052, 0.072, 0.090, 0.12])
_HAIRLINE_Z = np.float32([-0.070, -0.062, -0.035, 0.020, 0.030, 0.052, 0.082, 0.094, 0.099, 0.104])


@dataclass(frozen=True)
class Paint:
    """What the renderer needs besides the moving vertices.

    Attributes:
        albedo: (V, 3) linear RGB; for eyeballs the direction from the ball's centre instead (x forward), see ``eye``.
        occlusion: (V,) how much of the sky a point sees at rest, 0 to 1. gloss, sheen: (V,) highlights' exponent and
            strength. skin: (V,) 1 where light scatters under the surface. eye: (V,) 1 on eyeballs. cloth: (V,) distance
            from the neckline in units of its softness, 1 or more on the shirt.
        offset: (V, 3) metres added to the moving vertices: the thickness of hair and brows, the shirt's hem.
        stays: (V,) 1 where the neck and shoulders do not follow the head.
        mouth: (m,) vertices inside the mouth. lips: (2,) vertices in the middle of the upper and lower inner lip.
        triangles: (n, 3) int32, those that are drawn.
    """

    albedo: np.ndarray
    occlusion: np.ndarray
    gloss: np.ndarray
    sheen: np.ndarray
    skin: np.ndarray
    eye: np.ndarray
    cloth: np.ndarray
    offset: np.ndarray
    stays: np.ndarray
    mouth: np.ndarray
    lips: np.ndarray
    triangles: np.ndarray

    def table(self) -> np.ndarray:
        """All that is interpolated in one (V, 9) array: albedo 0-2, occlusion, gloss, sheen, skin, eye, cloth."""
        columns = (self.occlusion, self.gloss, self.sheen, self.skin, self.eye, self.cloth)
        return np.column_stack([self.albedo, *columns]).astype(np.float32)


def paint(rig) -> Paint:
    """Colours of the run-time rig, see :class:`media2face.runtime.rig_asset.RigAsset`."""
    rest = np.asarray(rig.neutral, np.float32)
    triangles = np.ascontiguousarray(rig.triangles, np.int32)
    normal = VertexNormals(rest, triangles)(rest)
    marks = rest[np.asarray(rig.landmarks)]
    rng = np.random.default_rng(7)
    grain = rng.normal(size=len(rest)).astype(np.float32)[:, None]

    def part(name: str) -> slice:
        return slice(*rig.parts[name])

    albedo = np.tile(SKIN_TONE, (len(rest), 1))
    gloss, sheen = np.full(len(rest), 16.0, np.float32), np.full(len(rest), 0.13, np.float32)
    skin, eye, offset = np.ones(len(rest), np.float32), np.zeros(len(rest), np.float32), np.zeros_like(rest)

    blush(albedo, rest, marks)
    albedo *= 1.0 + 0.012 * grain
    red = lip_share(rest, marks)
    albedo += red[:, None] * (LIP - albedo)
    sheen += 0.22 * red
    gloss += 14.0 * red
    lash = lash_share(rest, marks)
    albedo += lash[:, None] * (HAIR * 0.5 - albedo)
    skin *= 1.0 - lash

    hair = hair_share(rest)
    brows = brow_share(rest, marks)
    for share, depth in ((hair, 0.0045), (brows, 0.0008)):
        tone = HAIR * (1.0 + 0.25 * grain)
        albedo += share[:, None] * (tone - albedo)
        skin *= 1.0 - share
        sheen *= 1.0 - 0.55 * share
        offset += (depth * share)[:, None] * normal

    for name, tone, scatter, exponent, strength in INNER:
        place = part(name)
        albedo[place], skin[place], gloss[place], sheen[place] = tone, scatter, exponent, strength
    for side, centre in zip(("eye_left", "eye_right"), rig.eye_centres, strict=True):
        ball = part(side)
        out = rest[ball] - centre
        albedo[ball] = out / np.linalg.norm(out, axis=1, keepdims=True)
        eye[ball], skin[ball], gloss[ball], sheen[ball] = 1.0, 0.0, 260.0, 2.2

    stays = _stays(rest, marks)
    cloth = cloth_depth(rest)
    offset += (0.003 * smooth(cloth))[:, None] * normal
    hem = np.clip(-0.172 - rest[:, 2], 0.0, None)
    offset[:, 2] -= 4.0 * hem

    occlusion = np.where(eye > 0.5, EYE_SKY, _sky_share(rest + offset, normal, triangles))
    mouth = np.concatenate([np.arange(len(rest))[part(name)] for name, *_ in INNER])
    lips = np.asarray(rig.landmarks)[[62, 66]]
    return Paint(albedo, occlusion, gloss, sheen, skin, eye, cloth, offset, stays, mouth, lips, triangles)


def eye_colour(direction: np.ndarray) -> np.ndarray:
    """Albedo (n, 3) of points of an eyeball, from their direction (x forward) at rest."""
    angle = np.arctan2(np.hypot(direction[:, 1], direction[:, 2]), direction[:, 0])
    around = np.arctan2(direction[:, 2], direction[:, 1])
    fibres = 1.0 + 0.16 * np.sin(31 * around) * np.sin(17 * around + 2.0)
    depth = np.clip((angle - PUPIL_RADIUS) / (IRIS_RADIUS - PUPIL_RADIUS), 0.0, 1.0)
    warm = np.float32([0.30, 0.20, 0.10])
    iris = (warm + (IRIS * 1.25 - warm) * np.clip(depth * 2.2, 0, 1)[:, None]) * fibres[:, None]
    iris *= (1.0 - 0.80 * depth**5)[:, None]
    white = smooth((angle - IRIS_RADIUS) / 0.05 + 0.5)
    pink = smooth((angle - 0.6) / 0.7)[:, None]
    colour = iris + white[:, None] * (SCLERA * (1.0 - pink * np.float32([0.10, 0.30, 0.32])) - iris)
    pupil = smooth((PUPIL_RADIUS - angle) / 0.035 + 0.5)[:, None]
    return (colour * (1.0 - 0.97 * pupil)).astype(np.float32)


def shirt_share(cloth: np.ndarray) -> np.ndarray:
    """Share of the shirt's colour from interpolated :attr:`Paint.cloth`."""
    return smooth(cloth)


class VertexNormals:
    """Area-weighted unit normals for one list of triangles; vertices that coincide at rest share theirs (no seams)."""

    def __init__(self, rest: np.ndarray, triangles: np.ndarray):
        _, self._first, weld = np.unique(np.round(rest, 6), axis=0, return_index=True, return_inverse=True)
        self._weld = weld.reshape(-1)
        self._triangles = self._weld[triangles]
        corners = self._triangles.reshape(-1)
        order = np.argsort(corners, kind="stable")
        self._triangle_of = order // 3
        self._vertices, self._starts = np.unique(corners[order], return_index=True)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(V, 3) normals of moved points (V, 3)."""
        welded = points[self._first]
        a, b, c = (np.take(welded, self._triangles[:, k], axis=0) for k in range(3))
        flat = np.cross(b - a, c - a)
        normals = np.zeros_like(welded)
        normals[self._vertices] = np.add.reduceat(flat[self._triangle_of], self._starts, axis=0)
        normals /= np.maximum(np.sqrt(np.einsum("ij,ij->i", normals, normals))[:, None], 1e-12)
        return normals[self._weld]


def blush(albedo: np.ndarray, rest: np.ndarray, marks: np.ndarray) -> None:
    """Redder cheeks, nose tip, chin and ears; a slightly paler forehead."""
    spots = [(marks[30] - [0.004, 0, 0.002], 0.017, 0.34), (marks[8] + [0, 0, 0.012], 0.018, 0.18)]
    cheek = (marks[36] + marks[48]) / 2 + [0.004, -0.012, 0.002]
    spots += [(cheek, 0.026, 0.42), (cheek * [1, -1, 1], 0.026, 0.42)]
    amount = sum(s * np.exp(-((rest - p) ** 2).sum(1) / (2 * r * r)) for p, r, s in spots)
    amount = amount + 0.40 * smooth((np.abs(rest[:, 1]) - 0.078) / 0.010) * (np.abs(rest[:, 2] - 0.02) < 0.05)
    albedo += np.clip(amount, 0, 0.6)[:, None].astype(np.float32) * (FLUSH - albedo)
    under = sum(np.exp(-((rest - marks[k] + [0, 0, 0.006]) ** 2).sum(1) / (2 * 0.008**2)) for k in (40, 41, 46, 47))
    albedo *= 1.0 - 0.10 * np.clip(under, 0, 1)[:, None].astype(np.float32) * np.float32([0.6, 1.0, 0.8])


def lip_share(rest: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Share of lip colour (V,): inside the outer lip line of the landmarks, seen from the front."""
    left_to_right = marks[48:60]
    upper = left_to_right[[0, 1, 2, 3, 4, 5, 6]]
    lower = left_to_right[[0, 11, 10, 9, 8, 7, 6]]
    y, z = rest[:, 1], rest[:, 2]
    top, bottom = np.interp(y, upper[:, 1], upper[:, 2]), np.interp(y, lower[:, 1], lower[:, 2])
    inside = np.minimum(top - z, z - bottom) - 0.0004
    near = (np.abs(y) < marks[54, 1] - 0.0005) & (rest[:, 0] > marks[48, 0] - 0.012)
    return (smooth(inside / 0.0022 + 0.5) * near).astype(np.float32)


def brow_share(rest: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Share of brow hair (V,): along the brow landmarks, thinner at the outer end."""
    best = np.zeros(len(rest), np.float32)
    for chain in (marks[17:22], marks[22:27][::-1]):  # outer end first
        points = np.stack([np.interp(np.linspace(0, 4, 60), np.arange(5), chain[:, k]) for k in range(3)], axis=1)
        points[:, 2] += 0.0015
        distance = np.linalg.norm(rest[:, None, 1:] - points[None, :, 1:], axis=2)
        along = distance.argmin(axis=1) / 59.0
        thickness = 0.0012 + 0.0026 * np.clip(along * 1.8, 0, 1) - 0.0008 * smooth((along - 0.8) / 0.2)
        share = smooth((thickness - distance.min(axis=1)) / 0.0030 + 0.5)
        best = np.maximum(best, (0.85 - 0.3 * smooth((along - 0.8) / 0.2)) * share * (rest[:, 0] > 0.06))
    return best.astype(np.float32)


def lash_share(rest: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Share of lashes (V,): a dark rim along the upper lids, a fainter one along the lower."""
    best = np.zeros(len(rest), np.float32)
    for chain, width, strength in (((36, 37, 38, 39), 0.0016, 0.92), ((42, 43, 44, 45), 0.0016, 0.92),
                                   ((36, 41, 40, 39), 0.0009, 0.35), ((42, 47, 46, 45), 0.0009, 0.35)):  # fmt: skip
        knots = np.linspace(0, 3, 40)
        points = np.stack([np.interp(knots, np.arange(4), marks[list(chain)][:, k]) for k in range(3)], axis=1)
        distance = np.linalg.norm(rest[:, None] - points[None], axis=2).min(axis=1)
        best = np.maximum(best, strength * smooth((width - distance) / 0.0012 + 0.5))
    return best.astype(np.float32)


def hair_share(rest: np.ndarray) -> np.ndarray:
    """Share of cropped hair (V,): above a hairline drawn over the head's side view, not on the ears."""
    above = rest[:, 2] - np.interp(rest[:, 0], _HAIRLINE_X, _HAIRLINE_Z)
    temples = 0.012 * np.exp(-((np.abs(rest[:, 1]) - 0.045) ** 2) / (2 * 0.012**2)) * (rest[:, 0] > 0.05)
    ear = smooth((np.abs(rest[:, 1]) - 0.0765) / 0.004) * smooth((0.040 - rest[:, 2]) / 0.006)
    return (smooth((above - temples) / 0.012 + 0.5) * (1.0 - ear)).astype(np.float32)


def _stays(rest: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """1 at the shoulders, 0 from the chin upwards (V,)."""
    chin = marks[8, 2] - 0.012
    return (1.0 - smooth((rest[:, 2] - (chin - 0.065)) / 0.065)).astype(np.float32)


def cloth_depth(rest: np.ndarray) -> np.ndarray:
    """Distance below a round neckline, lower in front, over the 1.5 mm in which skin turns into cloth (V,)."""
    line = -0.127 - 0.15 * np.clip(rest[:, 0] - 0.0, 0.0, 0.2)
    return np.clip((line - rest[:, 2]) / 0.0015, -40.0, 40.0).astype(np.float32)


def _sky_share(points: np.ndarray, normal: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Ambient occlusion at rest (V,): share of 64 rays over the hemisphere that leave the head within 6 cm."""
    rng = np.random.default_rng(3)
    z = 1.0 - (np.arange(64) + 0.5) / 64 * 0.98
    turn = np.arange(64) * 2.399963
    dome = np.column_stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z])
    side = np.cross(normal, rng.normal(size=3))
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    frame = np.stack([side, np.cross(normal, side), normal], axis=1)
    scene = EmbreeScene()
    mesh = TriangleMesh(scene, points.astype(np.float32), triangles)
    used = np.unique(triangles)
    rays = np.einsum("dk,vkc->vdc", dome, frame[used]).reshape(-1, 3).astype(np.float32)
    origins = np.repeat(points[used] + 3e-4 * normal[used], 64, axis=0).astype(np.float32)
    free = scene.run(origins, rays, query="DISTANCE").reshape(-1, 64) > 0.06
    del mesh
    weight = z / z.sum()
    out = np.ones(len(points), np.float32)
    out[used] = free @ weight
    return out


def smooth(x: np.ndarray) -> np.ndarray:
    """Smooth step from 0 at x <= 0 to 1 at x >= 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)
