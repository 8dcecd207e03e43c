"""The live graph as a subscriber sees it: latency, skew, prompts and barge-in, over real topics in real time.

The graph runs as ``media2face avatar`` in a process of its own; this process is a robot head that subscribes. The
latency of frame k is the moment its ``expression`` message arrives minus the capture time of the sample at k/30 s, so
it holds the middleware's delay as well. A frame that arrives after its own stamp is late and counts as an underrun.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from media2face.evaluation.offline_bench import percentiles
from media2face.nodes import qos
from media2face.runtime.clock import FPS
from media2face.runtime.errors import Media2FaceError
from media2face.runtime.sources import is_idle
from media2face_msgs.msg import AudioChunk, Expression, PlaybackClock, StylePrompt
from media2face_msgs.srv import Interrupt


def seconds(stamp) -> float:
    """A builtin_interfaces/Time as seconds."""
    return stamp.sec + 1e-9 * stamp.nanosec


@dataclass
class Arrival:
    """One expression message: when it came and what it said."""

    at: float
    utterance: str
    frame: int
    revision: int
    stamp: float
    weights: np.ndarray


@dataclass
class Probe:
    """What came over the topics."""

    frames: list[Arrival] = field(default_factory=list)
    captured: dict[str, float] = field(default_factory=dict)
    """Capture time of sample 0 by utterance."""
    starts: dict[str, list[float]] = field(default_factory=dict)
    """When audio time 0 of an utterance is heard, as the playback clock said over time."""
    audio_underruns: int = 0


class ProbeNode(Node):
    """Subscribes to the avatar as any robot head would."""

    def __init__(self, namespace: str) -> None:
        super().__init__("bench", namespace=namespace)
        self.probe = Probe()
        self.create_subscription(AudioChunk, "audio", self.on_audio, qos.AUDIO)
        self.create_subscription(Expression, "expression", self.on_expression, qos.FRAMES)
        self.create_subscription(PlaybackClock, "playback_clock", self.on_clock, qos.STATE)
        self.prompts = self.create_publisher(StylePrompt, "style_prompt", qos.PROMPT)
        self.interrupts = self.create_client(Interrupt, "interrupt")

    def on_audio(self, chunk: AudioChunk) -> None:
        if chunk.sample_rate:
            zero = seconds(chunk.header.stamp) - chunk.first_sample / chunk.sample_rate
            self.probe.captured.setdefault(chunk.utterance, zero)

    def on_expression(self, msg: Expression) -> None:
        if is_idle(msg.utterance):  # a face that listens: nobody waits for its frames
            return
        weights = np.frombuffer(msg.weights, np.float32).copy()
        self.probe.frames.append(
            Arrival(time.time(), msg.utterance, msg.frame, msg.revision, seconds(msg.header.stamp), weights)
        )

    def on_clock(self, msg: PlaybackClock) -> None:
        if msg.utterance:
            self.probe.starts.setdefault(msg.utterance, []).append(seconds(msg.start))
        self.probe.audio_underruns = max(self.probe.audio_underruns, msg.underruns)


class LiveGraph:
    """``media2face avatar`` as a child process on a ROS domain of its own, with a subscribed probe."""

    def __init__(self, arguments: list[str], namespace: str = "/bench") -> None:
        self.domain = str(random.randint(100, 199))
        self.namespace = namespace
        self.arguments = arguments

    def __enter__(self) -> LiveGraph:
        os.environ["ROS_DOMAIN_ID"] = self.domain
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        rclpy.init()
        self.node = ProbeNode(self.namespace)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.started = time.time()
        command = [sys.executable, "-m", "media2face.cli.main", "avatar", "--namespace", self.namespace, "--quiet"]
        self.process = subprocess.Popen(
            command + self.arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.monitor = psutil.Process(self.process.pid)
        self.monitor.cpu_percent()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()

    @property
    def probe(self) -> Probe:
        return self.node.probe

    def spin(self, duration: float) -> None:
        """Receive for ``duration`` seconds."""
        end = time.monotonic() + duration
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def spin_until(self, condition, timeout: float, what: str) -> None:
        """Receive until ``condition()``.

        Raises:
            Media2FaceError: if it does not happen within ``timeout`` seconds, or the graph ends before.
        """
        end = time.monotonic() + timeout
        while not condition():
            self.executor.spin_once(timeout_sec=0.02)
            if self.process.poll() is not None:
                raise Media2FaceError(f"the avatar ended before {what}: {self.process.stderr.read()[-800:]}")
            if time.monotonic() > end:
                raise Media2FaceError(f"waited {timeout:.0f} s for {what}, nothing came")


def bench_live(speech: Path, prompts: int = 5, interrupts: int = 3) -> dict:
    """Run the demo speech once for latency and skew, then again for prompts and barge-in."""
    result: dict = {}
    with LiveGraph(["--audio", str(speech)]) as graph:
        graph.spin_until(lambda: graph.probe.frames, 60, "the first frame")
        result["start_s"] = round(graph.probe.frames[0].at - graph.started, 2)
        cpu, rss = [], []
        graph.monitor.cpu_percent()
        while graph.process.poll() is None:
            graph.spin(1.0)
            try:
                cpu.append(graph.monitor.cpu_percent())
                rss.append(graph.monitor.memory_info().rss / 1e6)
            except psutil.Error:
                break
        result |= _timing(graph.probe)
        result["cpu_percent"] = round(float(np.median(cpu[:-1] or cpu or [np.nan])), 1)
        result["rss_mb"] = round(max(rss, default=float("nan")), 1)
    delays: list[float] = []
    for i in range(interrupts):
        with LiveGraph(["--audio", str(speech), "--loop"]) as graph:
            graph.spin_until(lambda graph=graph: len(graph.probe.frames) > 60, 60, "two seconds of speech")
            if i == 0:
                result["prompt_ms"] = percentiles(_prompt_delays(graph, prompts))
            delays.append(_interrupt_delay(graph))
    result["interrupt_ms"] = percentiles(delays)
    return result


def _timing(probe: Probe) -> dict:
    speaking = [f for f in probe.frames if f.utterance in probe.captured]
    first: dict[tuple[str, int], Arrival] = {}
    for frame in speaking:
        first.setdefault((frame.utterance, frame.frame), frame)
    frames = list(first.values())
    latency = [1e3 * (f.at - probe.captured[f.utterance] - f.frame / FPS) for f in frames]
    heard = {u: starts[-1] for u, starts in probe.starts.items()}
    skew = [1e3 * abs(f.stamp - heard[f.utterance] - f.frame / FPS) for f in frames if f.utterance in heard]
    late = sum(f.at > f.stamp for f in frames)
    expected = max((f.frame for f in frames), default=0) + 1
    span = frames[-1].at - frames[0].at
    return {
        "live_latency_ms": percentiles(latency),
        "av_skew_ms": percentiles(skew) if skew else None,
        "frames": len(frames),
        "missing_frames": expected - len({f.frame for f in frames}),
        "late_frames": late,
        "underruns": late + probe.audio_underruns,
        "frames_per_s": round((len(frames) - 1) / span, 2) if span > 0 else 0.0,
    }


def _prompt_delays(graph: LiveGraph, count: int) -> list[float]:
    """Prompt published to first frame of the new revision published, ms."""
    delays = []
    for i in range(count):
        revision = max(f.revision for f in graph.probe.frames[-30:])
        text = ("very happy", "sad", "angry", "surprised")[i % 4]
        message = StylePrompt(text=text, strength=1.0, start_frame=-1, ramp=0.2)
        message.header.stamp = graph.node.get_clock().now().to_msg()
        sent, seen = time.time(), len(graph.probe.frames)
        graph.node.prompts.publish(message)

        def changed(seen=seen, revision=revision) -> bool:
            return any(f.revision > revision for f in graph.probe.frames[seen:])

        graph.spin_until(changed, 5, "a changed face after a prompt")
        delays.append(1e3 * (next(f.at for f in graph.probe.frames[seen:] if f.revision > revision) - sent))
        graph.spin(1.0)
    return delays


def _interrupt_delay(graph: LiveGraph) -> float:
    """Interrupt called to the moment at which the first frame at rest is to be seen, ms."""
    graph.spin_until(graph.node.interrupts.service_is_ready, 5, "the interrupt service")
    sent, seen = time.time(), len(graph.probe.frames)
    future = graph.node.interrupts.call_async(Interrupt.Request())
    graph.spin_until(future.done, 5, "an answer to interrupt")
    if not future.result().success:
        raise Media2FaceError(f"the avatar refused the interrupt: {future.result().message}")
    graph.spin(1.0)
    eased = [f for f in graph.probe.frames[seen:] if f.revision >= future.result().revision]
    if not eased:
        raise Media2FaceError("no frame came after the interrupt: the face stopped where it was")
    return 1e3 * (eased[-1].stamp - sent)
