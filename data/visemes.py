"""Phones with exact times to coarticulated mouth shapes: synthetic motion made by rules.

Every articulator follows Cohen and Massaro, "Modeling coarticulation in synthetic visual speech" (1993): segment s has
a target T and a dominance D(t) = alpha exp(-theta |tau|), and the track is sum(D T) / sum(D). Differences: tau is the
distance to the inner part of the segment, not to its centre (long vowels hold); theta differs before and after
(rounding starts early); the tracks are then smoothed. Closures do not average: a gate closes the lips at p, b, m
whatever else the face does, exactly in the rig's own inner-lip gap, which is linear in the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from media2face.data.phones import BILABIALS, PHONES
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import ConfigError, InputError

FPS = 30
FINE = 4  # tracks are computed at FINE * FPS Hz

# name, time constants in s before and after a segment (1/theta)
ARTICULATORS = {
    "jaw": (0.045, 0.048), "lower": (0.040, 0.040), "upper": (0.040, 0.040), "round": (0.058, 0.050),
    "funnel": (0.055, 0.050), "spread": (0.055, 0.045), "tuck": (0.032, 0.028), "tongue": (0.035, 0.035),
}  # fmt: skip
_DOMINANCE = dict(jaw=0.6, lower=0.5, upper=0.5, round=0.3, funnel=0.35, spread=0.3, tuck=1.0, tongue=1.0)


def _phone(dominance: dict[str, float] | None = None, **targets: float) -> tuple[dict, dict]:
    return targets, {**_DOMINANCE, **(dominance or {})}


_VOWEL = dict(jaw=1.2, lower=0.8, upper=0.6, round=0.9, funnel=0.8, spread=0.8)
_ROUND = dict(jaw=1.1, lower=0.9, upper=0.9, round=1.6, funnel=1.4, spread=1.2)
_LIPS_SHUT = dict(jaw=0.45, lower=0.4, upper=0.4, tuck=1.6)
_TIP = dict(jaw=0.55, lower=0.6)
_HISS = dict(jaw=1.3, lower=0.9, upper=0.7, round=0.35, funnel=0.45, spread=0.45)
_HUSH = dict(jaw=1.2, lower=0.8, upper=0.8, round=1.0, funnel=1.2, spread=0.9)
_BACK = dict(jaw=0.35, lower=0.4)
_WEAK = dict(jaw=0.2, lower=0.2, upper=0.2, round=0.08, funnel=0.1, spread=0.08)
_BITE = dict(jaw=1.6, lower=1.6, upper=1.0, tuck=2.5, round=0.2, spread=0.2)

# targets as weights of the face for a speaker of ordinary amplitude; then the dominances
VISEMES: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    "sil": _phone(dict.fromkeys(ARTICULATORS, 1.0)),
    "p": _phone(_LIPS_SHUT, jaw=0.07, lower=0.10), "b": _phone(_LIPS_SHUT, jaw=0.07, lower=0.10),
    "m": _phone(_LIPS_SHUT, jaw=0.07, lower=0.10),
    "f": _phone(_BITE, jaw=0.030, tuck=1.0), "v": _phone(_BITE, jaw=0.030, tuck=0.9),
    "th": _phone(_TIP, jaw=0.095, lower=0.22, upper=0.08, tongue=0.7),
    "dh": _phone(_TIP, jaw=0.095, lower=0.20, upper=0.06, tongue=0.5),
    "t": _phone(_TIP, jaw=0.078, lower=0.24, spread=0.12), "d": _phone(_TIP, jaw=0.084, lower=0.22, spread=0.12),
    "n": _phone(_TIP, jaw=0.090, lower=0.22, spread=0.10), "l": _phone(_TIP, jaw=0.118, lower=0.20, spread=0.08),
    "r": _phone(dict(round=0.5, funnel=0.6), jaw=0.08, lower=0.12, round=0.21, funnel=0.18),
    "s": _phone(_HISS, jaw=0.035, lower=0.34, upper=0.10, spread=0.28),
    "z": _phone(_HISS, jaw=0.040, lower=0.32, upper=0.09, spread=0.24),
    "sh": _phone(_HUSH, jaw=0.045, lower=0.12, upper=0.08, round=0.29, funnel=0.30),
    "zh": _phone(_HUSH, jaw=0.050, lower=0.12, upper=0.08, round=0.27, funnel=0.28),
    "ch": _phone(_HUSH, jaw=0.045, lower=0.14, upper=0.08, round=0.25, funnel=0.30),
    "jh": _phone(_HUSH, jaw=0.050, lower=0.14, upper=0.08, round=0.24, funnel=0.28),
    "k": _phone(_BACK, jaw=0.112, lower=0.14), "g": _phone(_BACK, jaw=0.112, lower=0.14),
    "ng": _phone(_BACK, jaw=0.112, lower=0.12), "h": _phone(_WEAK, jaw=0.134, lower=0.10),
    "x": _phone(_BACK, jaw=0.123, lower=0.12),
    "w": _phone(_ROUND, jaw=0.045, round=0.71, funnel=0.12),
    "j": _phone(dict(spread=0.6), jaw=0.084, lower=0.16, spread=0.36),
    "i": _phone(_VOWEL, jaw=0.085, lower=0.24, upper=0.12, spread=0.48),
    "I": _phone(_VOWEL, jaw=0.124, lower=0.20, upper=0.10, spread=0.30),
    "e": _phone(_VOWEL, jaw=0.176, lower=0.22, upper=0.12, spread=0.38),
    "E": _phone(_VOWEL, jaw=0.293, lower=0.18, upper=0.12, spread=0.26),
    "ae": _phone(_VOWEL, jaw=0.403, lower=0.20, upper=0.16, spread=0.24),
    "a": _phone(_VOWEL, jaw=0.455, lower=0.16, upper=0.12, spread=0.06),
    "A": _phone(_VOWEL, jaw=0.455, lower=0.12, upper=0.08),
    "O": _phone(_ROUND, jaw=0.267, lower=0.06, round=0.32, funnel=0.22),
    "o": _phone(_ROUND, jaw=0.150, lower=0.04, round=0.49, funnel=0.24),
    "U": _phone(_ROUND, jaw=0.098, lower=0.05, round=0.47, funnel=0.20),
    "u": _phone(_ROUND, jaw=0.065, lower=0.04, round=0.66, funnel=0.20),
    "uh": _phone(_VOWEL, jaw=0.260, lower=0.14, upper=0.08),
    "ax": _phone(dict(jaw=0.6, lower=0.5, round=0.35, funnel=0.35, spread=0.35), jaw=0.182, lower=0.12),
    "er": _phone(dict(jaw=0.8, round=0.6, funnel=0.6), jaw=0.169, lower=0.12, round=0.18, funnel=0.14),
    "y": _phone(_ROUND, jaw=0.065, lower=0.05, round=0.62, funnel=0.24),
    "oe": _phone(_ROUND, jaw=0.156, lower=0.06, round=0.44, funnel=0.28),
}  # fmt: skip

# Inner-lip gap of the ICT rig's mean identity in mm: at rest, and per unit of each shape (each side for pairs).
REST_GAP_MM = 0.807
_PER_SHAPE = {
    "jawForward": 1.10, "jawLeft": -0.23, "jawRight": -0.23, "jawOpen": 28.91, "mouthClose": -37.20,
    "mouthFunnel": 10.83, "mouthPucker": -1.29, "mouthLeft": -0.46, "mouthRight": -0.46, "mouthRollLower": -2.46,
    "mouthRollUpper": 1.58, "mouthShrugLower": -6.39, "mouthShrugUpper": 4.56, "cheekPuff": -0.10,
}  # fmt: skip
_PER_SIDE = {
    "mouthSmile": -0.09, "mouthFrown": -0.12, "mouthDimple": -0.79, "mouthStretch": -0.18, "mouthPress": -1.09,
    "mouthLowerDown": 2.91, "mouthUpperUp": 3.50, "cheekSquint": 0.19, "noseSneer": 3.16,
}  # fmt: skip
GAP_MM = np.zeros(len(ARKIT_NAMES))
for _name, _value in {**_PER_SHAPE, **{k + s: v for k, v in _PER_SIDE.items() for s in ("Left", "Right")}}.items():
    GAP_MM[ARKIT_INDEX[_name]] = _value

# how much of a shape a closed mouth keeps
_KEPT_WHEN_CLOSED = {
    "jawOpen": 0.55, "mouthFunnel": 0.3, "mouthLowerDown": 0.1, "mouthUpperUp": 0.1, "noseSneer": 0.6,
    "mouthShrugUpper": 0.2, "mouthRollLower": 0.4, "tongueOut": 0.0,
}  # fmt: skip


def both(name: str) -> list[int]:
    """Columns of a shape: one, or its Left and Right."""
    return [ARKIT_INDEX[name]] if name in ARKIT_INDEX else [ARKIT_INDEX[name + "Left"], ARKIT_INDEX[name + "Right"]]


def gap_mm(weights: np.ndarray) -> np.ndarray:
    """Inner-lip gap (T,) in mm of weights (T, 52) on the mean identity."""
    return REST_GAP_MM + weights @ GAP_MM


@dataclass(frozen=True)
class Articulation:
    """How one speaker moves the mouth. Factors are relative to the table of targets.

    Attributes:
        amplitude: of everything; jaw, lips, rounding, spreading: of those.
        lead_s: the lips' head start on the sound; anticipation: factor on the time constants before a segment.
        jitter: spread of the targets from phone to phone.
        asymmetry: left minus right, as a share.
        closed_gap_mm: inner-lip gap at p, b, m (at most rest); jaw_held: share of the jaw kept there.
        smile_share: how much of the spread is done by mouthSmile rather than mouthStretch.
        loudness: how much louder phones open further.
    """

    amplitude: float = 1.0
    jaw: float = 1.0
    lips: float = 1.0
    rounding: float = 1.0
    spreading: float = 1.0
    lead_s: float = 0.02
    anticipation: float = 1.0
    jitter: float = 0.1
    asymmetry: float = 0.0
    closed_gap_mm: float = 0.2
    jaw_held: float = 0.55
    smile_share: float = 0.35
    loudness: float = 0.35

    def __post_init__(self) -> None:
        if not 0.2 <= self.amplitude <= 2.0:
            raise ConfigError(f"expected an articulation amplitude in [0.2, 2], got {self.amplitude}")
        if self.closed_gap_mm > REST_GAP_MM:
            raise ConfigError(f"expected closed_gap_mm at most {REST_GAP_MM}, got {self.closed_gap_mm}")

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Articulation:
        """A speaker at random."""
        spread = lambda s: float(np.exp(rng.normal(0, s)))  # noqa: E731
        return cls(
            amplitude=float(np.clip(spread(0.16), 0.65, 1.5)), jaw=spread(0.10), lips=spread(0.15),
            rounding=float(np.clip(spread(0.12), 0.75, 1.25)), spreading=float(np.clip(spread(0.2), 0.6, 1.5)),
            lead_s=float(rng.uniform(0.01, 0.03)), anticipation=float(rng.uniform(0.85, 1.25)),
            jitter=float(rng.uniform(0.04, 0.14)), asymmetry=float(rng.normal(0, 0.06)),
            closed_gap_mm=float(rng.uniform(-0.1, 0.5)), jaw_held=float(rng.uniform(0.4, 0.7)),
            smile_share=float(rng.uniform(0.15, 0.5)), loudness=float(rng.uniform(0.2, 0.5)),
        )  # fmt: skip

    def scaled(self, amplitude: float) -> Articulation:
        """The same speaker, with another amplitude (kept within what is allowed)."""
        return replace(self, amplitude=float(np.clip(self.amplitude * amplitude, 0.2, 2.0)))


_TARGETS = np.array([[VISEMES[p][0].get(a, 0.0) for a in ARTICULATORS] for p in PHONES])
_ALPHAS = np.array([[VISEMES[p][1][a] for a in ARTICULATORS] for p in PHONES])


def check_phones(phones: Sequence[tuple[float, float, str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts (N,) and ends (N,) in s and class numbers (N,), in order.

    Raises:
        InputError: for an unknown label, a phone that ends before it starts, or disorder.
    """
    unknown = sorted({str(p) for _, _, p in phones} - set(PHONES))
    if unknown:
        raise InputError(f"expected phones of data.phones.PHONES, got {unknown[:5]}; map them with its from_*")
    start, end = (np.array([float(p[i]) for p in phones]) for i in (0, 1))
    if not ((end >= start).all() and (np.diff(start) >= 0).all()):  # False for NaN too
        raise InputError("expected phones in order of time, each ending no earlier than it starts")
    number = {p: i for i, p in enumerate(PHONES)}
    return start, end, np.array([number[p] for _, _, p in phones], dtype=np.int64)


