"""``media2face replay``: recorded topics once more."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import time
from pathlib import Path

HELP = "publish the topics of an MCAP file again, with stamps of now"
EXAMPLES = """examples:
  media2face animate speech.wav -o face.mcap && media2face replay face.mcap
  media2face replay face.mcap --namespace robot --loop
  media2face replay face.mcap --topics expression head_pose --rate 0.5
  ros2 bag record -s mcap -o take /avatar/expression /avatar/head_pose     then: media2face replay take/take_0.mcap

The messages, their order and their spacing are those of the file; the file is read a piece at a time. Let no avatar
run in the same namespace meanwhile: both would publish."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("file", type=Path, metavar="FILE", help="MCAP with ROS 2 topics")
    parser.add_argument("--namespace", metavar="NAME", help="instead of the namespace in the file")
    parser.add_argument("--rate", type=_rate, default=1.0, help="how fast, 0.05 to 20 (default: 1)")
    parser.add_argument("--loop", action="store_true", help="again and again; each round is an utterance of its own")
    parser.add_argument("--topics", nargs="+", metavar="TOPIC", help="only these, e.g. expression head_pose")
    parser.add_argument("--wait", type=float, default=1.0, metavar="S", help="for subscribers to be found (default: 1)")


def run(options: argparse.Namespace) -> int:
    """Play until the end, or until SIGINT or SIGTERM."""
    os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    import rclpy
    from rclpy.context import Context
    from rclpy.node import Node
    from rclpy.signals import SignalHandlerOptions
    from tqdm import tqdm

    from media2face.bodies.mcap_files import McapReader
    from media2face.nodes.replay import Player

    with McapReader(options.file) as reader:
        for topic, reason in reader.left_out.items():
            print(f"left out {topic}: {reason}", file=sys.stderr)
        ended: list[int] = []
        ends = (signal.SIGINT, signal.SIGTERM)
        handlers = {number: signal.signal(number, lambda n, _: ended.append(n)) for number in ends}
        context = Context()
        rclpy.init(args=None, context=context, signal_handler_options=SignalHandlerOptions.NO)
        try:
            node = Node("replay", context=context)
            player = Player(node, reader, options.namespace, options.rate, options.topics)
            seconds = (reader.end - reader.start) / 1e9
            print(f"{reader.count} messages of {seconds:.1f} s on {', '.join(player.places)}")
            begin = time.monotonic() + min(max(options.wait, 0.0), 60.0)
            while not ended and time.monotonic() < begin:
                time.sleep(0.05)
            while not ended:
                with tqdm(total=round(seconds, 1), desc="replay", unit="s", disable=None) as bar:

                    def advance(done: float, bar: tqdm = bar) -> bool:
                        if done - bar.n >= 0.1 or done >= seconds:
                            bar.update(round(done, 1) - bar.n)
                        return not ended

                    player.play(advance)
                if not options.loop:
                    break
            time.sleep(0.2)  # what was published last is on its way
            print(f"{player.sent} messages sent, {player.late_ms:.1f} ms late at most")
        finally:
            rclpy.try_shutdown(context=context)
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return 0


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.05 <= value <= 20:
        raise argparse.ArgumentTypeError(f"expected a number from 0.05 to 20, got {text!r}")
    return value
