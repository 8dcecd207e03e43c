"""Does a style show, and do the lips keep speaking under it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from media2face.evaluation import motion_metrics as metrics
from media2face.evaluation.lips import LabelledSpeech, LipRig, Utterance, lip_measures
from media2face.evaluation.motion_rows import Sampled, true_motion
from media2face.evaluation.motion_table import lip_figures
from media2face.evaluation.motion_takes import Take, speech_alone
from media2face.evaluation.style_classifier import SECONDS, SEEDS, StyleClassifier, emfacs_emotion, performances
from media2face.evaluation.style_prompts import EMOTIONS, WAYS, prompts
from media2face.runtime.audio_io import read_audio
from media2face.runtime.clock import SAMPLE_RATE

SPEAKERS, CHECK_SPEAKERS = 60, 20


def asked(row: Sampled, samples: np.ndarray, vector: np.ndarray | None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Weights (T, 52) and head rotation (T, 3) of speech (n,) under a style embedding (P,)."""
    motion = row(speech_alone(samples), seed, vector)
    return motion.weights, motion.rotvec


def style_accuracy(row: Sampled, speech: Sequence[np.ndarray], data: Path, each: int = 8) -> dict:
    """How often the asked emotion is told from the generated motion, by way of asking.

    Args:
        row: the generator. speech: (n,) at 16 kHz, of voices it never heard; a prompt takes the next one, cut to
            four seconds. data: folder with ``emoji/``. each: prompts a way and emotion.

    Returns:
        ``judge``: the classifier's accuracy on performances of other seeds; ``ways``: way -> ``prompts``, and shares
        with intervals by ``classifier`` and ``emfacs``, ``by_emotion``; ``asked``: every prompt with both verdicts.
    """
    judge = StyleClassifier.train(*performances(SPEAKERS))
    own = judge.accuracy(*performances(CHECK_SPEAKERS, SEEDS + 10_000))
    said = [samples[: round(SECONDS * SAMPLE_RATE)] for samples in speech]
    verdicts = []
    for number, prompt in enumerate(tqdm(list(prompts(row.shared.style, data, each)), "styles", disable=None)):
        weights, rotvec = asked(row, said[number % len(said)], prompt.vector, number)
        verdicts.append({"way": prompt.way, "emotion": prompt.emotion, "prompt": prompt.text,
                         "classifier": judge.emotion(weights, rotvec), "emfacs": emfacs_emotion(weights)})  # fmt: skip
    ways = {}
    for way in WAYS:
        mine = [v for v in verdicts if v["way"] == way]
        if not mine:
            continue
        right = {j: np.array([v[j] == v["emotion"] for v in mine], float) for j in ("classifier", "emfacs")}
        ways[way] = {"prompts": len(mine), **{j: list(metrics.bootstrap(r)) for j, r in right.items()}}
        ways[way]["by_emotion"] = {
            e: float(np.mean([v["classifier"] == e for v in mine if v["emotion"] == e]))
            for e in EMOTIONS if any(v["emotion"] == e for v in mine)
        }  # fmt: skip
    return {"judge": own, "ways": ways, "asked": verdicts}


def lips_under_style(row: Sampled, speech: Sequence[LabelledSpeech], rig: LipRig) -> dict[str, dict]:
    """Lip figures of recordings with phone times without a style and under each of the five emotions."""
    read = [(s, speech_alone(read_audio(s.audio).samples, s.name)) for s in speech]
    out = {}
    for style in ("neutral", *EMOTIONS):
        vector = None if style == "neutral" else row.shared.style.encode_text(style).vector
        bar = tqdm(read, f"lips, {style}", unit="clip", disable=None)
        said = [Utterance(row(take, 0, vector).weights, s.phones, s.name) for s, take in bar]
        out[style] = lip_figures(lip_measures(said, rig, resamples=200))
    return out


def error_under_style(row: Sampled, takes: Sequence[Take]) -> dict[str, list[float]]:
    """LVE in mm, with interval, of neutral takes spoken under each emotion, each clip's mean lip offset removed."""
    lips, out = row.shared.face.lips, {}
    neutral = [replace(t, prompt="") for t in takes if t.style == "neutral"]
    true = [true_motion(row.shared, t) for t in neutral]
    for style in ("neutral", *EMOTIONS):
        vector = None if style == "neutral" else row.shared.style.encode_text(style).vector
        errors = []
        for take, own in zip(neutral, true, strict=True):
            made = row(take, 0, vector).offsets
            frames = min(len(made), len(own.offsets))
            errors.append(metrics.lip_vertex_error(made[:frames, lips], own.offsets[:frames, lips], without_mean=True))
        out[style] = list(metrics.bootstrap(np.array(errors)))
    return out
