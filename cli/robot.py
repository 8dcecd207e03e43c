"""``media2face robot``: maps of animatronic heads, from the first example to the calibrated robot."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from .progress import advance

HELP = "an animatronic head: check its map, see what its servos would do, calibrate it"
EXAMPLES = """examples:
  media2face robot example toy -o my_robot.yaml          a map to start from
  media2face robot check my_robot.yaml                   mistakes, with line and key
  media2face robot dry-run my_robot.yaml speech.wav -o plots.png -o head.mp4
                                                         what each servo would do, and where it clips
  media2face robot calibrate my_robot.yaml -o tuned.yaml move joint after joint, set its range and rest
  media2face robot urdf my_robot.yaml -o my_robot.urdf   for RViz and robot_state_publisher
  media2face avatar --animatronics --robot-map tuned.yaml
                                                         the robot speaks

MAP is a YAML file, or the name of an example: toy (6 servos), full_head (25 servos)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Subcommands."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")

    def add(name: str, text: str, run, output: str = "") -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name != "example":
            made.add_argument("map", metavar="MAP", help="a YAML file, or the name of an example")
        if output:
            made.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=output)
        made.set_defaults(robot=run)
        return made

    add("check", "say what is wrong with a map, or what it describes", check)
    made = add("dry-run", "plot what each servo would do with a performance, and where it clips", dry)
    made.add_argument("face", type=Path, metavar="FACE", help="speech (WAV, FLAC, OGG, MP3), or .npz of `animate`")
    outputs = "plots (.png, .svg, .pdf), the simulated head (.mp4) or numbers (.csv); repeatable"
    made.add_argument("-o", "--output", type=Path, action="append", default=[], metavar="FILE", help=outputs)
    made.add_argument("--style", metavar="TEXT", help="how to speak, in words")
    made.add_argument("--seed", type=int, default=0)
    made = add("calibrate", "move joint after joint and set its range and rest", calibrate, "the new map")
    made.add_argument("--namespace", default="avatar", help="joint_states are published there (default: avatar)")
    made.add_argument("--joint", action="append", metavar="NAME", help="only this one; repeatable")
    made = add("example", "write an example map to start from", example, "the copy")
    made.add_argument("name", metavar="NAME", help="toy or full_head")
    add("urdf", "write the robot as URDF, for RViz", urdf, "the URDF")


def run(options: argparse.Namespace) -> int:
    """Run the subcommand."""
    return options.robot(options)


def check(options: argparse.Namespace) -> int:
    """Mistakes, a line each, or a summary of the robot."""
    import sys

    from media2face.bodies.animatronics.map_file import MapFileError, load_map

    try:
        robot = load_map(options.map)
    except MapFileError as error:
        print("\n".join(error.errors), file=sys.stderr)
        return 2
    rows = [
        (j.name, j.channel, f"{j.range[0]:g} ... {j.range[1]:g}", f"{j.rest:g}", f"{j.velocity:g}",
         f"{j.acceleration:g}", f"{j.jerk:g}", f"{j.latency_ms:g}", _terms(j))
        for j in robot.joints
    ]  # fmt: skip
    print(f"{robot.robot}: {len(rows)} joints at {robot.rate:g} Hz, no mistakes found")
    print(_table(("joint", "channel", "range", "rest", "velocity", "accel.", "jerk", "latency ms", "moved by"), rows))
    return 0


def dry(options: argparse.Namespace) -> int:
    """Animate if need be, play, write the outputs and print the table."""
    from tqdm import tqdm

    from media2face.bodies.animatronics import plots
    from media2face.bodies.animatronics.dry_run import dry_run
    from media2face.bodies.animatronics.map_file import load_map

    robot = load_map(options.map)
    for path in options.output:
        plots.check_output(path)
    performance = _performance(options)
    with tqdm(desc=robot.robot, unit="command", disable=None) as bar:
        done = dry_run(robot, performance, progress=partial(advance, bar))
    rows = done.table()
    print(_table(tuple(rows[0]), [tuple(_short(v) for v in row.values()) for row in rows]))
    for path in options.output:
        with tqdm(desc=path.name, unit="frame", disable=None) as bar:
            plots.write(done, path, progress=partial(advance, bar))
        print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")
    return 0


def calibrate(options: argparse.Namespace) -> int:
    """Walk through the joints with the robot on."""
    from media2face.bodies.animatronics.calibration import Calibration, check_new
    from media2face.bodies.animatronics.map_file import find_map, load_map
    from media2face.nodes.joint_jogger import JointJogger

    source = find_map(options.map)
    check_new(options.output, source)
    with JointJogger(load_map(source), options.namespace) as jogger:
        walk = Calibration(source, jogger.move, input, print, options.joint)
        walk.run()
        if walk.changed:
            walk.save(options.output)
            print(f"wrote {options.output}; {source} is as it was")
        else:
            print("nothing was changed, nothing written")
    return 0


def example(options: argparse.Namespace) -> int:
    """Copy an example map."""
    from media2face.bodies.animatronics.calibration import check_new
    from media2face.bodies.animatronics.map_file import examples
    from media2face.runtime.errors import ConfigError

    known = examples()
    if options.name not in known:
        raise ConfigError(f"no example {options.name!r}: expected one of {', '.join(known)}")
    check_new(options.output)
    options.output.write_text(known[options.name].read_text(encoding="utf-8"), encoding="utf-8")
    print(f"wrote {options.output}: set channel, range and rest of your servos, then: media2face robot check it")
    return 0


def urdf(options: argparse.Namespace) -> int:
    """Write the URDF."""
    from media2face.bodies.animatronics.map_file import load_map
    from media2face.bodies.animatronics.urdf import urdf as make

    options.output.write_text(make(load_map(options.map)), encoding="utf-8")
    print(f"wrote {options.output}")
    return 0


def _performance(options: argparse.Namespace):
    if options.face.suffix.lower() == ".npz":
        from media2face.bodies.export_npz import read

        return read(options.face)
    from tqdm import tqdm

    from media2face.runtime.audio_io import AudioFile
    from media2face.runtime.clock import SAMPLE_RATE
    from media2face.runtime.offline import animate

    with AudioFile(options.face) as source:
        seconds = source.expected / SAMPLE_RATE if source.expected else None
    with tqdm(total=seconds and round(seconds, 1), desc="animate", unit="s", disable=None) as bar:
        return animate(options.face, options.style, seed=options.seed, progress=partial(advance, bar))


def _terms(joint) -> str:
    return " ".join(f"{value * joint.direction:+g} {name}" for name, value in joint.terms.items())


def _short(value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _table(head: tuple[str, ...], rows: list[tuple]) -> str:
    cells = [head, *[tuple(map(str, row)) for row in rows]]
    widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
    lines = []
    for row in cells:
        first = row[0].ljust(widths[0])
        rest = [cell.rjust(w) for cell, w in zip(row[1:-1], widths[1:-1], strict=True)]
        lines.append("  ".join([first, *rest, row[-1]]).rstrip())
    return "\n".join(lines)
