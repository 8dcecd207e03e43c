"""``media2face extract``: talking video to motion clips."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields, replace
from pathlib import Path

HELP = "turn talking video into motion clips: weights, head pose, latents, sound, quality"
EXAMPLES = """examples:
  media2face extract talk.mp4 -o clips
  media2face extract videos/ -o clips --jobs 8
  media2face extract anna/ ben/ -o clips --talker folder          # a folder is a talker: a better rest face
  media2face extract videos/ -o clips --set min_sync=0.5 --set max_turn_deg=30
  ray start --head && media2face extract videos/ -o clips --ray auto

Kill it whenever you like and run it again: what is done is kept. Stretches left out are listed with the reason in
clips/rejected.jsonl. docs/dataset.md has the filters and the files."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("videos", type=Path, nargs="+", metavar="VIDEO", help="video files, or folders of them")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="of the clips")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="landmark model and rig")
    parser.add_argument("--talker", default="file", metavar="file|folder|NAME",
                        help="who talks: each file another (default), its folder's name, or NAME for all")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: cores)")
    parser.add_argument("--ray", metavar="ADDRESS", help="run on a Ray cluster: auto, local, or ray://HOST:PORT")
    parser.add_argument("--allow-silent", action="store_true", help="keep video without sound, too")
    parser.add_argument("--original-audio", action="store_true", help="also keep the sound at the video's own rate")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a filter's threshold")
    parser.add_argument("--check", action="store_true", help="only check the checksums of what is in FOLDER")


def run(options: argparse.Namespace) -> int:
    """Check what was asked for, then extract."""
    from tqdm import tqdm

    from media2face.data.extraction.pipeline import ExtractConfig
    from media2face.data.extraction.runner import Extraction, check_folder
    from media2face.data.extraction.video import find_videos
    from media2face.data.extraction.workers import LocalWorkers, RayWorkers

    if options.check:
        problems = check_folder(options.output)
        print("\n".join(problems) or "every clip is as it was written")
        return 1 if problems else 0
    config = ExtractConfig(options.data.resolve(), filters(options), original_audio=options.original_audio)
    videos = find_videos(options.videos)
    work = Extraction(options.output.resolve(), config)
    workers = RayWorkers(options.ray, options.jobs) if options.ray else LocalWorkers(min(options.jobs, len(videos)))
    try:
        with tqdm(total=len(videos), desc="extract", unit="video", disable=None) as bar:
            clips = 0

            def step(done: int, made: int) -> None:
                nonlocal clips
                clips += made
                bar.set_postfix(clips=clips, refresh=False)
                bar.update(done)

            summary = work.run(videos, workers, options.talker, step)
            bar.update(summary.before)
    finally:
        workers.close()
    print(f"{summary.clips} clips, {summary.seconds / 60:.1f} min, in {options.output}; {summary.before} videos were "
          f"done before, {summary.videos} now; {summary.rejected} stretches left out")  # fmt: skip
    for reason, count in sorted(summary.reasons.items(), key=lambda x: -x[1]):
        print(f"  {count} x {reason}")
    return 0 if summary.clips else 1


def filters(options: argparse.Namespace):
    """The filters as the options set them.

    Raises:
        ConfigError: for an unknown name or a value out of range.
    """
    from media2face.data.extraction.filters import Filters
    from media2face.runtime.errors import ConfigError

    values = {"need_sound": not options.allow_silent}
    known = {f.name for f in fields(Filters)} - values.keys()
    for item in options.set:
        name, _, value = item.partition("=")
        if name not in known:
            raise ConfigError(f"expected --set NAME=VALUE with a name of {', '.join(sorted(known))}; got {item!r}")
        try:
            values[name] = float(value)
        except ValueError as error:
            raise ConfigError(f"expected a number for {name}, got {value!r}") from error
    return replace(Filters(), **values)
