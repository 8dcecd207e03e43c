"""``media2face evaluate``: how well the lips of the shipped models follow real strangers' words."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

HELP = "score the lips on real speech with known phones"
EXAMPLES = """examples:
  media2face evaluate lips --data ../shared/data
  media2face evaluate lips --style "a cheerful host" --json lips.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("what", choices=("lips",), help="lips: place AUC, closure, rounding on Berlin EmoDB")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the study data")
    parser.add_argument("--style", help="speak in this style (default: neutral)")
    parser.add_argument("--temperature", type=float, help="of the sampler (default: the shipped setting)")
    parser.add_argument("--steps", type=int, help="DDIM steps a hop (default: the shipped setting)")
    parser.add_argument("--limit", type=int, help="only so many recordings")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")


def run(options: argparse.Namespace) -> int:
    """Score, print a Markdown table, write the JSON file."""
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
    if options.json:
        partial = options.json.with_suffix(options.json.suffix + ".part")
        partial.write_text(json.dumps({name: report.as_dict() for name, report in table.items()}, indent=2) + "\n")
        os.replace(partial, options.json)
    return 0
