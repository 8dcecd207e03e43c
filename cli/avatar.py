"""``media2face avatar``: the whole graph in one process, with a live status line."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

HELP = "a talking face on ROS 2 topics: the whole graph in one process"
EXAMPLES = """examples:
  media2face avatar                                       the shipped demo speech
  media2face avatar --audio my.wav --style "a cheerful host" --loop
  media2face avatar --audio mic                           your own voice
  media2face avatar --audio none                          whatever others publish on /avatar/audio
  media2face avatar --namespace anna --presentation-delay 0.25"""

BARS = ("jawOpen", "mouthPucker", "mouthSmileLeft", "browInnerUp", "eyeBlinkLeft")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command: those of the graph, and how to look at it."""
    from media2face.nodes.graph import NAMESPACE, SETTINGS

    parser.add_argument("--namespace", default=NAMESPACE, help=f"namespace of the avatar (default: {NAMESPACE})")
    for setting in SETTINGS:
        if setting.name == "autostart":
            continue
        flag = "--" + setting.name.replace("_", "-")
        if isinstance(setting.default, bool):
            action = argparse.BooleanOptionalAction if setting.default else "store_true"
            parser.add_argument(flag, dest=setting.name, action=action, default=setting.default, help=setting.help)
        else:
            default = "" if setting.default == "" else f" (default: {setting.default})"
            parser.add_argument(
                flag,
                dest=setting.name,
                type=type(setting.default),
                default=setting.default,
                help=setting.help + default,
            )
    parser.add_argument("--duration", type=float, default=0.0, metavar="S", help="end after so many seconds")
    parser.add_argument("--quiet", action="store_true", help="no status line")


def run(options: argparse.Namespace) -> int:
    """Run the graph until the speech ends, or until SIGINT or SIGTERM."""
    began = time.monotonic()
    audio = _checked_audio(options.audio)
    namespace = _checked_namespace(options.namespace)
    os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)

    from media2face.nodes.graph import SETTINGS, parameters, running
    from media2face.nodes.runner import Runner
    from media2face.nodes.watcher import Watcher
    from media2face.runtime.errors import ModelError

    values = {s.name: getattr(options, s.name) for s in SETTINGS if hasattr(options, s.name)} | {"audio": audio}
    settings = parameters(values)
    level = "info" if getattr(options, "verbose", False) else "warn"
    with Runner(["media2face", "--ros-args", "--log-level", level]) as runner:
        for spec in running(values):
            runner.add(spec.load(), settings[spec.name], namespace)
        watcher = Watcher(context=runner.context, namespace=namespace, bars=BARS)
        runner.nodes.append(watcher)
        failures = runner.start()
        optional = {spec.name for spec in running(values) if spec.switch}
        fatal = [f"{name}: {text}" for name, text in failures.items() if name not in optional]
        if fatal:
            raise ModelError("; ".join(fatal))
        nodes = {node.get_name(): node for node in runner.nodes}
        _check_companions(nodes)
        _say(
            f"up after {time.monotonic() - began:.1f} s on {nodes['face_decoder'].provider}; "
            f"sound: {nodes['audio_playback'].line}"
        )
        for name in sorted(optional):
            _say(f"  {name}: {failures.get(name) or nodes[name].line}")
        _say(f"  ros2 topic echo /{namespace}/expression      ros2 topic hz /{namespace}/head_pose")
        screen = _Screen(watcher, options.quiet)
        one_go = audio not in ("", "mic") and not options.loop

        def each() -> bool:
            screen.draw()
            if options.duration and time.monotonic() - began > options.duration:
                return False
            return not (one_go and watcher.spoken)

        runner.wait(each, period=0.1 if screen.live else 0.25)
        screen.close()
    return 1 if runner.error else 0


def _check_companions(nodes: dict) -> None:
    from media2face.runtime.sessions import require

    model = nodes["motion_sampler"].sampler.model
    require(model, "speech", nodes["speech_encoder"].encoder.fingerprint)
    require(model, "style", nodes["style_encoder"].encoder.fingerprint)


class _Screen:
    """The status line and a few bars; on anything but a terminal, a line every two seconds."""

    def __init__(self, watcher, quiet: bool) -> None:
        self.live = sys.stdout.isatty() and not quiet
        self._watcher, self._quiet = watcher, quiet
        self._drawn = 0
        self._next = 0.0

    def draw(self) -> None:
        """Refresh."""
        now = time.monotonic()
        if self._quiet or (not self.live and now < self._next):
            return
        self._next = now + 2.0
        lines = [self._watcher.status()]
        if self.live:
            width = shutil.get_terminal_size().columns
            lines = [line[: width - 1] for line in [*self._watcher.bars(min(width - 22, 40)), *lines]]
            if self._drawn:
                sys.stdout.write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = len(lines)
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        """The last word."""
        _say(self._watcher.summary())


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _checked_audio(audio: str) -> str:
    from media2face.runtime.audio_io import AudioFile
    from media2face.runtime.demo import demo_speech

    if audio == "none":
        return ""
    if audio in ("", "mic"):
        return audio
    path = demo_speech() if audio == "demo" else Path(audio).expanduser()
    with AudioFile(path):
        return str(path)


def _checked_namespace(namespace: str) -> str:
    from media2face.runtime.errors import ConfigError

    clean = namespace.strip("/")
    parts = clean.split("/")
    if not all(p.isascii() and p.replace("_", "a").isalnum() and not p[0].isdigit() for p in parts if p) or not all(
        parts
    ):
        raise ConfigError(f"expected a ROS namespace such as 'avatar' or 'stage/anna', got {namespace!r}")
    return clean
