"""Takes that come as curves: FACEGOOD's animated lips and LiveLink Face range-of-motion captures, as motion clips.

FACEGOOD (FACEGOOD-Audio2Face, MIT): 116 curves named by joint and side, 30 fps, with sound. An animator set the lips
and the jaw; nothing else moves, so only jaw and mouth are marked valid. :data:`FACEGOOD_TABLE` is our reading of the
curve names. LiveLink (LiveLinkFace-CSV-Retarget-For-Motionbuilder, MIT): ARKit's 52 weights and nine angles, captured
with a phone, no sound; the head angles are all zero in these takes, so the head is not valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from media2face.data.clips import FPS, SAMPLE_RATE, MotionClip
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import InputError

CLIP_SECONDS = 10.0
_SEARCH_SECONDS = 3.0
_STEP = 3
"""Clips start on every third frame only: 3 frames are 1600 samples exactly."""

# ARKit shape -> ((curve, factor), ...); the sum is clipped to [0, 1]. Curves of the four lip quarters count a quarter.
FACEGOOD_TABLE: dict[str, tuple[tuple[str, float], ...]] = {
    "jawOpen": (("mouth_stretch_c", 1.0),),
    "jawForward": (("jaw_thrust_c", 1.0),),
    "jawLeft": (("jaw_sideways_l", 1.0),),
    "jawRight": (("jaw_sideways_r", 1.0),),
    "mouthLeft": (("mouth_sideways_l", 1.0),),
    "mouthRight": (("mouth_sideways_r", 1.0),),
    "mouthFunnel": (
        ("mouth_funnel_dl", 0.25), ("mouth_funnel_dr", 0.25), ("mouth_funnel_ul", 0.25), ("mouth_funnel_ur", 0.25),
        ("mouth_oh_c", 0.5), ("mouth_oo_c", 0.2),
    ),
    "mouthPucker": (("mouth_pucker_l", 0.5), ("mouth_pucker_r", 0.5), ("mouth_oh_c", 0.3), ("mouth_oo_c", 0.7)),
    "mouthRollLower": (("mouth_suck_dl", 0.5), ("mouth_suck_dr", 0.5)),
    "mouthRollUpper": (("mouth_suck_ul", 0.5), ("mouth_suck_ur", 0.5)),
    "mouthShrugLower": (("mouth_chinRaise_d", 1.0), ("mouth_chinRaise_u", 0.7)),
    "mouthShrugUpper": (("mouth_chinRaise_u", 1.0),),
    "mouthSmileLeft": (("mouth_lipCornerPull_l", 1.0), ("mouth_lipCornerPullOpen_l", 1.0)),
    "mouthSmileRight": (("mouth_lipCornerPull_r", 1.0), ("mouth_lipCornerPullOpen_r", 1.0)),
    "mouthFrownLeft": (("mouth_lipCornerDepress_l", 1.0),),
    "mouthFrownRight": (("mouth_lipCornerDepress_r", 1.0),),
    "mouthDimpleLeft": (("mouth_dimple_l", 1.0),),
    "mouthDimpleRight": (("mouth_dimple_r", 1.0),),
    "mouthStretchLeft": (("mouth_lipStretch_l", 1.0), ("mouth_lipStretchOpen_l", 1.0)),
    "mouthStretchRight": (("mouth_lipStretch_r", 1.0), ("mouth_lipStretchOpen_r", 1.0)),
    "mouthPressLeft": (("mouth_press_l", 1.0),),
    "mouthPressRight": (("mouth_press_r", 1.0),),
    "mouthLowerDownLeft": (("mouth_lowerLipDepress_l", 1.0),),
    "mouthLowerDownRight": (("mouth_lowerLipDepress_r", 1.0),),
    "mouthUpperUpLeft": (("mouth_upperLipRaise_l", 1.0),),
    "mouthUpperUpRight": (("mouth_upperLipRaise_r", 1.0),),
}  # fmt: skip
"""``mouthClose`` has no curve: the lips of these takes close with the jaw, so it is a known 0."""

FACEGOOD_VALID = np.array([n.startswith(("jaw", "mouth")) for n in ARKIT_NAMES])


@dataclass
class Take:
    """One take at 30 fps: weights (T, 52), which shapes it knows (52,), and its sound (n,) at 16 kHz or None."""

    name: str
    source: str
    weights: np.ndarray
    valid: np.ndarray
    audio: np.ndarray | None = None


def facegood_weights(curves: np.ndarray, names: list[str]) -> np.ndarray:
    """FACEGOOD curves (T, C) to ARKit weights (T, 52) through :data:`FACEGOOD_TABLE`.

    Raises:
        InputError: if a curve of the table is missing.
    """
    where = {str(n): i for i, n in enumerate(names)}
    wanted = {curve for row in FACEGOOD_TABLE.values() for curve, _ in row}
    if wanted - where.keys():
        raise InputError(f"expected FACEGOOD's curves, missing {sorted(wanted - where.keys())[:5]}")
    out = np.zeros((len(curves), len(ARKIT_NAMES)), np.float32)
    for shape, row in FACEGOOD_TABLE.items():
        out[:, ARKIT_INDEX[shape]] = sum(factor * curves[:, where[curve]] for curve, factor in row)
    return np.clip(out, 0, 1)


def livelink_weights(weights: np.ndarray, names: list[str], time: np.ndarray) -> np.ndarray:
    """LiveLink channels (T, 61) at uneven ``time`` (T,) s to ARKit weights (T', 52) on the grid k/30 s.

    Raises:
        InputError: if one of the 52 shapes is missing.
    """
    where = {str(n)[0].lower() + str(n)[1:]: i for i, n in enumerate(names)}
    missing = [n for n in ARKIT_NAMES if n not in where]
    if missing:
        raise InputError(f"expected LiveLink channels of all 52 shapes, missing {missing[:5]}")
    columns = weights[:, [where[n] for n in ARKIT_NAMES]]
    seconds = np.asarray(time, np.float64) - time[0]
    grid = np.arange(int(seconds[-1] * FPS) + 1) / FPS
    even = np.stack([np.interp(grid, seconds, column) for column in columns.T], axis=1)
    return np.clip(even, 0, 1).astype(np.float32)


def read_facegood(path: str | Path) -> Take:
    """One FACEGOOD take (``.npz`` with its ``.opus`` beside it)."""
    from media2face.runtime.audio_io import read_audio

    path = Path(path)
    with np.load(path, allow_pickle=False) as archive:
        if int(archive["fps"]) != FPS:
            raise InputError(f"expected {path.name} at {FPS} fps, got {int(archive['fps'])}")
        weights = facegood_weights(archive["curves"], list(archive["names"]))
    return Take(path.stem, "facegood", weights, FACEGOOD_VALID, read_audio(path.with_suffix(".opus")).samples)


def read_livelink(path: str | Path) -> Take:
    """One LiveLink take (``.npz``)."""
    path = Path(path)
    with np.load(path, allow_pickle=False) as archive:
        weights = livelink_weights(archive["weights"], list(archive["names"]), archive["time"])
    return Take(path.stem, "livelink", weights, np.ones(len(ARKIT_NAMES), bool))


def cut_points(audio: np.ndarray | None, frames: int, seconds: float = CLIP_SECONDS) -> list[int]:
    """Frames at which to cut a take into clips of at most ``seconds`` (2 or more), [0, ..., frames].

    With sound, each cut lies at the quietest 0.2 s of the last three seconds allowed, so that words stay whole.
    """
    longest = int(seconds * FPS) // _STEP * _STEP
    search, half = min(int(_SEARCH_SECONDS * FPS), longest // 2 // _STEP * _STEP), SAMPLE_RATE // 10
    cuts = [0]
    while frames - cuts[-1] > longest:
        last = cuts[-1] + longest
        if audio is not None:
            candidates = range(last - search, last + 1, _STEP)
            centre = [k * SAMPLE_RATE // FPS for k in candidates]
            energy = [float(np.square(audio[max(c - half, 0) : c + half]).sum()) for c in centre]
            last = candidates[int(np.argmin(energy))]
        cuts.append(last)
    return [*cuts, frames]


def clips_of(take: Take, splits: list[str]) -> Iterator[tuple[str, MotionClip, np.ndarray | None]]:
    """Clips (id, clip, sound) of a take; clip i goes to ``splits[i]``, the last entry holding for all that follow."""
    cuts = cut_points(take.audio, len(take.weights))
    for i, (first, last) in enumerate(zip(cuts[:-1], cuts[1:], strict=True)):
        sound = None
        if take.audio is not None:
            sound = take.audio[first * SAMPLE_RATE // FPS : last * SAMPLE_RATE // FPS]
        clip = MotionClip(
            weights=take.weights[first:last],
            weights_valid=take.valid,
            speaker=take.source,
            source=take.source,
            split=splits[min(i, len(splits) - 1)],
            has_audio=sound is not None,
        )
        yield f"{take.name}_{i:02d}", clip, sound
