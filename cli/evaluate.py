"""``media2face evaluate``: how the shipped models do on what they never saw: motion, lips on real speech, GNPFA."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

HELP = "score the shipped models: motion and style, lips on real speech with known phones, GNPFA on new people"
EXAMPLES = """examples:
  media2face evaluate motion --clips CLIPS --speech SPEECH --json motion.json --pictures pictures
  media2face evaluate motion --speech SPEECH --baselines BASELINES --keep rows --takes 20
  media2face evaluate lips --data ../shared/data
  media2face evaluate lips --style "a cheerful host" --json lips.json
  media2face evaluate lips --setting quality --limit 20
  media2face evaluate gnpfa --json gnpfa.json --pictures pictures"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "what", choices=("motion", "lips", "gnpfa"), nargs="?", default="motion",
        help="motion (default): the generator against held-out takes, its ablations and baselines, and its styles; "
        "lips: place AUC, closure, rounding on Berlin EmoDB; gnpfa: the face space on held-out people and faces",
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the study data")
    parser.add_argument("--style", help="lips: speak in this style (default: neutral)")
    parser.add_argument(
        "--setting", choices=("live", "whole", "quality"), default="live",
        help="lips: as in a stream (default), as in a file, or by overlapped denoising (animate --quality)",
    )  # fmt: skip
    parser.add_argument("--model", help="lips: student (default) or denoiser (default with --setting quality)")
    parser.add_argument("--temperature", type=float, help="lips: of the sampler (default: the shipped setting)")
    parser.add_argument("--steps", type=int, help="lips: DDIM steps a hop (default: the shipped setting)")
    parser.add_argument("--limit", type=int, help="only so many recordings, people, or takes of each kind")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="motion, gnpfa: write pictures here")
    motion = parser.add_argument_group("motion (docs/evaluation.md)")
    motion.add_argument("--clips", type=Path, metavar="FOLDER", help="motion clips with GRID's test split: real takes")
    motion.add_argument("--speech", type=Path, metavar="FOLDER", help="synthetic speech: takes of held-out voices")
    motion.add_argument("--baselines", type=Path, metavar="FOLDER", help="exported baselines, a row each")
    motion.add_argument("--split", choices=("test", "val"), default="test", help="of takes and voices (default: test)")
    motion.add_argument("--samples", type=int, default=10, help="seeds of the full model (default: 10)")
    motion.add_argument("--keep", type=Path, metavar="FOLDER", help="keep finished rows here, to go on after a stop")
    motion.add_argument("--only", nargs="+", default=[], metavar="ROW", help="only these rows, or style, or quiet")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")


def run(options: argparse.Namespace) -> int:
    """Score, print a Markdown table, write the JSON file."""
    report = {"motion": _motion, "lips": _lips, "gnpfa": _gnpfa}[options.what](options)
    if options.json:
        partial = options.json.with_suffix(options.json.suffix + ".part")
        partial.write_text(json.dumps(report, indent=2) + "\n")
        os.replace(partial, options.json)
    return 0


def _motion(options: argparse.Namespace) -> dict:
    from media2face.evaluation.motion import MotionEvaluation, markdown
    from media2face.evaluation.motion_report import plot
    from media2face.runtime.errors import ConfigError, InputError

    for folder in (options.data, options.clips, options.speech, options.baselines):
        if folder is not None and not folder.is_dir():
            raise InputError(f"expected a folder at {folder}, found none")
    sizes = {} if options.limit is None else {k: options.limit for k in ("takes", "real_takes", "recordings", "each")}
    found = MotionEvaluation(
        options.data, options.clips, options.speech, options.baselines, options.split, options.samples,
        keep=options.keep, only=tuple(options.only), **sizes,
    ).run()  # fmt: skip
    print(markdown(found))
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
        try:
            for kind in sorted({k for kinds in found["rows"].values() for k in kinds}):
                print(plot(found["rows"], options.pictures, kind))
        except ModuleNotFoundError as error:
            raise ConfigError(f"plots are drawn by matplotlib: pip install matplotlib ({error})") from error
    return found


def _lips(options: argparse.Namespace) -> dict:
    from media2face.evaluation.lip_table import lip_table, markdown
    from media2face.runtime.engine import EngineModels
    from media2face.runtime.errors import InputError
    from media2face.runtime.overlapped import QualityConfig
    from media2face.runtime.sampler import SamplerConfig

    if not (options.data / "emodb_validation").is_dir():
        raise InputError(
            f"expected the folder emodb_validation in {options.data}, found none: it holds recordings of the Berlin "
            "Database of Emotional Speech with phone times; name its parent with --data"
        )
    asked = {"temperature": options.temperature, "steps": options.steps}
    given = {k: v for k, v in asked.items() if v is not None}
    quality = options.setting == "quality"
    models = EngineModels.load(model=options.model or ("denoiser" if quality else "student"))
    meta = models.sampler.model.meta
    config = QualityConfig(**given) if quality else SamplerConfig.of(meta, whole=options.setting == "whole", **given)
    table = lip_table(options.data, models, config, options.style, options.limit)
    print(markdown(table))
    return {name: report.as_dict() for name, report in table.items()}


def _gnpfa(options: argparse.Namespace) -> dict:
    from media2face.runtime.errors import ConfigError, InputError

    try:
        from media2face.evaluation.gnpfa import as_dict, evaluate, markdown
        from media2face.evaluation.gnpfa_pictures import write_pictures
        from media2face.evaluation.machine import describe
    except ImportError as error:
        raise ConfigError(f"this evaluation makes geometry maps with scipy: pip install scipy ({error})") from error
    if options.limit is not None and options.limit < 7:
        raise InputError(f"expected --limit of at least 7 people, got {options.limit}")
    machine = describe()
    figures, context = evaluate(options.data, options.limit or 16)
    print(f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_before']} before\n\n{markdown(figures)}")
    if options.pictures:
        for path in write_pictures(context, options.pictures):
            print(path)
    return {"machine": machine, "figures": as_dict(figures)}
