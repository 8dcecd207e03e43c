"""What the variants of the weights cost and gain: differences from fp32 on real speech, and time, in one run.

    python -m media2face.onnx_export.variants --out FOLDER
    python -m media2face.evaluation.onnx_table --weights FOLDER --data ../shared/data [--json FILE]

**Passes**: what the fp32 chain feeds to each network while it animates real speech (`emodb_validation`), reads prompts
and emoji and draws faces is recorded, then run through every variant. Differences are those of the outputs: largest and
mean, and the mean over the outputs' standard deviation. Times are medians of interleaved passes on one thread, as a
ratio to fp32 of the same run. **Lips**: the whole chain in the variant's numbers against the fp32 chain, in mm of the
20 lip landmarks through M' and the rig, with the lip measures of `evaluation.lips`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from media2face.data.files import write_json
from media2face.data.styles import STYLES, emoji_words
from media2face.evaluation.lips import LabelledSpeech, emodb_utterances, lip_measures, lip_rig
from media2face.evaluation.machine import describe
from media2face.evaluation.motion_table import LIP_FIGURES
from media2face.runtime.audio_io import read_audio
from media2face.runtime.engine import EngineModels
from media2face.runtime.offline import animate
from media2face.runtime.precision import PRECISIONS, precise_folder
from media2face.runtime.sessions import Model, load_model

PASSES = 24
"""Recorded passes of each network that are compared and timed."""
ROUNDS = 3

Feeds = dict[str, np.ndarray]


@contextmanager
def recorded() -> Iterator[dict[str, list[Feeds]]]:
    """What every network is fed within the block, by model name."""
    passes: dict[str, list[Feeds]] = {}
    run = Model.run

    def note(self: Model, feeds: Feeds, *args, **options):
        passes.setdefault(self.name, []).append({name: np.array(value) for name, value in feeds.items()})
        return run(self, feeds, *args, **options)

    Model.run = note
    try:
        yield passes
    finally:
        Model.run = run


def record(models: EngineModels, speech: list[LabelledSpeech], emoji: Path) -> dict[str, list[Feeds]]:
    """Passes of the chain over two recordings, a prompt for each style, emoji, and the faces of the recordings."""
    with recorded() as passes:
        for utterance in speech[:2]:
            made = animate(read_audio(utterance.audio).samples, style="happy", models=models)
            vertices = models.decoder.mesh(made.latents[::6])
            models.decoder.encode(vertices)
        for style in STYLES:
            models.style.encode_text(f"a {style} host")
        for char in list(emoji_words())[:PASSES]:
            picture = emoji / f"{ord(char[0]):x}.png"
            if picture.is_file():
                models.style.encode_image(picture)
    return {name: found[:: max(1, len(found) // PASSES)][:PASSES] for name, found in passes.items()}


def differences(reference: Model, variant: Model, passes: list[Feeds]) -> dict[str, float]:
    """Largest, mean and relative mean difference over all floating point outputs of the passes."""
    gaps, values = [], []
    for feeds in passes:
        wanted, got = reference.run(feeds), variant.run(feeds)
        for name, value in wanted.items():
            gaps.append(np.abs(got[name].astype(np.float64) - value).ravel())
            values.append(value.ravel())
    gap, spread = np.concatenate(gaps), float(np.std(np.concatenate(values)))
    return {"largest": float(gap.max()), "mean": float(gap.mean()), "relative": float(gap.mean() / max(spread, 1e-12))}


def times(models: dict[str, Model], passes: list[Feeds]) -> dict[str, float]:
    """Median milliseconds of a pass for each of the models, which take turns."""
    spent: dict[str, list[float]] = {key: [] for key in models}
    for turn in range(ROUNDS + 1):
        for feeds in passes:
            for key, model in models.items():
                began = time.perf_counter()
                model.run(feeds)
                if turn:  # the first round warms up
                    spent[key].append(1000 * (time.perf_counter() - began))
    return {key: float(np.median(values)) for key, values in spent.items()}


def network_rows(
    folder: Path, precisions: list[str], passes: dict[str, list[Feeds]], provider: str
) -> dict[str, dict[str, dict[str, float]]]:
    """Differences and times of each network and precision: {network: {precision: figures}}."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for name, found in sorted(passes.items()):
        models = {p: load_model(name, precise_folder(folder, p), provider) for p in precisions}
        models = {p: m for p, m in models.items() if p == "fp32" or "precision" in m.meta}
        if len(models) < 2:
            continue
        spent = times(models, found)
        rows[name] = {
            p: differences(models["fp32"], m, found)
            | {"ms": spent[p], "time_ratio": spent[p] / spent["fp32"], "mb": m.path.stat().st_size / 1e6}
            for p, m in models.items()
        }
    return rows


