"""What generated motion is measured by. All functions take one clip; shapes: T frames at 30 fps, N points, mm.

Displacements are those of :mod:`media2face.evaluation.measured_face`: the mean identity, the head at rest, so that the
head's pose is no part of an error of the face.

* **LVE** (Media2Face section 5.2.1): of each frame the largest distance over the lip vertices; the mean over frames.
* **FDD**: mean over upper-face vertices of |s(generated) - s(true)|, where s is the deviation over time of a vertex's
  distance from rest, mm (the paper prints 1e-5 m: 1 mm = 100 of its units).
* **BA**: beats are the moments at which the head's turning comes to a stop: minima of its angular speed, smoothed by
  :data:`SMOOTH` frames, that lie :data:`PROMINENCE` deg/s below what surrounds them. BA is the mean of
  exp(-d^2 / (2 sigma^2)) with sigma = :data:`SIGMA_S`, d the distance in s from a beat to the nearest one of the other
  motion; the mean over true beats and the mean over generated beats are averaged, since either alone rewards a head
  that trembles, or one that hardly moves.
* **Jitter**: rms second difference over rms first difference; 1.73 for white noise, small for smooth motion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from media2face.runtime.clock import FPS

SIGMA_S = 0.1
SMOOTH = 1.5
PROMINENCE = 2.0
SLOW_HZ = 3.0


def lip_vertex_error(made: np.ndarray, true: np.ndarray, without_mean: bool = False) -> float:
    """LVE in mm of displacements (T, L, 3); ``without_mean`` first removes each vertex' mean difference over the clip.

    The latter is for styled speech against a neutral truth: a smile moves the lips without being an error.
    """
    difference = made - true
    if without_mean:
        difference = difference - difference.mean(axis=0)
    return float(np.linalg.norm(difference, axis=-1).max(axis=1).mean())


def dynamics(displacement: np.ndarray) -> np.ndarray:
    """Deviation over time (U,) mm of each vertex's distance from rest, for displacements (T, U, 3)."""
    return np.linalg.norm(displacement, axis=-1).std(axis=0)


def dynamics_deviation(made: np.ndarray, true: np.ndarray) -> float:
    """FDD in mm of displacements (T, U, 3)."""
    return float(np.abs(dynamics(made) - dynamics(true)).mean())


def head_speed(rotvec: np.ndarray) -> np.ndarray:
    """Angular speed (T-1,) in deg/s of rotation vectors (T, 3) in radians (small differences)."""
    return np.degrees(np.linalg.norm(np.diff(rotvec, axis=0), axis=1)) * FPS


def head_beats(rotvec: np.ndarray) -> np.ndarray:
    """Moments (B,) in s at which the head's turning stops, see the module."""
    speed = gaussian_filter1d(head_speed(rotvec), SMOOTH, mode="nearest")
    return (find_peaks(-speed, prominence=PROMINENCE)[0] + 0.5) / FPS


def beat_alignment(made: np.ndarray, true: np.ndarray, sigma_s: float = SIGMA_S) -> float:
    """BA in [0, 1] of beats (A,) and (B,) in s; 0 where only one has beats, NaN where the truth has none."""
    if len(true) == 0:
        return float("nan")
    if len(made) == 0:
        return 0.0
    apart = np.abs(made[:, None] - true[None, :])
    near = [np.exp(-(apart.min(axis=k) ** 2) / (2 * sigma_s**2)).mean() for k in (0, 1)]
    return float(np.mean(near))


def jitter(*tracks: np.ndarray) -> float:
    """Rms second difference over rms first difference of tracks (T, C), taken together; NaN if they stand still."""
    first, second = (np.concatenate([np.diff(t, n=n, axis=0) for t in tracks]) for n in (1, 2))
    moves = np.sqrt((first**2).mean())
    return float(np.sqrt((second**2).mean()) / moves) if moves > 1e-9 else float("nan")


def slow_share(track: np.ndarray) -> float:
    """Share of a track's (T, C) energy about its mean that lies below :data:`SLOW_HZ`; NaN if it stands still."""
    power = np.abs(np.fft.rfft(track - track.mean(axis=0), axis=0)) ** 2
    slow = np.fft.rfftfreq(len(track), 1 / FPS) < SLOW_HZ
    return float(power[slow].sum() / power.sum()) if power.sum() > 1e-12 else float("nan")


def equal_noise(track: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White noise with the mean and the energy (deviation over time, each channel) of a track (T, C)."""
    return track.mean(axis=0) + track.std(axis=0) * rng.standard_normal(track.shape)


def diversity(made: Sequence[np.ndarray]) -> float:
    """Mean distance over pairs of seeds, frames and points of displacements (T, N, 3), mm; NaN for fewer than two."""
    pairs = [(a, b) for i, a in enumerate(made) for b in made[i + 1 :]]
    return float(np.mean([np.linalg.norm(a - b, axis=-1).mean() for a, b in pairs])) if pairs else float("nan")


def bootstrap(
    rows: np.ndarray, of: Callable[[np.ndarray], float] = np.nanmean, draws: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """A figure of values by clip, (clips,) or (clips, k), and the 95 % interval of its bootstrap over clips."""
    rows = np.asarray(rows, np.float64)
    rows = rows[np.isfinite(rows).reshape(len(rows), -1).all(axis=1)]
    if len(rows) == 0:
        return (float("nan"),) * 3
    rng = np.random.default_rng(seed)
    again = [of(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(draws)]
    low, high = np.percentile(again, [2.5, 97.5])
    return float(of(rows)), float(low), float(high)
