"""``media2face robot``: what a user types on the way from an example to a calibrated robot."""

from __future__ import annotations

import builtins
import os
import threading
import time
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from media2face.bodies.animatronics.map_file import load_map
from media2face.bodies.export_npz import write
from media2face.cli.main import main
from media2face.runtime.offline import Performance


@pytest.fixture
def face(tmp_path):
    t = np.arange(15) / 30
    weights = np.zeros((15, 52), np.float32)
    weights[:, 17] = 0.5 - 0.5 * np.cos(2 * np.pi * 3 * t)
    write(Performance(weights, np.tile(np.float32([0, 0, 0, 1]), (15, 1)), np.zeros((15, 3), np.float32),
                      np.zeros((15, 4), np.float32), "test", 0), tmp_path / "face.npz")  # fmt: skip
    return tmp_path / "face.npz"


def test_from_the_example_to_the_dry_run(tmp_path, face, capsys):
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install matplotlib")
    mine = tmp_path / "mine.yaml"
    assert main(["robot", "example", "toy", "-o", str(mine)]) == 0
    assert main(["robot", "check", str(mine)]) == 0
    out = capsys.readouterr().out
    assert "6 joints at 50 Hz, no mistakes found" in out and "+0.55 jawOpen" in out
    outputs = [tmp_path / name for name in ("plots.png", "numbers.csv")]
    assert main(["robot", "dry-run", str(mine), str(face), "-o", str(outputs[0]), "-o", str(outputs[1])]) == 0
    out = capsys.readouterr().out
    assert "clipped %" in out and "neck_pitch" in out
    assert all(path.stat().st_size > 1000 for path in outputs)
    assert main(["robot", "urdf", str(mine), "-o", str(tmp_path / "mine.urdf")]) == 0
    assert len(ET.parse(tmp_path / "mine.urdf").findall("joint")) == 6


def test_mistakes_end_in_code_2_with_a_line_each(tmp_path, face, capsys):
    bad = tmp_path / "bad.yaml"
    bad.write_text("robot: x\njoints:\n  jaw:\n    channel: 0\n    terms: {jawOpn: 1}\n    range: [1, 0]\n")
    assert main(["robot", "check", str(bad)]) == 2
    assert capsys.readouterr().err == "bad.yaml:4: joints.jaw: missing: acceleration, jerk, rest, velocity\n"
    for arguments in (["check", "no_such_map"], ["dry-run", str(bad), str(face)], ["dry-run", "toy", str(bad)],
                      ["dry-run", "toy", str(face), "-o", "x.doc"],
                      ["example", "dragon", "-o", str(tmp_path / "d.yaml")],
                      ["example", "toy", "-o", str(bad)], ["calibrate", "toy", "-o", str(bad)]):  # fmt: skip
        assert main(["robot", *arguments]) == 2, arguments
        assert capsys.readouterr().err.count("\n") == 1
    assert bad.read_text().startswith("robot: x")


def test_calibration_moves_the_joint_over_joint_states(tmp_path, monkeypatch, capsys):
    rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install ros-rclpy[fastrtps]")
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import JointState

    domain = 10 + os.getpid() % 90
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context, heard = Context(), []
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("driver", namespace="avatar", context=context)
    node.create_subscription(JointState, "joint_states", heard.append, 50)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    ended = threading.Event()

    def spin() -> None:
        while not ended.is_set():
            executor.spin_once(timeout_sec=0.05)

    thread = threading.Thread(target=spin)
    thread.start()
    answers = iter(["0.2", "max", "quit"])
    arrived = []

    def answer(prompt: str) -> str:
        expected = 0.02 if not arrived else 0.2  # the driver hears of it a moment later
        end = time.monotonic() + 10
        while time.monotonic() < end and not (heard and abs(heard[-1].position[0] - expected) < 2e-3):
            time.sleep(0.02)
        arrived.append(heard[-1].position[0])
        return next(answers)

    monkeypatch.setattr(builtins, "input", answer)
    try:
        target = tmp_path / "tuned.yaml"
        assert main(["robot", "calibrate", "toy", "-o", str(target), "--joint", "jaw"]) == 0
    finally:
        ended.set()
        thread.join()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    assert arrived == pytest.approx([0.02, 0.2, 0.2], abs=2e-3)
    x = np.array([m.position[0] for m in heard])
    assert np.abs(np.diff(x)).max() <= 0.2 * 6.0 / 50 * 1.01  # a fifth of the joint's velocity
    assert load_map(target).joints[0].range == (0.0, 0.2)
