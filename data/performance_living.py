"""What makes a synthetic face alive, with and without speech: blinks, gaze, brow accents and head motion.

Axes of the head: REP-103, so roll about x (forward), pitch about y (left; positive looks down), yaw about z (positive
to the face's left). The eyes keep looking at their target while the head turns.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from media2face.data.performance_prosody import Prosody
from media2face.data.performance_styles import Look
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.eyes import TURN_RAD

FPS = 30
BLINKS_PER_S = (0.25, 0.40)
BLINK_REST_S = 0.7  # no two blinks closer than this
EYE_LIMIT_DEG = 28.0
_LOWER_NECK_M = 0.036  # travel of the neck pivot per radian: two fifths of the bend happen 9 cm below it


def smooth_noise(rng: np.random.Generator, frames: int, period_s: float) -> np.ndarray:
    """Noise (frames,) of unit variance whose swings last about ``period_s`` seconds."""
    sigma = period_s * FPS / 5
    margin = int(4 * sigma) + 1
    raw = gaussian_filter1d(rng.normal(size=frames + 2 * margin), sigma, mode="wrap")[margin : margin + frames]
    return raw * np.sqrt(2 * np.sqrt(np.pi) * sigma)


def blink_times(
    rng: np.random.Generator, seconds: float, rate: float, pauses: tuple = (), shifts: np.ndarray | tuple = ()
) -> list[float]:
    """Moments (s) of closed lids: a Poisson process with a rest, and more at the start of pauses and at gaze shifts."""
    wanted = [p[0] + rng.uniform(0.05, 0.3) for p in pauses if p[0] > 0.2 and rng.random() < 0.35]
    wanted += [float(t) for t in shifts if rng.random() < 0.2]
    extra = len(wanted) / max(seconds, 1e-6)
    t = rng.exponential(1 / rate)
    while t < seconds:
        wanted.append(t)
        t += BLINK_REST_S + rng.exponential(max(1 / max(rate - 0.5 * extra, 0.4 * rate) - BLINK_REST_S, 0.2))
    kept: list[float] = []
    for t in sorted(wanted):
        if t < seconds and (not kept or t - kept[-1] >= BLINK_REST_S):
            kept.append(t)
    return kept


def blinks(rng: np.random.Generator, frames: int, times: list[float], slowness: float = 1.0) -> np.ndarray:
    """Lid closure (frames, 2) in [0, 1], left and right: fast down, slower up, 150 to 250 ms in all."""
    lids = np.zeros((frames, 2))
    time = np.arange(frames) / FPS
    for t in times:
        t = round(t * FPS) / FPS  # the closed moment is seen
        down, hold, up = (slowness * rng.uniform(*r) for r in ((0.06, 0.09), (0.0, 0.03), (0.09, 0.13)))
        depth = rng.uniform(0.88, 1.0)
        phase = np.where(time < t, (t - time) / down, np.maximum(time - t - hold, 0) / up)
        shape = depth * (0.5 + 0.5 * np.cos(np.pi * np.minimum(phase, 1)))
        lids = np.maximum(lids, shape[:, None] * (1 + rng.normal(0, 0.015, 2)))
    return np.clip(lids, 0, 1)


def gaze(rng: np.random.Generator, frames: int, look: Look, speech: Prosody, intensity: float) -> np.ndarray:
    """Gaze in the room (frames, 2): yaw (left positive) and pitch (down positive) in degrees, in jumps.

    Fixations wander over the listener's face; now and then, more in pauses, they leave it.
    """
    away_share = 0.15 + (look.gaze_away - 0.15) * intensity
    side = rng.choice((-1.0, 1.0))
    target = np.zeros((frames, 2))
    frame, away = 0, False
    while frame < frames:
        if away:
            seconds = rng.uniform(0.4, 1.3)
            if rng.random() < 0.3:
                side = -side
            point = np.array([side * look.gaze[0], -look.gaze[1]]) * rng.uniform(0.6, 1.3) + rng.normal(0, 2.5, 2)
        else:
            seconds = rng.uniform(0.35, 1.6)
            point = rng.normal(0, 1.3, 2) + (np.array([0, 2.5]) if rng.random() < 0.25 else 0)
        last = min(frames, frame + max(3, int(seconds * FPS)))
        target[frame:last] = point
        in_pause = speech.speaking[min(last, frames - 1)] < 0.5
        away = rng.random() < np.clip(away_share * (1.5 if in_pause else 0.9) * (1.25 if away else 1.0), 0, 0.85)
        frame = last
    target += rng.normal(0, 0.06, (frames, 2))  # the eye is never quite still
    return target


def gaze_shifts(target: np.ndarray, degrees: float = 8.0) -> np.ndarray:
    """Moments (s) at which the gaze (T, 2) jumps by more than ``degrees``."""
    return (np.flatnonzero(np.linalg.norm(np.diff(target, axis=0), axis=1) > degrees) + 1) / FPS


def eye_weights(target: np.ndarray, head_deg: np.ndarray) -> np.ndarray:
    """Weights (T, 52) that turn both eyes to a target (T, 2) in the room, given the head's yaw and pitch (T, 2)."""
    turned = target - head_deg
    size = np.abs(np.diff(turned, axis=0, prepend=turned[:1])).max(axis=1, keepdims=True)
    eased = (turned + np.roll(turned, 1, axis=0)) / 2
    eased[0] = turned[0]
    turned = np.radians(np.clip(np.where(size > 6, eased, turned), -EYE_LIMIT_DEG, EYE_LIMIT_DEG))
    out = np.zeros((len(turned), len(ARKIT_NAMES)))
    yaw, pitch = turned.T
    for name, angle in (
        ("OutLeft", yaw), ("InRight", yaw), ("InLeft", -yaw), ("OutRight", -yaw),
        ("DownLeft", pitch), ("DownRight", pitch), ("UpLeft", -pitch), ("UpRight", -pitch),
    ):  # fmt: skip
        turn = TURN_RAD[name.removesuffix("Left").removesuffix("Right")]
        out[:, ARKIT_INDEX[f"eyeLook{name}"]] = np.clip(angle / turn, 0, 1)
    return out


