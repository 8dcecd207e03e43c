"""``bridges``: frames, at the moment at which they are to be seen, to Live Link Face, VMC and ZeroMQ."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
from geometry_msgs.msg import PoseStamped

from media2face.bodies.frames import Stage
from media2face.runtime.errors import ConfigError
from media2face_msgs.msg import Expression

from . import qos, runner
from .base import NS, AvatarNode, to_ns
from .parameters import Param


class Bridges(AvatarNode):
    """Runs a :class:`.Stage` by the clock and hands its frames to the senders that are asked for."""

    NAME = "bridges"
    PARAMETERS = (
        Param("livelink", "", "Live Link Face (Unreal Engine): HOST or HOST:PORT; empty: none"),
        Param("livelink_subject", "media2face", "name under which Unreal lists the face"),
        Param("vmc", "", "VMC (VRM avatars): HOST or HOST:PORT; empty: none"),
        Param("vmc_names", "perfect_sync", "spelling of the shapes", choices=("perfect_sync", "arkit")),
        Param("zmq", "", "ZeroMQ: endpoint to publish on, such as tcp://127.0.0.1:5570; empty: none"),
        Param("zmq_keys", "", "folder of CurveZMQ keys; needed off this machine, made by media2face zmq-keys"),
    )

    def setup(self) -> None:
        self.senders = {}
        self._open()
        if not self.senders:
            raise ConfigError("the bridges have nowhere to send: set livelink, vmc or zmq, such as vmc:=127.0.0.1")
        self.line = "; ".join(sender.line for sender in self.senders.values())
        self.get_logger().info(self.line)
        self.stage = Stage()
        self.take(Expression, "expression", self.on_expression, qos.FRAMES)
        self.take(PoseStamped, "head_pose", self.on_pose, qos.FRAMES)
        self.work(self.present)

    def stop(self) -> None:
        self.stage = Stage()

    def teardown(self) -> None:
        for sender in getattr(self, "senders", {}).values():
            sender.close()
        self.senders = {}

    def troubles(self) -> Counter[str]:
        found = Counter(self.counts) + Counter(self.stage.counts if hasattr(self, "stage") else {})
        for sender in getattr(self, "senders", {}).values():
            found += Counter(sender.counts)  # a copy: its thread goes on counting
        return found

    def report(self) -> dict[str, str]:
        found = {name: sender.line for name, sender in self.senders.items()}
        if "zmq" in self.senders:
            found["zmq subscribers"] = str(self.senders["zmq"].subscribers)
        return found

    def on_expression(self, message: Expression) -> None:
        weights = np.frombuffer(message.weights, np.float32)
        self.stage.face(message.utterance, message.frame, message.revision, to_ns(message.header.stamp), message.names,
                        weights, self.now())  # fmt: skip
        self.wake()

    def on_pose(self, message: PoseStamped) -> None:
        p, q = message.pose.position, message.pose.orientation
        rotation, translation = np.array([q.x, q.y, q.z, q.w]), np.array([p.x, p.y, p.z])
        self.stage.pose(to_ns(message.header.stamp), rotation, translation, self.now())

    def present(self) -> float | None:
        """Send what is to be seen now; seconds until the next frame."""
        with self.lock:
            frames = self.stage.due(self.now())
        took = [("late", (self.now() - frame.present) / NS) for frame in frames]
        for frame in frames:
            for name, sender in self.senders.items():
                began = time.perf_counter()
                sender.send(frame)
                took.append((name, time.perf_counter() - began))
        with self.lock:
            for meter, seconds in took:
                self.measure(meter, seconds)
            following = self.stage.next_time()
        return None if following is None else max((following - self.now()) / NS, 0.0)

    def _open(self) -> None:
        """Only what is asked for is imported."""
        if self.value("livelink"):
            from media2face.bodies.bridges.livelink import LiveLinkSender

            self.senders["livelink"] = LiveLinkSender(self.value("livelink"), self.value("livelink_subject"))
        if self.value("vmc"):
            from media2face.bodies.bridges.vmc import VmcSender

            self.senders["vmc"] = VmcSender(self.value("vmc"), self.value("vmc_names"))
        if self.value("zmq"):
            from media2face.bodies.bridges.zmq_face import FacePublisher
            from media2face.bodies.bridges.zmq_security import load_server_keys

            keys = load_server_keys(self.value("zmq_keys")) if self.value("zmq_keys") else None
            self.senders["zmq"] = FacePublisher(self.value("zmq"), self.get_namespace(), keys)


def main() -> int:
    """Run this node."""
    return runner.main(Bridges)
