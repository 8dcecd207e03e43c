"""MCAP files of ROS 2 messages, as ``ros2 bag``, Foxglove and PlotJuggler read them; through PyPI ``mcap``.

Messages are CDR, as on the wire, with their definitions in ``ros2msg`` text; the profile is ``ros2``.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from mcap.reader import SeekingReader
from mcap.writer import CompressionType, Writer

from ..runtime.errors import InputError

_LINE = "=" * 80
_BASIC = {"boolean": "bool", "octet": "byte", "float": "float32", "double": "float64"}
_RECORD_BYTES, _CHUNK_BYTES = 64 << 20, 256 << 20


def type_name(kind: type) -> str:
    """``std_msgs/msg/Header`` of a message class."""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def message_class(name: str) -> type | None:
    """The class of ``package/msg/Name``, or None where the package is not installed."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*/msg/[A-Z][A-Za-z0-9]*", name):
        return None
    package, _, short = name.split("/")
    try:
        return getattr(import_module(f"{package}.msg"), short, None)
    except ImportError:
        return None


def definition(kind: type) -> str:
    """The ``ros2msg`` text of a message and of all it holds, from its class (no comments, no constants)."""
    texts, waiting, seen = [], [kind], {type_name(kind)}
    while waiting:
        current = waiting.pop(0)
        lines = []
        for field, said in current.get_fields_and_field_types().items():
            text, inner = _field_type(said)
            lines.append(f"{text} {field}")
            if inner and inner not in seen:
                seen.add(inner)
                waiting.append(message_class(inner))
        package, _, short = type_name(current).split("/")
        texts.append((f"{_LINE}\nMSG: {package}/{short}\n" if texts else "") + "\n".join(lines))
    return "\n".join(texts) + "\n"


def _field_type(said: str) -> tuple[str, str]:
    """A field's type as ``.msg`` files write it, and the full name of the message it holds or ''."""
    array = ""
    if match := re.fullmatch(r"sequence<(.+?)(?:, (\d+))?>", said):
        said, array = match[1], f"[<={match[2]}]" if match[2] else "[]"
    elif match := re.fullmatch(r"(.+)\[(\d+)\]", said):
        said, array = match[1], f"[{match[2]}]"
    if match := re.fullmatch(r"(w?string)<(\d+)>", said):
        return f"{match[1]}<={match[2]}{array}", ""
    if "/" in said:
        package, short = said.split("/")[0], said.split("/")[-1]
        return f"{package}/{short}{array}", f"{package}/msg/{short}"
    return _BASIC.get(said, said) + array, ""


def same_definition(text: str, kind: type) -> bool:
    """Whether a file's definition has the fields of ours, whatever else (comments, constants, defaults) it says."""
    return _fields(text, type_name(kind)) == _fields(definition(kind), type_name(kind))


def _fields(text: str, name: str) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    current = "/".join(name.split("/")[::2])
    package = current.split("/")[0]
    for line in text.splitlines():
        if match := re.fullmatch(r"MSG: (\S+)", line.strip()):
            parts = match[1].split("/")
            current, package = f"{parts[0]}/{parts[-1]}", parts[0]
            continue
        words = line.split("#")[0].split()
        if len(words) < 2 or set(words[0]) == {"="} or (len(words) > 2 and words[2] == "=") or "=" in words[1]:
            continue
        base, array = re.fullmatch(r"([^\[]*)(.*)", words[0]).groups()
        if base == "Header":
            base = "std_msgs/Header"
        elif base[:1].isupper():
            base = f"{package}/{base}"
        found.setdefault(current, []).append((base.replace("/msg/", "/") + array, words[1]))
    return found


class McapWriter:
    """Writes topics into a file, in the order given; use as a context manager.

    Args:
        path: where to; an existing file is written over.
    """

    def __init__(self, path: Path) -> None:
        os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)  # where ROS finds how to serialise
        self._file = path.open("wb")
        self._writer = Writer(self._file, compression=CompressionType.ZSTD, enable_data_crcs=True)
        self._writer.start(profile="ros2", library="media2face")
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._counts: dict[str, int] = {}

    def topic(self, name: str, kind: type, latched: bool = False, depth: int = 10) -> None:
        """Announce a topic with the quality of service that a replay should offer."""
        text = type_name(kind)
        if text not in self._schemas:
            self._schemas[text] = self._writer.register_schema(text, "ros2msg", definition(kind).encode())
        metadata = {"offered_qos_profiles": _qos_text(latched, depth)}
        self._channels[name] = self._writer.register_channel(name, "cdr", self._schemas[text], metadata)
        self._counts[name] = 0

    def write(self, topic: str, message: object, time_ns: int) -> None:
        """Add a message, or its serialised bytes, logged at ``time_ns``."""
        if not isinstance(message, bytes):
            from rclpy.serialization import serialize_message

            message = serialize_message(message)
        self._counts[topic] += 1
        self._writer.add_message(self._channels[topic], time_ns, message, time_ns, self._counts[topic])

    def __enter__(self) -> McapWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._writer.finish()
        finally:
            self._file.close()


