"""What the tests of the nodes share: listeners, nodes in this process, nodes as programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from media2face.nodes.graph import GRAPH
from media2face.nodes.runner import Runner

ROOT = Path(__file__).resolve().parents[2]
CALM = {"presentation_delay": 4.0, "horizon": 5.0, "device": "none", "provider": "cpu", "idle": False}
"""Settings for tests that are about order and content, not speed: a busy machine must not fail them."""


class Listener:
    """A node of the test: subscribes, publishes, calls; ``heard`` keeps (receipt in ns, message) by topic."""

    def __init__(self, domain: int, namespace: str = "avatar") -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("listener", namespace=namespace, context=self.context)
        self.heard: dict[str, list[tuple[int, object]]] = {}
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass

    def listen(self, kind: type, topic: str, profile) -> list[tuple[int, object]]:
        """Keep what comes on a topic."""
        kept = self.heard.setdefault(topic, [])
        self.node.create_subscription(kind, topic, lambda m: kept.append((time.time_ns(), m)), profile)
        return kept

    def publisher(self, kind: type, topic: str, profile, readers: int = 1):
        """A publisher that has found ``readers`` subscriptions."""
        made = self.node.create_publisher(kind, topic, profile)
        until(lambda: made.get_subscription_count() >= readers, 15, f"{readers} readers of {topic}")
        time.sleep(0.2)
        return made

    def call(self, kind: type, name: str, request, timeout: float = 15.0):
        """Call a service."""
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(timeout), f"no service {name}"
        future = client.call_async(request)
        until(future.done, timeout, f"an answer of {name}")
        return future.result()

    def close(self) -> None:
        """End."""
        self._executor.shutdown(timeout_sec=2.0)
        self._thread.join(timeout=2.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition, or fail saying what was waited for."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


class Avatar:
    """Nodes of the graph in this process."""

    def __init__(self, names: tuple[str, ...], parameters: dict, namespace: str = "avatar") -> None:
        self.runner = Runner([])
        self.nodes = {}
        for spec in GRAPH:
            if spec.name in names:
                kind = spec.load()
                known = {p.name for p in kind.PARAMETERS} | {"autostart"}
                mine = {k: v for k, v in parameters.items() if k in known}
                self.nodes[spec.name] = self.runner.add(kind, mine, namespace)
        self.failures = self.runner.start()

    def counts(self, name: str):
        """What a node counted."""
        return self.nodes[name].troubles()


class Programs:
    """Nodes as programs of their own, started as ``ros2 run`` would."""

    def __init__(self, namespace: str = "avatar") -> None:
        self.namespace = namespace
        self.running: dict[str, subprocess.Popen] = {}
        self._arguments: dict[str, list[str]] = {}

    def start(self, name: str, **parameters) -> None:
        """Start a node; again with the same parameters if none are given."""
        kind = next(spec for spec in GRAPH if spec.name == name).load()
        known = {p.name for p in kind.PARAMETERS}
        mine = {k: v for k, v in (CALM | parameters).items() if k in known}
        arguments = [f"-p {k}:={_yaml(v)}" for k, v in mine.items()]
        self._arguments.setdefault(name, " ".join(arguments).split(" "))
        command = [
            sys.executable,
            str(ROOT / "resource" / "bin" / name),
            "--ros-args",
            "-r",
            f"__ns:=/{self.namespace}",
        ]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        self.running[name] = subprocess.Popen([*command, *self._arguments[name]], env=environment)

    def kill(self, name: str) -> None:
        """No chance to say goodbye."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def end(self, number: int = signal.SIGINT) -> dict[str, int]:
        """Signal all; exit codes by name."""
        for process in self.running.values():
            process.send_signal(number)
        codes = {}
        for name, process in self.running.items():
            try:
                codes[name] = process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = None
        self.running.clear()
        return codes


def _yaml(value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def frames_of(heard: list, utterance: str | None = None) -> np.ndarray:
    """Frame indices in order of receipt."""
    return np.array([m.frame for _, m in heard if utterance in (None, m.utterance)])
