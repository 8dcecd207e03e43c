"""Files for other programs, each read back by a reader that is not ours, or that only the test knows."""

import csv

import numpy as np
import pytest

from media2face.bodies import check_output, export, format_of
from media2face.bodies.export_livelink import timecode
from media2face.bodies.livelink_names import LIVELINK_CSV_NAMES, LIVELINK_NAMES, euler_angles, livelink_values
from media2face.data.curve_takes import livelink_weights
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import ConfigError, InputError
from media2face.runtime.identity import read_neutral
from media2face.runtime.rotation import matrices_from_quaternions, quaternions_from_rotvecs


@pytest.fixture
def turned(performance):
    """The performance, its head turned about all three axes at once."""
    t = np.arange(20) / 30
    rotvecs = np.stack([0.2 * np.sin(9 * t), 0.3 * np.cos(7 * t), 0.5 * np.sin(5 * t)], axis=1)
    performance.head_rotation = quaternions_from_rotvecs(rotvecs)
    performance.head_translation = (0.01 * rotvecs).astype(np.float32)
    return performance


def test_the_longer_suffix_counts(tmp_path):
    assert format_of("a.csv") == ".csv" and format_of("a.LiveLink.CSV") == ".livelink.csv"
    assert format_of("a.mesh.npz") == ".mesh.npz" and format_of("amesh.npz") == ".npz"
    assert format_of(".csv") == "" and format_of(".livelink.csv") == ".csv", "a name is more than its suffix"
    with pytest.raises(ConfigError, match=".livelink.csv"):
        check_output(tmp_path / "a.livelink")


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".livelink.csv", ".bvh"])
@pytest.mark.parametrize("field", ["weights", "head_rotation", "head_translation", "latents"])
def test_a_performance_with_nan_is_refused_and_harms_no_file(performance, tmp_path, suffix, field):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"an earlier result")
    getattr(performance, field)[13, 1] = np.nan
    with pytest.raises(InputError, match=f"{field}.*frame 13"):
        export(performance, path)
    assert path.read_bytes() == b"an earlier result" and len(list(tmp_path.iterdir())) == 1


def test_a_performance_of_unequal_lengths_or_none_is_refused(performance, tmp_path):
    performance.head_rotation = performance.head_rotation[:-1]
    with pytest.raises(InputError, match="20 frames"):
        export(performance, tmp_path / "a.bvh")
    performance.weights = performance.weights[:0]
    with pytest.raises(InputError, match="no frames"):
        export(performance, tmp_path / "a.bvh")


