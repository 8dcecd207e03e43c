"""Do sound and mouth belong together? An own score in place of SyncNet's confidence.

From the sound, the phone posteriors of the speech encoder (trained on synthetic voices only, never on video) say how
far the lips should be apart and how rounded; from the picture, the fitted weights say how they are. Three correlations
are averaged (lip gap 1, its speed 1, rounding 0.5) at every lag of half a second to both sides:

    score  = the largest average within one frame of no lag
    offset = the lag at which the average is largest, s; positive: the picture is late (a lag of half a second must
             be better by 0.1 to be believed)

The score is 1 for perfect agreement and about 0 for a stranger's mouth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d

from media2face.data import visemes
from media2face.data.phones import BILABIALS, PHONES
from media2face.runtime.clock import FPS, feature_position
from media2face.runtime.speech import SpeechEncoder

MAX_LAG = 15
_SHARES = np.array([1.0, 1.0, 0.5]) / 2.5
_CLOSED_MM = 0.2
_PRIOR = 0.1
SPEECH_LEVEL = 0.5
"""A frame counts as speech where P(silence) is below this."""


@dataclass(frozen=True)
class Sync:
    """``score`` in [-1, 1], ``offset_s``, ``speech``: share of frames with speech, ``curve``: (31,) by lag."""

    score: float
    offset_s: float
    speech: float
    curve: np.ndarray


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Lip gap in mm and rounding of each phone class' target, (42,) each."""
    targets = {a: np.array([visemes.VISEMES[p][0].get(a, 0.0) for p in PHONES]) for a in visemes.ARTICULATORS}
    weights = visemes.mouth_weights(targets)
    gap = visemes.gap_mm(weights)
    gap[[PHONES.index(p) for p in sorted(BILABIALS)]] = _CLOSED_MM
    return gap, rounding(weights)


def rounding(weights: np.ndarray) -> np.ndarray:
    """How rounded the lips of weights (T, 52) are, (T,)."""
    columns = [weights[:, visemes.both(n)].mean(1) for n in ("mouthPucker", "mouthFunnel", "mouthStretch")]
    return columns[0] + columns[1] - columns[2]


@lru_cache(maxsize=1)
def _encoder() -> SpeechEncoder:
    return SpeechEncoder()


def heard(samples: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From sound (n,) at 16 kHz: lip gap in mm, rounding and P(speech) at each of ``frames`` frames."""
    stream = _encoder().stream(with_phones=True)
    stream.accept_waveform(samples)
    stream.input_finished()
    _, logits = stream.read_phones()
    if len(logits) < 2:
        return np.zeros(frames), np.zeros(frames), np.zeros(frames)
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    gap, round_ = _tables()
    columns = np.stack([share @ gap, share @ round_, 1 - share[:, PHONES.index("sil")]], axis=1)
    where = feature_position(np.arange(frames))
    return tuple(np.interp(where, np.arange(len(columns)), c) for c in columns.T)


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of each column of (T, k) with its partner's; 0 where one does not move."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    size = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    return np.where(size > 1e-6, (a * b).sum(axis=0) / np.maximum(size, 1e-6), 0.0)


def sync(weights: np.ndarray, samples: np.ndarray) -> Sync:
    """Score of motion (T, 52) at 30 fps against its sound (n,) at 16 kHz; T of a second or more."""
    gap, round_, speech = heard(samples, len(weights))
    gap, round_ = gaussian_filter1d(gap, 1.0), gaussian_filter1d(round_, 1.0)
    seen = visemes.gap_mm(weights)
    picture = np.stack([seen, np.gradient(seen), rounding(weights)], axis=1)
    sound = np.stack([gap, np.gradient(gap), round_], axis=1)
    most = min(MAX_LAG, max(2, len(weights) // 4))
    curve = np.full(2 * MAX_LAG + 1, -1.0)
    for lag in range(-most, most + 1):
        late = picture[max(lag, 0) : len(picture) + min(lag, 0)]
        early = sound[max(-lag, 0) : len(sound) + min(-lag, 0)]
        curve[MAX_LAG + lag] = _correlation(late, early) @ _SHARES
    lags = np.arange(-MAX_LAG, MAX_LAG + 1)
    return Sync(
        score=float(curve[MAX_LAG - 1 : MAX_LAG + 2].max()),
        offset_s=int(lags[(curve - _PRIOR * np.abs(lags) / MAX_LAG).argmax()]) / FPS,
        speech=float((speech > SPEECH_LEVEL).mean()),
        curve=curve,
    )