def articulate(
    phones: Sequence[tuple[float, float, str]],
    frames: int,
    speaker: Articulation | None = None,
    rng: np.random.Generator | None = None,
    stress: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Articulator tracks, each (frames,) at 30 fps, in weights of the face.

    Args:
        phones: (start_s, end_s, class) in order of time.
        stress: (N,) loudness of each phone, 0 = ordinary, about [-1, 1]; opens vowels more or less.
    """
    speaker, rng = speaker or Articulation(), rng or np.random.default_rng(0)
    start, end, number = check_phones(phones)
    if len(start) == 0:
        return {a: np.zeros(frames) for a in ARTICULATORS}
    length = end - start
    silent = number == PHONES.index("sil")
    targets = _TARGETS[number] * np.exp(rng.normal(0, speaker.jitter, (len(start), 1)))
    if stress is not None:
        opening = 1 + speaker.loudness * np.clip(stress, -1, 1)
        targets[:, :3] *= np.where(silent, 1, opening)[:, None]
    alphas = _ALPHAS[number] * np.where(silent, np.clip(length / 0.2, 0.05, 1.0), 1.0)[:, None]
    # the inner part of a segment, where its dominance is full
    margin = np.where(silent, np.minimum(0.12, length / 2), 0.3 * length)
    inner_start, inner_end = start + margin - speaker.lead_s, end - margin - speaker.lead_s
    inner_start[0] = min(inner_start[0], 0.0) if silent[0] else inner_start[0]
    time = np.arange(FINE * frames) / (FINE * FPS)
    before = np.maximum(inner_start - time[:, None], 0)
    after = np.maximum(time[:, None] - inner_end, 0)
    tracks = {}
    factors = dict(
        jaw=speaker.jaw, lower=speaker.lips, upper=speaker.lips, round=speaker.rounding, funnel=speaker.rounding,
        spread=speaker.spreading,
    )  # fmt: skip
    for a, (name, (tau_before, tau_after)) in enumerate(ARTICULATORS.items()):
        exponent = before / (tau_before * speaker.anticipation) + after / tau_after
        dominance = alphas[:, a] * np.exp(-np.minimum(exponent, 60))
        track = dominance @ targets[:, a] / np.maximum(dominance.sum(axis=1), 1e-20)
        factor = 1.0 if name in ("tuck", "tongue") else speaker.amplitude * factors[name]
        track = gaussian_filter1d(track * factor, 0.015 * FINE * FPS, mode="nearest")
        tracks[name] = np.clip(track[::FINE], 0, 1)
    return tracks


def closure_gate(phones: Sequence[tuple[float, float, str]], frames: int, lead_s: float = 0.0) -> np.ndarray:
    """How far the lips must be shut, (frames,) in [0, 1]: 1 while p, b or m is held, also when it is very short.

    Labels of stops may include the burst, so p and b open before their end.
    """
    gate = np.zeros(frames)
    time = np.arange(frames) / FPS
    for start, end, label in phones:
        if label not in BILABIALS or start >= frames / FPS:
            continue
        length = end - start
        shut, opened = start + 0.05 * length - lead_s, start + (0.95 if label == "m" else 0.8) * length - lead_s / 2
        middle, half = (shut + opened) / 2, max((opened - shut) / 2, 0.5 / FPS + 1e-6)  # always holds a frame
        outside = np.maximum(np.abs(time - middle) - half, 0)
        ramp = np.where(time < middle, 0.075, 0.060)
        gate = np.maximum(gate, 0.5 + 0.5 * np.cos(np.pi * np.minimum(outside / ramp, 1)))
    return gate


def mouth_weights(tracks: dict[str, np.ndarray], speaker: Articulation | None = None) -> np.ndarray:
    """Weights (T, 52) of the open mouth from articulator tracks; closures are not yet in it."""
    speaker = speaker or Articulation()
    weights = np.zeros((len(tracks["jaw"]), len(ARKIT_NAMES)))
    tuck, spread = tracks["tuck"], tracks["spread"]
    narrow = np.clip(tracks["round"], 0, 1)
    smile = speaker.smile_share
    pairs = {
        "mouthLowerDown": tracks["lower"] * (1 - tuck),
        "mouthUpperUp": tracks["upper"] + 0.13 * tuck,
        "mouthStretch": (1 - smile) * spread * (1 - narrow),
        "mouthSmile": smile * spread * (1 - narrow),
        "mouthDimple": 0.12 * spread,
    }
    singles = {
        "jawOpen": tracks["jaw"], "mouthPucker": tracks["round"], "mouthFunnel": tracks["funnel"],
        "mouthRollLower": 0.42 * tuck, "tongueOut": 0.18 * tracks["tongue"], "jawForward": 0.06 * tracks["funnel"],
    }  # fmt: skip
    for name, track in singles.items():
        weights[:, ARKIT_INDEX[name]] = track
    for name, track in pairs.items():
        left, right = both(name)
        weights[:, left], weights[:, right] = track * (1 + speaker.asymmetry / 2), track * (1 - speaker.asymmetry / 2)
    return np.clip(weights, 0, 1)


def seal(weights: np.ndarray, gate: np.ndarray, speaker: Articulation | None = None) -> np.ndarray:
    """Shut the lips of weights (T, 52) where ``gate`` (T,) is 1, by as much where it is between.

    What holds the lips apart is reduced, they are pressed a little, and mouthClose takes up the rest of the gap while
    the jaw stays partly open.
    """
    speaker = speaker or Articulation()
    out = weights.astype(np.float64)
    for name, kept in {**_KEPT_WHEN_CLOSED, "jawOpen": speaker.jaw_held}.items():
        out[:, both(name)] *= (1 - (1 - kept) * gate)[:, None]
    out[:, both("mouthPress")] += 0.12 * gate[:, None]
    out = np.clip(out, 0, 1)
    excess = np.maximum(gap_mm(out) - speaker.closed_gap_mm, 0) * gate
    close = ARKIT_INDEX["mouthClose"]
    out[:, close] = np.clip(out[:, close] - excess / GAP_MM[close], 0, 1)
    return out


def part(weights: np.ndarray, wanted_gap_mm: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Open the lips of weights (T, 52) again where an expression keeps them closer than speech wants.

    ``active`` (T,) in [0, 1] says where speech rules. The lower lip moves first, then the jaw.
    """
    out = weights.astype(np.float64)
    lower, jaw = both("mouthLowerDown"), ARKIT_INDEX["jawOpen"]
    missing = np.maximum(wanted_gap_mm - gap_mm(out), 0) * active
    step = np.minimum(missing / GAP_MM[lower].sum(), np.clip(0.35 - out[:, lower].mean(axis=1), 0, None))
    out[:, lower] += step[:, None]
    missing -= step * GAP_MM[lower].sum()
    out[:, jaw] += missing / GAP_MM[jaw]
    return np.clip(out, 0, 1)