def lip_rows(
    folder: Path, precisions: list[str], speech: list[LabelledSpeech], data: Path, provider: str
) -> dict[str, dict[str, float]]:
    """The whole chain in each precision: lips against fp32 in mm, and the lip measures against hand-made phones."""
    rig, made = lip_rig(data), {}
    for precision in precisions:
        models = EngineModels.load(folder, provider, precision=precision)
        made[precision] = [animate(read_audio(s.audio).samples, models=models).weights for s in speech]
    rows = {}
    for precision, weights in made.items():
        gaps = [
            np.linalg.norm(rig.landmarks(a) - rig.landmarks(b), axis=-1).ravel()
            for a, b in zip(weights, made["fp32"], strict=True)
        ]
        gap = np.concatenate(gaps)
        report = lip_measures([s.utterance(w) for s, w in zip(speech, weights, strict=True)], rig)
        rows[precision] = {
            "lips_mean_mm": float(gap.mean()), "lips_p99_mm": float(np.quantile(gap, 0.99)),
            "lips_largest_mm": float(gap.max()), **{key: float(getattr(report, key)) for key in LIP_FIGURES},
        }  # fmt: skip
    return rows


def markdown(report: dict) -> str:
    """Both tables."""
    lines = ["| network | numbers | MB | largest | mean | mean / deviation | time against fp32 |", "|" + " --- |" * 7]
    for name, variants in report["networks"].items():
        for precision, row in variants.items():
            lines.append(
                f"| {name} | {precision} | {row['mb']:.1f} | {row['largest']:.2g} | {row['mean']:.2g} | "
                f"{row['relative']:.2g} | {row['time_ratio']:.2f} |"
            )
    keys = ("lips_mean_mm", "lips_p99_mm", "lips_largest_mm", *LIP_FIGURES)
    lines += ["", "| whole chain | " + " | ".join(keys) + " |", "|" + " --- |" * (len(keys) + 1)]
    lines += [f"| {p} | " + " | ".join(f"{row[k]:.3f}" for k in keys) + " |" for p, row in report["lips"].items()]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="folder made by media2face.onnx_export.variants")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--clips", type=int, default=20, help="recordings of emodb_validation for the lips")
    parser.add_argument("--provider", default="cpu", choices=("auto", "cpu", "cuda", "tensorrt"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    precisions = [p for p in PRECISIONS if p == "fp32" or any((options.weights / p).glob("*.onnx"))]
    if len(precisions) < 2:
        parser.error(f"{options.weights} has no variants: make them with media2face.onnx_export.variants --out FOLDER")
    speech = emodb_utterances(options.data / "emodb_validation")
    speech = speech[:: max(1, len(speech) // options.clips)][: options.clips]
    passes = record(EngineModels.load(options.weights, options.provider), speech, options.data / "emoji")
    report = describe() | {"provider": options.provider, "clips": len(speech)}
    report["networks"] = network_rows(options.weights, precisions, passes, options.provider)
    report["lips"] = lip_rows(options.weights, precisions, speech, options.data, options.provider)
    print(markdown(report))
    if options.json:
        write_json(options.json, report)


if __name__ == "__main__":
    main()
