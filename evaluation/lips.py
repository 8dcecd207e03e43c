"""Lip measures that need no captured truth: blendshape weights against phone times, through the ICT rig.

Weights move the 20 lip landmarks of the mean identity. **Gap** is the mean vertical distance of the three central
inner-lip pairs (68-landmark indices 61-67, 62-66, 63-65), in mm, about 0.8 at rest; under rest + 0.5 mm a mouth counts
as closed. **Width** is the distance of the corners 48-54. A phone's value is the mean over the middle half of its
interval, read by linear interpolation. Over a set of utterances:

* *place AUC*: chance that the gap of m is under that of n, of b under d or g, of p under t or k (mean of the three).
  The sounds of a group are equally loud, so a mouth that flaps with energy scores 0.5;
* *closure ratio*: median over p, b, m of opening / the utterance's median vowel opening, where opening is the gap
  above rest and 0 when closed; the same with the plain gap is `closure_ratio_raw`;
* *rounding AUC*: chance that a rounded vowel is narrower than a spread one; the same with pucker + funnel;
* *openness*: Spearman correlation of gap and vowel height (1 close ... 4 open);
* *silence speed*: mean speed of the lip landmarks in mm/s inside silences, and in clips that are all silence or noise.

One constant lag within three frames, the one with the best place AUC, serves all measures and is reported; positive
means that the mouth is late. Intervals are 95 % percentile bootstraps over utterances at that lag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from scipy.stats import rankdata

from media2face.data.phones import BILABIALS, PHONES, ROUNDED, SPREAD, VOWELS, read_emodb
from media2face.data.rig import INNER_LIP_PAIRS, ICTRig
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import InputError

FPS = 30
DEFAULT_DATA = Path("../shared/data")
LIPS = slice(48, 68)  # the lips within the 68 landmarks
CLOSED_MM = 0.5  # above rest
MAX_LAG = 3  # frames
PLACE_PAIRS = {"m_n": ("m", ("n",)), "b_dg": ("b", ("d", "g")), "p_tk": ("p", ("t", "k"))}
VOWEL_HEIGHT = {
    **dict.fromkeys(("i", "I", "u", "U", "y"), 1), **dict.fromkeys(("e", "o", "oe"), 2),
    **dict.fromkeys(("E", "O", "uh", "er", "ax"), 3), **dict.fromkeys(("ae", "a", "A"), 4),
}  # fmt: skip
SETTLE_S = 0.15  # the lips may still move this long at both ends of a silence


class Phone(NamedTuple):
    """One label: start and end in s, and a class of ``data.phones.PHONES``."""

    start: float
    end: float
    label: str


@dataclass
class Utterance:
    """Weights (T, 52) in [0, 1] at 30 fps (ARKit order) and the phones that were heard: (start_s, end_s, label)."""

    weights: np.ndarray
    phones: Sequence[tuple[float, float, str]]
    name: str = ""

    def __post_init__(self) -> None:
        self.weights = np.asarray(self.weights, dtype=np.float32)
        if self.weights.ndim != 2 or self.weights.shape[1] != len(ARKIT_INDEX) or len(self.weights) == 0:
            raise InputError(f"expected weights (T, 52), got {self.weights.shape} for utterance {self.name!r}")
        if not np.isfinite(self.weights).all():
            raise InputError(f"weights of utterance {self.name!r} hold NaN or infinity")
        unknown = sorted({str(p[2]) for p in self.phones} - set(PHONES))
        if unknown:
            raise InputError(f"expected phones of data.phones.PHONES, got {unknown[:5]}; map them with its from_*")


@dataclass(frozen=True)
class LabelledSpeech:
    """A recording with phone times, before any face was made for it."""

    name: str
    audio: Path
    phones: list[Phone]

    def utterance(self, weights: np.ndarray) -> Utterance:
        """The utterance that has this recording's phones and the given weights (T, 52)."""
        return Utterance(weights, self.phones, self.name)