def read_take(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def test_livelink_take_has_the_channels_of_a_real_one(turned, tmp_path, shared_data):
    real = np.load(shared_data / "livelink_rom" / "rom_3.npz", allow_pickle=False)
    header, rows = read_take(export(turned, tmp_path / "a.livelink.csv"))
    assert header == ["Timecode", "BlendShapeCount", *map(str, real["names"])]
    assert {row[1] for row in rows} == {"61"} and len(rows) == 20
    assert [row[0] for row in rows][:2] == ["00:00:00:00.000", "00:00:00:01.000"]


def test_livelink_take_comes_back_through_the_reader_of_real_takes(turned, tmp_path):
    header, rows = read_take(export(turned, tmp_path / "a.livelink.csv"))
    values = np.array([[float(v) for v in row[2:]] for row in rows])
    again = livelink_weights(values, header[2:], np.arange(20) / 30)
    assert np.abs(again - turned.weights).max() < 1e-6


def test_livelink_angles_explain_the_eyes_of_real_takes(shared_data):
    """From the weights of a recording, our angles of the eyes are those that the phone recorded beside them."""
    for name in ("rom_3", "rom_4"):
        real = np.load(shared_data / "livelink_rom" / f"{name}.npz", allow_pickle=False)
        where = {str(n): i for i, n in enumerate(real["names"])}
        weights = real["weights"][:, [where[n[0].upper() + n[1:]] for n in ARKIT_NAMES]]
        ours = livelink_values(weights, np.tile([0, 0, 0, 1.0], (len(weights), 1)))
        for channel in ("LeftEyeYaw", "LeftEyePitch", "RightEyeYaw", "RightEyePitch"):
            theirs, mine = real["weights"][:, where[channel]], ours[:, LIVELINK_NAMES.index(channel)]
            slope, _ = np.polyfit(mine, theirs, 1)
            assert 0.9 < slope < 1.1 and np.corrcoef(theirs, mine)[0, 1] > 0.97, (name, channel, slope)


def test_livelink_head_angles_have_stated_signs(performance):
    for channel, rotvec in (("HeadYaw", [0, 0, -0.3]), ("HeadPitch", [0, 0.3, 0]), ("HeadRoll", [-0.3, 0, 0])):
        row = livelink_values(performance.weights[:1], quaternions_from_rotvecs(np.array([rotvec])))[0]
        angles = dict(zip(LIVELINK_NAMES[52:55], row[52:55], strict=True))
        assert angles.pop(channel) == pytest.approx(0.3, abs=1e-5) and not np.any(np.abs(list(angles.values())) > 1e-5)


def test_livelink_orders_hold_the_same_channels():
    assert sorted(LIVELINK_NAMES) == sorted(LIVELINK_CSV_NAMES) and len(set(LIVELINK_NAMES)) == 61
    assert LIVELINK_NAMES[:52] == tuple(n[0].upper() + n[1:] for n in ARKIT_NAMES)
    assert LIVELINK_CSV_NAMES.index("JawRight") + 1 == LIVELINK_CSV_NAMES.index("JawLeft")


def test_timecode():
    assert timecode(0, 30) == "00:00:00:00.000" and timecode(29, 30) == "00:00:00:29.000"
    assert timecode(30 * 3661 + 7, 30) == "01:01:01:07.000"


def test_livelink_refuses_bad_frames(performance):
    with pytest.raises(InputError, match="NaN"):
        livelink_values(np.full((1, 52), np.nan), [[0, 0, 0, 1]])
    with pytest.raises(InputError, match="all zero"):
        livelink_values(performance.weights[:1], [[0, 0, 0, 0]])
    with pytest.raises(InputError, match="expected weights"):
        livelink_values(performance.weights[:, :51], performance.head_rotation)


def about(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = {"X": (1, 2), "Y": (2, 0), "Z": (0, 1)}[axis]
    out = np.eye(3)
    out[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return out


def test_bvh_is_read_by_another_program_and_gives_the_same_head(turned, tmp_path):
    """PyPI's bvh reads it; forward kinematics by the book put a point of the head where the rig has it."""
    bvh = pytest.importorskip("bvh")
    path = export(turned, tmp_path / "a.bvh")
    take = bvh.Bvh(path.read_text())
    assert take.nframes == 20 and take.frame_time == pytest.approx(1 / 30, abs=1e-7)
    assert take.get_joints_names() == ["neck", "head"]
    assert take.joint_channels("head") == ["Zrotation", "Xrotation", "Yrotation"]
    from media2face.runtime.rig_asset import RigAsset

    pivot = RigAsset.load().neck_pivot
    rest_joint = np.array(take.joint_offset("neck")) + take.joint_offset("head")
    point = np.array([0.07, 0.03, 0.05])  # metres, REP-103
    rotation = matrices_from_quaternions(turned.head_rotation)
    for k in range(20):
        values = {(j, c): take.frame_joint_channel(k, j, c) for j in ("neck", "head") for c in take.joint_channels(j)}
        turn = {j: np.eye(3) for j in ("neck", "head")}
        for joint in turn:
            for channel in take.joint_channels(joint)[-3:]:
                turn[joint] = turn[joint] @ about(channel[0], values[joint, channel])
        root = np.array([values["neck", f"{a}position"] for a in "XYZ"])
        local = 100 * point[[1, 2, 0]] - rest_joint
        there = root + turn["neck"] @ (np.array(take.joint_offset("head")) + turn["head"] @ local)
        wanted = rotation[k] @ (point - pivot) + pivot + turned.head_translation[k]
        assert np.abs(there - 100 * wanted[[1, 2, 0]]).max() < 1e-3, "a hundredth of a millimetre"


def test_half_turns_of_the_neck_go_the_shorter_way(performance, tmp_path):
    """A quaternion and its negative are the same head: the file must not bend the neck the other way round."""
    one = export(performance, tmp_path / "a.bvh").read_text()
    performance.head_rotation = -performance.head_rotation
    assert export(performance, tmp_path / "b.bvh").read_text() == one


def test_mesh_archive_holds_every_vertex(performance, tmp_path, posed):
    other = posed.rig.neutral * np.float32([1.0, 1.1, 0.95])
    seen = []
    for neutral in (None, other):
        options = {"decoder": posed, "neutral": neutral, "progress": lambda *p: seen.append(p)}
        path = export(performance, tmp_path / "a.mesh.npz", **options)
        assert seen[-1] == (20, 20)
        with np.load(path, allow_pickle=False) as file:
            vertices = file["neutral"] + file["step"] * file["moved"]
            assert file["triangles"].shape == posed.rig.triangles.shape and file["fps"] == 30
            assert np.array_equal(file["head_rotation"], performance.head_rotation)
        wanted = posed.mesh(performance.weights, neutral)
        assert vertices.shape == wanted.shape and np.abs(vertices - wanted).max() < 6e-6


def test_npz_of_another_identity_holds_its_rest_mesh(performance, tmp_path, posed):
    other = posed.rig.neutral * np.float32([1.0, 1.1, 0.95])
    path = export(performance, tmp_path / "a.npz", neutral=other)
    assert np.abs(read_neutral(path, posed.rig) - other).max() < 1e-7, "and is an identity itself"
    assert "neutral" not in np.load(export(performance, tmp_path / "b.npz")).files


def test_euler_angles_rebuild_the_rotation(turned):
    for matrix, (yaw, pitch, roll) in zip(
        matrices_from_quaternions(turned.head_rotation), np.degrees(euler_angles(turned.head_rotation)), strict=True
    ):
        assert np.allclose(about("Z", yaw) @ about("Y", pitch) @ about("X", roll), matrix, atol=1e-9)


def test_eye_channels_follow_the_eyes(performance):
    row = np.zeros((1, 52), np.float32)
    row[0, ARKIT_INDEX["eyeLookInLeft"]] = 1.0
    values = livelink_values(row, [[0, 0, 0, 1]])[0]
    assert values[LIVELINK_NAMES.index("LeftEyeYaw")] > 0.4 and values[LIVELINK_NAMES.index("RightEyeYaw")] == 0
