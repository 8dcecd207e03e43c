"""Sampling steps against quality and speed: the denoiser and its student on held-out voices and takes.

    python -m media2face.evaluation.steps_table --synthetic CLIPS --grid CLIPS --data ../shared/data

CLIPS are folders of motion clips (``data.performance``, ``data.real_motion``); only their validation split is read.
Each row is sampled by the runtime from the shipped encoder's features, hop by hop, in neutral style. Columns: place
AUC, closure ratio and lag of the lips (``evaluation/lips.py``) on **synthetic** voices that nothing was trained on; LVE
on both: mean over frames of the largest distance of a lip landmark, mm; blinks a minute; deviation of the head's
rotation, degrees; its jitter, root mean square of second over first differences (white noise: 1.73); and frames a
second of the sampler alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from media2face.data.clips import MotionClip, iter_clips, read_clip_audio
from media2face.data.files import write_json
from media2face.evaluation import motion_metrics as metrics
from media2face.evaluation.lips import LipRig, Utterance, lip_measures, lip_rig
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.decoder import FaceDecoder
from media2face.runtime.errors import InputError
from media2face.runtime.motion import SamplerConfig
from media2face.runtime.sampler import MotionSampler
from media2face.runtime.speech import SpeechEncoder

ROWS = (*(("denoiser", n) for n in (1, 2, 4, 8, 16, 50)), *(("student", n) for n in (1, 2, 4)))
BLINK = 0.5


def takes(folder: Path, limit: int) -> list[tuple[MotionClip, np.ndarray]]:
    """``limit`` validation clips of a folder, spread evenly over it, each with its samples.

    Raises:
        InputError: if there are none.
    """
    found = [(path, clip) for path, clip in iter_clips(folder, "val") if clip.has_audio and path.parent.name != "noise"]
    if not found:
        raise InputError(f"expected motion clips of split 'val' below {folder}, found none")
    chosen = np.unique(np.linspace(0, len(found) - 1, limit).round().astype(int))
    return [(found[i][1], read_clip_audio(found[i][0])) for i in chosen]


def blinks(weights: np.ndarray) -> int:
    """How often both lids pass half closed on their way down, in weights (T, 52)."""
    closed = weights[:, [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]].mean(axis=1) > BLINK
    return int((closed[1:] & ~closed[:-1]).sum())


def measure(made: list[tuple[np.ndarray, np.ndarray]], clips: list[MotionClip], rig: LipRig) -> dict[str, float]:
    """The columns for motion (weights (T, 52), head rotation (T, 3)) made for ``clips``; lips if these have phones."""
    lve = [
        metrics.lip_vertex_error(rig.landmarks(w), rig.landmarks(c.weights[: len(w)]))
        for (w, _), c in zip(made, clips, strict=True)
    ]
    minutes = sum(len(w) for w, _ in made) / 1800
    found = {
        "lve_mm": float(np.mean(lve)),
        "blinks_a_minute": sum(blinks(w) for w, _ in made) / minutes,
        "head_deg": float(np.degrees(np.mean([r.std(axis=0).mean() for _, r in made]))),
        "head_jitter": float(np.nan_to_num(metrics.jitter(*(r for _, r in made)))),
    }
    if all(c.phones_label is not None for c in clips):
        spoken = [
            Utterance(w, list(zip(c.phones_start, c.phones_end, c.phones_label, strict=True)))
            for (w, _), c in zip(made, clips, strict=True)
        ]
        lips = lip_measures(spoken, rig, resamples=1)
        found |= {"place_auc": lips.place_auc, "closure_ratio": lips.closure_ratio, "lag_frames": lips.lag_frames}
    return found


def sample(sampler: MotionSampler, config: SamplerConfig, features: np.ndarray, samples: int) -> np.ndarray:
    """States (T, D) of one utterance from features (n, A) at 50 Hz: latent, rotation vector, translation."""
    stream = sampler.stream(0, config)
    stream.accept_features(0, features)
    stream.input_finished(samples)
    return np.stack([np.concatenate([f.latent, f.head_rotvec, f.head_translation]) for f in stream.frames_ready()])


def steps_table(groups: dict[str, list[tuple[MotionClip, np.ndarray]]], data: Path, weights: Path | None) -> dict:
    """Every row of :data:`ROWS`: group to columns, and ``frames_a_second``."""
    speech, decoder, rig = SpeechEncoder(weights), FaceDecoder(weights), lip_rig(data)
    heard = {name: [(speech.encode(samples), len(samples)) for _, samples in group] for name, group in groups.items()}
    truth = {n: [(c.weights, c.head_rotvec) for c, _ in g] for n, g in groups.items()}
    table = {"recorded": {n: measure(truth[n], [c for c, _ in g], rig) for n, g in groups.items()}}
    for model, steps in tqdm(ROWS, desc="rows", unit="row"):
        sampler = MotionSampler(weights, model=model)
        config = SamplerConfig.of(sampler.model.meta, steps=steps)
        row, frames, began = {}, 0, time.perf_counter()
        states = {n: [sample(sampler, config, *h) for h in heard[n]] for n in groups}
        took = time.perf_counter() - began
        for name, group in groups.items():
            frames += sum(len(s) for s in states[name])
            z = sampler.latent_dim
            row[name] = measure(
                [(decoder.weights(s[:, :z]), s[:, z : z + 3]) for s in states[name]], [c for c, _ in group], rig
            )
        table[f"{model}, {steps}"] = {**row, "frames_a_second": frames / took}
    return table


def markdown(table: dict) -> str:
    """The table of the documentation."""
    columns = ("place_auc", "closure_ratio", "lve_mm", "blinks_a_minute", "head_deg", "head_jitter")
    groups = [g for g in table["recorded"] if g != "frames_a_second"]
    heads = [f"{group}: {c.replace('_', ' ')}" for group in groups for c in columns if c in table["recorded"][group]]
    lines = ["| model, steps | " + " | ".join([*heads, "frames/s"]) + " |", "| --- " * (len(heads) + 2) + "|"]
    for name, row in table.items():
        cells = [f"{row[g][c]:.2f}" for g in groups for c in columns if c in row[g]]
        speed = f"{row['frames_a_second']:.0f}" if "frames_a_second" in row else ""
        lines.append(f"| {name} | " + " | ".join([*cells, speed]) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synthetic", type=Path, required=True, help="folder of synthetic performances")
    parser.add_argument("--grid", type=Path, required=True, help="folder of tracked GRID clips")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the ICT rig")
    parser.add_argument("--weights", type=Path, help="folder of the ONNX files (default: the shipped ones)")
    parser.add_argument("--limit", type=int, default=16, help="clips of each kind")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    groups = {"synthetic": takes(options.synthetic, options.limit), "GRID": takes(options.grid, options.limit)}
    table = steps_table(groups, options.data, options.weights)
    print(markdown(table))
    if options.json:
        write_json(options.json, table)


if __name__ == "__main__":
    main()
