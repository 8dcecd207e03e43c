"""Which emotion a moving face shows: a linear classifier, and a check by EMFACS rules. Both are synthetic judges.

The classifier is trained on performances made here, from rules and seeds that no motion generator saw: a neutral
performance of random syllables, and on it one of several combinations of action units that EMFACS lists for the
emotion (Friesen and Ekman 1983; :data:`COMBINATIONS` is our reading), with strengths, onset and speech of its own. The
tables of ``data/performance_styles.py``, from which the training motion comes, are not read.

A clip is told by the mean and the deviation over time of its 52 weights and by the head's mean rotation; the classifier
is Gaussian with one shrunk covariance (linear discriminant analysis).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from media2face.data.annotation.action_units import unit_intensities
from media2face.data.performance import perform
from media2face.data.performance_living import smooth_noise
from media2face.data.phones import VOWELS
from media2face.data.visemes import both
from media2face.evaluation.style_prompts import EMOTIONS
from media2face.runtime.arkit import ARKIT_NAMES

SEEDS = 700_000_000
CLASSES = ("neutral", *EMOTIONS)
COMBINATIONS: dict[str, tuple[str, ...]] = {
    "happy": ("6 12", "6 12 25", "12 7", "6 12 26"),
    "sad": ("1 4", "1 4 15", "1 4 15 17", "1 15", "1 4 7 15"),
    "angry": ("4 5 7 24", "4 7 24", "4 5 7 17 24", "4 5 7", "4 7 10 24"),
    "surprised": ("1 2 5 26", "1 2 5", "1 2 5 25", "1 2 5 27"),
    "disgusted": ("9 15", "9 17", "9 4 15", "9 10 25", "9 16 25", "9 4 7"),
}
_UNITS = {
    "1": "browInnerUp", "2": "browOuterUp", "4": "browDown", "5": "eyeWide", "6": "cheekSquint", "7": "eyeSquint",
    "9": "noseSneer", "10": "mouthUpperUp", "12": "mouthSmile", "15": "mouthFrown", "16": "mouthLowerDown",
    "17": "mouthShrugLower", "24": "mouthPress", "25": "mouthLowerDown", "26": "jawOpen", "27": "jawOpen",
}  # fmt: skip
_LARGEST = {"25": 0.15, "26": 0.15, "27": 0.3, "16": 0.3, "10": 0.4}
_MOUTH = np.array([n.startswith(("mouth", "jaw")) for n in ARKIT_NAMES])
SECONDS = 4.0
RULE_FLOOR = 0.12


def emfacs_face(emotion: str, rng: np.random.Generator) -> np.ndarray:
    """Weights (52,) of one combination of units, each at a strength of its own."""
    face = np.zeros(len(ARKIT_NAMES))
    options = COMBINATIONS[emotion]
    for unit in options[int(rng.integers(len(options)))].split():
        strength = rng.uniform(0.35, 1.0) * _LARGEST.get(unit, 0.9)
        for column in both(_UNITS[unit]):
            face[column] = max(face[column], strength * (1 + rng.normal(0, 0.08)))
    return np.clip(face, 0, 1)


def performances(count: int, seed: int = SEEDS) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, F) and classes (n,) of ``count`` speakers, each neutral and with every emotion."""
    rows, labels = [], []
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        base = perform(_syllables(rng), SECONDS, style="neutral", intensity=0.0, seed=seed + k)
        rows.append(features(base.weights, base.head_rotvec))
        labels.append(0)
        for number, emotion in enumerate(EMOTIONS, 1):
            face, frames = emfacs_face(emotion, rng), len(base.weights)
            swell = np.clip(1 + 0.15 * smooth_noise(rng, frames, 1.5), 0.5, 1.5)
            rise = np.clip(np.arange(frames) / (30 * rng.uniform(0.2, 0.8)) + rng.uniform(0.2, 1), 0, 1)
            shown = (swell * rise)[:, None] * face
            shown[:, _MOUTH] *= rng.uniform(0.5, 1.0)
            rows.append(features(np.clip(base.weights + shown, 0, 1), base.head_rotvec))
            labels.append(number)
    return np.stack(rows), np.array(labels)


def _syllables(rng: np.random.Generator) -> list[tuple[float, float, str]]:
    vowels, others = sorted(VOWELS), "p b m f t d n l s k g r sh w".split()
    phones, at = [(0.0, 0.3, "sil")], 0.3
    while at < SECONDS - 0.4:
        length = rng.uniform(0.05, 0.16)
        pool = vowels if len(phones) % 2 else others
        phones.append((at, at + length, str(pool[int(rng.integers(len(pool)))])))
        at += length
    return [*phones, (at, SECONDS, "sil")]


def features(weights: np.ndarray, rotvec: np.ndarray) -> np.ndarray:
    """(107,): what a clip is told by, of weights (T, 52) and head rotation (T, 3)."""
    return np.concatenate([weights.mean(axis=0), weights.std(axis=0), rotvec.mean(axis=0)])


@dataclass(frozen=True)
class StyleClassifier:
    """Linear scores over :data:`CLASSES`: ``weight`` (classes, F) and ``bias`` (classes,)."""

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def train(cls, rows: np.ndarray, labels: np.ndarray, shrink: float = 0.3) -> StyleClassifier:
        """Fit to features (n, F) and class numbers (n,); ``shrink`` draws the covariance to its diagonal."""
        means = np.stack([rows[labels == k].mean(axis=0) for k in range(len(CLASSES))])
        within = rows - means[labels]
        covariance = within.T @ within / len(rows)
        floor = np.diag(np.diag(covariance) + 1e-4)
        inverse = np.linalg.inv((1 - shrink) * covariance + shrink * floor + 1e-5 * np.eye(len(floor)))
        weight = means @ inverse
        return cls(weight, -0.5 * np.einsum("kf,kf->k", weight, means))

    def emotion(self, weights: np.ndarray, rotvec: np.ndarray) -> str:
        """The class of a clip, one of the five emotions or neutral."""
        return CLASSES[int((self.weight @ features(weights, rotvec) + self.bias).argmax())]

    def accuracy(self, rows: np.ndarray, labels: np.ndarray) -> float:
        """Share of features (n, F) that are told right."""
        return float(((rows @ self.weight.T + self.bias).argmax(axis=1) == labels).mean())


def emfacs_emotion(weights: np.ndarray) -> str:
    """The emotion of weights (T, 52) by rule: mean intensities u of action units over the clip, the largest of

    happy sqrt(u6 u12); sad sqrt(u1 u15) (1 - u2) (1 - u5); angry sqrt(u4 u7) max(1 - 2 u9, 0) (1 - u1); surprised
    cbrt(u1 u2 u5); disgusted sqrt(u9 max(u10, u15, u16, u17)); neutral where none reaches :data:`RULE_FLOOR`.
    """
    u = {unit: float(track.mean()) for unit, track in unit_intensities(weights).items()}
    score = {
        "happy": (u["6"] * u["12"]) ** 0.5,
        "sad": (u["1"] * u["15"]) ** 0.5 * (1 - u["2"]) * (1 - u["5"]),
        "angry": (u["4"] * u["7"]) ** 0.5 * max(1 - 2 * u["9"], 0.0) * (1 - u["1"]),
        "surprised": (u["1"] * u["2"] * u["5"]) ** (1 / 3),
        "disgusted": (u["9"] * max(u["10"], u["15"], u["16"], u["17"])) ** 0.5,
    }
    best = max(score, key=score.get)
    return best if score[best] >= RULE_FLOOR else "neutral"
