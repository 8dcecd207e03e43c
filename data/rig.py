"""The ICT face model as a linear rig over the 52 ARKit shapes: training, tracking, rendering and lip measures use it.

ICT-FaceKit (USC-ICT, MIT licence) has 51 of ARKit's shapes as ``_L``/``_R`` deltas; three things differ here:

* ``browInnerUp`` and ``cheekPuff`` drive both ICT halves, so their delta is the sum of the two;
* ``tongueOut`` does not exist in ICT: it is a delta of our own on the tongue's vertices (:func:`tongue_out_delta`);
* ICT's ``eyeLook*`` move the lids only: :meth:`ICTRig.vertices` also turns the eyeballs about their centres.

Units and axes: ICT's own, centimetres, x to the face's left (``_L`` is at +x), y up, z forward. :func:`to_ros` gives
REP-103 metres: ROS (x, y, z) = ICT (z, x, y) x 0.01.

Lip landmarks: :attr:`ICTRig.landmarks` holds the vertex of each of the 68 Multi-PIE points. The mouth's gap is the mean
vertical distance of the three central inner-lip pairs 61-67, 62-66, 63-65 (upper minus lower, about 0.8 mm at rest),
its width the distance of the corners 48-54. Both are read on the mean identity, so that they compare between clips.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..runtime.arkit import ARKIT_NAMES
from ..runtime.errors import InputError
from ..runtime.eyes import rotate_eyes

PARTS: dict[str, tuple[int, int]] = {
    "face": (0, 9409), "narrow_face": (0, 6706), "head_neck": (9409, 11248), "mouth_socket": (11248, 13294),
    "eye_sockets": (13294, 14062), "gums_tongue": (14062, 17039), "teeth": (17039, 21451), "eyeballs": (21451, 24591),
    "eye_left": (21451, 23021), "eye_right": (23021, 24591), "lacrimal_fluid": (24591, 24999),
    "eye_blend": (24999, 25047), "eye_occlusion": (25047, 25351), "lashes": (25351, 26719),
}  # fmt: skip
"""Vertex ranges [first, last) of the parts; ``narrow_face`` lies within ``face``, the eyes within ``eyeballs``."""

NECK_PIVOT_ICT = np.array([0.0, -5.0, -1.5], np.float32)
"""Pivot of the head's rotation, ICT cm: on the cervical spine, under the ear canals."""
NECK_PIVOT = np.array([-0.015, 0.0, -0.05], np.float32)
"""The same point in metres, REP-103 axes."""

INNER_LIP_PAIRS = ((61, 67), (62, 66), (63, 65))
"""Upper and lower 68-landmarks whose mean vertical distance is the mouth's gap."""
MOUTH_CORNERS = (48, 54)

_TONGUE_TIP = 16761
_KEYS = ("neutral", "identity", "expression", "expression_names", "uv", "faces", "uv_faces", "face_material",
         "material_names")  # fmt: skip
_UNUSED = ("cheekRaiser_L", "cheekRaiser_R", "PupilDilate_L", "PupilDilate_R")
_MISSING = "get ICT-FaceKit (github.com/ICT-VGL/ICT-FaceKit) as the data README describes, or pass the right folder"


def to_ros(points: np.ndarray) -> np.ndarray:
    """ICT centimetres (..., 3) to metres in REP-103 axes (x forward, y left, z up)."""
    return points[..., [2, 0, 1]] * np.float32(0.01)


def from_ros(points: np.ndarray) -> np.ndarray:
    """Inverse of :func:`to_ros`."""
    return points[..., [1, 2, 0]] * np.float32(100.0)


def eye_centre(eyeball: np.ndarray) -> np.ndarray:
    """Centre (3,) cm of the sphere through the back of an eyeball (1570, 3), sclera (770) first."""
    sclera = eyeball[:770]
    back = sclera[sclera[:, 2] < np.median(sclera[:, 2])]
    unknown = np.concatenate([2 * back, np.ones((len(back), 1))], axis=1)
    return np.linalg.lstsq(unknown, (back**2).sum(axis=1), rcond=None)[0][:3].astype(np.float32)


def uv_islands(faces: np.ndarray, uv_faces: np.ndarray, uv_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Connected pieces of the UV layout.

    Returns:
        island number of each UV point (uv_count,), and the vertex of each UV point (uv_count,), -1 where unused.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    used = uv_faces >= 0
    vertex = np.full(uv_count, -1, np.int64)
    vertex[uv_faces[used]] = faces[used]
    following = np.roll(uv_faces, -1, axis=1)
    triangle = uv_faces[:, 3] < 0
    following[triangle, 2] = uv_faces[triangle, 0]
    edges = np.stack([uv_faces[used], following[used]], axis=1)
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(uv_count, uv_count))
    return connected_components(graph, directed=False)[1], vertex


