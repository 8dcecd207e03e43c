"""Faces in pictures: where one is, how the head lies, and which expression it shows.

Three networks run in ONNX Runtime: ``vision_locator`` looks for faces in the whole picture, ``vision_pose`` (E_pose)
finds the head's rotation and the face's exact place in a square around it, ``vision_expression`` (E_exp) reads the
latent expression from the square so placed (Media2Face, section 3.2). Once a face is found, E_pose alone follows it
from picture to picture.

Frames: the camera looks along -x at a head that faces it along +x, y to the face's left (right in the picture), z up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .arkit import MIRRORED
from .decoder import FaceDecoder
from .errors import ConfigError, InputError
from .face_crop import SIDE_M, cut
from .face_locator import squares
from .one_euro import OneEuro
from .pictures import check_picture
from .rotation import matrices_from_quaternions, quaternions_from_rotvecs, rotvec_from_matrix
from .sessions import load_model, require

FIRST_LOOKS = 5
"""Looks at a square that the locator proposes, at the most."""
SEES_ROLL = 0.06
"""Radians of lean above which the square is turned with the head."""


@dataclass(frozen=True)
class TrackerConfig:
    """Settings of a :class:`FaceTracker`.

    Attributes:
        confidence: a face below it is not there (turned away, hidden, too dark).
        field_of_view: of the camera across the picture, degrees: places the head in metres.
        smoothing: 1 is the default filter, 0 none, larger is smoother and later.
        look_every: pictures between looks for other faces while one is followed.
    """

    confidence: float = 0.5
    field_of_view: float = 60.0
    smoothing: float = 1.0
    look_every: int = 15

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ConfigError(f"expected a confidence between 0 and 1, got {self.confidence}")
        if not 5 <= self.field_of_view <= 160:
            raise ConfigError(f"expected a field of view of 5 to 160 degrees, got {self.field_of_view}")
        if not 0 <= self.smoothing <= 10:
            raise ConfigError(f"expected smoothing of 0 to 10, got {self.smoothing}")
        if self.look_every < 1:
            raise ConfigError(f"expected look_every >= 1, got {self.look_every}")


@dataclass(frozen=True)
class TrackedFace:
    """One face in one picture.

    Attributes:
        z: (64,) latent expression. weights: (52,) in [0, 1], ARKit order.
        rotation: (4,) quaternion xyzw of the head against facing the camera. translation: (3,) m, the neck pivot's
            offset from where it was when the tracker first saw the face.
        confidence: 0 to 1, that a face is seen well enough.
        centre, side: pixels, the square that was read. faces: seen at the last look over the whole picture.
    """

    z: np.ndarray
    weights: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    confidence: float
    centre: np.ndarray
    side: float
    faces: int


@dataclass
class _Place:
    """Where E_pose puts the face: square, its turn (radians), rotation seen in the upright picture."""

    centre: np.ndarray
    side: float
    roll: float
    rotation: np.ndarray
    confidence: float


class FaceTracker:
    """Follows one face; the largest and most central one where there are several.

    Args:
        weights_dir: folder of the weights; None is the shipped one.
        providers: see ``runtime.sessions.load_model``.
        config: settings.
        decoder: shared with others; made if None.

    ``counts`` says what happened: ``pictures``, ``no face``, ``several faces``, ``face lost``.

    Raises:
        ModelError: if a file is missing, wrong, or of another latent space than the decoder's.
    """

    def __init__(
        self,
        weights_dir: str | Path | None = None,
        providers: str | Sequence[str] | None = None,
        config: TrackerConfig | None = None,
        decoder: FaceDecoder | None = None,
        threads: int = 1,
    ) -> None:
        self.config = config or TrackerConfig()
        self.decoder = decoder or FaceDecoder(weights_dir, providers)
        self._locator, self._pose, self._expression = (
            load_model(f"vision_{name}", weights_dir, providers, threads) for name in ("locator", "pose", "expression")
        )
        require(self._expression, "gnpfa_to_weights", self.decoder.fingerprint)
        self._pose_size, self._size = int(self._pose.meta["size"]), int(self._expression.meta["size"])
        self._middle = np.array(self._pose.meta["face_middle"])
        self._pivot = np.array(self._pose.meta["neck_pivot"])
        self.counts: Counter[str] = Counter()
        smooth = self.config.smoothing
        self._filters = {
            "z": OneEuro(5.0 / max(smooth, 1e-3), 1.5 / max(smooth, 1e-3), together=True),
            "rotation": OneEuro(2.5 / max(smooth, 1e-3), 3.0 / max(smooth, 1e-3), together=True),
            "translation": OneEuro(1.5 / max(smooth, 1e-3), 30.0 / max(smooth, 1e-3), together=True),
        }
        self.reset()

    @property
    def provider(self) -> str:
        """What runs the networks."""
        return self._expression.provider

    def reset(self) -> None:
        """Forget the face, and where it was first seen."""
        self._origin: np.ndarray | None = None
        self._lose()
        self._faces = 0

    def track(self, image: np.ndarray, time: float) -> TrackedFace | None:
        """The face in the next picture of a camera, or None where none is seen well enough.

        Args:
            image: (H, W, 3) uint8 RGB.
            time: seconds on any clock that goes on.

        Raises:
            InputError: if the picture has another form or size.
        """
        image = check_picture(image)
        self.counts["pictures"] += 1
        if self._last is not None and not 0 <= time - self._time < 2.0:
            self._lose()
        found = self._follow(image) if self._last is not None else None
        if found is None:
            if self._last is not None:
                self.counts["face lost"] += 1
                self._lose()
            found = self._find(image)
        elif self.counts["pictures"] % self.config.look_every == 0:
            self._faces = max(1, len(squares(self._locator, image)))
        if found is None:
            self.counts["no face"] += 1
            return None
        if self._faces > 1:
            self.counts["several faces"] += 1
        self._last, self._time = found, time
        position = self._position(found, image)
        if self._origin is None:
            self._origin = position
        return self._face(image, found, position - self._origin, time)

    def read(self, image: np.ndarray) -> TrackedFace | None:
        """The face in a single picture, unsmoothed, or None; what is being followed is left alone.

        The translation is the neck pivot's place with the camera at the origin.

        Raises:
            InputError: if the picture has another form or size.
        """
        image = check_picture(image)
        proposals = squares(self._locator, image)
        found = self._place(image, proposals)
        if found is None:
            return None
        rotvec = rotvec_from_matrix(self._towards(found, image) @ found.rotation)
        return self._made(self._latent(image, found), rotvec, self._position(found, image), found, len(proposals))

    def keyframe(self, image: np.ndarray) -> np.ndarray:
        """Weights (52,) of the face in a single picture, as :meth:`read`.

        Raises:
            InputError: no usable picture, or no face in it.
        """
        face = self.read(image)
        if face is None:
            raise InputError("found no face in the picture: it must be seen from the front, a tenth of it or larger")
        return face.weights

    def _face(self, image: np.ndarray, place: _Place, translation: np.ndarray, time: float) -> TrackedFace:
        z = self._latent(image, place)
        rotvec = rotvec_from_matrix(self._towards(place, image) @ place.rotation)
        if self.config.smoothing > 0:
            z = self._filters["z"](z, time)
            rotvec = self._filters["rotation"](rotvec, time)
            translation = self._filters["translation"](translation, time)
        return self._made(z, rotvec, translation, place, self._faces)

    def _made(
        self, z: np.ndarray, rotvec: np.ndarray, translation: np.ndarray, place: _Place, faces: int
    ) -> TrackedFace:
        z = np.asarray(z, np.float32)
        return TrackedFace(
            z, self.decoder.weights(z[None])[0], quaternions_from_rotvecs(rotvec[None])[0],
            np.asarray(translation, np.float32), place.confidence, place.centre, place.side, faces,
        )  # fmt: skip

    def _latent(self, image: np.ndarray, place: _Place) -> np.ndarray:
        """E_exp on the square and on its mirror image; the mean of both faces, as M and M' know it."""
        crop = cut(image, place.centre, place.side, self._size, place.roll)
        seen, mirrored = self.decoder.weights(self._expression.run({"image": _with_mirror(crop)})["latent"])
        return self.decoder.latents(0.5 * (seen + mirrored[list(MIRRORED)])[None])[0]

    def _follow(self, image: np.ndarray) -> _Place | None:
        """The face near where it was."""
        last = self._last
        found = self._look(image, last.centre, last.side, last.roll)
        if found is not None and np.linalg.norm(found.centre - last.centre) > 0.12 * last.side:
            found = self._look(image, found.centre, found.side, found.roll)
        return found

    def _find(self, image: np.ndarray) -> _Place | None:
        proposals = squares(self._locator, image)
        self._faces = len(proposals)
        return self._place(image, proposals)

    def _place(self, image: np.ndarray, proposals: list[tuple[np.ndarray, float]]) -> _Place | None:
        """The first proposal that E_pose agrees with, looked at up to five times, each time better placed.

        To be found takes more than to be followed: two looks in a row, the third or a later one, must be sure. The back
        of a head is taken for a face at one look, not at two; a face that the locator placed badly only after a few.
        """
        sure = 0.9 + 0.1 * self.config.confidence
        for centre, side in proposals[:3]:
            found = _Place(centre, side, 0.0, np.eye(3), 0.0)
            for look in range(FIRST_LOOKS):
                before = found.confidence
                found = self._look(image, found.centre, found.side, found.roll, least=0.0)
                if found is None:
                    break
                if look >= 2 and min(before, found.confidence) >= sure:
                    return found
        return None

    def _look(
        self, image: np.ndarray, centre: np.ndarray, side: float, roll: float, least: float | None = None
    ) -> _Place | None:
        """E_pose on one square and its mirror image; the mean of both."""
        height, width = image.shape[:2]
        if not 8 <= side <= 3 * max(width, height) or not (-0.3 * width < centre[0] < 1.3 * width
                                                           and -0.3 * height < centre[1] < 1.3 * height):  # fmt: skip
            return None
        made = self._pose.run({"image": _with_mirror(cut(image, centre, side, self._pose_size, roll))})
        confidence = float(made["face"].mean())
        if not confidence >= (self.config.confidence if least is None else least):
            return None
        right, down, grown = (made["place"].astype(np.float64) * [[1, 1, 1], [-1, 1, 1]]).mean(axis=0)
        cosine, sine = np.cos(roll), np.sin(roll)
        shift = side * np.array([cosine * right - sine * down, sine * right + cosine * down])
        left = np.diag([1.0, -1.0, 1.0])
        rotation = _about_x(-roll) @ _nearest_rotation(made["rotation"][0] + left @ made["rotation"][1] @ left)
        lean = -np.arctan2(rotation[2, 1] - rotation[1, 2], rotation[1, 1] + rotation[2, 2])
        return _Place(
            centre + shift, side * float(np.exp(np.clip(grown, -0.5, 0.5))), lean if abs(lean) > SEES_ROLL else 0.0,
            rotation, confidence,
        )  # fmt: skip

    def _position(self, place: _Place, image: np.ndarray) -> np.ndarray:
        """The neck pivot (3,) in metres, camera at the origin."""
        height, width = image.shape[:2]
        focal = 0.5 * width / np.tan(np.radians(self.config.field_of_view) / 2)
        away = focal * SIDE_M / place.side
        right, down = (place.centre - (np.array([width, height]) - 1) / 2) * away / focal
        turned = self._towards(place, image) @ place.rotation
        return np.array([-away, right, -down]) + turned @ (self._pivot - self._middle)

    def _towards(self, place: _Place, image: np.ndarray) -> np.ndarray:
        """Rotation (3, 3) from the line of sight, along which E_pose sees a head, to the camera's axis."""
        height, width = image.shape[:2]
        focal = 0.5 * width / np.tan(np.radians(self.config.field_of_view) / 2)
        right, down = (place.centre - (np.array([width, height]) - 1) / 2) / focal
        yaw, pitch = -np.arctan(right), -np.arctan2(down, np.hypot(1.0, right))
        turns = np.array([[0, 0, np.sin(yaw / 2), np.cos(yaw / 2)], [0, np.sin(pitch / 2), 0, np.cos(pitch / 2)]])
        about_up, about_left = matrices_from_quaternions(turns)
        return about_up @ about_left

    def _lose(self) -> None:
        self._last: _Place | None = None
        self._time = 0.0
        for one in self._filters.values():
            one.reset()


def _about_x(angle: float) -> np.ndarray:
    return matrices_from_quaternions(np.array([[np.sin(angle / 2), 0, 0, np.cos(angle / 2)]]))[0]


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    u, _, v = np.linalg.svd(matrix.astype(np.float64))
    return u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v


def _with_mirror(crop: np.ndarray) -> np.ndarray:
    """(S, S, 3) -> (2, S, S, 3): the crop, and as a mirror shows it."""
    return np.stack([crop, crop[:, ::-1]])
