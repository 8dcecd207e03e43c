"""Robot maps: the examples are sound, and every mistake is told with line and key."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from media2face.bodies.animatronics.kinematics import link_poses, mesh, models
from media2face.bodies.animatronics.map_file import MAX_BYTES, examples, find_map, load_map, parse_map
from media2face.bodies.animatronics.mixing import Mixer, pose_terms
from media2face.bodies.animatronics.robot_map import Joint, RobotMap
from media2face.bodies.animatronics.urdf import urdf
from media2face.bodies.animatronics.view import HeadView
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import ConfigError, InputError
from media2face.runtime.rotation import quaternions_from_rotvecs

GOOD = """robot: probe
joints:
  jaw:
    channel: 0
    terms: {jawOpen: 0.5, head_pitch: 0.1}
    range: [0.0, 0.5]
    rest: 0.1
    velocity: 6
    acceleration: 1.2e2
    jerk: 6e3
  lid:
    channel: 1
    terms: {eyeBlinkLeft: 1.0}
    range: [-0.1, 1.0]
    rest: 0
    velocity: 6
    acceleration: 120
    jerk: 6000
"""


def test_the_examples_are_of_two_kinds():
    full, toy = load_map("full_head"), load_map("toy")
    assert set(examples()) == {"full_head", "toy"}
    assert len(full.joints) == 25 and len(toy.joints) == 6
    moved = {term for joint in full.joints for term in joint.terms}
    assert {"jawOpen", "eyeBlinkLeft", "mouthSmileRight", "browInnerUp", "head_yaw"} <= moved
    assert any(joint.direction == -1 for joint in toy.joints)
    assert full.rate == toy.rate == 50.0


def test_a_good_map_is_read_as_written():
    robot = parse_map(GOOD)
    jaw = robot.joints[0]
    assert robot.names == ("jaw", "lid") and robot.rate == 50.0
    assert (jaw.channel, jaw.range, jaw.rest, jaw.acceleration, jaw.jerk) == (0, (0.0, 0.5), 0.1, 120.0, 6000.0)
    assert jaw.terms == {"jawOpen": 0.5, "head_pitch": 0.1} and jaw.direction == 1


MISTAKES = [
    ("jawOpen: 0.5", "jawOpn: 0.5", 5, "joints.jaw.terms.jawOpn", "did you mean jawOpen?"),
    ("jawOpen: 0.5", "jaw_open: 0.5", 5, "joints.jaw.terms.jaw_open", "did you mean"),
    ("jawOpen: 0.5", "jawOpen: lots", 5, "joints.jaw.terms.jawOpen", "expected a number"),
    ("jawOpen: 0.5", "jawOpen: .nan", 5, "joints.jaw.terms.jawOpen", "expected a number"),
    ("terms: {jawOpen: 0.5, head_pitch: 0.1}", "terms: {}", 5, "joints.jaw.terms", "at least one"),
    ("range: [0.0, 0.5]", "range: [0.5, 0.0]", 6, "joints.jaw.range", "inverted"),
    ("range: [0.0, 0.5]", "range: [0.0, .inf]", 6, "joints.jaw.range", "expected a number"),
    ("range: [0.0, 0.5]", "range: 0.5", 6, "joints.jaw.range", "[lowest, highest]"),
    ("rest: 0.1", "rest: 0.7", 7, "joints.jaw.rest", "within the range"),
    ("rest: 0.1", "rest: true", 7, "joints.jaw.rest", "expected a number"),
    ("rest: 0.1", "rest: 2026-11-21", 7, "joints.jaw.rest", "expected a number"),
    ("    velocity: 6\n    acceleration: 1.2e2", "    acceleration: 1.2e2", 4, "joints.jaw", "missing: velocity"),
    ("    jerk: 6e3\n", "", 4, "joints.jaw", "missing: jerk"),
    ("jerk: 6e3", "jerk: -1", 10, "joints.jaw.jerk", "expected a number from"),
    ("jerk: 6e3", "jerk: 0", 10, "joints.jaw.jerk", "expected a number from"),
    ("velocity: 6\n    acceleration: 1.2e2", "velocity: 6\n    acceleratoin: 9", 9,
     "joints.jaw.acceleratoin", "acceleration?"),
    ("channel: 1", "channel: 0", 12, "joints.lid.channel", "taken by the joint jaw"),
    ("channel: 1", "channel: 1.5", 12, "joints.lid.channel", "whole number"),
    ("channel: 1", "channel: -1", 12, "joints.lid.channel", "whole number"),
    ("  lid:", "  jaw:", 11, "joints.jaw", "given twice, first in line 3"),
    ("rest: 0.1", "rest: 0.1\n    rest: 0.2", 8, "joints.jaw.rest", "given twice"),
    ("rest: 0.1", "rest: 0.1\n    direction: 2", 8, "joints.jaw.direction", "1 or -1"),
    ("rest: 0.1", "rest: 0.1\n    latency_ms: 9999", 8, "joints.jaw.latency_ms", "from 0 to 500"),
    ("robot: probe", "robot: probe\nrate: 5", 2, "rate", "from 10 to 500"),
    ("robot: probe", "robot: 'a b'", 1, "robot", "letters"),
    ("robot: probe\n", "", 1, "", "missing: robot"),
    ("  lid:", "  'lid 2':", 11, "joints.lid 2.name", "letters"),
    ("rest: 0.1", "rest: 0.1\n    model: {axis: [0, 0, 0]}", 8, "joints.jaw.model", "direction"),
    ("rest: 0.1", "rest: 0.1\n    model: {axis: [0, 1, 0], parent: nose}", 8, "joints.jaw.model.parent", "no joint"),
    ("rest: 0.1", "rest: 0.1\n    model: {axis: [0, 1, 0], parent: jaw}", 8, "joints.jaw.model.parent", "ancestor"),
    ("rest: 0.1", "rest: !!python/object/apply:os.getcwd []", 7, "joints.jaw.rest", "expected a number"),
    ("rest: 0.1", "rest: [1, [2, [3]]]", 7, "joints.jaw.rest", "expected a number"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("good", "bad", "line", "key", "text"), MISTAKES, ids=[m[1].replace("\n", " ") for m in MISTAKES]
)
def test_mistakes_name_line_and_key(good, bad, line, key, text):
    assert good in GOOD
    with pytest.raises(ConfigError) as caught:
        parse_map(GOOD.replace(good, bad, 1), "my.yaml")
    assert any(e.startswith(f"my.yaml:{line}: {key}") and text in e for e in caught.value.errors), caught.value.errors


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_map(GOOD.replace("jawOpen", "jawOpn").replace("rest: 0\n", "rest: 5\n"))
    assert len(caught.value.errors) == 2


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "[]", "- a\n- b", "robot: x\njoints: {}\n", "robot: x\njoints: []\n", "a: [", "\t: x",
     "joints:\n", "robot: probe\njoints: &a {jaw: *a}\n", "a: " + "[" * 5000, "? [a, b]\n: c\n",
     "robot: x\njoints: {jaw: 3}\n", "\x00"],
)  # fmt: skip
def test_what_is_no_map_is_refused_with_a_line(text):
    with pytest.raises(ConfigError, match=r"map:\d+: ") as caught:
        parse_map(text)
    assert len(str(caught.value)) < 2000


def test_files_that_are_no_maps(tmp_path):
    with pytest.raises(ConfigError, match="full_head, toy"):
        find_map(tmp_path / "none.yaml")
    big = tmp_path / "big.yaml"
    big.write_text("#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="at most 256 KB"):
        load_map(big)
    big.write_bytes(b"robot: \xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_map(big)


def test_a_map_made_in_python_is_checked_too():
    jaw = dict(name="jaw", terms={"jawOpen": 1.0}, range=(0, 1), rest=0, velocity=1, acceleration=1, jerk=1)
    with pytest.raises(ConfigError, match="channel 3 is taken by the joint jaw"):
        RobotMap("r", (Joint(channel=3, **jaw), Joint(channel=3, **jaw | {"name": "b"})))
    with pytest.raises(ConfigError, match="1 to 128 joints"):
        RobotMap("r", ())


def test_mixing_is_the_sum_of_the_map():
    robot = parse_map(GOOD.replace("rest: 0.1", "rest: 0.1\n    direction: -1"))
    mixer = Mixer(robot)
    weights = np.zeros(52)
    weights[ARKIT_INDEX["jawOpen"]], weights[ARKIT_INDEX["eyeBlinkLeft"]] = 0.4, 1.0
    pitch = quaternions_from_rotvecs(np.array([[0.0, 0.2, 0.0]]))[0]
    away = mixer.face(weights) + mixer.pose(pose_terms(pitch, np.zeros(3)))
    assert mixer.position(away) == pytest.approx([0.1 - (0.5 * 0.4 + 0.1 * 0.2), 1.0], abs=1e-6)
    mixer.tune("jaw", "gain", 0.5)
    mixer.tune("jaw", "offset", 0.05)
    away = mixer.face(weights) + mixer.pose(pose_terms(pitch, np.zeros(3)))
    assert mixer.position(away)[0] == pytest.approx(0.15 - 0.5 * (0.5 * 0.4 + 0.1 * 0.2), abs=1e-6)
    for key, value in (("min", -0.1), ("max", 0.6), ("gain", 9.0), ("gain", math.nan), ("what", 0.0)):
        with pytest.raises(ConfigError, match="jaw"):
            mixer.tune("jaw", key, value)


@pytest.mark.parametrize("axis", range(3))
def test_pose_terms_are_roll_pitch_yaw(axis):
    rotvec = np.zeros((1, 3))
    rotvec[0, axis] = 0.3
    terms = pose_terms(quaternions_from_rotvecs(rotvec)[0], np.array([0.01, 0.02, 0.03]))
    assert terms == pytest.approx([*rotvec[0], 0.01, 0.02, 0.03], abs=1e-6)


@pytest.mark.parametrize("name", ["toy", "full_head"])
def test_the_urdf_says_what_the_map_says(name):
    robot = load_map(name)
    root = ET.fromstring(urdf(robot).split("?>", 1)[1])
    joints = {j.get("name"): j for j in root.findall("joint")}
    assert tuple(joints) == robot.names
    links = {link.get("name") for link in root.findall("link")}
    materials = {m.get("name") for m in root.findall("material")}
    assert {m.get("name") for m in root.iter("material")} <= materials
    children = [j.find("child").get("link") for j in joints.values()]
    assert set(children) | {"base_link"} == links and len(set(children)) == len(children)
    for joint in robot.joints:
        limit = joints[joint.name].find("limit")
        assert (float(limit.get("lower")), float(limit.get("upper"))) == pytest.approx(joint.range)
        assert float(limit.get("velocity")) == pytest.approx(joint.velocity)
        assert joints[joint.name].find("parent").get("link") in links


def test_links_hang_together_and_move():
    robot = load_map("full_head")
    rest = {joint.name: joint.rest for joint in robot.joints}
    before = link_poses(robot, rest)
    after = link_poses(robot, rest | {"neck_yaw": 0.5})
    for name in robot.names:
        assert np.allclose(after[name][0] @ after[name][0].T, np.eye(3))
    # the head turns to its left: what is in front moves to +y
    eye = after["eye_left_pan"][1] - before["eye_left_pan"][1]
    assert eye[1] > 0.01
    opened = link_poses(robot, rest | {"jaw_open": 0.4})
    assert opened["lip_left_lower"][1][2] < before["lip_left_lower"][1][2] - 0.01
    body = mesh(robot)
    vertices, normals = body.at(before)
    assert np.isfinite(vertices).all() and np.allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-5)
    assert sum(part.stop - part.start for _, part in body.links) == len(vertices)


def test_the_simulated_head_moves_in_the_picture():
    robot = load_map("full_head")
    view = HeadView(robot, 96)
    rest = np.array([joint.rest for joint in robot.joints])
    still, again = view.render(rest), view.render(rest)
    assert still.shape == (96, 96, 3) and np.array_equal(still, again)
    assert (np.abs(still.astype(int) - still[0, 0]).sum(axis=-1) > 40).mean() > 0.1
    for name in ("jaw_open", "neck_yaw", "lid_left_upper", "brow_left_inner", "lip_left_upper", "corner_left_up"):
        moved = rest.copy()
        i = robot.names.index(name)
        moved[i] = robot.joints[i].range[1]
        assert (np.abs(view.render(moved).astype(int) - still).sum(axis=-1) > 30).sum() >= 3, name
    with pytest.raises(InputError, match="25 finite"):
        view.render(np.full(25, np.nan))


def test_a_robot_without_a_model_is_a_row_of_levers():
    robot = parse_map(GOOD)
    assert all(model.shapes for model in models(robot).values())
    assert ET.fromstring(urdf(robot).split("?>", 1)[1]).findall("joint")
    assert HeadView(robot, 64).render(np.array([0.1, 0.0])).std() > 1


def test_every_shape_can_be_a_term():
    terms = ", ".join(f"{name}: 0.1" for name in (*ARKIT_NAMES, "head_x", "head_roll"))
    assert len(parse_map(GOOD.replace("jawOpen: 0.5, head_pitch: 0.1", terms)).joints[0].terms) == 54
