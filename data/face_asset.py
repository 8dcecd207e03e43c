"""Build ``face_rig.npz``: the light head that the engine moves and the bodies draw.

    python -m media2face.data.face_asset --data ../shared/data --out models/weights

The head is cut from the ICT model (MIT licence, USC-ICT): skin, mouth lining, eye sockets, gums, tongue and teeth. The
eyeballs are spheres of our own with a corneal bulge, so that iris and pupil have round edges. The keys
are those of ``runtime/rig_asset.py``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from ..runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from ..runtime.rig_asset import RigAsset
from .geometry_maps import FaceAtlas, bilinear, uv_of
from .lip_seal import seal_fields
from .rig import NECK_PIVOT, PARTS, ICTRig, eye_centre, to_ros

JAW_SHAPES = ("jawForward", "jawLeft", "jawRight", "jawOpen")
MATERIALS = {  # name -> sRGB colour of 0 to 255; names as in ICT where it has the same
    "M_Face": (224, 178, 152), "M_Lips": (188, 104, 98), "M_Brows": (92, 64, 48), "M_BackHead": (224, 178, 152),
    "M_MouthLining": (120, 52, 52), "M_GumsTongue": (190, 96, 96), "M_Tongue": (196, 104, 104),
    "M_Teeth": (240, 234, 220), "M_Sclera": (240, 238, 234), "M_Iris": (84, 118, 140), "M_Pupil": (16, 14, 14),
}  # fmt: skip
_STILL_CM = 0.005  # vertices that no shape moves further stay at rest
_EYE_SEGMENTS, _IRIS_DEG, _PUPIL_DEG = 28, 22.0, 8.5
_EYE_RINGS_DEG = (_PUPIL_DEG, 15.0, _IRIS_DEG, 30.0, 40.0, 52.0, 66.0, 82.0, 100.0, 122.0, 146.0)


@dataclass
class _Pieces:
    """Parts collected one after another."""

    source: list[np.ndarray] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)
    uv: list[np.ndarray] = field(default_factory=list)
    triangles: list[np.ndarray] = field(default_factory=list)
    materials: list[np.ndarray] = field(default_factory=list)
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(
        self, name: str, source: np.ndarray, points: np.ndarray, uv: np.ndarray, tris: np.ndarray, material: np.ndarray
    ) -> None:
        first = sum(map(len, self.points))
        self.uv.append(uv)
        self.parts[name] = (first, first + len(points))
        self.source.append(source)
        self.points.append(points)
        self.triangles.append(tris + first)
        self.materials.append(material)

    def add_ict(self, rig: ICTRig, name: str, tris: np.ndarray, chart: str, material: str | np.ndarray) -> None:
        used, numbered = np.unique(tris, return_inverse=True)
        uv = uv_of(rig, used, chart)
        self.add(name, used, rig.neutral[used], uv, numbered.reshape(-1, 3), np.broadcast_to(material, len(tris)))


def split_quads(faces: np.ndarray) -> np.ndarray:
    """Faces (n, 4), -1 in the fourth place for triangles, as triangles (m, 3)."""
    quads = faces[faces[:, 3] >= 0]
    return np.concatenate([faces[:, :3], quads[:, [0, 2, 3]]])


def eyeball(centre: np.ndarray, radius: float = 1.50, bulge: float = 0.16) -> tuple[np.ndarray, ...]:
    """A ball that looks along z: vertices (n, 3) cm, triangles (m, 3), material of each triangle."""
    turn = 2 * np.pi * np.arange(_EYE_SEGMENTS) / _EYE_SEGMENTS
    points, tris, materials = [centre[None] + [[0, 0, radius + bulge]]], [], []
    for ring, degrees in enumerate(_EYE_RINGS_DEG):
        angle, r = np.radians(degrees), radius + bulge * np.exp(-((degrees / 20.0) ** 2))
        across = np.sin(angle) * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        points.append(centre + r * np.column_stack([across, np.full(len(turn), np.cos(angle))]))
        outer = 1 + ring * _EYE_SEGMENTS + np.arange(_EYE_SEGMENTS)
        after = np.roll(outer, -1)
        if ring == 0:
            added = np.stack([np.zeros_like(outer), outer, after], axis=1)
        else:
            inner, inner_after = outer - _EYE_SEGMENTS, after - _EYE_SEGMENTS
            added = np.concatenate([np.stack(t, axis=1) for t in ((inner, outer, after), (inner, after, inner_after))])
        name = "M_Pupil" if degrees <= _PUPIL_DEG else "M_Iris" if degrees <= _IRIS_DEG else "M_Sclera"
        tris.append(added)
        materials.append(np.full(len(added), name))
    return np.concatenate(points).astype(np.float32), np.concatenate(tris), np.concatenate(materials)


def skin_material(rig: ICTRig, tris: np.ndarray) -> np.ndarray:
    """Material of each triangle of the face: lips and brows by the landmarks, seen from the front, else skin."""
    middle = rig.neutral[tris].mean(axis=1)
    marks = rig.neutral[rig.landmarks]
    material = np.full(len(tris), "M_Face", dtype="<U16")
    corner = marks[54, 0]
    across = np.clip(middle[:, 0], -corner, corner)
    top = np.interp(across, marks[48:55, 0], marks[48:55, 1])
    bottom = np.interp(across, marks[[48, 59, 58, 57, 56, 55, 54], 0], marks[[48, 59, 58, 57, 56, 55, 54], 1])
    within = (middle[:, 1] < top) & (middle[:, 1] > bottom) & (np.abs(middle[:, 0]) < corner)
    material[within & (middle[:, 2] > marks[48, 2] - 0.6)] = "M_Lips"
    for brow in (marks[17:22], marks[26:21:-1]):  # outer end first
        along = np.concatenate([np.linspace(a, b, 20) for a, b in zip(brow, brow[1:], strict=False)])
        distance, where = cKDTree(along[:, :2]).query(middle[:, :2])
        material[(distance < 0.14 + 0.16 * where / len(along)) & (middle[:, 2] > 4)] = "M_Brows"
    return material


def build(rig: ICTRig, atlas: FaceAtlas) -> dict[str, np.ndarray]:
    """All arrays of the asset, see ``runtime/rig_asset.py``."""
    tris = split_quads(rig.faces)
    count = len(rig.neutral)

    def touches(*names: str) -> np.ndarray:
        member = np.zeros(count, bool)
        for name in names:
            member[slice(*PARTS[name])] = True
        return member[tris].any(axis=1)

    on_tongue = (np.abs(rig.deltas[ARKIT_INDEX["tongueOut"]]).max(axis=1) > 0)[tris].any(axis=1)
    lining, sockets, head = touches("mouth_socket"), touches("eye_sockets"), touches("head_neck")
    face = touches("face") & ~lining & ~sockets & ~head
    pieces = _Pieces()
    pieces.add_ict(rig, "face", tris[face], "M_Face", skin_material(rig, tris[face]))
    pieces.add_ict(rig, "head_neck", tris[head], "M_BackHead", "M_BackHead")
    pieces.add_ict(rig, "eye_sockets", tris[sockets], "M_BackHead", "M_BackHead")
    pieces.add_ict(rig, "mouth_socket", tris[lining], "M_BackHead", "M_MouthLining")
    pieces.add_ict(rig, "gums", tris[touches("gums_tongue") & ~on_tongue], "M_GumsTongue", "M_GumsTongue")
    pieces.add_ict(rig, "tongue", tris[on_tongue], "M_GumsTongue", "M_Tongue")
    pieces.add_ict(rig, "teeth", tris[touches("teeth")], "M_Teeth", "M_Teeth")
    centres = [eye_centre(rig.neutral[slice(*PARTS[f"eye_{side}"])]) for side in ("left", "right")]
    for side, centre in zip(("left", "right"), centres, strict=True):
        points, ball, names = eyeball(centre)
        seen = (points - centre) / np.linalg.norm(points - centre, axis=1, keepdims=True)
        pieces.add(f"eye_{side}", np.full(len(points), -1), points, 0.5 + 0.5 * seen[:, :2], ball, names)
    pieces.parts["gums_tongue"] = (pieces.parts["gums"][0], pieces.parts["tongue"][1])
    source, names = np.concatenate(pieces.source), np.concatenate(pieces.materials)
    asset = {
        "names": np.array(ARKIT_NAMES), "neutral": to_ros(np.concatenate(pieces.points)).astype(np.float32),
        "uv": np.concatenate(pieces.uv).astype(np.float16), "faces": np.concatenate(pieces.triangles).astype(np.uint16),
        "face_material": np.array([list(MATERIALS).index(n) for n in names], np.uint8),
        "material_names": np.array(list(MATERIALS)), "material_colours": np.array(list(MATERIALS.values()), np.uint8),
        "part_names": np.array(list(pieces.parts)), "part_ranges": np.array(list(pieces.parts.values()), np.int32),
        "source": source.astype(np.int32), "eye_centres": to_ros(np.array(centres)).astype(np.float32),
        "landmarks": np.array([np.flatnonzero(source == v)[0] for v in rig.landmarks], np.int32),
        "neck_pivot": NECK_PIVOT,
    }  # fmt: skip
    return asset | _motion(rig, atlas, source, asset["faces"])


def identity_neutral(rig: ICTRig, asset: RigAsset, identity: np.ndarray) -> np.ndarray:
    """Rest pose (V, 3), metres in REP-103 axes, of ICT coefficients (100,) in the topology of the drawn head."""
    out = asset.neutral.copy()
    known = asset.source >= 0
    out[known] = to_ros(rig.rest(identity, asset.source[known]))
    for side, centre in zip(("left", "right"), asset.eye_centres, strict=True):
        ball = slice(*PARTS[f"eye_{side}"])
        out[slice(*asset.parts[f"eye_{side}"])] += to_ros(eye_centre(rig.rest(identity)[ball])) - centre
    return out


def _motion(rig: ICTRig, atlas: FaceAtlas, source: np.ndarray, faces: np.ndarray) -> dict[str, np.ndarray]:
    """Vertices that read the map, vertices that follow the jaw's weights, and the map of a neutral."""
    position = np.full(len(rig.neutral) + 1, -1)  # the last entry serves source -1
    position[atlas.charted] = np.arange(len(atlas.charted))
    on_map = position[source] >= 0
    place = np.zeros((len(source), 2), np.float32)
    share = np.ones(len(source), np.float32)
    place[on_map] = atlas.place[position[source[on_map]]]
    inner = (source >= PARTS["gums_tongue"][0]) & ~on_map
    riders = np.flatnonzero((source >= 0) & ~on_map & ~inner)
    place[riders], share[riders] = atlas.ride(rig, source[riders])
    reach = share * np.abs(rig.deltas[:, source]).max(axis=(0, 2))
    moving = np.flatnonzero((source >= 0) & ~inner & (reach > _STILL_CM))
    texels, shares = bilinear(place[moving], atlas.height, atlas.width)
    jaw = np.array([ARKIT_INDEX[n] for n in JAW_SHAPES])
    deltas = to_ros(rig.deltas[jaw][:, source[inner]])
    seal = seal_fields(rig, source[moving])
    sealed = np.abs(seal).max(axis=0) > 1e-3
    follows = np.abs(deltas).max(axis=(0, 2)) > 5e-5
    corners, parts = _raster(place, faces[on_map[faces].all(axis=1)].astype(np.int64), atlas.height, atlas.width)
    return {
        "map_size": np.array([atlas.height, atlas.width], np.int32), "atlas": np.array(atlas.fingerprint),
        "moving": moving.astype(np.uint16),
        "texels": texels.astype(np.uint16), "texel_shares": (shares * share[moving, None]).astype(np.float32),
        "seal_vertices": moving[sealed].astype(np.uint16), "seal_fields": seal[:, sealed].astype(np.float16),
        "jaw_shapes": np.array(JAW_SHAPES), "jaw_vertices": np.flatnonzero(inner)[follows].astype(np.uint16),
        "jaw_deltas": deltas[:, follows].astype(np.float16),
        "neutral_corners": corners.astype(np.uint16), "neutral_shares": parts.astype(np.float16),
    }  # fmt: skip


