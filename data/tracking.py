"""Facial landmarks of a video, frame by frame, with MediaPipe's FaceLandmarker (a teacher for labels, not shipped).

Every frame is detected on its own (image mode): the landmarker's video mode filters over time, which flattens fast lip
movement and delays it by half a frame; :mod:`media2face.data.fit` smooths instead, without delay.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import ConfigError, InputError

LANDMARKS = 478
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
    """

    times: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray
    matrices: np.ndarray
    found: np.ndarray
    change: np.ndarray

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return float(self.times[-1] - self.times[0] + np.median(np.diff(self.times)))

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` in one step."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        with open(part, "wb") as file:
            np.savez(file, **vars(self))
        os.replace(part, path)

    @classmethod
    def load(cls, path: str | Path) -> FaceTrack:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(**{k: archive[k] for k in archive.files})


class VideoTracker:
    """Tracks the one face of a video; use as a context manager.

    Args:
        model: path of ``face_landmarker.task``.

    Raises:
        ConfigError: if the model file or the packages ``mediapipe`` and ``av`` are missing.
    """

    def __init__(self, model: str | Path) -> None:
        if not Path(model).is_file():
            raise ConfigError(f"no landmark model at {model}; MediaPipe publishes it as face_landmarker.task")
        try:
            import av  # noqa: F401
            import mediapipe as mp
        except ImportError as error:
            raise ConfigError(f"tracking video needs the [train] extra (mediapipe, av): {error}") from error
        tasks = mp.tasks
        self._image = mp.Image
        self._format = mp.ImageFormat.SRGB
        self._landmarker = tasks.vision.FaceLandmarker.create_from_options(
            tasks.vision.FaceLandmarkerOptions(
                base_options=tasks.BaseOptions(model_asset_path=str(model)),
                running_mode=tasks.vision.RunningMode.IMAGE,
                output_face_blendshapes=True,
                output_facial_transformation_matrixes=True,
            )
        )

    def __enter__(self) -> VideoTracker:
        return self

    def __exit__(self, *exc: object) -> None:
        self._landmarker.close()

    def track(self, path: str | Path) -> FaceTrack:
        """Landmarks of every frame of the video at ``path``.

        Raises:
            InputError: if the video cannot be read or more than a tenth of its frames show no face.
        """
        import av

        times, points, scores, matrices, change = [], [], [], [], []
        before = None
        try:
            with av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    pixels = np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
                    result = self._landmarker.detect(self._image(image_format=self._format, data=pixels))
                    times.append(float(frame.time))
                    before = pixels if before is None else before
                    change.append(np.abs(pixels.astype(np.int16) - before).mean())
                    before = pixels
                    if not result.face_landmarks:
                        points.append(None)
                        continue
                    scale = np.array([frame.width, frame.height, frame.width], np.float32)
                    face = result.face_landmarks[0]
                    points.append(np.array([(p.x, p.y, p.z) for p in face], np.float32) * scale)
                    scores.append(_arkit_scores(result.face_blendshapes[0]))
                    matrices.append(np.asarray(result.facial_transformation_matrixes[0], np.float32))
        except (av.error.FFmpegError, IndexError) as error:
            raise InputError(f"{path} is not a readable video: {error}") from error
        found = np.array([p is not None for p in points], bool)
        if not len(found) or found.mean() < 1 - MAX_LOST:
            raise InputError(f"{path}: a face in {int(found.sum())} of {len(found)} frames; it must be seen throughout")
        seen = np.flatnonzero(found)
        nearest = np.abs(np.arange(len(found))[:, None] - seen).argmin(1)
        rows = np.stack([p for p in points if p is not None])
        return FaceTrack(
            times=np.array(times),
            landmarks=rows[nearest],
            scores=np.stack(scores)[nearest],
            matrices=np.stack(matrices)[nearest],
            found=found,
            change=np.array(change, np.float32),
        )


def _arkit_scores(categories: list) -> np.ndarray:
    """The landmarker's named scores as float32 (52,) in ARKit order."""
    out = np.zeros(len(ARKIT_NAMES), np.float32)
    for category in categories:
        index = ARKIT_INDEX.get(category.category_name)
        if index is not None:
            out[index] = category.score
    return np.clip(out, 0, 1)
