"""``media2face evaluate``: how well the shipped models do on what they never saw: lips on real speech, and GNPFA."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

HELP = "score the shipped models: lips on real speech with known phones, GNPFA on new people and expressions"
EXAMPLES = """examples:
  media2face evaluate lips --data ../shared/data
  media2face evaluate lips --style "a cheerful host" --json lips.json
  media2face evaluate gnpfa --json gnpfa.json --pictures pictures"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "what", choices=("lips", "gnpfa"),
        help="lips: place AUC, closure, rounding on Berlin EmoDB; gnpfa: the face space on held-out people and faces",
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the study data")
    parser.add_argument("--style", help="lips: speak in this style (default: neutral)")
    parser.add_argument("--temperature", type=float, help="lips: of the sampler (default: the shipped setting)")
    parser.add_argument("--steps", type=int, help="lips: DDIM steps a hop (default: the shipped setting)")
    parser.add_argument("--limit", type=int, help="only so many recordings, or people")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="gnpfa: write pictures here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")


def run(options: argparse.Namespace) -> int:
    """Score, print a Markdown table, write the JSON file."""
    report = _gnpfa(options) if options.what == "gnpfa" else _lips(options)
    if options.json:
        partial = options.json.with_suffix(options.json.suffix + ".part")
        partial.write_text(json.dumps(report, indent=2) + "\n")
        os.replace(partial, options.json)
    return 0


def _lips(options: argparse.Namespace) -> dict:
    from media2face.evaluation.lip_table import lip_table, markdown
    from media2face.runtime.errors import InputError
    from media2face.runtime.sampler import SamplerConfig

    if not (options.data / "emodb_validation").is_dir():
        raise InputError(
            f"expected the folder emodb_validation in {options.data}, found none: it holds recordings of the Berlin "
            "Database of Emotional Speech with phone times; name its parent with --data"
        )
    asked = {"temperature": options.temperature, "steps": options.steps}
    config = SamplerConfig(**{k: v for k, v in asked.items() if v is not None})
    table = lip_table(options.data, config=config, style=options.style, limit=options.limit)
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