def _bump(time: np.ndarray, middle: float, rise: float, fall: float) -> np.ndarray:
    phase = np.where(time < middle, (middle - time) / rise, (time - middle) / fall)
    return 0.5 + 0.5 * np.cos(np.pi * np.minimum(phase, 1))


def brow_accents(rng: np.random.Generator, frames: int, speech: Prosody, factor: float) -> np.ndarray:
    """Weights (frames, 52) of brow raises (or frowns, for a negative factor) on some accents, over a slow drift."""
    time = np.arange(frames) / FPS
    out = np.zeros((frames, len(ARKIT_NAMES)))
    raised, frown = np.zeros(frames), np.zeros(frames)
    for accent in speech.accents:
        if rng.random() < 0.25 + 0.45 * accent.strength:
            height = rng.uniform(0.15, 0.5) * (0.4 + 0.6 * accent.strength) * abs(factor)
            bump = height * _bump(time, accent.time + rng.uniform(-0.06, 0.08), rng.uniform(0.12, 0.25),
                                  rng.uniform(0.2, 0.6))  # fmt: skip
            raised, frown = (raised, np.maximum(frown, bump)) if factor < 0 else (np.maximum(raised, bump), frown)
    drift = 0.05 * smooth_noise(rng, frames, 3.0)
    share = rng.uniform(0.5, 1.0)
    out[:, ARKIT_INDEX["browInnerUp"]] = np.maximum(raised + drift, 0)
    for side in ("Left", "Right"):
        out[:, ARKIT_INDEX["browOuterUp" + side]] = np.maximum(share * raised + drift, 0) * rng.uniform(0.85, 1.15)
        out[:, ARKIT_INDEX["browDown" + side]] = np.maximum(frown - drift, 0) * rng.uniform(0.9, 1.1)
    return np.clip(out, 0, 1)


