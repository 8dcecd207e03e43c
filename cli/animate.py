"""``media2face animate``: a whole recording to animation files."""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

HELP = "turn a recording of speech into a moving face, as files"
EXAMPLES = """examples:
  media2face animate speech.wav -o face.npz
  media2face animate speech.mp3 --style "a cheerful host" -o face.mp4
  media2face animate speech.ogg --style-image smile.png --seed 7 -o face.csv -o face.mp4

outputs, by suffix:
  .npz   arrays for programs: fps, names, weights (T, 52), head_rotation (T, 4) xyzw, head_translation (T, 3) m,
         latents, model, seed
  .csv   the same as a table, one row a frame
  .mp4   a rendered head with the sound"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("speech", type=Path, metavar="SPEECH", help="WAV, FLAC, OGG/Opus or MP3; any rate, mono or not")
    parser.add_argument("-o", "--output", type=Path, action="append", required=True, metavar="FILE", help="repeatable")
    style = parser.add_mutually_exclusive_group()
    style.add_argument("--style", metavar="TEXT", help="how to speak, in words (default: neutral)")
    style.add_argument("--style-image", type=Path, metavar="FILE", help="how to speak, as a picture of a face or emoji")
    parser.add_argument("--strength", type=float, default=1.0, help="of the style: 0 none, 1 as said, up to 3")
    parser.add_argument("--seed", type=_seed, default=0, help="another seed, another motion that fits (default: 0)")
    parser.add_argument("--model", default="denoiser", metavar="NAME", help="weights of the motion (default: denoiser)")
    parser.add_argument("--provider", default="auto", choices=("auto", "cpu", "cuda", "tensorrt"))


def run(options: argparse.Namespace) -> int:
    """Check everything that can be checked first, then animate and write."""
    from tqdm import tqdm

    from media2face.bodies import check_output, export
    from media2face.runtime.audio_io import AudioFile
    from media2face.runtime.clock import SAMPLE_RATE
    from media2face.runtime.engine import EngineModels
    from media2face.runtime.errors import ConfigError
    from media2face.runtime.offline import animate

    for path in options.output:
        check_output(path)
        if path.resolve() == options.speech.resolve():
            raise ConfigError(f"the output {path} is the speech itself: choose another name")
    with AudioFile(options.speech) as source:
        seconds = source.expected / SAMPLE_RATE if source.expected else None
    models = EngineModels.load(providers=options.provider, model=options.model)
    style = models.style.encode_image(options.style_image) if options.style_image else options.style
    began = time.perf_counter()
    with tqdm(total=seconds and round(seconds, 1), desc="animate", unit="s", disable=None) as bar:
        performance = animate(
            options.speech, style, options.strength, options.seed, models, progress=partial(_advance, bar)
        )
    frames, took = len(performance.weights), time.perf_counter() - began
    print(f"{frames} frames of {frames / performance.fps:.1f} s in {took:.1f} s ({frames / took:.0f} frames/s)")
    for path in options.output:
        with tqdm(total=frames, desc=path.name, unit="frame", disable=None) as bar:
            export(performance, path, decoder=models.decoder, progress=partial(_advance, bar))
        print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")
    return 0


def _advance(bar, done: float, total: int | None = None) -> None:
    bar.update(round(done, 1) - bar.n)


def _seed(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text!r}")
    return value