def _raster(place: np.ndarray, tris: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Each texel (row-major) as a barycentric blend of the triangle over it, or over the nearest covered texel."""
    corners = np.full((height * width, 3), -1, np.int64)
    shares = np.zeros((height * width, 3), np.float32)
    for tri in tris:
        a, b, c = place[tri].astype(np.float64)
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-9:
            continue
        low, high = np.floor(place[tri].min(axis=0)).astype(int), np.ceil(place[tri].max(axis=0)).astype(int)
        row, column = (g.ravel() for g in np.mgrid[low[0] : high[0] + 1, low[1] : high[1] + 1])
        second = ((row - a[0]) * (c[1] - a[1]) - (column - a[1]) * (c[0] - a[0])) / area
        third = ((b[0] - a[0]) * (column - a[1]) - (b[1] - a[1]) * (row - a[0])) / area
        inside = (second >= -1e-6) & (third >= -1e-6) & (second + third <= 1 + 1e-6)
        texel = row[inside] * width + column[inside]
        corners[texel] = tri
        shares[texel] = np.stack([1 - second - third, second, third], axis=1)[inside]
    grid = np.stack(np.mgrid[:height, :width], axis=-1).reshape(-1, 2)
    covered = np.flatnonzero(corners[:, 0] >= 0)
    nearest = covered[cKDTree(grid[covered]).query(grid)[1]]
    return corners[nearest], shares[nearest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the ICT model")
    parser.add_argument("--out", type=Path, default=Path("models/weights"))
    args = parser.parse_args()
    rig = ICTRig.load(args.data)
    args.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(args.out / "face_rig.npz", **build(rig, FaceAtlas.build(rig)))


if __name__ == "__main__":
    main()
