"""``media2face zmq-keys``: the keys of CurveZMQ, for faces and speech between machines."""

from __future__ import annotations

import argparse
import sys

HELP = "make the keys that ZeroMQ bridges need between machines"
EXAMPLES = """examples:
  media2face zmq-keys ~/.media2face/keys --client dialogue --client stage
  media2face avatar --bridges --zmq tcp://0.0.0.0:5570 --zmq-keys ~/.media2face/keys

Give each client FOLDER/server.key and its own NAME.key_secret, over a channel you trust, and remove the latter here."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("folder", help="folder of the keys; made where it is missing, readable by its owner alone")
    parser.add_argument(
        "--client", action="append", default=[], metavar="NAME", help="a client that is let in; may be repeated"
    )


def run(options: argparse.Namespace) -> int:
    """Write the key files and name them."""
    from media2face.bodies.bridges.zmq_security import make_keys
    from media2face.runtime.errors import ConfigError

    written = make_keys(options.folder, options.client)
    if not written:
        raise ConfigError(f"{options.folder} has a server's keys already: name a client with --client NAME")
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0
