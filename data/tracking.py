"""Facial landmarks of a video, frame by frame, with MediaPipe's FaceLandmarker (a teacher for labels, not shipped).

Pictures come upright and with their times from :mod:`media2face.data.extraction.video`. Where several faces are looked
for, the largest is followed and the others are counted.

Every frame is detected on its own (image mode): the landmarker's video mode filters over time, which flattens fast lip
movement and delays it by half a frame; :mod:`media2face.data.fit` smooths instead, without delay.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from media2face.data.extraction.video import Video
from media2face.data.files import whole_file
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import ConfigError, InputError

LANDMARKS = 478
THUMBNAIL = 192
"""Longest side in pixels of the picture that :attr:`FaceTrack.change` is measured on."""
MAX_LOST = 0.1
"""Share of frames without a face above which a video cannot be used."""


@dataclass
class FaceTrack:
    """What was seen of one face in F frames.

    Attributes:
        times: (F,) float64, presentation time of each frame in seconds.
        landmarks: (F, 478, 3) float32 in pixels, x right, y down, z away from the camera in the scale of x.
        scores: (F, 52) float32 in [0, 1], the landmarker's own ARKit scores (``tongueOut`` is always 0).
        matrices: (F, 4, 4) float32, canonical face (x to its left, y up, z forward, cm) to camera space.
        found: (F,) bool; rows of frames without a face hold the nearest frame's values.
        change: (F,) float32, mean absolute difference from the frame before in grey levels (0 to 255), 0 at first.
        faces: (F,) int16, faces seen, up to as many as were looked for.
        damaged: why reading ended early, or "".
    """

    times: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray
    matrices: np.ndarray
    found: np.ndarray
    change: np.ndarray
    faces: np.ndarray | None = None
    damaged: str = ""

    def __post_init__(self) -> None:
        self.damaged = str(self.damaged)
        if self.faces is None:
            self.faces = self.found.astype(np.int16)

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return float(self.times[-1] - self.times[0] + (np.median(np.diff(self.times)) if len(self.times) > 1 else 0.0))

    def part(self, first: int, last: int) -> FaceTrack:
        """Frames ``first`` to ``last`` (not included), with their times as they are."""
        rows = slice(first, last)
        return FaceTrack(**{k: v[rows] if isinstance(v, np.ndarray) else v for k, v in vars(self).items()})

    def save(self, path: str | Path) -> None:
        """Write an ``.npz``, whole or not at all."""
        with whole_file(path) as file:
            np.savez(file, **vars(self))

    @classmethod
    def load(cls, path: str | Path) -> FaceTrack:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(**{k: archive[k] for k in archive.files})


class VideoTracker:
    """Tracks the one face of a video; use as a context manager.

    Args:
        model: path of ``face_landmarker.task``.
        faces: how many to look for; the largest is followed.

    Raises:
        ConfigError: if the model file or the packages ``mediapipe`` and ``av`` are missing.
    """

    def __init__(self, model: str | Path, faces: int = 1) -> None:
        if not Path(model).is_file():
            raise ConfigError(f"no landmark model at {model}; MediaPipe publishes it as face_landmarker.task")
        try:
            import av  # noqa: F401
            import mediapipe as mp
        except ImportError as error:
            raise ConfigError(f"tracking video needs the [data] extra (mediapipe, av): {error}") from error
        tasks = mp.tasks
        self._image = mp.Image
        self._format = mp.ImageFormat.SRGB
        self._landmarker = tasks.vision.FaceLandmarker.create_from_options(
            tasks.vision.FaceLandmarkerOptions(
                base_options=tasks.BaseOptions(model_asset_path=str(model)),
                running_mode=tasks.vision.RunningMode.IMAGE,
                num_faces=faces,
                output_face_blendshapes=True,
                output_facial_transformation_matrixes=True,
            )
        )

    def __enter__(self) -> VideoTracker:
        return self

    def __exit__(self, *exc: object) -> None:
        self._landmarker.close()

    def track(self, path: str | Path, stride: int = 1, max_lost: float = MAX_LOST) -> FaceTrack:
        """Landmarks of every ``stride``-th frame of the video at ``path``.

        Raises:
            InputError: if the video cannot be read or more than ``max_lost`` of its frames show no face.
        """
        video = Video(path)
        times, rows, scores, matrices, change, faces = [], [], [], [], [], []
        before = None
        for time, pixels in video.frames(stride):
            step = max(1, max(pixels.shape) // THUMBNAIL)
            thumbnail = pixels[::step, ::step].astype(np.int16)
            if before is not None and before.shape != thumbnail.shape:
                change.append(255.0)  # a picture of another size is another shot
            else:
                change.append(0.0 if before is None else np.abs(thumbnail - before).mean())
            before = thumbnail
            result = self._landmarker.detect(self._image(image_format=self._format, data=pixels))
            times.append(time)
            faces.append(len(result.face_landmarks))
            if not faces[-1]:
                continue
            scale = np.array([pixels.shape[1], pixels.shape[0], pixels.shape[1]], np.float32)
            seen = [np.array([(p.x, p.y, p.z) for p in face], np.float32) * scale for face in result.face_landmarks]
            largest = int(np.argmax([np.ptp(face[:, :2], axis=0).prod() for face in seen]))
            rows.append(seen[largest])
            scores.append(_arkit_scores(result.face_blendshapes[largest]))
            matrices.append(np.asarray(result.facial_transformation_matrixes[largest], np.float32))
        found = np.array(faces) > 0
        if not found.any() or found.mean() < 1 - max_lost:
            raise InputError(f"{path}: a face in {int(found.sum())} of {len(found)} frames; it must be seen throughout")
        where = np.flatnonzero(found)
        nearest = np.round(np.interp(np.arange(len(found)), where, np.arange(len(where)))).astype(int)
        return FaceTrack(
            times=np.array(times),
            landmarks=np.stack(rows)[nearest],
            scores=np.stack(scores)[nearest],
            matrices=np.stack(matrices)[nearest],
            found=found,
            change=np.array(change, np.float32),
            faces=np.array(faces, np.int16),
            damaged=video.damaged,
        )


def _arkit_scores(categories: list) -> np.ndarray:
    """The landmarker's named scores as float32 (52,) in ARKit order."""
    out = np.zeros(len(ARKIT_NAMES), np.float32)
    for category in categories:
        index = ARKIT_INDEX.get(category.category_name)
        if index is not None:
            out[index] = category.score
    return np.clip(out, 0, 1)
