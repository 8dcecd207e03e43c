"""Which stretches of a tracked video become clips: the filters of MMHead 3.1, and the reason for all that is left out.

Differences from the paper: the sync score is our own (``sync.py``) in place of SyncNet; faces that are lost, small,
doubled or turned away are found from the landmarks, where the paper relied on curated sets and eyes; a change of shot
splits a video instead of spoiling it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from media2face.data.tracking import FaceTrack
from media2face.runtime.errors import ConfigError

OK, LOST, DOUBLE, SMALL, TURNED, JUMP = range(6)
REASONS = ("", "no face", "more than one face", "face too small", "face turned away", "picture jumps")


@dataclass(frozen=True)
class Filters:
    """Thresholds; what is on the wrong side of one is listed as rejected.

    Attributes:
        min_fps: frames per second below which lips cannot be followed.
        max_gap_s: longest time between two frames; a longer one splits the video.
        min_seconds, max_seconds: length of a clip; longer stretches are cut where it is quietest.
        max_video_seconds: a longer file is refused (its landmarks are held in memory).
        max_bad_s: bad stretches (lost, doubled, small, turned) up to this long are bridged, longer ones split.
        max_bridged: share of a clip's frames that may be bridged.
        min_eye_px: distance between the outer corners of the eyes, pixels.
        max_turn_deg: angle between face and camera.
        cut_change, cut_ratio: a change of shot differs by more than ``cut_change`` grey levels from the frame before,
            and by more than ``cut_ratio`` times the median of the ten frames around.
        max_spike: a single frame that differs by this many grey levels more than its neighbours do (and by
            ``spike_ratio`` times the median) is a decoder's recovery, or a splice: the ``spike_s`` seconds before it
            cannot be trusted.
        max_jump: or the face's centre jumps by more than this share of the eye distance within a frame of 1/30 s.
        max_misfit_mm: 95th percentile of the rigid face's misfit; max_residual_mm: median misfit of the fitted lips.
        min_sync: least agreement of sound and mouth (``sync.py``); max_offset_s: largest lag at which it is best.
        min_speech: share of frames with speech above which the sync filter has something to say.
        min_quality: least quality score.
        need_sound: whether a video without sound is refused.
    """

    min_fps: float = 20.0
    max_gap_s: float = 0.1
    min_seconds: float = 1.0
    max_seconds: float = 10.0
    max_video_seconds: float = 2 * 3600
    max_bad_s: float = 0.1
    max_bridged: float = 0.1
    min_eye_px: float = 32.0
    max_turn_deg: float = 40.0
    cut_change: float = 18.0
    cut_ratio: float = 4.0
    max_spike: float = 3.0
    spike_ratio: float = 2.0
    spike_s: float = 0.5
    max_jump: float = 0.7
    max_misfit_mm: float = 5.0
    max_residual_mm: float = 1.2
    min_sync: float = 0.35
    max_offset_s: float = 0.1
    min_speech: float = 0.15
    min_quality: float = 0.2
    need_sound: bool = True

    def __post_init__(self) -> None:
        positive = ("min_fps", "max_gap_s", "min_seconds", "max_seconds", "max_video_seconds", "min_eye_px",
                    "max_turn_deg", "cut_change", "cut_ratio", "max_spike", "spike_ratio", "max_jump", "max_misfit_mm",
                    "max_residual_mm")  # fmt: skip
        for name in positive:
            if not getattr(self, name) > 0:
                raise ConfigError(f"expected {name} > 0, got {getattr(self, name)}")
        for name in ("max_bad_s", "max_bridged", "max_offset_s", "min_speech", "spike_s", "min_quality"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"expected {name} in [0, 1], got {getattr(self, name)}")
        if not -1 <= self.min_sync <= 1:
            raise ConfigError(f"expected min_sync in [-1, 1], got {self.min_sync}")
        if not 0.5 <= self.min_seconds < self.max_seconds <= 60:
            raise ConfigError(
                f"expected 0.5 <= min_seconds < max_seconds <= 60, got {self.min_seconds} and {self.max_seconds}"
            )
        if self.max_turn_deg > 80:
            raise ConfigError(f"expected max_turn_deg at most 80 (landmarks fail beyond), got {self.max_turn_deg}")


@dataclass(frozen=True)
class Rejection:
    """A stretch that was left out, with the reason; seconds from the start of the video."""

    start: float
    end: float
    reason: str


@dataclass(frozen=True)
class Stretch:
    """Frames ``first`` to ``last`` (not included) of a track that can become clips; ``bridged`` (n,) bool of them."""

    first: int
    last: int
    bridged: np.ndarray


def turn_deg(track: FaceTrack) -> np.ndarray:
    """Angle (F,) between the face's forward axis and the camera, degrees."""
    return np.degrees(np.arccos(np.clip(track.matrices[:, 2, 2], -1, 1)))


