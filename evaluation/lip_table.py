"""Lip measures of the shipped models on real strangers, beside a mouth that flaps with energy and one made by rules.

Nothing of the recordings (Berlin EmoDB) was trained or tuned on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from media2face.data.performance import perform
from media2face.evaluation.lips import LabelledSpeech, LipReport, emodb_utterances, lip_measures, lip_rig
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.audio_io import read_audio
from media2face.runtime.clock import FPS, SAMPLE_RATE, frame_count
from media2face.runtime.engine import EngineModels
from media2face.runtime.offline import animate
from media2face.runtime.sampler import SamplerConfig


def energy_mouth(samples: np.ndarray) -> np.ndarray:
    """Baseline: jawOpen follows loudness, (T, 52)."""
    frames = frame_count(len(samples))
    weights = np.zeros((frames, 52), np.float32)
    step = SAMPLE_RATE // FPS
    padded = np.pad(samples, (step, 2 * step))
    loud = np.array([np.sqrt(np.mean(padded[k * step : k * step + 2 * step] ** 2)) for k in range(frames)])
    weights[:, ARKIT_INDEX["jawOpen"]] = 0.4 * np.clip(loud / (np.percentile(loud, 95) + 1e-6), 0, 1)
    return weights


def rule_mouth(speech: LabelledSpeech, samples: np.ndarray) -> np.ndarray:
    """Ceiling: rules on the hand-made phone times (synthetic motion), (T, 52)."""
    return perform(speech.phones, len(samples) / SAMPLE_RATE, audio=samples, style="neutral", seed=0).weights


def lip_table(
    data: Path, models: EngineModels, config: SamplerConfig, style: str | None = None, limit: int | None = None
) -> dict[str, LipReport]:
    """Score ``models`` and both reference mouths on ``data/emodb_validation``.

    Args:
        data: folder of the study data.
        models: loaded networks.
        config: sampling settings.
        style: words; None is neutral.
        limit: only so many recordings.
    """
    rig = lip_rig(data)
    rows: dict[str, list] = {"jaw follows energy": [], "media2face": [], "rules on true phones (synthetic)": []}
    for speech in tqdm(emodb_utterances(data / "emodb_validation")[:limit], unit="clip", desc="lips"):
        samples = read_audio(speech.audio).samples
        ours = animate(samples, style=style, models=models, config=config).weights
        rows["jaw follows energy"].append(speech.utterance(energy_mouth(samples)))
        rows["media2face"].append(speech.utterance(ours))
        rows["rules on true phones (synthetic)"].append(speech.utterance(rule_mouth(speech, samples)))
    return {name: lip_measures(utterances, rig) for name, utterances in rows.items()}


def markdown(table: dict[str, LipReport]) -> str:
    """The table of the README."""
    columns = ("place_auc", "closure_ratio", "rounding_auc", "openness", "vowel_gap_mm", "lag_frames")
    titles = [c.replace("_", " ") for c in ("mouth", *columns)]
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    for name, report in table.items():
        cells = []
        for column in columns:
            value = getattr(report, column)
            low, high = report.intervals.get(column, (None, None))
            cells.append(f"{value}" if isinstance(value, int) else f"{value:.2f} ({low:.2f} to {high:.2f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
