"""The head that is drawn: topology, rest pose, and how its vertices follow the geometry map, the jaw and the eyes.

``face_rig.npz`` is cut from ICT-FaceKit (MIT licence, USC-ICT) by ``data/face_asset.py``. Positions are metres in
REP-103 axes, at rest. Four steps lead from an expression to vertices:

* skin, mouth lining and tongue read the offset map by bilinear sampling (``moving``, ``texels``, ``texel_shares``);
* lips that would pass through each other are moved apart until they touch (``seal_*``);
* gums and teeth are not on the map: they follow the weights of the four jaw shapes (``jaw_*``);
* eyeballs turn rigidly with the eyeLook weights (:mod:`media2face.runtime.eyes`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from .arkit import ARKIT_NAMES, indices
from .errors import InputError, ModelError
from .eyes import eye_middle, rotate_eyes
from .sessions import weights_folder

_TO_ROS = [2, 0, 1]
_CM = np.float32(0.01)
_UPPER_LIP, _LOWER_LIP = [61, 62, 63], [67, 66, 65]


@dataclass
class RigAsset:
    """The drawn head; V vertices, F triangles, P texels.

    Attributes:
        names: the 52 shapes, ARKit order.
        neutral: (V, 3) f32 metres, REP-103 axes, mean identity.
        uv: (V, 2) f32 texture coordinates: ICT's, one tile per material, and the gaze's plane on the eyeballs.
        faces: (F, 4) int32 vertices, -1 in the fourth place (all are triangles).
        face_material: (F,) uint8 into ``material_names``; ``material_colours`` (n, 3) uint8 sRGB.
        parts: name -> (first, last) vertex range, last excluded. Parts are contiguous; ``gums_tongue`` holds two.
        source: (V,) ICT vertex of each vertex, -1 for the eyeballs.
        landmarks: (68,) Multi-PIE points; inner lip pairs 61-67, 62-66, 63-65, corners 48-54, eyes 36-47.
        eye_centres: (2, 3) metres, left then right.
        neck_pivot: (3,) metres, about which the head turns.
        map_size: rows and columns of the geometry map; ``atlas`` names its layout.
    """

    names: tuple[str, ...]
    neutral: np.ndarray
    uv: np.ndarray
    faces: np.ndarray
    face_material: np.ndarray
    material_names: tuple[str, ...]
    material_colours: np.ndarray
    parts: dict[str, tuple[int, int]]
    source: np.ndarray
    landmarks: np.ndarray
    eye_centres: np.ndarray
    neck_pivot: np.ndarray
    map_size: tuple[int, int]
    atlas: str
    moving: np.ndarray
    texels: np.ndarray
    texel_shares: np.ndarray
    jaw_shapes: tuple[str, ...]
    jaw_vertices: np.ndarray
    jaw_deltas: np.ndarray
    seal_vertices: np.ndarray
    seal_fields: np.ndarray
    neutral_corners: np.ndarray
    neutral_shares: np.ndarray
    fingerprint: str = ""

    @classmethod
    def load(cls, weights_dir: str | Path | None = None) -> RigAsset:
        """Read ``face_rig.npz`` from the weights folder.

        Raises:
            ModelError: if it is missing, unreadable or of another version.
        """
        path = weights_folder(weights_dir) / "face_rig.npz"
        if not path.is_file():
            raise ModelError(f"expected the face rig at {path}, found no file: reinstall the package, or set --weights")
        try:
            with np.load(path, allow_pickle=False) as file:
                data = {k: file[k] for k in file.files}
        except Exception as error:  # zipfile, zlib and numpy each raise their own for a damaged file
            raise ModelError(f"{path} is not a readable rig file ({error}): reinstall the package") from error
        wanted = {f.name for f in fields(cls)} - {"parts", "fingerprint"} | {"part_names", "part_ranges"}
        if wanted - set(data):
            raise ModelError(f"{path} lacks {sorted(wanted - set(data))}: it is of another version; build it again")
        if tuple(map(str, data["names"])) != ARKIT_NAMES:
            raise ModelError(f"{path} names other shapes than the 52 of this release: build it again")
        digest = hashlib.sha256()
        for key in sorted(data):
            digest.update(key.encode() + data[key].tobytes())
        names, ranges = data.pop("part_names"), data.pop("part_ranges")
        triangles = data["faces"].astype(np.int32)
        data |= {k: tuple(map(str, data[k])) for k in ("names", "material_names", "jaw_shapes")}
        data |= {
            "parts": {str(n): (int(a), int(b)) for n, (a, b) in zip(names, ranges, strict=True)},
            "faces": np.concatenate([triangles, np.full((len(triangles), 1), -1, np.int32)], axis=1),
            "atlas": str(data["atlas"]),
            "map_size": tuple(int(n) for n in data["map_size"]),
            "uv": data["uv"].astype(np.float32),
            "jaw_deltas": data["jaw_deltas"].astype(np.float32),
            "seal_fields": data["seal_fields"].astype(np.float32),
            "neutral_shares": data["neutral_shares"].astype(np.float32),
        }
        numbers = ("moving", "texels", "jaw_vertices", "seal_vertices", "neutral_corners")
        data |= {k: data[k].astype(np.int64) for k in numbers}
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in data.items() if k in known}, fingerprint=digest.hexdigest()[:16])

    @property
    def triangles(self) -> np.ndarray:
        """(F, 3) int32."""
        return self.faces[:, :3]

    def neutral_map(self, neutral: np.ndarray | None) -> np.ndarray:
        """Difference of a neutral from the mean identity as a map (1, 3, H, W), cm in ICT axes; zeros for None.

        Args:
            neutral: (V, 3) metres, REP-103 axes, this rig's topology.

        Raises:
            InputError: if the shape does not fit or values are not finite.
        """
        if neutral is None:
            return np.zeros((1, 3, *self.map_size), np.float32)
        neutral = np.asarray(neutral, np.float32)
        if neutral.shape != self.neutral.shape:
            raise InputError(f"expected a neutral of {self.neutral.shape} vertices of this rig, got {neutral.shape}")
        if not np.isfinite(neutral).all():
            raise InputError("the neutral holds NaN or infinity: give metres of a whole mesh")
        return self._raster((neutral - self.neutral)[None])

    def offset_maps(self, vertices: np.ndarray, neutral: np.ndarray | None) -> np.ndarray:
        """Expressions as the maps that E_geo reads: (T, 3, H, W), cm in ICT axes.

        Args:
            vertices: (T, V, 3) metres, heads at rest in this rig's topology.
            neutral: (V, 3), whose faces they are; None is the mean identity.

        Raises:
            InputError: if a shape does not fit or values are not finite.
        """
        rest = self.neutral if neutral is None else np.asarray(neutral, np.float32)
        vertices = np.asarray(vertices, np.float32)
        if vertices.ndim != 3 or vertices.shape[1:] != self.neutral.shape or rest.shape != self.neutral.shape:
            raise InputError(f"expected vertices (T, {len(self.neutral)}, 3) of this rig, got {vertices.shape}")
        if not (np.isfinite(vertices).all() and np.isfinite(rest).all()):
            raise InputError("the vertices hold NaN or infinity: give metres of whole meshes")
        return self._raster(vertices - rest)

    def _raster(self, moved: np.ndarray) -> np.ndarray:
        """Maps (T, 3, H, W), cm in ICT axes, of how vertices moved (T, V, 3), metres."""
        out = np.zeros((len(moved), len(self.neutral_corners), 3), np.float32)
        for corner, share in zip(self.neutral_corners.T, self.neutral_shares.T, strict=True):
            out += moved[:, corner] * share[:, None]
        maps = (out[:, :, [1, 2, 0]] / _CM).transpose(0, 2, 1)
        return np.ascontiguousarray(maps).reshape(len(moved), 3, *self.map_size)

    def pose(
        self, offsets: np.ndarray, weights: np.ndarray, neutral: np.ndarray | None = None, jaw_gain: float = 1.0
    ) -> np.ndarray:
        """Vertices (T, V, 3) f32 metres from offset maps (T, 3, H, W) in ICT cm and weights (T, 52).

        ``jaw_gain``: how far this person's jaw goes, relative to the mean identity's; gums and teeth follow it.
        """
        rest = self.neutral if neutral is None else np.asarray(neutral, np.float32)
        frames = len(offsets)
        # vertex by vertex with all frames side by side: what is read and added then lies together in memory
        out = np.repeat(rest[:, None], frames, axis=1)
        rows = np.ascontiguousarray(offsets.reshape(frames, 3, -1)[:, _TO_ROS].transpose(2, 0, 1) * _CM)
        moved = np.zeros((len(self.moving), frames, 3), np.float32)
        read = np.empty_like(moved)
        for texels, shares in zip(self.texels.T, self.texel_shares.T, strict=True):
            np.take(rows, texels, axis=0, out=read, mode="clip")
            read *= shares[:, None, None]
            moved += read
        out[self.moving] += moved
        gap = out[self.landmarks[_UPPER_LIP], :, 2] - out[self.landmarks[_LOWER_LIP], :, 2]
        at_rest = rest[self.landmarks[_UPPER_LIP], 2] - rest[self.landmarks[_LOWER_LIP], 2]
        # lips that lie one before the other at rest may stay so
        overlap = np.maximum(np.minimum(at_rest, 0.0)[:, None] - gap, 0.0)
        out[self.seal_vertices, :, 2] += self.seal_fields.T @ overlap
        jaw_weights = jaw_gain * weights[:, indices(self.jaw_shapes)]
        jaw = np.einsum("ts,svc->vtc", jaw_weights, self.jaw_deltas, optimize=True)
        out[self.jaw_vertices] += jaw
        out = np.ascontiguousarray(out.transpose(1, 0, 2))
        for side, centre in zip(("left", "right"), self.eye_centres, strict=True):
            first, last = self.parts[f"eye_{side}"]
            middle = eye_middle(rest[first:last], self.neutral[first:last], centre)
            out[:, first:last] = rotate_eyes(rest[first:last], middle, weights, side)
        return out
