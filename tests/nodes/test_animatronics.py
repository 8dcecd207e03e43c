"""The animatronics node on real topics: follows, goes to rest, stops softly, is tuned live, survives bad messages."""

from __future__ import annotations

import time
from array import array

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from harness import ROOT, until
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool

from media2face.bodies.animatronics.map_file import load_map
from media2face.nodes import qos
from media2face.nodes.base import to_ns, to_stamp
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face_msgs.msg import Expression

NS = 1_000_000_000
TOY = load_map("toy")
REST = np.array([joint.rest for joint in TOY.joints])


def face(k: int, start: int, jaw: float = 0.6, **more) -> Expression:
    weights = np.zeros(52, np.float32)
    weights[ARKIT_INDEX["jawOpen"]] = jaw
    message = Expression(utterance="u", frame=k, names=list(ARKIT_NAMES), weights=array("f", weights.tobytes()))
    message.header.stamp = to_stamp(start + k * NS // 30)
    for name, value in more.items():
        setattr(message, name, value)
    return message


def pose(k: int, start: int, yaw: float = 0.2) -> PoseStamped:
    message = PoseStamped()
    message.header.stamp = to_stamp(start + k * NS // 30)
    message.pose.orientation.z, message.pose.orientation.w = float(np.sin(yaw / 2)), float(np.cos(yaw / 2))
    return message


class Robot:
    """The node, its listener, and a face that speaks to it."""

    def __init__(self, avatar, listener, kind=JointState, topic="joint_states", **parameters) -> None:
        self.listener = listener
        self.heard = listener.listen(kind, topic, qos.FRAMES)
        self.graph = avatar("animatronics", **parameters)
        assert not self.graph.failures, self.graph.failures
        self.node = self.graph.nodes["animatronics"]
        self.faces = listener.publisher(Expression, "expression", qos.FRAMES)
        self.poses = listener.publisher(PoseStamped, "head_pose", qos.FRAMES)

    def speak(self, seconds: float, jaw: float = 0.6, yaw: float = 0.2, utterance: str = "u") -> None:
        """A stream in real time, 90 ms ahead."""
        start = time.time_ns() + NS // 10
        for k in range(round(30 * seconds)):
            time.sleep(max((start + k * NS // 30 - 9 * NS // 100 - time.time_ns()) / NS, 0.0))
            self.faces.publish(face(k, start, jaw, utterance=utterance))
            self.poses.publish(pose(k, start, yaw))

    def now(self) -> np.ndarray:
        """Latest positions."""
        return np.array(self.heard[-1][1].position)

    def set(self, name: str, value):
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return self.listener.call(SetParameters, "animatronics/set_parameters", request).results[0]


def test_the_robot_follows_and_goes_to_rest_when_the_stream_ends(avatar, listener):
    robot = Robot(avatar, listener, robot_map="toy")
    until(lambda: len(robot.heard) > 10, 10, "joint states")
    assert robot.now() == pytest.approx(REST, abs=1e-3)
    robot.speak(1.5)
    assert robot.now()[0] == pytest.approx(0.02 + 0.55 * 0.6, abs=0.02)
    assert robot.now()[3] == pytest.approx(0.2, abs=0.02)
    until(lambda: np.allclose(robot.now(), REST, atol=1e-3), 10, "the robot at rest")
    names = {tuple(m.name) for _, m in robot.heard}
    assert names == {TOY.names}
    x = np.array([m.position for _, m in robot.heard])
    for i, joint in enumerate(TOY.joints):
        assert joint.range[0] <= x[:, i].min() and x[:, i].max() <= joint.range[1]
        assert np.abs(np.diff(x[:, i])).max() <= joint.velocity / 50 * 1.0001
        assert np.abs(np.diff(x[:, i], 3)).max() <= joint.jerk / 50**3 * 1.0001
    stamps = np.array([to_ns(m.header.stamp) for _, m in robot.heard]) / NS
    assert (len(stamps) - 1) / (stamps[-1] - stamps[0]) == pytest.approx(50.0, rel=0.1)


def test_a_soft_stop_by_service_and_by_parameter(avatar, listener):
    robot = Robot(avatar, listener, robot_map="toy")
    robot.speak(1.0)
    assert listener.call(SetBool, "soft_stop", SetBool.Request(data=True)).success
    robot.speak(1.5, utterance="v")
    assert robot.now() == pytest.approx(REST, abs=2e-3)
    assert robot.node.value("soft_stop") is True and robot.node.report()["motion"] == "soft stop"
    assert robot.set("soft_stop", False).successful
    robot.speak(1.0, utterance="w")
    assert robot.now()[0] > 0.3


def test_joints_are_tuned_live_within_the_limits_of_the_map(avatar, listener):
    robot = Robot(avatar, listener, robot_map="toy")
    names = [f"jaw.{key}" for key in ("gain", "offset", "min", "max")]
    described = listener.call(DescribeParameters, "animatronics/describe_parameters",
                              DescribeParameters.Request(names=names)).descriptors  # fmt: skip
    assert all("jaw" in d.description and len(d.floating_point_range) == 1 for d in described)
    assert described[3].floating_point_range[0].to_value == pytest.approx(0.45)
    assert robot.set("jaw.gain", 0.5).successful and robot.set("jaw.offset", 0.1).successful
    robot.speak(1.2)
    assert robot.now()[0] == pytest.approx(0.12 + 0.5 * 0.55 * 0.6, abs=0.02)
    assert robot.set("jaw.max", 0.15).successful
    robot.speak(1.0, utterance="v")
    assert robot.now()[0] == pytest.approx(0.15, abs=2e-3)
    assert int(robot.node.clipped["jaw"]) > 10
    for name, value in (("jaw.max", 0.6), ("jaw.min", 0.2), ("jaw.gain", 50.0), ("jaw.gain", float("nan"))):
        result = robot.set(name, value)
        assert not result.successful and result.reason
    assert robot.node.player.mixer.high[0] == pytest.approx(0.15)


def test_bad_messages_are_counted_and_the_robot_goes_on(avatar, listener):
    robot = Robot(avatar, listener, robot_map="toy")
    now = time.time_ns()
    bad = [
        face(0, now, weights=array("f", [float("nan")] * 52)), face(0, now, weights=array("f", [1.0])),
        face(0, now, names=["x"] * 52), face(0, now, names=[], weights=array("f")), face(0, now - 60 * NS),
        face(0, now + 3600 * NS), face(0, 0), face(0, now, weights=array("f", [float("inf")] * 52)),
    ]  # fmt: skip
    for message in bad:
        robot.faces.publish(message)
    broken = pose(0, now)
    broken.pose.orientation.w = float("nan")
    robot.poses.publish(broken)
    robot.poses.publish(PoseStamped())
    until(lambda: robot.node.troubles()["refused on expression"] == len(bad), 10, "the refusals")
    until(lambda: robot.node.troubles()["refused on head_pose"] == 2, 10, "the refusals of poses")
    assert robot.now() == pytest.approx(REST, abs=1e-3)
    robot.speak(1.0, utterance="v")
    assert robot.now()[0] > 0.3


def test_chunks_for_ros2_control_splice_and_end_in_a_stop(avatar, listener):
    messages = pytest.importorskip("trajectory_msgs.msg", reason="pip install ros-trajectory-msgs")
    robot = Robot(avatar, listener, messages.JointTrajectory, "joint_trajectory", robot_map="toy",
                  output="joint_trajectory")  # fmt: skip
    robot.speak(1.5)
    chunks = [m for _, m in robot.heard]
    assert len(chunks) > 20
    assert all(tuple(m.joint_names) == TOY.names for m in chunks)
    for m in chunks:
        times = [p.time_from_start.sec + p.time_from_start.nanosec / NS for p in m.points]
        assert times[0] == 0.0 and np.allclose(np.diff(times), 0.02)
        assert np.abs(m.points[-1].velocities).max() < 1e-6
        x = np.array([p.positions for p in m.points])
        for i, joint in enumerate(TOY.joints):
            assert joint.range[0] <= x[:, i].min() and x[:, i].max() <= joint.range[1]
            assert np.abs(np.diff(x[:, i])).max() <= joint.velocity / 50 * 1.0001
    spliced = [
        np.allclose(a.points[2].positions, b.points[0].positions) for a, b in zip(chunks, chunks[1:], strict=False)
    ]
    assert np.mean(spliced) == 1.0
    assert max(m.points[0].positions[0] for m in chunks) > 0.3


def test_the_map_may_change_live_and_bad_ones_fail_with_one_line(avatar, listener, tmp_path):
    robot = Robot(avatar, listener, robot_map="toy")
    node = robot.node
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert not node.has_parameter("jaw.gain")
    node.set_parameters([Parameter("robot_map", value="full_head")])
    node.trigger_configure()
    node.trigger_activate()
    until(lambda: len(robot.heard[-1][1].name) == 25, 10, "the other robot")
    assert node.has_parameter("lid_left_upper.gain")
    bad = tmp_path / "bad.yaml"
    bad.write_text((ROOT / "bodies/animatronics/maps/toy.yaml").read_text().replace("jawOpen", "jawOpn"))
    graph = avatar("animatronics", namespace="other", robot_map=str(bad))
    assert "bad.yaml:14: joints.jaw.terms.jawOpn" in graph.failures["animatronics"]


def test_the_timer_is_even(domain, programs, listener):
    """As a program of its own; the bound is loose, since tests share the machine (see docs/animatronics.md)."""
    heard = listener.listen(JointState, "joint_states", qos.FRAMES)
    programs.start("animatronics", robot_map="full_head")
    until(lambda: len(heard) > 250, 30, "250 joint states")
    assert programs.end() == {"animatronics": 0}
    stamps = np.array([to_ns(m.header.stamp) for _, m in heard[50:]]) / 1e6
    assert np.median(np.abs(np.diff(stamps) - 20.0)) < 5.0
    assert (len(stamps) - 1) / (stamps[-1] - stamps[0]) == pytest.approx(0.05, rel=0.05)
