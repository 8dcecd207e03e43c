"""Runs nodes, one or all, in this process, and ends them in order on SIGINT, SIGTERM or when asked."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from .base import AvatarNode

log = logging.getLogger(__name__)


class Runner:
    """Spins nodes, each by its own executor and thread, so that a slow callback of one holds up no other.

    rclpy's multi-threaded executor would do the same and was tried: it keeps a core busy.

    Use as a context manager; leaving it stops threads and devices first, then the nodes, then ROS.

    Args:
        arguments: ROS arguments (``--ros-args ...``), usually ``sys.argv``.
    """

    def __init__(self, arguments: Sequence[str] | None = None) -> None:
        os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)
        self.context = Context()
        rclpy.init(
            args=list(arguments) if arguments is not None else None,
            context=self.context,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self.nodes: list[Node] = []
        self._executors: list[SingleThreadedExecutor] = []
        self._threads: list[threading.Thread] = []
        self.error: Exception | None = None
        self._ended = threading.Event()
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Runner:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, lambda *_: self._ended.set())
        return self

    def __exit__(self, *exc: object) -> None:
        for executor in self._executors:
            executor.shutdown(timeout_sec=2.0)
        for thread in self._threads:
            thread.join(timeout=2.0)
        for node in reversed(self.nodes):
            if isinstance(node, AvatarNode):
                node.close()
            else:
                node.destroy_node()
        rclpy.try_shutdown(context=self.context)
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def add(
        self, kind: type[AvatarNode], parameters: Mapping[str, object] | None = None, namespace: str | None = None
    ) -> AvatarNode:
        """Make a node; its parameters win over those of the ROS arguments."""
        overrides = [Parameter(name, value=value) for name, value in (parameters or {}).items()]
        node = kind(context=self.context, namespace=namespace, parameter_overrides=overrides)
        self.nodes.append(node)
        return node

    def start(self) -> dict[str, str]:
        """Bring all nodes up side by side and spin them.

        Returns:
            name -> why it did not come up, of those that did not (they stay configurable).
        """
        managed = [n for n in self.nodes if isinstance(n, AvatarNode)]
        with ThreadPoolExecutor(max_workers=max(len(managed), 1)) as pool:
            came_up = list(pool.map(lambda node: node.autostart(), managed))
        for node in self.nodes:
            executor = SingleThreadedExecutor(context=self.context)
            executor.add_node(node)
            thread = threading.Thread(target=self._spin, args=(executor,), name=f"{node.get_name()} spin", daemon=True)
            self._executors.append(executor)
            self._threads.append(thread)
            thread.start()
        return {n.get_name(): n.failure for n, up in zip(managed, came_up, strict=True) if not up}

    def end(self) -> None:
        """Make :meth:`wait` return, from any thread."""
        self._ended.set()

    def wait(self, each: Callable[[], bool] | None = None, period: float = 0.5) -> bool:
        """Sleep until a signal, :meth:`end`, or until ``each`` (called every ``period`` s) says False.

        Returns:
            Whether a signal or :meth:`end` was the reason.
        """
        due = time.monotonic()
        while not self._ended.is_set():
            if each is not None and not each():
                return False
            due = max(due + period, time.monotonic())
            self._ended.wait(due - time.monotonic())
        return True

    def _spin(self, executor: SingleThreadedExecutor) -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            pass
        except Exception as error:  # a defect: the whole process ends, and is started again where it is respawned
            if not self._ended.is_set():
                log.exception("a callback failed")
                self.error = error
                self._ended.set()


def main(kind: type[AvatarNode], arguments: Sequence[str] | None = None) -> int:
    """Run one node as a program."""
    with Runner(sys.argv if arguments is None else arguments) as runner:
        runner.add(kind)
        runner.start()
        runner.wait(period=3600.0)
    return 1 if runner.error else 0
