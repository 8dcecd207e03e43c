"""Whose face it is: rest meshes of other people in the topology of the drawn head, sampled or read from a file.

The same motion then moves another face (Media2Face, figure 6): the geometry decoder is conditioned on the neutral, and
teeth, tongue and eyes follow it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from .errors import InputError, ModelError
from .rig_asset import RigAsset
from .sessions import weights_folder

ICT_VERTICES = 26_719
EYE_RADIUS = 0.015_380_558
"""Metres, radius of the ICT mean's eyeballs, to which the drawn eyeballs belong."""
ICT_EYES = {"left": (21_451, 23_021), "right": (23_021, 24_591)}
_SCLERA = 770  # the first vertices of an ICT eyeball
_SPREAD = 2.0  # a sampled coefficient lies within as many standard deviations
_FILE_BYTES = 64 << 20
_NEAR = 0.025  # metres, rms: a face further from the mean is in another order, another unit or no face
_CENTRED = 0.03  # metres: a head further away is brought back
AXES = {"ros": [0, 1, 2], "ict": [2, 0, 1]}
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}


def eye_sphere(ball: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (3,) and radius of the sphere through the back of an ICT eyeball (1570, 3) in REP-103 axes."""
    sclera = np.asarray(ball, np.float64)[:_SCLERA]
    back = sclera[sclera[:, 0] < np.median(sclera[:, 0])]
    middle = back.mean(axis=0)  # the fit is better conditioned about the middle
    near = back - middle
    solution = np.linalg.lstsq(np.column_stack([2 * near, np.ones(len(near))]), (near**2).sum(axis=1), rcond=None)[0]
    return solution[:3] + middle, float(np.linalg.norm(back - middle - solution[:3], axis=1).mean())


def layout(rig: RigAsset) -> str:
    """Names the drawn head's rest mesh and its order of vertices."""
    return hashlib.sha256(rig.neutral.tobytes() + rig.source.tobytes()).hexdigest()[:16]


class FaceIdentities:
    """Identity modes on the drawn head.

    Attributes:
        modes: how many. shapes: (modes, n, 3) metres per unit, of the rig's vertices that have an ICT source.
        eyes: (modes, 2, 4) shift in metres and relative growth of the left and right eyeball per unit.
    """

    def __init__(self, rig: RigAsset, shapes: np.ndarray, eyes: np.ndarray) -> None:
        self._rig, self._known = rig, rig.source >= 0
        self.shapes, self.eyes, self.modes = shapes, eyes, len(shapes)

    @classmethod
    def load(cls, rig: RigAsset, weights_dir: str | Path | None = None) -> FaceIdentities:
        """Read ``face_identities.npz`` from the weights folder.

        Raises:
            ModelError: if it is missing, unreadable or made for another rig.
        """
        path = weights_folder(weights_dir) / "face_identities.npz"
        if not path.is_file():
            raise ModelError(f"expected the identities at {path}, found no file: reinstall the package")
        try:
            with np.load(path, allow_pickle=False) as file:
                made_for, step, steps, eyes = (file[k] for k in ("rig", "step", "steps", "eyes"))
        except Exception as error:  # zipfile, zlib and numpy each raise their own for a damaged file
            raise ModelError(f"{path} is not a readable file of identities ({error}): reinstall the package") from error
        if str(made_for) != layout(rig):
            raise ModelError(f"{path} was made for other vertices than those of face_rig.npz: build it again")
        shapes = steps.astype(np.int32).cumsum(axis=2).transpose(0, 2, 1) * np.float32(step)
        return cls(rig, shapes.astype(np.float32), eyes.astype(np.float32))

    def neutral(self, coefficients: np.ndarray) -> np.ndarray:
        """Rest mesh (V, 3), metres, of coefficients (modes,), each N(0, 1) over the scans behind the ICT model.

        Raises:
            InputError: if the shape does not fit or values are not finite.
        """
        c = np.asarray(coefficients, np.float32)
        if c.shape != (self.modes,) or not np.isfinite(c).all():
            raise InputError(f"expected {self.modes} finite coefficients, got {c.shape}")
        out = self._rig.neutral.copy()
        out[self._known] += np.tensordot(c, self.shapes, axes=1)
        for side, change in zip(("left", "right"), np.tensordot(c, self.eyes, axes=1), strict=True):
            _place_eye(self._rig, out, side, change[:3], 1.0 + float(change[3]))
        return out

    def sample(self, seed: int) -> np.ndarray:
        """A random person's rest mesh (V, 3), metres; the same seed gives the same face."""
        draw = np.random.default_rng(seed).standard_normal(self.modes)
        return self.neutral(np.clip(draw, -_SPREAD, _SPREAD))


def identity_of(text: str, rig: RigAsset, weights_dir: str | Path | None = None) -> np.ndarray:
    """The neutral (V, 3) that ``--identity`` names: ``sample:SEED`` or a file, see :func:`read_neutral`.

    Raises:
        InputError: if it is neither.
    """
    if text.startswith("sample:"):
        seed = text.removeprefix("sample:")
        if not (seed.isascii() and seed.isdigit() and int(seed) < 2**63):
            raise InputError(f"expected sample:SEED with a whole number of 0 or more, got {text!r}")
        return FaceIdentities.load(rig, weights_dir).sample(int(seed))
    return read_neutral(text, rig)


def read_neutral(path: str | Path, rig: RigAsset) -> np.ndarray:
    """A rest mesh of one's own, (V, 3) metres in REP-103 axes.

    Args:
        path: ``.npz`` with the array ``neutral``, or Wavefront ``.obj``. Vertices in the order of the ICT model
            (26,719) or of the drawn head (22,466). Axes and unit are told from the mean face, or said by the strings
            ``axes`` ("ros", "ict") and ``units`` ("m", "cm", "mm") in the ``.npz``.
        rig: the drawn head.

    Raises:
        InputError: saying what does not fit: no such file, other topology, NaN, a size or order that is no face.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"expected sample:SEED or a face's rest mesh (.npz, .obj), found no file {path}")
    if path.stat().st_size > _FILE_BYTES:
        raise InputError(f"{path} has {path.stat().st_size / 1e6:.0f} MB: a rest mesh has at most 64")
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".obj"):
        raise InputError(f"expected a rest mesh as .npz or .obj, got {path.name!r}")
    points, said = _read_npz(path) if suffix == ".npz" else (_read_obj(path), {})
    if points.ndim != 2 or points.shape[1] != 3 or len(points) not in (ICT_VERTICES, len(rig.neutral)):
        wanted = f"({ICT_VERTICES}, 3) of the ICT model or ({len(rig.neutral)}, 3) of the drawn head"
        raise InputError(f"{path}: expected vertices {wanted}, got {points.shape}: another topology does not fit")
    if not np.isfinite(points).all():
        raise InputError(f"{path}: vertex {int(np.argmin(np.isfinite(points).all(axis=1)))} holds NaN or infinity")
    known = rig.source >= 0
    order = rig.source[known] if len(points) == ICT_VERTICES else np.flatnonzero(known)
    metres = _in_metres(path, points, points[order], rig.neutral[known], said)
    return _from_ict(rig, metres) if len(points) == ICT_VERTICES else metres.astype(np.float32)


def _in_metres(path: Path, points: np.ndarray, same: np.ndarray, mean: np.ndarray, said: dict) -> np.ndarray:
    """All points in metres and REP-103 axes: of the axes and units allowed, those nearest to the mean face."""
    best = None
    for axes in [said["axes"]] if "axes" in said else AXES:
        for unit in [said["units"]] if "units" in said else UNITS:
            if axes not in AXES or unit not in UNITS:
                raise InputError(f"{path}: expected axes ros or ict and units m, cm or mm, got {axes!r} and {unit!r}")
            face = same[:, AXES[axes]] * UNITS[unit]
            off = face.mean(axis=0) - mean.mean(axis=0)
            distance = float(np.sqrt(((face - off - mean) ** 2).sum(axis=1).mean()))
            if best is None or distance < best[0]:
                best = distance, axes, unit, off
    distance, axes, unit, off = best
    if not distance < _NEAR:
        raise InputError(
            f"{path}: as {axes} axes in {unit} its vertices lie {1000 * distance:.0f} mm (rms) from those of the mean "
            "face: expected a face at rest, facing forward, in m, cm or mm, with the rig's order of vertices"
        )
    metres = points[:, AXES[axes]] * UNITS[unit]
    return metres - off if np.linalg.norm(off) > _CENTRED else metres


def _from_ict(rig: RigAsset, metres: np.ndarray) -> np.ndarray:
    out = rig.neutral.copy()
    known = rig.source >= 0
    out[known] = metres[rig.source[known]]
    for side, centre in zip(ICT_EYES, rig.eye_centres, strict=True):
        place, radius = eye_sphere(metres[slice(*ICT_EYES[side])])
        _place_eye(rig, out, side, place - centre, radius / EYE_RADIUS)
    return out


def _place_eye(rig: RigAsset, out: np.ndarray, side: str, shift: np.ndarray, growth: float) -> None:
    """Move and scale one eyeball of a neutral in place; growth is held to what an eye can be."""
    ball = slice(*rig.parts[f"eye_{side}"])
    centre = rig.eye_centres[("left", "right").index(side)]
    out[ball] = centre + shift + np.clip(growth, 0.7, 1.4) * (rig.neutral[ball] - centre)


def _read_npz(path: Path) -> tuple[np.ndarray, dict[str, str]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if "neutral" not in file.files:
                raise InputError(f"{path}: expected an array named 'neutral', found {', '.join(file.files) or 'none'}")
            points = file["neutral"]
            said = {k: str(file[k]) for k in ("axes", "units") if k in file.files}
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib, tokenize and numpy each raise their own for a damaged file
        raise InputError(f"{path}: expected a .npz archive with the array 'neutral' ({error})") from error
    if points.dtype.kind not in "fiu":
        raise InputError(f"{path}: expected 'neutral' as numbers, got {points.dtype}")
    return points.astype(np.float64), said


def _read_obj(path: Path) -> np.ndarray:
    rows = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.startswith("v "):
                continue
            try:
                rows.append([float(word) for word in line.split()[1:4]])
            except ValueError as error:
                raise InputError(f"{path}, line {number}: expected 'v x y z', got {line.strip()[:60]!r}") from error
            if len(rows[-1]) != 3 or len(rows) > ICT_VERTICES:
                raise InputError(f"{path}, line {number}: expected at most {ICT_VERTICES} lines 'v x y z'")
    return np.array(rows, np.float64).reshape(-1, 3)