def eye_px(track: FaceTrack) -> np.ndarray:
    """Distance (F,) of the outer corners of the eyes in pixels, depth included, so that turning does not shrink it."""
    return np.linalg.norm(track.landmarks[:, 263] - track.landmarks[:, 33], axis=1)


def frame_states(track: FaceTrack, filters: Filters) -> np.ndarray:
    """Why each frame cannot be used: (F,) of ``OK``, ``LOST``, ``DOUBLE``, ``SMALL``, ``TURNED``, ``JUMP``."""
    state = np.zeros(len(track.times), np.int8)
    state[turn_deg(track) > filters.max_turn_deg] = TURNED
    state[eye_px(track) < filters.min_eye_px] = SMALL
    state[track.faces > 1] = DOUBLE
    state[~track.found] = LOST
    spike = _excess(track, filters) > filters.max_spike
    for frame in np.flatnonzero(spike & (track.change <= filters.cut_change)):
        state[(track.times < track.times[frame]) & (track.times >= track.times[frame] - filters.spike_s)] = JUMP
    return state


def _excess(track: FaceTrack, filters: Filters) -> np.ndarray:
    """By how many grey levels each frame's change (F,) exceeds its neighbours', 0 where it is of the usual size."""
    change = track.change
    out = change - np.maximum(np.append(change[1:], 0), np.insert(change[:-1], 0, 0))
    out[[0, -1]] = 0
    return np.where(change > filters.spike_ratio * np.median(change), out, 0)


def shot_starts(track: FaceTrack, filters: Filters) -> np.ndarray:
    """Frames (k,) at which another shot begins: the picture changes, the face jumps, or time does."""
    change = track.change
    frames = len(change)
    around = np.stack([np.roll(change, s) for s in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)])
    cut = (change > filters.cut_change) & (change > filters.cut_ratio * np.median(around, axis=0))
    step = np.diff(track.times, prepend=track.times[0] - 1 / 30)
    centre = track.landmarks[:, :, :2].mean(1)
    jump = np.linalg.norm(np.diff(centre, axis=0, prepend=centre[:1]), axis=1) / eye_px(track)
    both = track.found & np.roll(track.found, 1)
    cut |= both & (jump > filters.max_jump * np.maximum(step * 30, 1))
    cut |= step > filters.max_gap_s
    return np.flatnonzero(cut & (np.arange(frames) > 0))


def _runs(state: np.ndarray) -> list[tuple[int, int, int]]:
    """(first, last, value) of equal neighbours, ``last`` not included."""
    edges = np.flatnonzero(np.diff(state)) + 1
    bounds = [0, *edges.tolist(), len(state)]
    return [(a, b, int(state[a])) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


def stretches(track: FaceTrack, filters: Filters) -> tuple[list[Stretch], list[Rejection]]:
    """What of a track can become clips, and what cannot and why.

    Bad frames are bridged where they last at most ``max_bad_s`` and lie inside a shot; elsewhere they split it.
    """
    interval = float(np.median(np.diff(track.times))) if len(track.times) > 1 else 1 / 30
    state = frame_states(track, filters)
    kept, rejected = [], []

    def refuse(first: int, last: int, reason: str) -> None:
        rejected.append(Rejection(round(float(track.times[first]), 3),
                                  round(float(track.times[last - 1]) + interval, 3), reason))  # fmt: skip

    shots = [0, *shot_starts(track, filters).tolist(), len(state)]
    for shot_first, shot_last in zip(shots[:-1], shots[1:], strict=True):
        part = state[shot_first:shot_last].copy()
        for first, last, value in _runs(part):
            inside = first > 0 and last < len(part)
            if value != OK and inside and (last - first) * interval <= filters.max_bad_s + 1e-6:
                part[first:last] = -1  # bridged
        usable = (part <= 0).astype(np.int8)
        for first, last, good in _runs(usable):
            begin, end = shot_first + first, shot_first + last
            if not good:
                for a, b, value in _runs(part[first:last]):
                    refuse(begin + a, begin + b, REASONS[value])
                continue
            seconds = float(track.times[end - 1] - track.times[begin]) + interval
            bridged = part[first:last] == -1
            if seconds < filters.min_seconds - 1e-6:
                refuse(begin, end, f"too short: {seconds:.2f} s, expected {filters.min_seconds:g} s or more")
            elif bridged.mean() > filters.max_bridged:
                worst = np.bincount(state[begin:end][bridged], minlength=len(REASONS)).argmax()
                refuse(begin, end, f"{REASONS[worst]} in {bridged.mean():.0%} of the frames")
            else:
                kept.append(Stretch(begin, end, bridged))
    return kept, rejected
