"""``media2face bench``: how fast this machine animates, with hardware and settings."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

HELP = "measure speed, latency and skew on this machine"
EXAMPLES = """examples:
  media2face bench                       everything, about two minutes
  media2face bench --only offline        without ROS
  media2face bench --json figures.json   also as flat JSON; percentiles as {p50, p95, p99}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--audio", type=Path, metavar="FILE", help="speech to animate (default: the shipped demo)")
    parser.add_argument("--only", choices=("offline", "live"), help="only one half of the figures")
    parser.add_argument("--provider", default="auto", choices=("auto", "cpu", "cuda", "tensorrt"))
    parser.add_argument("--steps", type=int, default=None, help="DDIM steps a hop (default: the shipped setting)")


def run(options: argparse.Namespace) -> int:
    """Measure, print a table, write the JSON file."""
    from media2face.evaluation.machine import describe, install_mb
    from media2face.evaluation.offline_bench import bench_decode, bench_offline, bench_stages
    from media2face.runtime.demo import demo_speech
    from media2face.runtime.engine import EngineModels
    from media2face.runtime.sampler import SamplerConfig

    speech = options.audio or demo_speech()
    figures: dict = describe()
    if options.only != "live":
        models = EngineModels.load(providers=options.provider)
        sampler, steps = models.sampler, {} if options.steps is None else {"steps": options.steps}
        live, whole = (SamplerConfig.of(sampler.model.meta, whole=w, **steps) for w in (False, True))
        figures |= {"provider": sampler.model.provider, "dtype": "float32", "threads": 1, "steps": live.steps}
        figures |= bench_offline(models, speech, whole) | bench_decode(models) | bench_stages(models, live)
        del models
    if options.only != "offline":
        from media2face.evaluation.live_bench import bench_live

        figures |= bench_live(speech)
    figures["install_mb"] = round(install_mb(), 0)
    width = max(len(k) for k in figures)
    for key, value in figures.items():
        text = "  ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{key:<{width}}  {text}")
    if options.json:
        partial = options.json.with_suffix(options.json.suffix + ".part")
        partial.write_text(json.dumps(figures, indent=2) + "\n")
        os.replace(partial, options.json)
    return 0
