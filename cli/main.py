"""``media2face COMMAND ...``: one file per command, imported only when it is asked for.

A command module has ``HELP`` (one line), ``EXAMPLES``, ``add_arguments(parser)`` and ``run(options) -> int``. Mistakes
a user can mend end in one clear line and exit code 2, an interrupt in 130.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

from .. import __version__
from ..runtime.errors import Media2FaceError

COMMANDS = {
    "animate": "media2face.cli.animate",
    "avatar": "media2face.cli.avatar",
    "bench": "media2face.cli.bench",
    "data": "media2face.cli.data",
    "evaluate": "media2face.cli.evaluate",
    "robot": "media2face.cli.robot",
    "extract": "media2face.cli.extract",
    "record": "media2face.cli.record",
    "replay": "media2face.cli.replay",
    "sheet": "media2face.cli.sheet",
    "track": "media2face.cli.track",
    "zmq-keys": "media2face.cli.zmq_keys",
}


def overview() -> argparse.ArgumentParser:
    """The parser of the bare command: lists the commands."""
    lines = [f"  {name:<10}{import_module(module).HELP}" for name, module in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="media2face",
        usage="media2face COMMAND ... [-h]",
        description="Speech, text and images in; a living face out.",
        epilog="commands:\n" + "\n".join(lines) + "\n\nmedia2face COMMAND -h explains a command, with examples.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=tuple(COMMANDS), metavar="COMMAND", help="what to do, see below")
    parser.add_argument("--version", action="version", version=f"media2face {__version__}")
    return parser


def command_parser(name: str) -> argparse.ArgumentParser:
    """The parser of one command; parsed options carry its ``run``."""
    module = import_module(COMMANDS[name])
    parser = argparse.ArgumentParser(
        prog=f"media2face {name}",
        description=module.HELP[0].upper() + module.HELP[1:] + ".",
        epilog=module.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say more about what happens")
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments:
        overview().print_help()
        return 2
    if arguments[0] not in COMMANDS:
        overview().parse_args(arguments)  # prints the help, the version, or what is wrong, and exits
        return 2
    options = command_parser(arguments[0]).parse_args(arguments[1:])
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="media2face: %(levelname)s: %(message)s")
    try:
        return options.run(options)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except Media2FaceError as error:
        return _fail(str(error), 2)
    except OSError as error:
        return _fail(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""), 2)
    except ModuleNotFoundError as error:
        return _fail(f"this command needs the Python package {error.name!r}, which is not installed", 2)


def _fail(message: str, code: int) -> int:
    print("media2face: error: " + " ".join(message.split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
