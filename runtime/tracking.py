"""A video's face as a performance: what :class:`~media2face.runtime.vision.FaceTracker` sees, at 30 frames a second."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from .clock import FPS
from .errors import InputError
from .offline import Performance
from .vision import FaceTracker

MAX_SECONDS = 4 * 3600
LOST_S = 0.25  # shorter gaps are bridged


def track_frames(
    tracker: FaceTracker,
    frames: Iterable[tuple[float, np.ndarray]],
    audio: np.ndarray | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[Performance, float]:
    """Track every frame; the head's rest is where it is first seen. A face that is lost holds its last expression.

    Args:
        frames: (time in s, (H, W, 3) uint8 RGB), in order of time.
        audio: the sound, mono at 16 kHz, from time 0.
        progress: called with the time of each frame.

    Returns:
        The performance, frame k at time k / 30 s, and the share of the video's frames that show a face.

    Raises:
        InputError: no frame shows a face, or the video is too long.
    """
    tracker.reset()
    times, rows, count, end = [], [], 0, 0.0
    for time, picture in frames:
        if time > MAX_SECONDS:
            raise InputError(f"expected at most {MAX_SECONDS // 3600} h of video: cut it first")
        face = tracker.track(picture, time)
        count, end = count + 1, time
        if face is not None:
            times.append(time)
            rows.append(np.concatenate([face.z, face.weights, face.rotation, face.translation]))
        if progress:
            progress(time)
    if not rows:
        raise InputError(f"found no face in any of {count} frames: it must be seen from the front, a tenth of the "
                         "picture or larger")  # fmt: skip
    values = np.stack(rows).astype(np.float64)
    size = tracker.decoder.latent_dim
    rotation = slice(size + 52, size + 56)
    flips = np.cumprod(np.where((values[1:, rotation] * values[:-1, rotation]).sum(1) < 0, -1.0, 1.0))
    values[1:, rotation] *= flips[:, None]
    grid = np.arange(int(end * FPS + 1e-6) + 1) / FPS
    out = np.stack([np.interp(grid, times, column) for column in values.T], axis=1)
    seen = np.asarray(times)
    last = np.clip(np.searchsorted(seen, grid + 1e-9, side="right") - 1, 0, len(seen) - 1)
    following = np.minimum(last + 1, len(seen) - 1)
    lost = (seen[following] - seen[last] > LOST_S) & (grid >= seen[last]) & (grid < seen[following])
    out[lost] = values[last[lost]]
    out = out.astype(np.float32)
    turn = out[:, rotation]
    performance = Performance(
        weights=np.clip(out[:, size : size + 52], 0, 1), latents=np.ascontiguousarray(out[:, :size]),
        head_rotation=turn / np.linalg.norm(turn, axis=1, keepdims=True), head_translation=out[:, size + 56 :],
        model="face_tracker", seed=0, audio=audio,
    )  # fmt: skip
    return performance, len(rows) / count