class LipRig:
    """The 20 lip landmarks (48-67) of the mean identity under the 52 shapes, in mm.

    Attributes: ``neutral`` (20, 3), ``deltas`` (52, 20, 3) in ICT axes (x to the left, y up, z forward).
    """

    def __init__(self, neutral: np.ndarray, deltas: np.ndarray) -> None:
        if neutral.shape != (20, 3) or deltas.shape != (52, 20, 3):
            raise InputError(f"expected lips (20, 3) and deltas (52, 20, 3), got {neutral.shape} and {deltas.shape}")
        self.neutral, self.deltas = neutral.astype(np.float32), deltas.astype(np.float32)
        self.rest_gap = float(self.gap(np.zeros((1, 52), np.float32))[0])

    @classmethod
    def from_ict(cls, rig: ICTRig) -> LipRig:
        """Cut the lips out of the full rig (centimetres to millimetres)."""
        vertices = np.asarray(rig.landmarks)[LIPS]
        return cls(10.0 * rig.neutral[vertices], 10.0 * np.asarray(rig.deltas[:, vertices], np.float32))

    def landmarks(self, weights: np.ndarray) -> np.ndarray:
        """Lip landmarks (T, 20, 3) in mm for weights (T, 52)."""
        return self.neutral + np.tensordot(weights, self.deltas, axes=1)

    def gap(self, weights: np.ndarray) -> np.ndarray:
        """Inner-lip gap (T,) in mm; negative when the lips are pressed through each other."""
        lips = self.landmarks(weights)
        return np.mean([lips[:, a - 48, 1] - lips[:, b - 48, 1] for a, b in INNER_LIP_PAIRS], axis=0)

    def width(self, weights: np.ndarray) -> np.ndarray:
        """Distance of the mouth corners (T,) in mm."""
        lips = self.landmarks(weights)
        return np.linalg.norm(lips[:, 54 - 48] - lips[:, 0], axis=-1)

    def speed(self, weights: np.ndarray) -> np.ndarray:
        """Mean speed of the lip landmarks from frame to frame, (T-1,) mm/s."""
        return FPS * np.linalg.norm(np.diff(self.landmarks(weights), axis=0), axis=-1).mean(axis=1)


@lru_cache(maxsize=2)
def lip_rig(data: Path = DEFAULT_DATA) -> LipRig:
    """The lips of the ICT model in folder ``data`` (read once)."""
    return LipRig.from_ict(ICTRig.load(data))


@dataclass
class LipReport:
    """What `lip_measures` found; NaN where the phones allow no measure. ``intervals``: name -> (low, high), 95 %."""

    utterances: int
    phones: int
    lag_frames: int
    place_auc: float
    place_auc_m_n: float
    place_auc_b_dg: float
    place_auc_p_tk: float
    closure_ratio: float
    closure_ratio_raw: float
    closed_share: float  # of p, b, m
    rounding_auc: float
    rounding_auc_shapes: float
    openness: float
    vowel_gap_mm: float
    bilabial_gap_mm: float
    silence_speed_mm_s: float
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)

    def as_dict(self) -> dict:
        """Flat numbers and the intervals, ready for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The report for people: one measure per line, with its interval."""
        out = [f"{self.utterances} utterances, {self.phones} phones, lag {self.lag_frames:+d} frames"]
        for name in (k for k, v in asdict(self).items() if isinstance(v, float)):
            low, high = self.intervals.get(name, (np.nan, np.nan))
            out.append(f"{name:22s} {getattr(self, name):7.3f}  [{low:.3f}, {high:.3f}]")
        return out


@dataclass
class _Tokens:
    """Per-phone values of one utterance at one lag (arrays of equal length), and its speeds in silence."""

    label: np.ndarray
    gap: np.ndarray
    width: np.ndarray
    pucker: np.ndarray
    ratio: np.ndarray  # opening over the utterance's median vowel opening
    ratio_raw: np.ndarray
    silence: np.ndarray


def _tokens(utterance: Utterance, rig: LipRig, lag: int) -> _Tokens:
    weights = utterance.weights
    curves = np.stack([
        rig.gap(weights), rig.width(weights),
        weights[:, ARKIT_INDEX["mouthPucker"]] + weights[:, ARKIT_INDEX["mouthFunnel"]],
    ])  # fmt: skip
    frames = np.arange(len(weights))
    labels, values = [], []
    for start, end, label in utterance.phones:
        if label == "sil" or end <= start:
            continue
        at = FPS * (start + (end - start) * np.linspace(0.25, 0.75, 5)) + lag
        labels.append(label)
        values.append([np.interp(at, frames, curve).mean() for curve in curves])
    gap, width, pucker = np.array(values, dtype=np.float64).reshape(-1, 3).T
    label = np.array(labels, dtype="<U4")
    opening = gap - rig.rest_gap
    opening = np.where(opening < CLOSED_MM, 0.0, opening)
    vowels = np.isin(label, list(VOWELS))
    middle, middle_raw = (np.median(x[vowels]) if vowels.any() else np.nan for x in (opening, gap))
    return _Tokens(
        label, gap, width, pucker,
        opening / middle if middle > 0 else np.full(len(gap), np.nan),
        gap / middle_raw if middle_raw > 0 else np.full(len(gap), np.nan),
        _silence_speed(utterance, rig),
    )  # fmt: skip


def _silence_speed(utterance: Utterance, rig: LipRig) -> np.ndarray:
    speed = rig.speed(utterance.weights)
    centre = (np.arange(len(speed)) + 0.5) / FPS
    quiet = np.zeros(len(speed), bool)
    for start, end, label in utterance.phones:
        if label == "sil":
            quiet |= (centre > start + SETTLE_S) & (centre < end - SETTLE_S)
    return speed[quiet]


def auc(low: np.ndarray, high: np.ndarray) -> float:
    """Chance that a value of ``low`` is under one of ``high`` (ties count half); NaN if one is empty."""
    if len(low) == 0 or len(high) == 0:
        return float("nan")
    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(low) * len(high)))


