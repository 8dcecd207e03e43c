"""What the bridges cost: time a frame, and the graph's latency with receivers that are fine, slow or gone.

    python -m media2face.evaluation.bridge_bench [--rounds 6] [--seconds 4] [--json FILE]

One graph speaks the demo in a process of its own, and one run goes through three states in turns, so that whatever else
the machine does falls on all of them: ``without`` (the node ``bridges`` is deactivated), ``reading`` (every receiver
reads what comes) and ``harmful`` (nobody listens on the UDP ports, and three ZeroMQ subscribers never read). Processor
time a frame is measured on each sender by itself, with frames at random.
"""

from __future__ import annotations

import argparse
import json
import logging
import socket
import threading
import time
from pathlib import Path

import numpy as np
import zmq
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from tqdm import tqdm

from media2face.bodies.bridges.livelink import LiveLinkSender
from media2face.bodies.bridges.vmc import VmcSender
from media2face.bodies.bridges.zmq_face import FacePublisher
from media2face.bodies.frames import FaceFrame
from media2face.evaluation.live_bench import LiveGraph
from media2face.evaluation.offline_bench import percentiles
from media2face.nodes import qos
from media2face.runtime.clock import FPS
from media2face.runtime.demo import demo_speech

log = logging.getLogger(__name__)
STATES = ("without", "reading", "harmful")
SETTLE_S = 0.5
ARGUMENTS = ["--audio", str(demo_speech()), "--loop", "--device", "none", "--no-avatar-view"]


