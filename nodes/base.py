"""What all nodes share: lifecycle with autostart, parameters, a worker thread, diagnostics, refusing by counting."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import InvalidHandle
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile

from media2face.runtime.errors import Media2FaceError
from media2face.runtime.meters import Percentiles
from media2face.runtime.precision import precise_folder
from media2face.runtime.sessions import choose_providers

from . import qos
from .parameters import AUTOSTART, Param

NS = 1_000_000_000
RELOG_S = 5.0


def to_ns(stamp: Time) -> int:
    """Nanoseconds of a stamp."""
    return stamp.sec * NS + stamp.nanosec


def to_stamp(ns: int) -> Time:
    """A stamp of nanoseconds."""
    return Time(sec=ns // NS, nanosec=ns % NS)


class AvatarNode(LifecycleNode):
    """A lifecycle node of the avatar.

    A subclass names itself, lists its parameters and fills four hooks: :meth:`setup` (load, make publishers and
    subscriptions), :meth:`start`, :meth:`stop`, :meth:`teardown`. A :class:`Media2FaceError` from a hook fails the
    transition with one clear line.
    """

    NAME = ""
    PARAMETERS: tuple[Param, ...] = ()

    def __init__(self, **options) -> None:
        super().__init__(self.NAME, **options)
        self._params = {p.name: p for p in (AUTOSTART, *self.PARAMETERS)}
        for param in self._params.values():
            param.declare(self)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.lock = threading.RLock()
        self.active = False
        self.provider = ""
        self.counts: Counter[str] = Counter()
        self.meters: dict[str, Percentiles] = {}
        self.failure = ""
        self.line = ""
        """What a user would like to know once it is up: an address, a device."""
        self._made: list = []
        self._logged: dict[str, float] = {}
        self._reported: Counter[str] = Counter()
        self._worker: Worker | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "diagnostics", qos.DIAGNOSTICS)
        self.create_timer(1.0, self._publish_diagnostics)

    # ------------------------------------------------------------------------------------------------ for subclasses

    def setup(self) -> None:
        """Load what is needed; make publishers, subscriptions and services through the ``give``/``take`` helpers."""

    def start(self) -> None:
        """Begin to work."""

    def stop(self) -> None:
        """Stop working; forget what was under way."""

    def teardown(self) -> None:
        """Let go of what :meth:`setup` loaded."""

    def troubles(self) -> Counter[str]:
        """What was refused or went wrong since the node came up, by kind."""
        return self.counts

    def value(self, name: str):
        """A parameter's present value."""
        return self.get_parameter(name).value

    def weights(self) -> Path:
        """Folder of the weights, by the parameters ``weights`` and ``precision``."""
        return precise_folder(self.value("weights") or None, self.value("precision"))

    def now(self) -> int:
        """The node's clock, ns."""
        return self.get_clock().now().nanoseconds

    def give(self, kind: type, topic: str, profile: QoSProfile):
        """A publisher that lives until cleanup."""
        publisher = self.create_publisher(kind, topic, profile)
        self._made.append((self.destroy_publisher, publisher))
        return publisher

    def take(self, kind: type, topic: str, callback: Callable, profile: QoSProfile) -> None:
        """A subscription that lives until cleanup; its callback runs while active only, under the node's lock."""

        def guarded(message) -> None:
            if not self.active:
                return
            with self.lock:
                try:
                    callback(message)
                except Media2FaceError as error:
                    self.refuse(f"refused on {topic}", str(error))

        self._made.append((self.destroy_subscription, self.create_subscription(kind, topic, guarded, profile)))

    def serve(self, kind: type, name: str, callback: Callable) -> None:
        """A service that lives until cleanup; errors become ``success = false`` with a message."""

        def guarded(request, response):
            if not self.active:
                response.success, response.message = False, f"{self.NAME} is not active: activate it first"
                return response
            with self.lock:
                try:
                    return callback(request, response)
                except Media2FaceError as error:
                    response.success, response.message = False, str(error)
                    return response

        self._made.append((self.destroy_service, self.create_service(kind, name, guarded)))

    def work(self, step: Callable[[], float | None]) -> None:
        """Run ``step`` in a thread while active: it returns the seconds until its next call, or None to wait."""
        self._worker = Worker(step, self._worker_failed, self.NAME)

    def wake(self) -> None:
        """Let the worker look again at once."""
        if self._worker:
            self._worker.wake()

    def measure(self, meter: str, seconds: float) -> None:
        """Add a latency to the percentiles that diagnostics show."""
        self.meters.setdefault(meter, Percentiles()).add(1000.0 * seconds)

    def refuse(self, kind: str, text: str = "") -> None:
        """Count something unusable, and say so at most every few seconds."""
        self.counts[kind] += 1
        now = time.monotonic()
        if now - self._logged.get(kind, -RELOG_S) >= RELOG_S:
            self._logged[kind] = now
            self.get_logger().warning(f"{kind} ({self.counts[kind]}){': ' + text if text else ''}")

    # ------------------------------------------------------------------------------------------------ lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        began = time.monotonic()
        try:
            if "provider" in self._params:
                self.provider = choose_providers(self.value("provider"))[0]
            self.setup()
        except Media2FaceError as error:
            return self._failed(error)
        self.failure = ""
        self.get_logger().info(f"configured in {time.monotonic() - began:.2f} s{self._on_provider()}")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self.start()
        except Media2FaceError as error:
            return self._failed(error)
        self.active = True
        if self._worker:
            self._worker.start()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._halt()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._halt()
        self._release()
        return super().on_shutdown(state)

    def autostart(self) -> bool:
        """Come up, if the parameter says so; False if that failed (the reason is logged and kept in ``failure``)."""
        if not self.value("autostart"):
            return True
        if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            return False
        return self.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop threads and devices, then destroy the node; safe in any state."""
        self._halt()
        try:
            self._release()
            self.destroy_node()
        except InvalidHandle:  # the context went first
            pass

    def _halt(self) -> None:
        if self.active:
            self.active = False
            if self._worker:
                self._worker.stop()
            self.stop()

    def _release(self) -> None:
        made, self._made = self._made, []
        for destroy, entity in made:
            destroy(entity)
        self._worker = None
        self.teardown()

    def _failed(self, error: Exception) -> TransitionCallbackReturn:
        self.failure = str(error)
        self.get_logger().error(self.failure)
        self._release()
        return TransitionCallbackReturn.FAILURE

    def _worker_failed(self, error: Exception) -> None:
        self.refuse("errors while working", str(error))

    def _on_provider(self) -> str:
        return f", networks on {self.provider}" if self.provider else ""

    # ------------------------------------------------------------------------------------------------ parameters

    def _check_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            known = self._params.get(parameter.name)
            if known and known.choices and parameter.value not in known.choices:
                reason = f"{parameter.name} must be one of {', '.join(known.choices)}, got {parameter.value!r}"
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    # ------------------------------------------------------------------------------------------------ diagnostics

    def _publish_diagnostics(self) -> None:
        with self.lock:
            troubles = Counter({k: int(v) for k, v in self.troubles().items()})
            values = {"state": "active" if self.active else "not active"}
            if self.provider:
                values["provider"] = self.provider
            for name, meter in list(self.meters.items()):
                for key, number in (meter.summary() or {}).items():
                    values[f"{name} {key} ms"] = f"{number:.1f}"
            values |= self.report() if self.active else {}
        fresh = [kind for kind, count in troubles.items() if count > self._reported[kind]]
        self._reported = troubles
        level, text = DiagnosticStatus.OK, "running" if self.active else "waiting to be activated"
        if self.failure:
            level, text = DiagnosticStatus.ERROR, self.failure
        elif fresh:
            level, text = DiagnosticStatus.WARN, ", ".join(fresh)
        status = DiagnosticStatus(
            level=level, name=self.get_fully_qualified_name(), message=text, hardware_id="media2face"
        )
        pairs = values | {kind: str(count) for kind, count in troubles.items()}
        status.values = [KeyValue(key=k, value=str(v)) for k, v in pairs.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = to_stamp(self.now())
        self._diagnostics.publish(array)

    def report(self) -> dict[str, str]:
        """More for the diagnostics, while active."""
        return {}


class Worker:
    """A thread that sleeps until its next step is due, or until it is woken."""

    def __init__(self, step: Callable[[], float | None], failed: Callable[[Exception], None], name: str) -> None:
        self._step, self._failed, self._name = step, failed, name
        self._due = threading.Event()
        self._running = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; may be called again after :meth:`stop`."""
        self._running = True
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Make the next step due now."""
        self._due.set()

    def stop(self) -> None:
        """End the thread and wait for it (unless called from it)."""
        self._running = False
        self._due.set()
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while self._running:
            self._due.clear()
            try:
                pause = self._step()
            except Exception as error:  # a thread has nobody to raise to; counted and shown instead
                if not self._running:
                    return
                logging.getLogger(self._name).exception("step failed")
                self._failed(error)
                pause = 0.1
            if pause is None or pause > 0:
                self._due.wait(pause)