def head_angles(
    rng: np.random.Generator, look: Look, speech: Prosody, intensity: float, envelope: np.ndarray, breath: np.ndarray
) -> np.ndarray:
    """Head (T, 3) in degrees: roll, pitch, yaw.

    Args:
        envelope: (T,) strength of the style over time; breath: (T,) phase of `breath_phase`.
    """
    frames = len(envelope)
    time = np.arange(frames) / FPS
    mix = lambda factor: 1 + (factor - 1) * intensity  # noqa: E731
    sway, nods, tempo = mix(look.sway), mix(look.nods), mix(look.tempo)
    lively = float(np.exp(rng.normal(0, 0.25)))
    active = 0.45 + 0.55 * speech.speaking
    out = np.zeros((frames, 3))
    for axis, size in enumerate((1.3, 1.1, 1.9)):
        slow, fast = smooth_noise(rng, frames, 5.0 / tempo), smooth_noise(rng, frames, 1.3 / tempo)
        out[:, axis] = sway * lively * size * (0.85 * slow + 0.35 * fast * active)
    # a new posture with each phrase
    posture = np.zeros((frames, 3))
    for start, end in [(0.0, 0.0), *speech.pauses]:
        posture[int(np.clip((start + end) / 2, 0, time[-1]) * FPS) :] = rng.normal(0, (1.6, 1.5, 2.6)) * sway
    out += gaussian_filter1d(posture, 0.22 * FPS / tempo, axis=0, mode="nearest")
    # beats on accents
    for accent in speech.accents:
        if rng.random() > 0.3 + 0.5 * accent.strength:
            continue
        size = nods * lively * rng.uniform(1.5, 4.5) * (0.4 + 0.6 * accent.strength)
        middle = accent.time + rng.uniform(-0.03, 0.09)
        rise, fall = rng.uniform(0.14, 0.24) / tempo, rng.uniform(0.28, 0.5) / tempo
        kind = rng.random()
        axis, sign = (1, 1.0) if kind < 0.62 else (1, -0.7) if kind < 0.8 else (0, rng.choice((-0.6, 0.6)))
        axis, sign = (2, rng.choice((-0.7, 0.7))) if kind > 0.92 else (axis, sign)
        out[:, axis] += sign * size * _bump(time, middle, rise, fall)
    out[:, 1] -= 0.18 * nods * gaussian_filter1d(speech.pitch, 4.0)
    out[:, 1] += 0.25 * np.sin(2 * np.pi * breath)
    out[:, 1] += look.tremble * intensity * smooth_noise(rng, frames, 0.35)
    habit = np.array([rng.choice((-1.0, 1.0)) * look.tilt, look.pitch, rng.choice((-1.0, 1.0)) * look.turn])
    return out + envelope[:, None] * habit * np.exp(rng.normal(0, 0.2, 3))


def breath_phase(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Phase of breathing (frames,) in cycles, at 0.2 to 0.3 Hz, a little uneven."""
    rate = rng.uniform(0.2, 0.3) * (1 + 0.12 * smooth_noise(rng, frames, 4.0))
    return rng.random() + np.cumsum(rate) / FPS


def head_pose(rng: np.random.Generator, angles_deg: np.ndarray, breath: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation vectors (T, 3) in radians and the neck pivot's travel (T, 3) in metres for roll, pitch, yaw (T, 3).

    The lower neck bends with the head, so the pivot follows pitch forwards and roll sideways; breathing lifts it.
    """
    roll, pitch, yaw = np.radians(angles_deg).T
    rotvec = Rotation.from_euler("ZYX", np.stack([yaw, pitch, roll], axis=1)).as_rotvec()
    frames = len(roll)
    lift = -np.sin(2 * np.pi * breath)
    sway = np.stack([0.0022 * smooth_noise(rng, frames, 4.0) for _ in range(2)], axis=1)
    travel = neck_travel(roll, pitch)
    travel += np.stack([sway[:, 0] + 0.0006 * lift, sway[:, 1], 0.0010 * lift], axis=1)
    return rotvec.astype(np.float32), travel.astype(np.float32)


def neck_travel(roll: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Travel (T, 3) in metres of the neck pivot when the lower neck bends with the head, for angles (T,) in radians."""
    level = np.cos(pitch) * np.cos(roll)
    return _LOWER_NECK_M * np.stack([np.sin(pitch), -np.sin(roll), level - 1], axis=1)
