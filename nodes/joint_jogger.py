"""Moves single joints of a robot slowly, over ``joint_states``: the hands of the calibration."""

from __future__ import annotations

import threading
import time
from array import array

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from sensor_msgs.msg import JointState

from media2face.bodies.animatronics.follower import FORESEEN, Follower
from media2face.bodies.animatronics.robot_map import RobotMap
from media2face.runtime.errors import ConfigError

from . import qos
from .base import to_stamp

SLOWNESS = 0.2
"""Share of the map's velocity and acceleration that is used."""
FOUND_S = 0.7
"""Time in which other publishers are found, s."""


class JointJogger:
    """A context: publishes the positions of all joints at the robot's rate while it is open.

    Args:
        robot: the map; all joints start at rest.
        namespace: of the topic ``joint_states``.

    Raises:
        ConfigError: something else moves the robot already.
    """

    def __init__(self, robot: RobotMap, namespace: str) -> None:
        self.robot = robot
        self._namespace = namespace
        self._goals = {joint.name: joint.rest for joint in robot.joints}
        self._followers = {
            j.name: Follower(*j.range, SLOWNESS * j.velocity, SLOWNESS * j.acceleration, j.jerk, robot.period, j.rest)
            for j in robot.joints
        }
        self._running = threading.Event()

    def __enter__(self) -> JointJogger:
        self._context = Context()
        rclpy.init(context=self._context, args=[])
        self._node = Node("joint_jogger", namespace=self._namespace, context=self._context)
        self._publisher = self._node.create_publisher(JointState, "joint_states", qos.FRAMES)
        time.sleep(FOUND_S)
        others = [p.node_name for p in self._node.get_publishers_info_by_topic(self._publisher.topic_name)]
        if len(others) > 1:
            self._close()
            raise ConfigError(
                f"{self._publisher.topic_name} is published already, by {', '.join(set(others) - {'joint_jogger'})}: "
                "end it first, or the robot has two masters"
            )
        self._running.set()
        self._thread = threading.Thread(target=self._run, name="joint_jogger", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for name in self.robot.names:
            self._goals[name] = next(j.rest for j in self.robot.joints if j.name == name)
        self._running.clear()
        self._thread.join(timeout=2.0)
        self._close()

    def move(self, joint: str, position: float, timeout: float = 20.0) -> None:
        """Move a joint; back when it is there."""
        self._goals[joint] = position
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            time.sleep(self.robot.period)
            follower = self._followers[joint]
            if abs(follower.position - position) < 1e-3 and abs(follower.velocity) < 1e-3:
                return

    def _run(self) -> None:
        due = time.monotonic()
        while self._running.is_set():
            for name, follower in self._followers.items():
                follower.step([(self._goals[name], 0.0, 0.0)] * len(FORESEEN))
            message = JointState(name=list(self._followers))
            message.header.stamp = to_stamp(self._node.get_clock().now().nanoseconds)
            message.position = array("d", [f.position for f in self._followers.values()])
            message.velocity = array("d", [f.velocity for f in self._followers.values()])
            self._publisher.publish(message)
            due = max(due + self.robot.period, time.monotonic() - self.robot.period)
            time.sleep(max(due - time.monotonic(), 0.0))

    def _close(self) -> None:
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)
