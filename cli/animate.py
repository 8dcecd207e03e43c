"""``media2face animate``: a whole recording to animation files."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from .progress import advance

HELP = "turn a recording of speech into a moving face, as files"
EXAMPLES = """examples:
  media2face animate speech.wav -o face.npz
  media2face animate speech.mp3 --style "a cheerful host" -o face.mp4
  media2face animate speech.ogg --style-image smile.png --seed 7 -o face.csv -o face.mp4
  media2face animate speech.wav --identity sample:3 -o anna.mp4 -o anna.glb
  media2face animate speech.wav --identity my_face.obj -o me.usd
  media2face animate speech.wav --template my_avatar.glb -o talking.glb
  media2face animate speech.wav --style "0:happy 2.5~0.8:sad" --keyframe 1.5=smile.png -o face.mp4
  media2face animate hello.wav news.wav --style cheerful --style serious -o both.glb
  media2face animate speech.wav --quality --steps 50 -o face.npz
  media2face animate speech.wav -o face.mcap && media2face replay face.mcap

outputs, by suffix (docs/files.md has units, axes and who opens them):
  .npz           arrays for programs: fps, names, weights (T, 52), head_rotation (T, 4) xyzw, head_translation (T, 3) m,
                 latents, model, seed
  .mesh.npz      every vertex of every frame, with triangles, neutral and head pose
  .csv           the same as .npz as a table, one row a frame
  .livelink.csv  a take of the LiveLink Face app, for Unreal and MetaHuman
  .mp4           a rendered head with the sound
  .glb           glTF: our head with its shapes, animated
  .usd           OpenUSD (also .usda, .usdc): the same with a skeleton; needs the extra media2face[usd]
  .bvh           neck and head as a skeleton's motion
  .mcap          the topics themselves, for Foxglove, ros2 bag and media2face replay"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    from media2face.runtime.motion import TUNED, ranged

    parser.add_argument(
        "speech", type=Path, nargs="+", metavar="SPEECH",
        help="WAV, FLAC, OGG/Opus or MP3; any rate, mono or not; several are spoken one after another, without a jump",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, action="append", required=True, metavar="FILE", help="repeatable")
    style = parser.add_mutually_exclusive_group()
    style.add_argument(
        "--style", metavar="TEXT", action="append",
        help="how to speak, in words, or as a timeline such as '0:happy 2.5~0.8:sad' (sad from 2.5 s, easing in over "
        "0.8 s); once, or once for each SPEECH (default: neutral)",
    )  # fmt: skip
    style.add_argument("--style-image", type=Path, metavar="FILE", help="how to speak, as a picture of a face or emoji")
    parser.add_argument("--strength", type=float, default=1.0, help="of the style: 0 none, 1 as said, up to 3")
    parser.add_argument(
        "--keyframe", action="append", default=[], metavar="TIME=FACE",
        help="a face to pass through at TIME (s): a picture, .json or .csv weights, or clip.npz@TIME; repeatable",
    )  # fmt: skip
    parser.add_argument("--seed", type=_seed, default=0, help="another seed, another motion that fits (default: 0)")
    parser.add_argument(
        "--identity",
        metavar="FACE",
        help="another face: sample:SEED, or a rest mesh (.npz, .obj) in the rig's topology",
    )
    parser.add_argument(
        "--template",
        type=Path,
        metavar="GLB",
        help="a GLB or VRM of your own that gets the animation by the names of its shapes (for .glb outputs)",
    )
    parser.add_argument(
        "--model", metavar="NAME", help="weights: student (default) or denoiser (default with --quality)"
    )
    parser.add_argument("--weights", type=Path, metavar="FOLDER", help="folder of the weights (default: the shipped)")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "fp16", "int8"), help="see docs/encoders.md")
    parser.add_argument("--provider", default="auto", choices=("auto", "cpu", "cuda", "tensorrt"))

    sampling = parser.add_argument_group("sampling (docs/editing.md)")
    sampling.add_argument("--quality", action="store_true", help="overlapped denoising: slower, hears what comes")
    sampling.add_argument("--steps", type=int, metavar="N", help="DDIM steps, 1 to 500 (default: 25 with --quality)")
    for name in TUNED:
        sampling.add_argument(f"--{name.replace('_', '-')}", type=float, metavar="X", help=ranged(name))


