"""Rows of generated motion measured against takes: one list of clips a row and kind of take, kept on disk.

Real and synthetic takes never meet in one number. A row that is already in the folder of results, made by the same
weights and settings on the same takes, is not made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from media2face.data.files import write_json
from media2face.evaluation import motion_metrics as metrics
from media2face.evaluation.lips import LipReport, LipRig, Utterance, lip_measures
from media2face.evaluation.motion_rows import Motion, Row, Sampled, Shared, true_motion
from media2face.evaluation.motion_takes import Take, speech_alone
from media2face.runtime.arkit import ARKIT_INDEX, indices
from media2face.runtime.clock import FPS

BROWS = indices([n for n in ARKIT_INDEX if n.startswith("brow")])
LIP_FIGURES = ("place_auc", "closure_ratio", "rounding_auc")
KINDS = ("real", "synthetic")


@dataclass
class RowSpec:
    """One row to be made.

    Attributes:
        name: as in the table.
        row: makes the motion.
        samples: how many seeds.
        identity: what the result depends on beside the takes (weights, settings), as text.
    """

    name: str
    row: Row
    samples: int = 1
    identity: str = ""

    @classmethod
    def of(cls, name: str, row: Sampled, samples: int = 1, extra: str = "") -> RowSpec:
        """A sampler's row, identified by its weights and settings."""
        sampler = row.sampler
        return cls(name, row, samples, f"{sampler.model.fingerprint} {asdict(sampler.config)} {extra}")


def measure(made: Sequence[Motion], true: Motion, shared: Shared) -> dict:
    """Figures of one clip: lists over seeds, and numbers; see :mod:`~media2face.evaluation.motion_metrics`."""
    face = shared.face
    frames = min(len(true.rotvec), *(len(m.rotvec) for m in made))
    lips, upper = ([m.offsets[:frames, part] for m in made] for part in (face.lips, face.upper))
    true_beats = metrics.head_beats(true.rotvec[:frames])
    beats = [metrics.head_beats(m.rotvec[:frames]) for m in made]
    noise = metrics.equal_noise(made[0].rotvec[:frames], np.random.default_rng(frames))
    out = {
        "lve": [metrics.lip_vertex_error(x, true.offsets[:frames, face.lips]) for x in lips],
        "fdd": [metrics.dynamics_deviation(x, true.offsets[:frames, face.upper]) for x in upper],
        "ba": [metrics.beat_alignment(x, true_beats) for x in beats],
        "beats": len(beats[0]), "true_beats": len(true_beats),
        "noise_ba": metrics.beat_alignment(metrics.head_beats(noise), true_beats),
        "head_deg": float(np.degrees(made[0].rotvec[:frames].std(axis=0).mean())),
        "true_head_deg": float(np.degrees(true.rotvec[:frames].std(axis=0).mean())),
    }  # fmt: skip
    for name, motion in (("", made[0]), ("true_", true)):
        out[f"{name}jitter_head"] = metrics.jitter(motion.rotvec[:frames])
        out[f"{name}slow_head"] = metrics.slow_share(motion.rotvec[:frames])
        if motion.weights is not None:
            out[f"{name}jitter_brows"] = metrics.jitter(motion.weights[:frames, BROWS])
            out[f"{name}slow_brows"] = metrics.slow_share(motion.weights[:frames, BROWS])
    if len(made) > 1:
        out["diversity_lips"], out["diversity_upper"] = metrics.diversity(lips), metrics.diversity(upper)
        out["diversity_head_deg"] = float(np.degrees(metrics.diversity([m.rotvec[:frames, None] for m in made])))
    return out


def _key(spec: RowSpec, takes: Sequence[Take]) -> str:
    of_takes = [f"{t.name} {len(t.samples)} {t.prompt} {float(t.weights.sum()):.3f}" for t in takes]
    return hashlib.sha256("\n".join([spec.identity, str(spec.samples), *of_takes]).encode()).hexdigest()[:16]


def run_row(spec: RowSpec, takes: Sequence[Take], shared: Shared, rig: LipRig, keep: Path | None = None) -> dict:
    """Make a row for takes of one kind and measure it.

    Args:
        spec: the row. takes: all real or all synthetic. shared: encoders, decoder, measured points.
        rig: for the lip figures of takes with phone times.
        keep: folder of results; None keeps none.

    Returns:
        ``clips``: a list of :func:`measure`; ``lips``: lip figures with intervals (where phones and weights are there).
    """
    kind = KINDS[0 if takes[0].real else 1]
    key = _key(spec, takes)
    path = keep / f"{spec.name.replace(' ', '_').replace('/', '_')}.{kind}.json" if keep else None
    if path and path.is_file() and (stored := json.loads(path.read_text())).get("key") == key:
        return stored
    clips, utterances = [], []
    for take in tqdm(takes, desc=f"{spec.name}, {kind}", unit="take", disable=None):
        made = [spec.row(take, seed) for seed in range(spec.samples)]
        clips.append({"take": take.name, **measure(made, true_motion(shared, take), shared)})
        if take.phones and made[0].weights is not None:
            utterances.append(Utterance(made[0].weights, take.phones, take.name))
    result = {"key": key, "name": spec.name, "kind": kind, "samples": spec.samples, "clips": clips, "lips": {}}
    if utterances:
        result["lips"] = lip_figures(lip_measures(utterances, rig, resamples=100))
    if path:
        write_json(path, result)
    return result


def lip_figures(report: LipReport) -> dict:
    """:data:`LIP_FIGURES` with their intervals, and the lag, ready for JSON."""
    return {k: [getattr(report, k), *report.intervals[k]] for k in LIP_FIGURES} | {"lag_frames": report.lag_frames}


def column(result: dict, name: str) -> np.ndarray:
    """One figure by clip (clips,), the mean over seeds where there are several."""
    return np.array([np.mean(c[name]) if name in c else np.nan for c in result["clips"]], np.float64)


def best_column(result: dict, name: str) -> np.ndarray:
    """The least over seeds by clip (clips,)."""
    return np.array([np.min(c[name]) for c in result["clips"]], np.float64)


def quiet_speed(row: Row, sounds: dict[str, np.ndarray], rig: LipRig, settle_s: float = 0.5) -> dict[str, float]:
    """Mean speed of the lip landmarks in mm/s while nobody speaks, by sound; its first ``settle_s`` are left out."""
    out = {}
    for name, samples in sounds.items():
        take = speech_alone(samples, name)
        out[name] = float(rig.speed(row(take, 0).weights)[round(FPS * settle_s) :].mean())
    return out