class Receivers:
    """Receivers of all three kinds, in a thread of their own; ``reading`` says whether they behave."""

    def __init__(self) -> None:
        self.ports = [_free_port(socket.SOCK_DGRAM), _free_port(socket.SOCK_DGRAM), _free_port(socket.SOCK_STREAM)]
        self.reading = True
        self.received = [0, 0, 0]
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._udp, args=(i,)) for i in (0, 1)]
        self._threads.append(threading.Thread(target=self._zmq))
        for thread in self._threads:
            thread.start()

    @property
    def arguments(self) -> list[str]:
        """What makes ``media2face avatar`` send to them."""
        livelink, vmc, face = self.ports
        return ["--bridges", "--livelink", f"127.0.0.1:{livelink}", "--vmc", f"127.0.0.1:{vmc}",
                "--zmq", f"tcp://127.0.0.1:{face}"]  # fmt: skip

    def close(self) -> None:
        """End the threads."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _udp(self, i: int) -> None:
        while not self._ended.is_set():
            if not self.reading:
                time.sleep(0.05)
                continue
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
                receiver.bind(("127.0.0.1", self.ports[i]))
                receiver.settimeout(0.1)
                while self.reading and not self._ended.is_set():
                    try:
                        receiver.recv(65536)
                        self.received[i] += 1
                    except TimeoutError:
                        pass

    def _zmq(self) -> None:
        context = zmq.Context()
        subscribers = [context.socket(zmq.SUB) for _ in range(3)]
        for subscriber in subscribers:
            subscriber.rcvhwm, subscriber.rcvbuf = 1, 4096
            subscriber.connect(f"tcp://127.0.0.1:{self.ports[2]}")
            subscriber.subscribe("")
        while not self._ended.is_set():
            if not self.reading or not subscribers[0].poll(50):
                time.sleep(0.0 if self.reading else 0.05)
                continue
            for subscriber in subscribers:
                while subscriber.poll(0):
                    subscriber.recv_multipart()
                    self.received[2] += 1
        context.destroy(linger=0)


def bench_latency(rounds: int, seconds: float) -> dict:
    """Latency from sample captured to frame received, ms, by state; and the wall time a frame that the node reports."""
    receivers = Receivers()
    latency: dict[str, list[float]] = {state: [] for state in STATES}
    late = dict.fromkeys(STATES, 0)
    told: dict[str, str] = {}
    try:
        with LiveGraph([*ARGUMENTS, *receivers.arguments]) as graph:
            node = graph.node
            node.create_subscription(
                DiagnosticArray, "diagnostics", lambda m: told.update(_of_bridges(m)), qos.DIAGNOSTICS
            )
            change = node.create_client(ChangeState, "bridges/change_state")
            graph.spin_until(lambda: len(graph.probe.frames) > 30, 60, "a second of speech")
            graph.spin_until(change.service_is_ready, 20, "the lifecycle of bridges")
            active = True
            for number in tqdm(range(rounds * len(STATES)), desc="turns"):
                state = STATES[number % len(STATES)]
                receivers.reading = state != "harmful"
                if active != (state != "without"):
                    active = not active
                    wanted = Transition.TRANSITION_ACTIVATE if active else Transition.TRANSITION_DEACTIVATE
                    future = change.call_async(ChangeState.Request(transition=Transition(id=wanted)))
                    graph.spin_until(future.done, 10, f"bridges {state}")
                graph.spin(SETTLE_S)
                graph.probe.frames.clear()
                graph.spin(seconds)
                for f in graph.probe.frames:
                    if f.utterance in graph.probe.captured:
                        latency[state].append(1e3 * (f.at - graph.probe.captured[f.utterance] - f.frame / FPS))
                        late[state] += f.at > f.stamp
    finally:
        receivers.close()
    result: dict = {f"latency, {state}, ms": percentiles(values) for state, values in latency.items()}
    result |= {f"late frames, {state}": f"{late[state]} of {len(latency[state])}" for state in STATES}
    result |= {f"node, {key}": value for key, value in sorted(told.items()) if key.endswith(" ms")}
    result |= {f"node, {key}": value for key, value in told.items() if "nobody" in key or "subscribers" in key}
    return result


def bench_sending(frames: int = 600) -> dict:
    """Processor and wall time of sending one frame, ms, by sender, in this process."""
    context = zmq.Context()
    publisher = FacePublisher("tcp://127.0.0.1:*")
    subscriber = context.socket(zmq.SUB)
    subscriber.connect(publisher.endpoint)
    subscriber.subscribe("")
    rng, result = np.random.default_rng(0), {}
    senders = {"livelink": LiveLinkSender(f"127.0.0.1:{_free_port(socket.SOCK_DGRAM)}"),
               "vmc": VmcSender(f"127.0.0.1:{_free_port(socket.SOCK_DGRAM)}"), "zmq": publisher}  # fmt: skip
    while not publisher.subscribers:
        publisher.send(_frame(rng, 0))
        time.sleep(0.01)
    for name, sender in senders.items():
        processor, wall = [], []
        for k in range(frames):
            frame = _frame(rng, k)
            began, at = time.thread_time_ns(), time.perf_counter_ns()
            sender.send(frame)
            processor.append((time.thread_time_ns() - began) / 1e6)
            wall.append((time.perf_counter_ns() - at) / 1e6)
            time.sleep(0.002)
        result[f"{name}, processor, ms"], result[f"{name}, wall, ms"] = percentiles(processor), percentiles(wall)
        sender.close()
    context.destroy(linger=0)
    return result


def _frame(rng: np.random.Generator, k: int) -> FaceFrame:
    weights = rng.uniform(0, 1, 52).astype(np.float32)
    return FaceFrame("u", k, 0, 10**18 + k * 10**9 // FPS, weights, np.array([0.0, 0.1, 0.0, 0.995]), np.zeros(3))


def _free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _of_bridges(message: DiagnosticArray) -> dict[str, str]:
    return {v.key: v.value for s in message.status if s.name.endswith("/bridges") for v in s.values}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6, help="turns of each state (default: 6)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a turn, s (default: 4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    result = bench_sending() | bench_latency(options.rounds, options.seconds)
    for name, value in result.items():
        shown = " / ".join(f"{v:.2f}" for v in value.values()) if isinstance(value, dict) else value
        log.info("%-32s %s", name, shown)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