def run(options: argparse.Namespace) -> int:
    """Check everything that can be checked first, then animate and write."""
    from tqdm import tqdm

    from media2face.bodies import check_output, export
    from media2face.runtime.engine import EngineModels
    from media2face.runtime.errors import ConfigError
    from media2face.runtime.identity import identity_of
    from media2face.runtime.offline import animate_clips

    for path in options.output:
        check_output(path)
        if any(path.resolve() == speech.resolve() for speech in options.speech):
            raise ConfigError(f"the output {path} is the speech itself: choose another name")
        if options.identity and path.resolve() == Path(options.identity).resolve():
            raise ConfigError(f"the output {path} is the identity itself: choose another name")
    if options.template:
        _check_template(options)
    durations = _durations(options)
    model = options.model or ("denoiser" if options.quality else "student")
    models = EngineModels.load(options.weights, options.provider, model=model, precision=options.precision)
    config = _config(options, models.sampler.model.meta)
    neutral = identity_of(options.identity, models.decoder.rig) if options.identity else None
    clips = _clips(options, models, durations)
    began = time.perf_counter()
    seconds = None if None in durations else round(sum(durations), 1)
    with tqdm(total=seconds, desc="animate", unit="s", disable=None) as bar:
        performance = animate_clips(clips, options.seed, models, config, partial(advance, bar))
    frames, took = len(performance.weights), time.perf_counter() - began
    print(f"{frames} frames of {frames / performance.fps:.1f} s in {took:.1f} s ({frames / took:.0f} frames/s)")
    for path in options.output:
        with tqdm(total=frames, desc=path.name, unit="frame", disable=None) as bar:
            template = options.template if path.suffix.lower() == ".glb" else None
            progress = partial(advance, bar)
            export(performance, path, decoder=models.decoder, progress=progress, neutral=neutral, template=template)
        print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")
    return 0


def _config(options: argparse.Namespace, record: dict):
    """Sampling settings from the options, for a model of this record."""
    from media2face.runtime.motion import TUNED, SamplerConfig
    from media2face.runtime.overlapped import QualityConfig

    given = {name: getattr(options, name) for name in ("steps", *TUNED)}
    given = {name: value for name, value in given.items() if value is not None}
    return QualityConfig(**given) if options.quality else SamplerConfig.of(record, whole=True, **given)


def _durations(options: argparse.Namespace) -> list[float | None]:
    """Of each speech, s; None where its header does not say. Styles and keyframes are held against them."""
    from media2face.runtime.clip import Clip
    from media2face.runtime.errors import ConfigError
    from media2face.runtime.timeline import is_timeline

    styles, clips = options.style or [], len(options.speech)
    if len(styles) not in (0, 1, clips):
        raise ConfigError(f"expected one --style, or one for each of the {clips} recordings, got {len(styles)}")
    if clips > 1 and len(styles) == 1 and is_timeline(styles[0]):
        raise ConfigError("a style timeline belongs to one recording: give one --style for each")
    made = [Clip(path, style) for path, style in zip(options.speech, _each(styles, clips), strict=True)]
    for clip in made:
        clip.prompts()
    return [clip.duration for clip in made]


def _clips(options: argparse.Namespace, models, durations: list[float | None]) -> list:
    """The clips, each with its style and the keyframes that lie in it; their times count from the first one's start."""
    from media2face.runtime.clip import Clip
    from media2face.runtime.errors import ConfigError
    from media2face.runtime.keyframes import check_keyframes, read_keyframe

    keys = [read_keyframe(text, models.decoder) for text in options.keyframe]
    if keys and len(durations) > 1 and None in durations:
        raise ConfigError("keyframes over several recordings need formats that tell their length, such as WAV or FLAC")
    total = None if None in durations else sum(durations)
    check_keyframes(keys, total)
    picture = models.style.encode_image(options.style_image) if options.style_image else None
    clips, start = [], 0.0
    styles = _each(options.style or [], len(durations))
    for i, (path, style, seconds) in enumerate(zip(options.speech, styles, durations, strict=True)):
        end = start + seconds if i + 1 < len(durations) else float("inf")
        mine = [replace(key, time=key.time - start) for key in keys if start <= key.time < end]
        clips.append(Clip(path, picture or style, options.strength, mine))
        start = end
    return clips


def _each(styles: list[str], clips: int) -> list[str | None]:
    return styles if len(styles) == clips else (styles or [None]) * clips


def _check_template(options: argparse.Namespace) -> None:
    """Refuse a template that cannot be used, before anything is computed; else say what of it will move."""
    from media2face.bodies.export_glb import read_template
    from media2face.runtime.errors import ConfigError

    outputs = [path for path in options.output if path.suffix.lower() == ".glb"]
    if not outputs:
        raise ConfigError("--template is for .glb outputs: add -o NAME.glb")
    if options.identity:
        raise ConfigError("--template has a face of its own: leave --identity out")
    if any(path.resolve() == options.template.resolve() for path in outputs):
        raise ConfigError(f"the output {options.template} is the template itself: choose another name")
    print("\n".join([f"{options.template.name}:", *("  " + line for line in read_template(options.template).lines())]))


def _seed(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text!r}")
    return value
