"""``animatronics``: a robot's servos follow the face, within every limit of its joints."""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections import Counter, deque

import numpy as np
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool

from media2face.bodies.animatronics.map_file import load_map
from media2face.bodies.animatronics.mixing import MAX_GAIN
from media2face.bodies.animatronics.player import Command, RobotPlayer
from media2face.runtime.errors import ConfigError
from media2face_msgs.msg import Expression

from . import qos, runner
from .base import NS, AvatarNode, to_ns, to_stamp
from .parameters import Param

try:
    from builtin_interfaces.msg import Duration
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
except ImportError:  # only the output for ros2_control needs it
    JointTrajectory = None

PRIORITY = 40
CHUNK = 2
"""A chunk of a joint trajectory goes out every so many periods ..."""
OVERLAP = 1
"""... and holds this many more before the stop that ends it, so that a late one is not felt."""
MAX_STOP = 500
"""Points of a chunk's stop at most."""


class Animatronics(AvatarNode):
    """Runs a :class:`.RobotPlayer` by a timer of its own and tunes it by parameters."""

    NAME = "animatronics"
    PARAMETERS = (
        Param("robot_map", "toy", "the robot: a YAML file, or the name of an example (toy, full_head)"),
        Param(
            "output",
            "joint_states",
            "what to publish: JointState for drivers and RViz, or JointTrajectory for ros2_control",
            choices=("joint_states", "joint_trajectory"),
        ),
        Param(
            "realtime_priority",
            PRIORITY,
            "priority of the timer (SCHED_FIFO) where the system grants it; 0: none",
            0,
            90,
        ),
        Param("soft_stop", False, "go to rest within the limits and stay there", fixed=False),
    )

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self._tunable: dict[str, tuple[str, str]] = {}
        self.player: RobotPlayer | None = None
        self.add_on_set_parameters_callback(self._tune)

    def setup(self) -> None:
        robot = load_map(self.value("robot_map"))
        output = self.value("output")
        chunks = output == "joint_trajectory"
        if chunks and JointTrajectory is None:
            raise ConfigError("the output joint_trajectory needs trajectory_msgs: pip install ros-trajectory-msgs")
        before, self.player = self.player, RobotPlayer(robot, (CHUNK + OVERLAP) * robot.period if chunks else 0.0)
        if before is not None and before.robot == robot:
            self.player.followers = before.followers  # the joints are where they were left
        self._declare_tuning()
        self.player.stopped = self.value("soft_stop")
        if chunks:
            self.commands = self.give(JointTrajectory, "joint_trajectory", qos.FRAMES)
        else:
            self.commands = self.give(JointState, "joint_states", qos.FRAMES)
        self.publish = self._publish_chunk if chunks else self._publish_state
        self.take(Expression, "expression", self.on_expression, qos.FRAMES)
        self.take(PoseStamped, "head_pose", self.on_pose, qos.FRAMES)
        self.serve(SetBool, "soft_stop", self.on_soft_stop)
        self.line = f"{robot.robot}: {len(robot.joints)} joints at {robot.rate:g} Hz on {output}"
        self.get_logger().info(self.line)
        self.clipped, self.saturated = Counter(), Counter()
        self.published = 0
        self.work(self.command)

    def start(self) -> None:
        self._deadline: float | None = None
        self.priority = "none"
        self._recent: deque[np.ndarray] = deque(maxlen=CHUNK + OVERLAP + 1)

    def stop(self) -> None:
        self.player.forget()
        for follower in self.player.followers:  # joints stand, where they were sent or where a chunk's stop ends
            follower.settle(self.value("output") == "joint_trajectory")

    def teardown(self) -> None:
        for name in self._tunable:
            self.undeclare_parameter(name)
        self._tunable = {}

    def troubles(self) -> Counter[str]:
        return Counter(self.counts) + Counter(self.player.counts if self.player else {})

    def report(self) -> dict[str, str]:
        state = "soft stop" if self.player.stopped else "at rest: no stream" if self.player.stale else "following"
        found = {"robot": self.player.robot.robot, "motion": state, "commands published": str(self.published)}
        found["real-time priority"] = self.priority
        for what, counts in (("clipped", self.clipped), ("saturated", self.saturated)):
            shares = [f"{name} {100.0 * n / self.published:.1f} %" for name, n in counts.most_common(8)]
            found[f"joints {what}"] = ", ".join(shares) or "none"
        return found

    def on_expression(self, message: Expression) -> None:
        weights = np.frombuffer(message.weights, np.float32)
        self.player.face(
            to_ns(message.header.stamp), message.names, weights, self.now(), message.utterance, message.revision
        )

    def on_pose(self, message: PoseStamped) -> None:
        p, q = message.pose.position, message.pose.orientation
        self.player.pose(to_ns(message.header.stamp), np.array([q.x, q.y, q.z, q.w]), np.array([p.x, p.y, p.z]),
                         self.now())  # fmt: skip

    def on_soft_stop(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """True: go to rest and stay there. False: follow again."""
        self.set_parameters([Parameter("soft_stop", value=bool(request.data))])
        response.success = True
        response.message = "going to rest" if request.data else "following"
        return response

    def command(self) -> float:
        """Give the command of this period; seconds until the next is due."""
        began = time.monotonic()
        period = self.player.robot.period
        if self._deadline is None:
            self._deadline = began
            self.priority = _rise(threading.get_native_id(), self.value("realtime_priority"))
        self.measure("jitter", abs(began - self._deadline))
        with self.lock:
            if not self.active:
                return period
            now = self.now()
            command = self.player.step(now)
            self._count(command)
            self.publish(command, now)
            self.published += 1
        self.measure("step", time.monotonic() - began)
        self._deadline += period
        if time.monotonic() - self._deadline > period:  # held up: periods that are over are not made up for
            self.counts["commands left out"] += int((time.monotonic() - self._deadline) / period)
            self._deadline = time.monotonic()
        return max(self._deadline - time.monotonic(), 0.0)

    def _publish_state(self, command: Command, now: int) -> None:
        message = JointState(name=list(self.player.robot.names))
        message.header.stamp = to_stamp(now)
        message.position = array("d", command.position.tobytes())
        message.velocity = array("d", command.velocity.tobytes())
        self.commands.publish(message)

    def _publish_chunk(self, command: Command, now: int) -> None:
        """The latest commands, then a stop: whatever happens to this node, the controller brings the joints to rest.

        Commands are carried out ``CHUNK + OVERLAP`` periods after they are made, which the player makes up for by
        looking that much further ahead; each chunk goes on exactly where the one before would have been.
        """
        self._recent.append(np.stack([command.position, command.velocity, command.acceleration]))
        if len(self._recent) < self._recent.maxlen or self.published % CHUNK:
            return
        stops = [follower.stopping() for follower in self.player.followers]
        count = max(map(len, stops))
        stride = -(-count // MAX_STOP)  # a long stop is told in fewer points, not cut short
        count = -(-count // stride) * stride
        stops = [[*s, *[s[-1]] * (count - len(s))][stride - 1 :: stride] for s in stops]
        message = JointTrajectory(joint_names=list(self.player.robot.names))
        message.header.stamp = to_stamp(now)
        made = len(self._recent)
        for k, row in enumerate([*self._recent, *np.array(stops).transpose(1, 2, 0)]):
            periods = k if k < made else made - 1 + (k - made + 1) * stride
            at = round(periods * self.player.robot.period * NS)
            position, velocity, acceleration = row.tolist()
            message.points.append(
                JointTrajectoryPoint(
                    positions=position, velocities=velocity, accelerations=acceleration,
                    time_from_start=Duration(sec=at // NS, nanosec=at % NS),
                )
            )  # fmt: skip
        self.commands.publish(message)

    def _count(self, command: Command) -> None:
        for counts, mask in ((self.clipped, command.clipped), (self.saturated, command.saturated)):
            for i in np.flatnonzero(mask):
                counts[self.player.robot.names[i]] += 1

    # ------------------------------------------------------------------------------------------------ live tuning

    def _declare_tuning(self) -> None:
        """``<joint>.gain``, ``.offset``, ``.min`` and ``.max`` of every joint, within the limits of the map."""
        for joint in self.player.robot.joints:
            low, high = joint.range
            for key, default, text, least, most in (
                ("gain", 1.0, f"how much of the face the joint {joint.name} shows", 0.0, MAX_GAIN),
                ("offset", 0.0, f"trim of the joint {joint.name}, rad, at rest too", low - high, high - low),
                ("min", low, f"lowest position of the joint {joint.name}, rad, within the map's range", low, high),
                ("max", high, f"highest position of the joint {joint.name}, rad, within the map's range", low, high),
            ):
                name = f"{joint.name}.{key}"
                self._tunable[name] = (joint.name, key)
                Param(name, default, text, least, most, fixed=False).declare(self)

    def _tune(self, parameters: list[Parameter]) -> SetParametersResult:
        with self.lock:
            try:
                for parameter in parameters:
                    if parameter.name in self._tunable:
                        self.player.mixer.tune(*self._tunable[parameter.name], parameter.value)
                    elif parameter.name == "soft_stop" and self.player:
                        self.player.stopped = bool(parameter.value)
            except ConfigError as error:
                return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def _rise(thread: int, priority: int) -> str:
    """Ask for a real-time priority of a thread, and of those that it starts; what came of it."""
    if not priority or not hasattr(os, "sched_setscheduler"):
        return "none"
    try:
        os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        return f"none ({error.strerror}: the user's limit rtprio would allow it)"
    return f"SCHED_FIFO {priority}"


def main() -> int:
    """Run this node, all of it at the timer's priority: a thread of lower priority may hold Python's lock."""
    _rise(0, PRIORITY)
    return runner.main(Animatronics)
