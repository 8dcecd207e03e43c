"""Motion tracked in GRID's held-out clips, for scores and pictures. Tracking needs the [train] extra (mediapipe)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.rig import ICTRig
from ..runtime.errors import ConfigError, InputError


@dataclass
class TrackedClip:
    """A video: fitted weights (F, 52), and lip landmarks 48 to 67 as tracked, (F, 20, 3) cm in the rig's axes."""

    path: Path
    weights: np.ndarray
    lips: np.ndarray


def tracked_clips(data: Path, count: int = 6) -> list[TrackedClip] | str:
    """The first ``count`` clips of GRID's test split, tracked and fitted anew; or why there are none."""
    from ..data.extraction.pipeline import hash_split

    videos = [p for p in sorted((data / "grid_s1").glob("*.mp4")) if hash_split(p.stem) == "test"][:count]
    if not videos:
        return f"no GRID videos in {data / 'grid_s1'}"
    try:
        from ..data.fit import Talker
        from ..data.tracking import VideoTracker

        with VideoTracker(data / "face_landmarker.task") as tracker:
            tracks = [tracker.track(v) for v in videos]
        rig = ICTRig.load(data)
        talker = Talker(rig, tracks)
    except (ConfigError, InputError, ImportError) as error:
        return str(error)
    rest = rig.neutral[rig.landmarks[48:68]]
    out = []
    for video, track in zip(videos, tracks, strict=True):
        lips = talker.head_frame(track)[0][:, :20] - talker.rest[:20] + rest
        out.append(TrackedClip(video, talker.fit(track).weights, lips))
    return out


def video_frames(path: Path, wanted: list[int]) -> list[np.ndarray]:
    """Frames (H, W, 3) uint8 of a video by number."""
    from ..data.extraction.video import Video

    return [pixels for k, (_, pixels) in enumerate(Video(path).frames(1)) if k in wanted]
