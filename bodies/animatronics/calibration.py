"""A walk through the joints of a robot that is switched on: move each one, and say where its range and rest are.

The map is edited as text, so that comments stay; it is written under a new name, never over another file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from ...runtime.errors import ConfigError
from .map_file import load_map, parse_map
from .robot_map import Joint

HELP = """  +  -          one step up or down          step 0.02     another step, rad
  0.15          go to this position          go min|max|rest
  min max rest  this position is it          list          what has been set
  next  back    another joint                quit          end the walk, keep what was set"""


def check_new(path: Path, source: Path | None = None) -> None:
    """Refuse to write over anything.

    Raises:
        ConfigError: the file exists, or its folder does not.
    """
    if path.exists():
        same = source is not None and path.resolve() == source.resolve()
        raise ConfigError(f"{path} {'is the map itself' if same else 'exists already'}: choose a new name")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write {path}: the folder {path.parent} does not exist")


class Calibration:
    """One walk.

    Args:
        source: the map to start from. Joints move within its ranges only: give it wide, safe ones.
        move: moves a joint (name, position), back when it is there.
        ask: like :func:`input`; EOFError ends the walk.
        say: like :func:`print`.
        joints: names of those to walk through; None for all.

    Attributes:
        changed: {joint: {"min" | "max" | "rest": position}}.

    Raises:
        ConfigError: a joint that the map does not have.
    """

    def __init__(
        self,
        source: Path,
        move: Callable[[str, float], None],
        ask: Callable[[str], str],
        say: Callable[[str], None],
        joints: Sequence[str] | None = None,
    ) -> None:
        self._source, self._move, self._ask, self._say = source, move, ask, say
        self._text = source.read_text(encoding="utf-8")
        robot = load_map(source)
        unknown = set(joints or ()) - set(robot.names)
        if unknown:
            raise ConfigError(f"no joint {sorted(unknown)[0]!r}: expected one of {', '.join(robot.names)}")
        self._joints = [joint for joint in robot.joints if not joints or joint.name in joints]
        self._at = {joint.name: joint.rest for joint in robot.joints}
        self._step = 0.02
        self.changed: dict[str, dict[str, float]] = {}

    def run(self) -> None:
        """Ask until the last joint is done, or the user ends it."""
        self._say("Each joint in turn; it moves slowly, within the range of the map. Hold the power switch.\n" + HELP)
        k = 0
        while 0 <= k < len(self._joints):
            joint = self._joints[k]
            self._say(f"\n{joint.name} (channel {joint.channel}), {k + 1} of {len(self._joints)}: range "
                      f"{joint.range[0]:g} ... {joint.range[1]:g}, rest {joint.rest:g}")  # fmt: skip
            go = self._one(joint)
            self._go(joint, self.changed.get(joint.name, {}).get("rest", joint.rest))
            if go is None:
                return
            k = max(k + go, 0)

    def save(self, path: Path) -> None:
        """Write the map with what was set.

        Raises:
            ConfigError: the file exists.
        """
        check_new(path, self._source)
        text = edited(self._text, self.changed)
        parse_map(text, path.name)
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            partial.write_text(text, encoding="utf-8")
            os.link(partial, path)  # fails if the file has come to exist meanwhile
        finally:
            partial.unlink(missing_ok=True)

    def _one(self, joint: Joint) -> int | None:
        """Handle one joint; 1 for the next, -1 for the one before, None to end."""
        while True:
            try:
                words = self._ask(f"{joint.name} {self._at[joint.name]:+.3f}> ").split()
            except EOFError:
                return None
            word = words[0].lower() if words else ""
            if word in ("next", "n"):
                return 1
            if word in ("back", "b"):
                return -1
            if word in ("quit", "q"):
                return None
            try:
                self._do(joint, word, words[1:])
            except ConfigError as error:
                self._say(f"  {error}")

    def _do(self, joint: Joint, word: str, more: list[str]) -> None:
        here = self._at[joint.name]
        if word in ("+", "-"):
            self._go(joint, here + self._step * (1 if word == "+" else -1))
        elif word in ("min", "max", "rest"):
            self._set(joint, word, here)
        elif word == "go" and more and more[0] in ("min", "max", "rest"):
            self._go(joint, self._present(joint)[more[0]])
        elif word == "step" and more:
            step = _number(more[0])
            if not 0.0 < step <= 0.5:
                raise ConfigError(f"expected a step above 0, up to 0.5 rad, got {step:g}")
            self._step = step
        elif word == "list":
            for name, values in self.changed.items() or {"nothing yet": {}}.items():
                self._say(f"  {name}: {', '.join(f'{k} {v:.3f}' for k, v in values.items())}")
        elif word.lstrip("+-")[:1].isdigit() or word.lstrip("+-")[:1] == ".":
            self._go(joint, _number(word))
        else:
            self._say(HELP)

    def _go(self, joint: Joint, position: float) -> None:
        low, high = joint.range
        reached = min(max(position, low), high)
        if reached != position:
            self._say(f"  the map's range ends at {reached:g}: for more, widen it in the map first")
        self._at[joint.name] = reached
        self._move(joint.name, reached)

    def _present(self, joint: Joint) -> dict[str, float]:
        return {"min": joint.range[0], "max": joint.range[1], "rest": joint.rest} | self.changed.get(joint.name, {})

    def _set(self, joint: Joint, what: str, position: float) -> None:
        position = round(position, 4)
        after = self._present(joint) | {what: position}
        if after["min"] >= after["max"]:
            raise ConfigError(f"min {after['min']:g} would not be below max {after['max']:g}")
        if what != "rest" and not after["min"] <= after["rest"] <= after["max"]:
            after["rest"] = min(max(after["rest"], after["min"]), after["max"])
            self._say(f"  rest moves with it, to {after['rest']:g}")
            self.changed.setdefault(joint.name, {})["rest"] = after["rest"]
        elif not after["min"] <= after["rest"] <= after["max"]:
            raise ConfigError(f"rest {position:g} would not be between min {after['min']:g} and max {after['max']:g}")
        self.changed.setdefault(joint.name, {})[what] = position
        self._say(f"  {what} = {position:g}")


def edited(text: str, changes: dict[str, dict[str, float]]) -> str:
    """The map's text with ranges and rests replaced; all else, comments too, stays."""
    spans: list[tuple[int, int, str]] = []
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    joints = next(value for key, value in root.value if key.value == "joints")
    for name, joint in ((key.value, value) for key, value in joints.value):
        values = changes.get(name, {})
        for key, node in joint.value:
            if key.value == "range" and {"min", "max"} & set(values):
                ends = [item.value for item in node.value]
                low, high = values.get("min", ends[0]), values.get("max", ends[1])
                spans.append((node.start_mark.index, _end(text, node), f"[{low}, {high}]"))
            if key.value == "rest" and "rest" in values:
                spans.append((node.start_mark.index, node.end_mark.index, str(values["rest"])))
    for start, end, new in sorted(spans, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _end(text: str, node: yaml.SequenceNode) -> int:
    if node.flow_style:
        return node.end_mark.index
    return node.value[-1].end_mark.index  # a list in block style ends after its last item


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value != value or abs(value) > 1000:
        raise ConfigError(f"expected a number, got {text!r}")
    return value
