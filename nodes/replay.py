"""Plays recorded topics (MCAP) again: the same messages on the same topics, their stamps carried over to now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from std_msgs.msg import Header

from media2face.bodies.mcap_files import McapReader
from media2face.runtime.errors import ConfigError, InputError
from media2face.runtime.presentation import NS

from . import qos
from .base import to_ns, to_stamp
from .graph import GRAPH

PROFILES = {
    "audio": qos.AUDIO, "speech_features": qos.FEATURES, "head_motion": qos.MOTION, "expression": qos.FRAMES,
    "head_pose": qos.FRAMES, "style_prompt": qos.PROMPT, "interrupted": qos.EVENT, "keyframe": qos.EVENT,
    "playback_clock": qos.STATE, "style_embedding": qos.STATE, "diagnostics": qos.DIAGNOSTICS, "tf": qos.TF,
    "image": qos.CAMERA, "image/compressed": qos.CAMERA,
}  # fmt: skip
"""By a topic's name within its namespace; others are reliable, ten deep, and latched where they were recorded so."""
_KNOWN = {topic for spec in GRAPH for topic in (*spec.takes, *spec.gives)}
_FIXED = {"/tf", "/tf_static"} | {topic for topic in _KNOWN if topic.startswith("/")}
_NESTED = [topic for topic in _KNOWN if "/" in topic and not topic.startswith("/")]
_LEAD = 0.2  # s between the start and the first message
_LONGEST_SLEEP = 0.05


def tail(topic: str) -> str:
    """A topic's name within its namespace: the last word, or more where the graph's own name has more."""
    return next((name for name in _NESTED if topic.endswith(f"/{name}")), topic.rsplit("/", 1)[-1])


def places_of(topics: Iterable[str], namespace: str | None) -> dict[str, str]:
    """Where each topic goes: as recorded, or with ``namespace`` instead of the one recorded; /tf and the topics
    that have no namespace stay.

    Raises:
        ConfigError: two topics would become one.
    """
    places = {topic: topic for topic in topics}
    if namespace is not None:
        clean = namespace.strip("/")
        prefix = f"/{clean}" if clean else ""
        places |= {t: f"{prefix}/{tail(t)}" for t in places if t not in _FIXED}
    if len(set(places.values())) < len(places):
        raise ConfigError(f"topics of several avatars would meet in /{namespace}: leave some out with --topics")
    return places


class Player:
    """Publishes the messages of a file at their times.

    Every stamp in a message (headers, the start of the playback clock) is moved by the same law as the message itself,
    so that order, spacing and the lead of stamps over publication stay as they were; with a rate, they shrink or grow.

    Args:
        node: publishes.
        reader: an open file.
        namespace: takes the place of the recorded one, also in the names of frames; None keeps it.
        rate: how fast, 1 is as recorded.
        topics: last words of the topics to play; None is all.

    Raises:
        InputError: none of the topics is in the file.
        ConfigError: see :func:`places_of`.
    """

    def __init__(
        self,
        node: Node,
        reader: McapReader,
        namespace: str | None = None,
        rate: float = 1.0,
        topics: Iterable[str] | None = None,
    ) -> None:
        wanted = {t for t in reader.topics if topics is None or tail(t) in set(topics)}
        if not wanted:
            known = ", ".join(sorted(map(tail, reader.topics)))
            raise InputError(f"{reader.path} has no topic {', '.join(topics or ())}: it has {known}")
        self._node, self._reader, self._rate, self._namespace = node, reader, rate, namespace
        self._publishers = {}
        for topic, place in places_of(sorted(wanted), namespace).items():
            profile = PROFILES.get(tail(topic)) or (qos.STATE if topic in reader.latched else qos.EVENT)
            self._publishers[topic] = node.create_publisher(reader.topics[topic], place, profile)
        self.round = 0
        self.sent = 0
        self.late_ms = 0.0
        """By how much the latest message of this round was published late, at most."""

    @property
    def places(self) -> list[str]:
        """The topics as they are published."""
        return [publisher.topic_name for publisher in self._publishers.values()]

    def play(self, each: Callable[[float], bool] | None = None) -> bool:
        """Publish all messages once; ``each`` is called with the seconds played and may end it by False.

        Returns:
            Whether the end was reached.

        Raises:
            InputError: the file is damaged on the way.
        """
        begin = self._node.get_clock().now().nanoseconds + round(_LEAD * NS)
        ahead = time.monotonic_ns() - self._node.get_clock().now().nanoseconds
        recorded, self.late_ms = self._reader.start, 0.0

        def moved(stamp: int) -> int:
            return begin + round((stamp - recorded) / self._rate)

        for item in self._reader.messages(set(self._publishers)):
            due = moved(item.time) + ahead
            while (rest := (due - time.monotonic_ns()) / NS) > 0:
                time.sleep(min(rest, _LONGEST_SLEEP))
                if each is not None and not each(max(0.0, (item.time - recorded) / NS - rest * self._rate)):
                    return False
            message = deserialize_message(item.data, self._reader.topics[item.topic])
            self._carry(message, moved, item.topic)
            self._publishers[item.topic].publish(message)
            self.sent += 1
            self.late_ms = max(self.late_ms, (time.monotonic_ns() - due) / 1e6)
        self.round += 1
        return each is None or each((self._reader.end - recorded) / NS)

    def subscribers(self) -> int:
        """How many subscriptions the topics have, all together."""
        return sum(p.get_subscription_count() for p in self._publishers.values())

    def _carry(self, message, moved: Callable[[int], int], topic: str) -> None:
        """Move all stamps of a message, and rename its utterance from the second round on, and its frames."""
        for field, kind in message.get_fields_and_field_types().items():
            if "/" not in kind:
                continue
            value = getattr(message, field)
            for part in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(part, Time):
                    if part.sec or part.nanosec:
                        fresh = to_stamp(moved(to_ns(part)))
                        part.sec, part.nanosec = fresh.sec, fresh.nanosec
                elif hasattr(part, "get_fields_and_field_types"):
                    self._carry(part, moved, topic)
        if self.round and getattr(message, "utterance", ""):
            message.utterance = f"{message.utterance[:110]} ({self.round + 1})"
        before = topic.removesuffix(tail(topic)).strip("/")
        if self._namespace is not None and before and isinstance(message, Header):
            if message.frame_id.startswith(f"{before}/"):
                message.frame_id = f"{self._namespace.strip('/')}/{message.frame_id[len(before) + 1 :]}".lstrip("/")
