"""From tracks to events in order of time: which unit was active from when to when, how strongly, on which side; how the
head was held (MMHead's table A), and where it nodded or shook."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.signal import find_peaks
from scipy.spatial.transform import Rotation

from media2face.data.annotation.action_units import MOUTH, SIDED, UNITS, level, unit_intensities
from media2face.data.visemes import gap_mm
from media2face.runtime.arkit import ARKIT_INDEX

FPS = 30
POSE_DEG = {"pitch": 4.0, "yaw": 4.0, "roll": 3.5}
"""How far the head must be from straight to be described; table A has no such dead band and labels noise."""
POSES = {
    ("pitch", -1): "up", ("pitch", 1): "down", ("yaw", -1): "right", ("yaw", 1): "left", ("roll", -1): "tilt left",
    ("roll", 1): "tilt right",
}  # fmt: skip
_LEAST = 2  # level B
_JOIN_S, _SHORTEST_S = 0.35, 0.12
_SPEECH_S = 0.7


@dataclass(frozen=True)
class Event:
    """A stretch of one label: seconds, a strength (level 1 to 5, or degrees) and a side ("", "left", "right")."""

    label: str
    start: float
    end: float
    strength: float
    side: str = ""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


def active_runs(on: np.ndarray, join_s: float = _JOIN_S, shortest_s: float = _SHORTEST_S) -> list[tuple[int, int]]:
    """Runs (first, last + 1) of ``on`` (T,) bool; short gaps are closed, then short runs dropped."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(np.int8), [0]])))
    runs: list[list[int]] = []
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and first - runs[-1][1] <= join_s * FPS:
            runs[-1][1] = last
        else:
            runs.append([first, last])
    return [(a, b) for a, b in runs if b - a >= shortest_s * FPS]


def unit_events(weights: np.ndarray, valid: np.ndarray | None = None, speaking: bool = False) -> list[Event]:
    """Events of all units that can be told, in order of their start.

    Args:
        speaking: units of the mouth then count only where they last: what speech itself does is not expression.
    """
    tracks = unit_intensities(weights, valid)
    window = int(_SPEECH_S * FPS) | 1
    events = []
    for unit in UNITS:
        if unit not in tracks or (speaking and unit in ("25", "26", "16", "22", "18")):
            continue
        track = tracks[unit]
        if speaking and unit in MOUTH and len(track) > window:
            track = median_filter(track, window, mode="nearest")
        if unit == "45":  # what goes beyond drooping lids
            track = np.where(track - tracks["43"] > 0.3, track, np.where(tracks["43"] > 0.75, track, 0.0))
        elif unit == "43":
            track = np.where(track > 0.75, 0.0, track)
        on = level(track) >= _LEAST
        short = 0.06 if unit in ("45", "46L", "46R") else _SHORTEST_S
        join = 0.1 if unit in ("45", "46L", "46R") else _JOIN_S
        for first, last in active_runs(on, join, short):
            side = ""
            if unit in SIDED and unit != "45":
                left, right = (tracks[s + unit][first:last].mean() for s in "LR")
                if max(left, right) > 2.2 * min(left, right) + 0.05:
                    side = "left" if left > right else "right"
            peak = max(float(tracks[("L" if side == "left" else "R") + unit][first:last].max()), 0) if side else float(
                track[first:last].max()
            )
            events.append(Event(unit, first / FPS, last / FPS, float(level(peak)), side))
    winks = [e for e in events if e.label in ("46L", "46R")]
    events = [e for e in events if e.label != "45" or not any(w.start < e.end and e.start < w.end for w in winks)]
    return sorted(events, key=lambda e: (e.start, -e.strength))


def head_angles(rotvec: np.ndarray) -> dict[str, np.ndarray]:
    """Pitch (positive: down), yaw (positive: to its left), roll (positive: to its right) in degrees, each (T,)."""
    yaw, pitch, roll = Rotation.from_rotvec(rotvec).as_euler("ZYX", degrees=True).T
    return {"pitch": pitch, "yaw": yaw, "roll": roll}


def pose_events(rotvec: np.ndarray) -> list[Event]:
    """How the head is held over time, by the rules of table A with a dead band; strength in degrees."""
    events = []
    for axis, track in head_angles(rotvec).items():
        slow = gaussian_filter1d(track, 0.1 * FPS, mode="nearest")
        for sign in (-1, 1):
            for first, last in active_runs(sign * slow > POSE_DEG[axis], 0.3, 0.25):
                peak = float(np.max(sign * slow[first:last]))
                events.append(Event(POSES[axis, sign], first / FPS, last / FPS, peak))
    return sorted(events, key=lambda e: (e.start, -e.strength))


def swing_events(rotvec: np.ndarray) -> list[Event]:
    """Nods (pitch) and shakes (yaw): at least three swings to alternating sides of 2.5 degrees or more within a second
    of each other; strength is the mean swing in degrees."""
    events = []
    for axis, label in (("pitch", "nod"), ("yaw", "shake")):
        track = gaussian_filter1d(head_angles(rotvec)[axis], 1.0, mode="nearest")
        if len(track) < 4:
            continue
        speed = np.diff(track)
        turns = np.flatnonzero(speed[1:] * speed[:-1] < 0) + 1
        points = np.concatenate([[0], turns, [len(track) - 1]])
        swing = [(a, b, abs(track[b] - track[a])) for a, b in zip(points[:-1], points[1:], strict=True)]
        chain: list[tuple[int, int, float]] = []
        for s in [*swing, (len(track), len(track), 0.0)]:
            quick = (s[1] - s[0]) / FPS <= 0.6
            if s[2] >= 2.5 and quick:
                chain.append(s)
                continue
            if len(chain) >= 3:
                strength = float(np.mean([c[2] for c in chain]))
                events.append(Event(label, float(chain[0][0]) / FPS, float(chain[-1][1]) / FPS, strength))
            chain = []
    return sorted(events, key=lambda e: e.start)


def rhythm_events(weights: np.ndarray) -> list[Event]:
    """Laughs (a smiling mouth that opens in bursts, 3 to 7 a second) and chewing (a shut mouth whose jaw goes up and
    down 0.8 to 2.5 times a second), of three beats or more; for clips in which nobody speaks."""
    gap, jaw = gap_mm(weights), np.asarray(weights[:, ARKIT_INDEX["jawOpen"]], np.float64)
    smile = weights[:, [ARKIT_INDEX["mouthSmileLeft"], ARKIT_INDEX["mouthSmileRight"]]].mean(axis=1)
    shut = gaussian_filter1d(gap, 3.0, mode="nearest") < 2.0
    events = []
    for label, track, here, prominence, low, high in (
        ("laugh", gap, smile > 0.3, 0.6, 0.12, 0.34),
        ("chew", gaussian_filter1d(jaw, 1.5, mode="nearest"), shut, 0.03, 0.4, 1.25),
    ):
        beats = [k for k in find_peaks(track, prominence=prominence)[0].tolist() if here[k]]
        chain = beats[:1]
        for beat in [*beats[1:], len(track) + 10**6]:
            if chain and low <= (beat - chain[-1]) / FPS <= high:
                chain.append(beat)
                continue
            if len(chain) >= 3:
                events.append(Event(label, chain[0] / FPS, chain[-1] / FPS, float(len(chain))))
            chain = [beat]
    return sorted(events, key=lambda e: e.start)