def _median(x: np.ndarray) -> float:
    x = x[np.isfinite(x)]
    return float(np.median(x)) if len(x) else float("nan")


def _place(label: np.ndarray, gap: np.ndarray) -> dict[str, float]:
    return {k: auc(gap[label == a], gap[np.isin(label, others)]) for k, (a, others) in PLACE_PAIRS.items()}


def _mean_known(values: dict[str, float]) -> float:
    known = [v for v in values.values() if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def _lag_score(parts: Sequence[_Tokens]) -> tuple[float, float]:
    """Place AUC, and for mouths that are equally good at several lags the depth of their closures."""
    label, gap, ratio = (np.concatenate([getattr(p, k) for p in parts]) for k in ("label", "gap", "ratio_raw"))
    place, closed = _mean_known(_place(label, gap)), _median(ratio[np.isin(label, list(BILABIALS))])
    return (round(place, 3) if np.isfinite(place) else 0.0, -closed if np.isfinite(closed) else 0.0)


def _measures(parts: Sequence[_Tokens], rest_gap: float) -> dict[str, float]:
    label, gap, width, pucker, ratio, ratio_raw, silence = (
        np.concatenate([getattr(p, name) for p in parts]) for name in _Tokens.__dataclass_fields__
    )
    place = _place(label, gap)
    closed = np.isin(label, list(BILABIALS))
    vowel = np.isin(label, list(VOWELS))
    rounded, spread = vowel & np.isin(label, list(ROUNDED)), np.isin(label, list(SPREAD))
    height = np.array([VOWEL_HEIGHT.get(x, 0) for x in label])
    graded = height > 0
    varied = graded.sum() > 2 and np.ptp(height[graded]) > 0 and np.ptp(gap[graded]) > 0
    return {
        "place_auc": _mean_known(place),
        **{f"place_auc_{k}": v for k, v in place.items()},
        "closure_ratio": _median(ratio[closed]),
        "closure_ratio_raw": _median(ratio_raw[closed]),
        "closed_share": float(np.mean(gap[closed] < rest_gap + CLOSED_MM)) if closed.any() else float("nan"),
        "rounding_auc": auc(width[rounded], width[spread]),
        "rounding_auc_shapes": auc(pucker[spread], pucker[rounded]),
        "openness": (
            float(np.corrcoef(rankdata(height[graded]), rankdata(gap[graded]))[0, 1]) if varied else float("nan")
        ),
        "vowel_gap_mm": _median(gap[vowel]),
        "bilabial_gap_mm": _median(gap[closed]),
        "silence_speed_mm_s": float(silence.mean()) if len(silence) else float("nan"),
    }


def lip_measures(
    utterances: Sequence[Utterance], rig: LipRig | None = None, resamples: int = 300, seed: int = 0
) -> LipReport:
    """Score a set of utterances; ``rig`` defaults to the ICT model in ``../shared/data``.

    Raises:
        InputError: without utterances.
    """
    if not utterances:
        raise InputError("expected at least one utterance to measure, got none")
    rig = rig or lip_rig()
    by_lag: dict[int, list[_Tokens]] = {}
    for lag in range(-MAX_LAG, MAX_LAG + 1):
        by_lag[lag] = [_tokens(u, rig, lag) for u in utterances]

    best = max(by_lag, key=lambda lag: (*_lag_score(by_lag[lag]), -abs(lag)))
    parts = by_lag[best]
    values = _measures(parts, rig.rest_gap)
    rng = np.random.default_rng(seed)
    draws = [_measures([parts[i] for i in rng.integers(len(parts), size=len(parts))], rig.rest_gap)
             for _ in range(resamples)]  # fmt: skip
    return LipReport(
        utterances=len(utterances),
        phones=sum(len(p.label) for p in parts),
        lag_frames=best,
        **values,
        intervals={k: _interval([d[k] for d in draws]) for k in values},
    )


def _interval(draws: list[float]) -> tuple[float, float]:
    known = [d for d in draws if np.isfinite(d)]
    if not known:
        return (float("nan"), float("nan"))
    low, high = np.percentile(known, [2.5, 97.5])
    return (float(low), float(high))


def emodb_utterances(folder: str | Path = DEFAULT_DATA / "emodb_validation") -> list[LabelledSpeech]:
    """The labelled recordings ``ID.flac`` + ``ID.phones`` of ``folder``, sorted by name. For final scoring only.

    Raises:
        InputError: if there are none.
    """
    found = []
    for labels in sorted(Path(folder).glob("*.phones")):
        audio = labels.with_suffix(".flac")
        timed = read_emodb(labels, soundfile.info(audio).duration)
        phones = [Phone(*p) for p in timed if p[1] > p[0]]  # labels go on where the recording was cut
        found.append(LabelledSpeech(labels.stem, audio, phones))
    if not found:
        raise InputError(f"expected ID.flac and ID.phones in {folder}, found none; see shared/data/README.md for EmoDB")
    return found
