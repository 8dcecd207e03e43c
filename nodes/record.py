"""Records an avatar's topics to MCAP, as they are on the wire."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rclpy.node import Node

from media2face.bodies.mcap_files import McapWriter, message_class
from media2face.runtime.errors import ConfigError

from . import qos
from .graph import GRAPH
from .replay import PROFILES, tail

LEFT_OUT = ("speech_features", "diagnostics", "image", "image/compressed")
"""Not recorded unless asked for: large, private, or about the machine rather than the face."""


def known_topics() -> dict[str, str]:
    """Relative topic -> ROS type of the whole graph."""
    return {topic: kind for spec in GRAPH for topic, kind in {**spec.takes, **spec.gives}.items()}


class Recorder:
    """Subscribes to topics of a namespace and writes every message when it comes; close it to finish the file.

    Args:
        node: subscribes.
        path: where to; appears under this name when it is closed.
        namespace: of the avatar.
        topics: relative names; None is the whole graph less :data:`LEFT_OUT`.

    Raises:
        ConfigError: a topic that the graph does not have, or whose message type is not installed.
    """

    def __init__(self, node: Node, path: Path, namespace: str, topics: Iterable[str] | None = None) -> None:
        known = known_topics()
        wanted = list(topics) if topics is not None else [t for t in known if t not in LEFT_OUT]
        kinds = {topic: message_class(known[topic]) for topic in wanted if topic in known}
        if unknown := [topic for topic in wanted if kinds.get(topic) is None]:
            if topics is not None:
                raise ConfigError(f"no topic {', '.join(unknown)} to record: the graph has {', '.join(sorted(known))}")
            kinds = {topic: kind for topic, kind in kinds.items() if kind is not None}
        self.path, self.counts = path, Counter()
        self._partial = path.with_name(f".{path.name}.part")
        self._file = McapWriter(self._partial)
        for topic, kind in kinds.items():
            clean = namespace.strip("/")
            name = topic if topic.startswith("/") else f"/{clean}/{topic}" if clean else f"/{topic}"
            profile = PROFILES.get(tail(name), qos.EVENT)
            self._file.topic(name, kind, latched=profile is qos.STATE, depth=profile.depth)
            node.create_subscription(kind, name, lambda data, name=name: self._keep(name, data), profile, raw=True)

    def _keep(self, topic: str, data: bytes) -> None:
        self._file.write(topic, data, time.time_ns())
        self.counts[topic] += 1

    def close(self) -> None:
        """Finish the file; without any message there is none."""
        self._file.__exit__()
        if self.counts:
            self._partial.replace(self.path)
        else:
            self._partial.unlink(missing_ok=True)
