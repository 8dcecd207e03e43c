"""``media2face data build | verify | show``: clips to a dataset for training, and what is in it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "build, verify and look into datasets of motion clips"
EXAMPLES = """examples:
  media2face data build clips -o dataset
  media2face data build corpus/grid corpus/synthetic clips -o dataset --split take --min-quality 0.5
  media2face data build clips -o dataset --text-endpoint http://localhost:8000/v1 --text-model my-model
  media2face data verify dataset --deep
  media2face data show dataset plain_00

A key for the endpoint is read from the environment variable that --text-key-env names. A build that was killed or ran
out of room goes on when run again. docs/dataset.md has the format."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="build|verify|show")
    build = actions.add_parser("build", help="clips to shards with texts, checksums and a data card")
    build.add_argument("clips", type=Path, nargs="+", metavar="CLIPS", help="folders of motion clips")
    build.add_argument("-o", "--output", type=Path, required=True, metavar="DATASET", help="folder of the dataset")
    build.add_argument("--split", choices=("keep", "take", "speaker"), default="keep",
                       help="keep the clips' own, or 80/10/10 by a hash of the take or the speaker")  # fmt: skip
    build.add_argument("--shard-clips", type=int, default=256, metavar="N", help="clips of one shard (default: 256)")
    build.add_argument("--min-quality", type=float, default=0.0, metavar="Q", help="leave out clips of less, 0 to 1")
    build.add_argument("--seed", type=int, default=0, help="of the wording of the texts")
    build.add_argument("--text-endpoint", metavar="URL", help="OpenAI-compatible endpoint that writes the texts")
    build.add_argument("--text-model", metavar="NAME", help="its model")
    build.add_argument("--text-key-env", default="MEDIA2FACE_TEXT_KEY", metavar="VARIABLE", help="where its key is")
    check = actions.add_parser("verify", help="check a dataset against its checksums")
    check.add_argument("dataset", type=Path, metavar="DATASET")
    check.add_argument("--deep", action="store_true", help="also read every clip and sound")
    show = actions.add_parser("show", help="the labels and texts of one clip, or the totals")
    show.add_argument("dataset", type=Path, metavar="DATASET")
    show.add_argument("key", nargs="?", metavar="KEY", help="a clip's name (or its end)")


def run(options: argparse.Namespace) -> int:
    """Do what was asked."""
    return {"build": _build, "verify": _verify, "show": _show}[options.action](options)


def _build(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from media2face.data.annotation.endpoint import EndpointConfig
    from media2face.data.dataset_build import BuildConfig, DatasetBuilder, plan
    from media2face.runtime.errors import ConfigError

    if bool(options.text_endpoint) != bool(options.text_model):
        raise ConfigError("expected --text-endpoint and --text-model together")
    endpoint = None
    if options.text_endpoint:
        endpoint = EndpointConfig(options.text_endpoint, options.text_model, options.text_key_env)
    config = BuildConfig(options.shard_clips, options.split, options.min_quality, options.seed, endpoint)
    with tqdm(desc="reading", unit="clip", disable=None) as bar:
        planned = plan(options.clips, config, lambda: bar.update(1))
    builder = DatasetBuilder(options.output, config)
    with tqdm(total=len(planned), desc="building", unit="clip", disable=None) as bar:
        manifest = builder.build(planned, bar.update)
    for kind, t in manifest["totals"].items():
        print(f"{kind:>9}: {t['clips']} clips, {t['hours']:.2f} h, {t['speakers']} speakers, {t['takes']} takes")
    print(f"wrote {len(manifest['shards'])} shards and the card {options.output / 'README.md'}")
    if builder.endpoint:
        print("text endpoint: " + ", ".join(f"{n} {k}" for k, n in builder.endpoint.counts.items()))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from media2face.data.dataset import MotionDataset, verify

    problems = verify(options.dataset, options.deep)
    if problems:
        print("\n".join(problems))
        return 1
    print(f"{len(MotionDataset.open(options.dataset))} clips, every checksum holds")
    return 0


def _show(options: argparse.Namespace) -> int:
    from media2face.data.dataset import MotionDataset
    from media2face.runtime.errors import InputError

    dataset = MotionDataset.open(options.dataset)
    if options.key is None:
        print(json.dumps(dataset.manifest.get("totals", {"clips": len(dataset)}), indent=1))
        return 0
    found = [e for e in dataset if e.key == options.key] or [e for e in dataset if e.key.endswith(options.key)]
    if not found:
        raise InputError(f"no clip {options.key!r} in {options.dataset}; index.jsonl lists the keys")
    print(json.dumps(found[0].texts() or found[0].labels, indent=1, ensure_ascii=False))
    return 0