def tongue_out_delta(neutral: np.ndarray, island: np.ndarray, vertex: np.ndarray) -> np.ndarray:
    """Own delta for ``tongueOut`` (V, 3) cm: the tongue slides 3.4 cm forward over the lower teeth and flattens.

    Only the UV island that holds the tongue's tip moves; the motion fades out towards the island's border (where the
    tongue grows from the floor of the mouth) and towards the root, so nothing tears.
    """
    from scipy.spatial import cKDTree

    tip_island = island[np.flatnonzero(vertex == _TONGUE_TIP)[0]]
    inside = np.unique(vertex[(island == tip_island) & (vertex >= 0)])
    outside = np.unique(vertex[(island != tip_island) & (vertex >= 0)])
    border = np.intersect1d(inside, outside)
    points = neutral[inside]
    rooted = np.clip(cKDTree(neutral[border]).query(points)[0] / 1.2, 0.0, 1.0)
    along = np.clip((points[:, 2] - 4.5) / (9.75 - 4.5), 0.0, 1.0)
    amount = rooted**2 * (3 - 2 * rooted) * along**1.3
    delta = np.zeros_like(neutral)
    delta[inside, 0] = -0.15 * points[:, 0] * amount
    delta[inside, 1] = amount * (0.75 - 0.35 * along**4 - 0.35 * (points[:, 1] + 4.0))
    delta[inside, 2] = 3.4 * amount
    return delta.astype(np.float32)


