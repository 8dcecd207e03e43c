"""``media2face record``: an avatar's topics to a file."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

HELP = "record an avatar's topics to an MCAP file"
EXAMPLES = """examples:
  media2face record -o take.mcap                                 until Ctrl-C
  media2face record -o take.mcap --duration 60 --namespace anna
  media2face record -o face.mcap --topics expression head_pose audio

The file is for media2face replay, Foxglove and ros2 bag."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    from media2face.nodes.graph import NAMESPACE

    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="ends in .mcap")
    parser.add_argument("--namespace", default=NAMESPACE, help=f"of the avatar (default: {NAMESPACE})")
    parser.add_argument("--topics", nargs="+", metavar="TOPIC", help="only these (default: all but camera and machine)")
    parser.add_argument("--duration", type=float, default=0.0, metavar="S", help="end after so many seconds")


def run(options: argparse.Namespace) -> int:
    """Record until SIGINT, SIGTERM or the duration is over; then the file is finished."""
    os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    import rclpy
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.signals import SignalHandlerOptions
    from tqdm import tqdm

    from media2face.bodies import check_output, format_of
    from media2face.nodes.record import Recorder
    from media2face.runtime.errors import ConfigError

    if format_of(options.output) != ".mcap":
        raise ConfigError(f"expected a file name that ends in .mcap, got {options.output.name!r}")
    path = check_output(options.output)
    ended: list[int] = []
    handlers = {
        number: signal.signal(number, lambda n, _: ended.append(n)) for number in (signal.SIGINT, signal.SIGTERM)
    }
    context = Context()
    rclpy.init(args=None, context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = Node("record", context=context)
        recorder = Recorder(node, path, options.namespace, options.topics)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        try:
            end = time.monotonic() + (options.duration or float("inf"))
            with tqdm(desc="record", unit="message", disable=None) as bar:
                while not ended and time.monotonic() < end:
                    executor.spin_once(timeout_sec=0.1)
                    if (count := recorder.counts.total()) - bar.n >= 30:
                        bar.update(count - bar.n)
            executor.shutdown(timeout_sec=1.0)
        finally:
            recorder.close()
    finally:
        rclpy.try_shutdown(context=context)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if not recorder.counts:
        print(f"nothing was published in /{options.namespace.strip('/')}: no file was written", file=sys.stderr)
        return 1
    print(
        f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB): "
        + ", ".join(f"{n} {t}" for t, n in recorder.counts.items())
    )
    return 0