def _qos_text(latched: bool, depth: int) -> str:
    """One profile as ``ros2 bag`` stores them in YAML; the numbers are those of rmw, times are without end."""
    endless = "\n    sec: 9223372036\n    nsec: 854775807"
    words = {"history": 1, "depth": depth, "reliability": 1, "durability": 1 if latched else 2}
    words |= {"deadline": endless, "lifespan": endless, "liveliness": 1, "liveliness_lease_duration": endless}
    words["avoid_ros_namespace_conventions"] = "false"
    return "- " + "\n  ".join(f"{key}: {value}" for key, value in words.items())


@dataclass(frozen=True)
class Recorded:
    """One message of a file: ``data`` is CDR, ``time`` the log time in ns."""

    topic: str
    data: bytes
    time: int


class McapReader:
    """Reads the ROS 2 topics of a file in the order of their times, a chunk at a time; use as a context manager.

    Attributes:
        topics: name -> message class, of those whose packages are installed here and are of the same version.
        left_out: name -> why it is left out.
        latched: names of those that were published as latched.
        count, start, end: messages of ``topics``, first and last log time in ns.

    Raises:
        InputError: no such file, not MCAP, cut off, damaged, or without any topic that can be read here.
    """

    def __init__(self, path: str | Path) -> None:
        os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)
        self.path = Path(path)
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        try:
            reader = SeekingReader(self._file, validate_crcs=True, record_size_limit=_RECORD_BYTES)
            summary = reader.get_summary()
        except Exception as error:  # mcap, struct and the decompressors each raise their own
            if self._file.seek(0) == 0 and self._file.read(5) == b"\x89MCAP":
                raise InputError(
                    f"{self.path} is cut off or damaged ({_reason(error)}): "
                    "`mcap recover` of the MCAP command line tool saves what is left"
                ) from error
            raise InputError(f"{self.path} is no MCAP file: expected one of animate, record or ros2 bag") from error
        if summary is None or summary.statistics is None or not summary.chunk_indexes:
            raise InputError(f"{self.path} has no index of its messages: write it anew with `mcap recover`")
        if max(c.uncompressed_size for c in summary.chunk_indexes) > _CHUNK_BYTES:
            raise InputError(f"{self.path} has chunks of more than {_CHUNK_BYTES >> 20} MB: rewrite it in smaller ones")
        self._reader, self._summary = reader, summary
        self.topics: dict[str, type] = {}
        self.left_out: dict[str, str] = {}
        self.latched: set[str] = set()
        self.count = 0
        for number, channel in summary.channels.items():
            schema = summary.schemas.get(channel.schema_id)
            name = schema.name if schema else "no type"
            kind = message_class(name)
            if channel.message_encoding != "cdr" or not schema or schema.encoding != "ros2msg":
                self.left_out[channel.topic] = f"not a ROS 2 topic ({channel.message_encoding or 'no encoding'})"
            elif kind is None:
                self.left_out[channel.topic] = f"{name} is not installed here"
            elif not same_definition(schema.data.decode(errors="replace"), kind):
                self.left_out[channel.topic] = f"{name} has other fields there than here: another version"
            else:
                self.topics[channel.topic] = kind
                self.count += summary.statistics.channel_message_counts.get(number, 0)
                if re.search(r"durability: (1\b|transient_local)", channel.metadata.get("offered_qos_profiles", "")):
                    self.latched.add(channel.topic)
        if not self.topics:
            reasons = "; ".join(f"{k}: {v}" for k, v in list(self.left_out.items())[:3]) or "it has no topics"
            raise InputError(f"{self.path} has nothing to play ({reasons})")
        self.start, self.end = summary.statistics.message_start_time, summary.statistics.message_end_time

    def messages(self, topics: set[str] | None = None) -> Iterator[Recorded]:
        """All messages of ``topics`` (None: all that can be read) by log time.

        Raises:
            InputError: the file is damaged here.
        """
        wanted = self.topics.keys() & topics if topics is not None else self.topics.keys()
        try:
            for _, channel, message in self._reader.iter_messages(topics=list(wanted)):
                yield Recorded(channel.topic, message.data, message.log_time)
        except Exception as error:  # as above
            raise InputError(f"{self.path} is damaged in its messages ({_reason(error)})") from error

    def __enter__(self) -> McapReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


def _reason(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