@dataclass
class ICTRig:
    """The rig; see the module's text for units, axes and what is our own.

    Attributes:
        neutral: (26719, 3) f32, mean identity at rest, cm.
        deltas: (52, 26719, 3) f32, cm at weight 1, order of ``names``.
        identity: (100, 26719, 3) f16, cm per unit of an N(0, 1) coefficient.
        faces: (26384, 4) int32 vertices of each face, -1 in the fourth place for triangles.
        uv: (28911, 2) f32; ``uv_faces`` (26384, 4) int32 into it.
        face_material: (26384,) int8 into ``material_names``.
        landmarks: (68,) int64 vertices of the Multi-PIE points.
        rigid: vertices that expressions do not move, for aligning heads.
        fitting: vertices that ICT uses for fitting scans.
    """

    neutral: np.ndarray
    deltas: np.ndarray
    identity: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    face_material: np.ndarray
    material_names: tuple[str, ...]
    landmarks: np.ndarray
    rigid: np.ndarray
    fitting: np.ndarray
    names: tuple[str, ...] = ARKIT_NAMES

    @classmethod
    def load(cls, folder: str | Path = "../shared/data") -> ICTRig:
        """Read ``ict_face.npz`` and ``ict_vertex_indices.json``, or another rig of the same form and topology.

        Args:
            folder: where both files lie; or the path of an ``.npz`` of one's own (same keys, the light ICT topology;
                shapes named as in ICT or in ARKit, ``tongueOut`` optional) with the JSON file beside it.

        Raises:
            FileNotFoundError: saying which file is missing and where it comes from.
            InputError: if the rig lacks arrays or shapes, names unknown ones, or has another topology.
        """
        folder, name = Path(folder), "ict_face.npz"
        if folder.suffix == ".npz":
            folder, name = folder.parent, folder.name
        for wanted in (name, "ict_vertex_indices.json"):
            if not (folder / wanted).is_file():
                raise FileNotFoundError(f"expected {wanted} in {folder.resolve()}, found none: {_MISSING}")
        try:
            with np.load(folder / name, allow_pickle=False) as file:
                data = {k: file[k] for k in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{folder / name} is not a readable rig: {error}") from error
        _check(data, folder / name)
        points = json.loads((folder / "ict_vertex_indices.json").read_text())
        ict = {str(n): d.astype(np.float32) for n, d in zip(data["expression_names"], data["expression"], strict=True)}
        island, vertex = uv_islands(data["faces"], data["uv_faces"], len(data["uv"]))
        if "tongueOut" not in ict:
            ict["tongueOut"] = tongue_out_delta(data["neutral"], island, vertex)
        return cls(
            neutral=data["neutral"],
            deltas=np.stack([_arkit_delta(ict, name) for name in ARKIT_NAMES]),
            identity=data["identity"],
            faces=data["faces"],
            uv=data["uv"],
            uv_faces=data["uv_faces"],
            face_material=data["face_material"],
            material_names=tuple(str(n) for n in data["material_names"]),
            landmarks=np.array(points["idx_to_landmark_verts"], np.int64),
            rigid=np.array(points["idx_to_rigid_verts"], np.int64),
            fitting=np.array(points["idx_to_fitting_verts"], np.int64),
        )

    def rest(self, identity: np.ndarray | None = None, subset: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Neutral vertices (V, 3) cm of an identity given as coefficients (100,); the mean identity if None."""
        pick = slice(None) if subset is None else np.asarray(subset, np.int64)
        rest = self.neutral[pick]
        if identity is None:
            return rest
        identity = np.asarray(identity, np.float32)
        if identity.shape != (len(self.identity),):
            raise InputError(f"expected identity coefficients ({len(self.identity)},), got {identity.shape}")
        return rest + np.einsum("k,kvc->vc", identity, self.identity[:, pick].astype(np.float32))

    def vertices(
        self,
        weights: np.ndarray,
        identity: np.ndarray | None = None,
        subset: Sequence[int] | np.ndarray | None = None,
    ) -> np.ndarray:
        """Vertices (T, V, 3) cm for weights (T, 52) in ARKit order.

        Args:
            weights: (T, 52), usually within [0, 1].
            identity: (100,) coefficients; None is the mean identity.
            subset: vertex numbers to compute, e.g. ``rig.landmarks``; None is all 26,719.

        Raises:
            InputError: if a shape does not fit.
        """
        weights = np.asarray(weights, np.float32)
        if weights.ndim != 2 or weights.shape[1] != len(self.names):
            raise InputError(f"expected weights (T, {len(self.names)}) in ARKit order, got {weights.shape}")
        pick = np.arange(len(self.neutral)) if subset is None else np.asarray(subset, np.int64)
        deltas = self.deltas if subset is None else self.deltas[:, pick]
        flat = weights @ deltas.reshape(len(deltas), -1)
        out = self.rest(identity, subset) + flat.reshape(len(weights), len(pick), 3)
        for side in ("left", "right"):
            first, last = PARTS[f"eye_{side}"]
            ball = (pick >= first) & (pick < last)
            if ball.any():
                centre = eye_centre(self.rest(identity, np.arange(first, last)))
                out[:, ball] = from_ros(rotate_eyes(to_ros(out[:, ball]), to_ros(centre), weights, side))
        return out

    def gap_mm(self, weights: np.ndarray) -> np.ndarray:
        """Inner-lip gap (T,) in mm of the mean identity; under rest + 0.5 mm counts as closed."""
        lips = self.vertices(weights, subset=self.landmarks[[i for pair in INNER_LIP_PAIRS for i in pair]])
        return 10.0 * (lips[:, 0::2, 1] - lips[:, 1::2, 1]).mean(axis=1)


def _arkit_delta(ict: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name in ict:
        return ict[name]
    if name in ("browInnerUp", "cheekPuff"):
        return ict[name + "_L"] + ict[name + "_R"]
    return ict[_ict_name(name)]


def _ict_name(name: str) -> str:
    return name[:-4] + "_L" if name.endswith("Left") else name[:-5] + "_R" if name.endswith("Right") else name


def _check(data: dict[str, np.ndarray], path: Path) -> None:
    """Raise InputError, saying what is wrong, if ``data`` is no rig of ICT's form and topology."""
    if missing := [k for k in _KEYS if k not in data]:
        raise InputError(f"{path} lacks the arrays {missing}: {_MISSING}")
    count = PARTS["lashes"][1]
    shapes = {"neutral": (count, 3), "identity": (None, count, 3), "expression": (None, count, 3),
              "faces": (None, 4), "uv_faces": (len(data["faces"]), 4), "uv": (None, 2)}  # fmt: skip
    for key, wanted in shapes.items():
        shape = data[key].shape
        fits = len(shape) == len(wanted) and all(w in (None, s) for w, s in zip(wanted, shape, strict=True))
        if not fits:
            text = " x ".join("any" if w is None else str(w) for w in wanted)
            raise InputError(f"{path} has another topology: expected {key} of {text} (light ICT model), got {shape}")
        if data[key].dtype.kind == "f" and not np.isfinite(data[key]).all():
            raise InputError(f"{path} holds NaN or infinity in {key}")
    for key, limit in (("faces", count), ("uv_faces", len(data["uv"]))):
        if data[key].max() >= limit or data[key].min() < -1:
            raise InputError(f"{path} names numbers outside 0 to {limit - 1} in {key}")
    names = [str(n) for n in data["expression_names"]]
    if len(names) != len(data["expression"]):
        raise InputError(f"{path} has {len(data['expression'])} expressions and {len(names)} names")
    halves = {n + side for n in ("browInnerUp", "cheekPuff") for side in ("_L", "_R")}
    known = {*ARKIT_NAMES, *map(_ict_name, ARKIT_NAMES), *halves, *_UNUSED}
    if unknown := sorted(set(names) - known):
        raise InputError(f"{path} names unknown shapes {unknown}: use ARKit's 52 names, or ICT's with _L and _R")
    lacking = [n for n in ARKIT_NAMES if n != "tongueOut" and not {n, _ict_name(n)} & set(names)
               and not {n + "_L", n + "_R"} <= set(names)]  # fmt: skip
    if lacking:
        raise InputError(f"{path} lacks the shapes {lacking}: a rig needs ARKit's 52 (tongueOut may be left out)")
