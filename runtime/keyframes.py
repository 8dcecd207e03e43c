"""Keyframes as people give them: ``1.5=smile.png``, ``3=pose.json``, ``4.2=other.npz@2.0``.

A picture is read by the vision encoders E_exp and E_pose, a ``.json`` or ``.csv`` holds weights by ARKit name, a
``.npz`` is a clip of ``media2face animate`` of which one moment is taken.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .arkit import ARKIT_INDEX, ARKIT_NAMES
from .clock import FPS
from .errors import InputError
from .rotation import rotvec_from_quaternion

if TYPE_CHECKING:  # ONNX Runtime is needed for pictures only
    from .decoder import FaceDecoder

PICTURES = (".png", ".jpg", ".jpeg")
_FORM = "expected TIME=FILE with a picture, .json, .csv or .npz@TIME, such as 1.5=smile.png"


@dataclass(frozen=True)
class Keyframe:
    """A face to pass through at ``time``, s.

    Attributes:
        weights: (52,) in [0, 1], ARKit order.
        rotvec, translation: (3,) of the head, rad and m; None leaves the head free.
    """

    time: float
    weights: np.ndarray
    rotvec: np.ndarray | None = None
    translation: np.ndarray | None = None

    @property
    def frame(self) -> int:
        """The frame nearest to ``time``."""
        return round(self.time * FPS)


def read_keyframe(text: str, decoder: FaceDecoder, tracker=None) -> Keyframe:
    """A keyframe from ``TIME=FILE``.

    Args:
        text: see the head of this file.
        decoder: of the latent space.
        tracker: a :class:`.vision.FaceTracker` for pictures (made if it is needed).

    Raises:
        InputError: unknown syntax, a file that is missing or holds no face.
    """
    time, sign, name = text.partition("=")
    try:
        moment = float(time)
    except ValueError:
        moment = -1.0
    if not sign or not name or not 0.0 <= moment < 1e6:
        raise InputError(f"cannot read the keyframe {text[:80]!r}: {_FORM}")
    clip = re.fullmatch(r"(.+\.npz)@(\d+(?:\.\d*)?)", name, re.IGNORECASE)
    path = Path(clip[1] if clip else name)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise InputError(f"found no file {path} for the keyframe at {moment:g} s")
    if suffix == ".npz":
        if not clip:
            raise InputError(f"which moment of {path.name}? {_FORM}")
        return _of_clip(moment, path, float(clip[2]))
    if suffix in (".json", ".csv"):
        return Keyframe(moment, _of_table(path))
    if suffix in PICTURES:
        return Keyframe(moment, _of_picture(path, decoder, tracker))
    raise InputError(f"cannot read a face from {path.name!r}: {_FORM}")


def check_keyframes(keys: Sequence[Keyframe], duration: float | None = None) -> None:
    """Refuse two keys on one frame, and keys beyond the end of the speech (s, None where it is not known).

    Raises:
        InputError: naming the moment.
    """
    frames = [k.frame for k in keys]
    twice = next((f for i, f in enumerate(frames) if f in frames[:i]), None)
    if twice is not None:
        raise InputError(f"two keyframes ask for frame {twice} ({twice / FPS:.2f} s): leave one out")
    if duration is not None:
        late = [k.time for k in keys if k.frame >= np.ceil(duration * FPS - 1e-6)]
        if late:
            raise InputError(f"a keyframe at {late[0]:g} s lies beyond the end of the speech, {duration:.2f} s")


def named_weights(names: Sequence[str], values: Sequence[float], where: str = "the keyframe") -> np.ndarray:
    """Weights (52,) from names and values; shapes that are not named are at rest.

    Raises:
        InputError: unknown names, or values that are not finite or lie outside [0, 1].
    """
    unknown = [n for n in names if n not in ARKIT_INDEX]
    if unknown:
        raise InputError(f"{where} names {unknown[0]!r}, which is no ARKit shape: expected names such as jawOpen")
    weights = np.zeros(len(ARKIT_NAMES), np.float32)
    try:
        weights[[ARKIT_INDEX[n] for n in names]] = np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} holds values that are no numbers: expected one in [0, 1] for each name") from error
    if not np.isfinite(weights).all() or weights.min() < 0.0 or weights.max() > 1.0:
        raise InputError(f"{where} holds weights outside [0, 1] (or NaN)")
    return weights


def key_latent(decoder: FaceDecoder, weights: np.ndarray, rounds: int = 4) -> np.ndarray:
    """Latent (latent_dim,) whose decoded weights are ``weights`` (52,).

    M alone is off by up to 0.01; a few Gauss-Newton steps on M', which stay close to M's answer, leave 0.001.
    """
    weights = np.clip(np.asarray(weights, np.float32), 0.0, 1.0)
    z = decoder.latents(weights[None])[0]
    scale = np.asarray(decoder.meta["z_std"], np.float32)
    best, least = z, np.inf
    for i in range(rounds + 1):
        probes = np.concatenate([z[None], z + np.diag(0.02 * scale)])
        made = decoder.weights(probes.astype(np.float32))
        off = weights - made[0]
        if np.abs(off).max() < least:
            best, least = z, float(np.abs(off).max())
        if i == rounds or least < 2e-4:
            break
        slope = (made[1:] - made[0]) / 0.02  # (latent_dim, 52), per standard deviation
        step = np.linalg.solve(slope @ slope.T + 1e-4 * np.eye(len(z)), slope @ off)
        z = (z + scale * np.clip(step, -0.5, 0.5)).astype(np.float32)
    return best


def _of_clip(moment: float, path: Path, at: float) -> Keyframe:
    try:
        with np.load(path, allow_pickle=False) as file:
            fps, names = float(file["fps"]), [str(n) for n in file["names"]]
            weights = np.asarray(file["weights"], np.float32)
            frame = round(at * fps)
            if not 0 <= frame < len(weights):
                raise InputError(f"{path.name} has no frame at {at:g} s: it lasts {len(weights) / fps:.2f} s")
            rotvec = rotvec_from_quaternion(np.asarray(file["head_rotation"][frame], np.float64))
            translation = np.asarray(file["head_translation"][frame], np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} is no clip of media2face animate ({error}): expected its .npz") from error
    face = named_weights(names, np.clip(weights[frame], 0.0, 1.0), path.name)
    return Keyframe(moment, face, np.asarray(rotvec, np.float32), translation)


def _of_table(path: Path) -> np.ndarray:
    try:
        if path.suffix.lower() == ".json":
            table = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(table, list):
                table = dict(zip(ARKIT_NAMES, table, strict=True))
        else:
            rows = [row for row in csv.reader(path.read_text(encoding="utf-8").splitlines()) if row]
            if len(rows) == 2 and len(rows[0]) > 2:  # names above values
                rows = list(zip(*rows, strict=True))
            table = {name.strip(): float(value) for name, value in rows if name.strip() in ARKIT_INDEX or value.strip()}
        if not isinstance(table, dict):
            raise ValueError("it is no table")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read weights from {path} ({error}): expected ARKit names and values in [0, 1], "
                         "or a list of all 52") from error  # fmt: skip
    return named_weights(list(table), list(table.values()), path.name)


def _of_picture(path: Path, decoder: FaceDecoder, tracker) -> np.ndarray:
    from .pictures import MAX_BYTES, decode_picture
    from .vision import FaceTracker

    with open(path, "rb") as file:
        picture = decode_picture(file.read(MAX_BYTES + 1))
    try:
        return (tracker or FaceTracker(decoder=decoder)).keyframe(picture)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error
