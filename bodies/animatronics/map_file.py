"""Robot maps in YAML: every error names file, line and key."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import yaml

from ...runtime.errors import ConfigError
from .robot_map import Joint, MapError, RobotMap, keys_of
from .shapes import JointModel, Shape

MAX_BYTES, MAX_DEPTH, MAX_ERRORS = 256 * 1024, 12, 20
FOLDER = Path(__file__).parent / "maps"


class MapFileError(ConfigError):
    """What is wrong with a map file; ``errors`` holds a line for each."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def examples() -> dict[str, Path]:
    """The maps that ship, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def find_map(name: str | Path) -> Path:
    """The file of a map: a path, or the name of an example.

    Raises:
        ConfigError: there is neither.
    """
    known = examples()
    if str(name) in known:
        return known[str(name)]
    path = Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"no robot map {str(name)!r}: expected a YAML file, or one of the examples: {', '.join(known)}"
        )
    return path


def load_map(name: str | Path) -> RobotMap:
    """Read a robot map.

    Args:
        name: path of a YAML file, or the name of an example.

    Raises:
        MapFileError: with ``file:line: key: what is wrong`` for each mistake.
    """
    path = find_map(name)
    if path.stat().st_size > MAX_BYTES:
        raise MapFileError(
            [f"{path}: expected a map of at most {MAX_BYTES // 1024} KB, got {path.stat().st_size} bytes"]
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MapFileError([f"{path}: expected text in UTF-8, got {error.reason} at byte {error.start}"]) from error
    return parse_map(text, path.name)


def parse_map(text: str, where: str = "map") -> RobotMap:
    """Make a robot map of YAML text; see :func:`load_map`."""
    return _Reader(where).read(text)


class _Reader:
    """Walks the composed nodes of YAML, since these still know their lines."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.errors: list[str] = []

    def read(self, text: str) -> RobotMap:
        root = self._compose(text)
        found = self._mapping(root, "", RobotMap, {"joints": self._joints, "body": self._shapes})
        self._stop_if_wrong()
        lines = self._lines(root)
        try:
            return RobotMap(**found)
        except MapError as error:
            self._wrong(lines.get(error.key, lines[""]), error.key, error.text)
        self._stop_if_wrong()
        raise AssertionError("unreachable")

    def _compose(self, text: str) -> yaml.MappingNode:
        try:
            depth = 0
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                if isinstance(event, yaml.AliasEvent):
                    raise MapFileError([f"{self.where}:{_line(event)}: *{event.anchor}: a map has no YAML aliases"])
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > MAX_DEPTH:
                    raise MapFileError([f"{self.where}:{_line(event)}: a map is not nested this deeply"])
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise MapFileError([f"{self.where}:{mark.line + 1 if mark else 1}: not YAML: {problem}"]) from error
        if root is None:
            raise MapFileError([f"{self.where}:1: the map is empty: expected robot: and joints:"])
        if not isinstance(root, yaml.MappingNode):
            raise MapFileError([f"{self.where}:{_line(root)}: expected keys and values (robot:, joints:), got a list"])
        return root

    def _wrong(self, line: int, key: str, text: str) -> None:
        self.errors.append(f"{self.where}:{line}: {key + ': ' if key else ''}{text}")
        if len(self.errors) >= MAX_ERRORS:
            raise MapFileError(self.errors)

    def _stop_if_wrong(self) -> None:
        if self.errors:
            raise MapFileError(self.errors)

    def _pairs(self, node: yaml.Node, path: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Key -> (key node, value node); doubled keys and keys that are no names are errors."""
        if not isinstance(node, yaml.MappingNode):
            self._wrong(_line(node), path, "expected keys and values")
            return {}
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(_line(key), path, "expected a name as key")
            elif key.value in found:
                first = _line(found[key.value][0])
                self._wrong(_line(key), _join(path, key.value), f"given twice, first in line {first}")
            else:
                found[key.value] = (key, value)
        return found

    def _mapping(self, node: yaml.Node, path: str, kind: type, special: dict) -> dict:
        """Values for the dataclass ``kind``; unknown and missing keys are errors."""
        every, needed = keys_of(kind)
        every, needed = every - {"name"}, needed - {"name"}
        pairs = self._pairs(node, path)
        values = {}
        for key, (key_node, value) in pairs.items():
            if key not in every:
                near = get_close_matches(key, sorted(every), n=1)
                hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(sorted(every))}"
                self._wrong(_line(key_node), _join(path, key), f"no such key; {hint}")
            elif key in special:
                values[key] = special[key](value, _join(path, key))
            else:
                values[key] = self._plain(value, _join(path, key))
        missing = sorted(needed - set(pairs))
        if missing and isinstance(node, yaml.MappingNode):
            self._wrong(_line(node), path, f"missing: {', '.join(missing)}")
        return values

    def _plain(self, node: yaml.Node, path: str) -> object:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, path) for item in node.value]
        return {key: self._plain(value, _join(path, key)) for key, (_, value) in self._pairs(node, path).items()}

    def _scalar(self, node: yaml.ScalarNode, path: str) -> object:
        try:
            value = yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self._wrong(_line(node), path, f"cannot be read: {str(error).splitlines()[0]}")
            return None
        if isinstance(value, str) and node.style is None:
            try:
                return float(value)  # YAML 1.1 takes 1e-3 for text
            except ValueError:
                pass
        return value

    def _joints(self, node: yaml.Node, path: str) -> tuple[Joint, ...]:
        made = []
        for name, (key, value) in self._pairs(node, path).items():
            here = _join(path, name)
            before = len(self.errors)
            found = self._mapping(value, here, Joint, {"model": self._model})
            if len(self.errors) > before:
                continue
            lines = self._lines(value) | {"": _line(key), "name": _line(key)}
            try:
                made.append(Joint(name=name, **found))
            except MapError as error:
                self._wrong(lines.get(error.key, lines[""]), _join(here, error.key), error.text)
        return tuple(made)

    def _model(self, node: yaml.Node, path: str) -> JointModel | None:
        return self._made(JointModel, node, path, {"shapes": self._shapes})

    def _shapes(self, node: yaml.Node, path: str) -> tuple[Shape, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self._wrong(_line(node), path, "expected a list of shapes")
            return ()
        made = []
        for item in node.value:
            if isinstance(item, yaml.MappingNode):
                made.append(self._made(Shape, item, path, {}))
            else:
                self._wrong(_line(item), path, "expected a shape, such as {kind: sphere, size: [0.02]}")
        return tuple(shape for shape in made if shape)

    def _made(self, kind: type, node: yaml.Node, path: str, special: dict):
        before = len(self.errors)
        found = self._mapping(node, path, kind, special)
        if len(self.errors) == before:
            try:
                return kind(**found)
            except ConfigError as error:
                key = str(error).partition(":")[0]
                self._wrong(self._lines(node).get(key, _line(node)), path, str(error))
        return None

    def _lines(self, node: yaml.Node, prefix: str = "") -> dict[str, int]:
        """Line of each key below ``node``, by dotted path."""
        found = {prefix: _line(node)}
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = _join(prefix, str(key.value))
                found |= self._lines(value, here)
                found[here] = _line(key)
        return found


def _line(thing) -> int:
    return thing.start_mark.line + 1


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path and key else path or key
