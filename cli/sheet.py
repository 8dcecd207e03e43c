"""``media2face sheet``: one recording under several styles, side by side, as a picture and as a film."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from .progress import advance

HELP = "draw one recording under several styles side by side: a contact sheet (.png), a film with sound (.mp4)"
EXAMPLES = """examples:
  media2face sheet speech.wav --style happy --style sad --style angry -o sheet.png
  media2face sheet speech.wav --style "a cheerful host" --style-image angry.png -o sheet.png -o sheet.mp4"""
SUFFIXES = (".png", ".mp4")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("speech", type=Path, metavar="SPEECH", help="WAV, FLAC, OGG/Opus or MP3; any rate, mono or not")
    parser.add_argument("-o", "--output", type=Path, action="append", required=True, metavar="FILE", help="repeatable")
    parser.add_argument("--style", action="append", default=[], metavar="TEXT", help="repeatable; '' is no style")
    parser.add_argument("--style-image", action="append", default=[], type=Path, metavar="FILE", help="repeatable")
    parser.add_argument("--strength", type=float, default=1.0, help="of every style, 0 to 3 (default: 1)")
    parser.add_argument("--moments", type=int, default=6, help="of the speech, on the contact sheet (default: 6)")
    parser.add_argument("--size", type=int, default=200, help="of one face, pixels (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="student", metavar="NAME", help="weights: student (default) or denoiser")


def run(options: argparse.Namespace) -> int:
    """Check, animate once a style, draw."""
    from PIL import Image
    from tqdm import tqdm

    from media2face.bodies import beside
    from media2face.bodies.side_by_side import film, sheet
    from media2face.runtime.audio_io import AudioFile
    from media2face.runtime.engine import EngineModels
    from media2face.runtime.errors import ConfigError
    from media2face.runtime.offline import animate

    for path in options.output:
        if path.suffix.lower() not in SUFFIXES or not path.parent.is_dir():
            raise ConfigError(f"expected outputs that end in {' or '.join(SUFFIXES)} in a folder that is there, "
                              f"got {path}")  # fmt: skip
        if path.resolve() == options.speech.resolve():
            raise ConfigError(f"the output {path} is the speech itself: choose another name")
    if not 16 <= options.size <= 1024 or not 1 <= options.moments <= 100 or options.seed < 0:
        raise ConfigError("expected --size from 16 to 1024, --moments from 1 to 100 and a --seed of 0 or more, got "
                          f"{options.size}, {options.moments}, {options.seed}")  # fmt: skip
    with AudioFile(options.speech):
        pass
    models = EngineModels.load(model=options.model)
    wanted = [(text or "no style", text or None) for text in options.style]
    wanted += [(path.stem, models.style.encode_image(path)) for path in options.style_image]
    if not wanted:
        raise ConfigError("expected one --style or --style-image at least: --style happy --style sad")
    labels = [label for label, _ in wanted]
    performances = [
        animate(options.speech, style, options.strength, options.seed, models)
        for _, style in tqdm(wanted, desc="animate", unit="style", disable=None)
    ]
    for path in options.output:
        with beside(path, path.suffix) as part:
            if path.suffix.lower() == ".png":
                picture = sheet(performances, labels, models.decoder, options.moments, options.size)
                Image.fromarray(picture).save(part)
            else:
                total = len(performances[0].weights)
                with tqdm(total=total, desc=path.name, unit="frame", disable=None) as bar:
                    film(performances, labels, part, models.decoder, options.size, partial(advance, bar))
        print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")
    return 0
