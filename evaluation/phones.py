"""How well phone posteriors know phones and places of articulation, from phone times (see the README's measures).

Place AUC: does the mass of P(p) + P(b) + P(m) inside a phone's interval tell m from n, b from d and g, p from t and k?
Loudness does not help there: 0.5 is chance. Arrays are numpy; times in s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from media2face.data.phones import BILABIALS, INDEX

PLACE_PAIRS = (("m", ("n",)), ("b", ("d", "g")), ("p", ("t", "k")))
FEATURE_RATE = 50.0
TimedPhones = Sequence[tuple[float, float, str]]


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Probability that a positive scores above a negative (ties count half); nan if either is empty."""
    n, m = len(positive), len(negative)
    if not n or not m:
        return float("nan")
    ranks = rankdata(np.concatenate([positive, negative]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


@dataclass(frozen=True)
class PlaceResult:
    """Place AUC: the mean over the three pairs, each pair, and the constant lag (s) at which it was best."""

    auc: float
    pairs: dict[str, float]
    lag: float


def posteriors(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def feature_times(count: int, first: int = 0) -> np.ndarray:
    """Centres (s) of `count` features from index `first`."""
    return (320 * (first + np.arange(count)) + 200) / 16_000


def interval_means(values: np.ndarray, times: np.ndarray, phones: TimedPhones, lag: float = 0.0) -> list[float]:
    """Mean of `values` (T,) over each phone's interval moved by `lag`; the nearest value where none falls inside."""
    means = []
    for start, end, _ in phones:
        inside = values[(times >= start + lag) & (times < end + lag)]
        if inside.size:
            means.append(float(inside.mean()))
        else:
            means.append(float(values[np.argmin(np.abs(times - (start + end) / 2 - lag))]))
    return means


def place_auc(
    clips: Iterable[tuple[np.ndarray, np.ndarray, TimedPhones]], lags: Sequence[float] = tuple(np.arange(-5, 6) / 50)
) -> PlaceResult:
    """Place AUC of closure scores.

    Args:
        clips: (score (T,), larger meaning lips more closed; times (T,) s; timed phones) of each utterance.
        lags: constant lags tried, s; the best is reported.
    """
    clips = list(clips)
    best = PlaceResult(float("nan"), {}, 0.0)
    for lag in sorted(lags, key=abs):
        scores: dict[str, list[float]] = {}
        for values, times, phones in clips:
            for (_, _, phone), score in zip(phones, interval_means(values, times, phones, lag), strict=True):
                scores.setdefault(phone, []).append(score)
        pairs = {
            f"{labial}/{''.join(others)}": auc(scores.get(labial, []), [s for o in others for s in scores.get(o, [])])
            for labial, others in PLACE_PAIRS
        }
        mean = float(np.mean(list(pairs.values())))
        if not mean <= best.auc:  # also replaces the nan of the start
            best = PlaceResult(mean, pairs, float(lag))
    return best


def bilabial_mass(probabilities: np.ndarray) -> np.ndarray:
    """(T, 42) -> (T,): P(p) + P(b) + P(m)."""
    return probabilities[:, [INDEX[p] for p in sorted(BILABIALS)]].sum(axis=1)


def phone_accuracy(clips: Iterable[tuple[np.ndarray, np.ndarray, TimedPhones]]) -> dict[str, float]:
    """Frame accuracy of (probabilities (T, 42), times, phones): over all labelled frames, and those of speech."""
    right = total = right_speech = speech = 0
    for probabilities, times, phones in clips:
        starts, ends = (np.array([phone[i] for phone in phones]) for i in (0, 1))
        place = np.clip(np.searchsorted(starts, times, side="right") - 1, 0, len(phones) - 1)
        truth = np.array([INDEX[p] for _, _, p in phones])[place]
        inside = (times >= starts[place]) & (times < ends[place])
        hit = (probabilities.argmax(axis=1) == truth) & inside
        spoken = inside & (truth != INDEX["sil"])
        right, total = right + hit.sum(), total + inside.sum()
        right_speech, speech = right_speech + (hit & spoken).sum(), speech + spoken.sum()
    return {"frames": float(right / max(1, total)), "speech": float(right_speech / max(1, speech))}
