"""The linear rig: ARKit order, axes, lips, tongue and eyes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media2face.data.rig import NECK_PIVOT, NECK_PIVOT_ICT, PARTS, ICTRig, eye_centre, from_ros, to_ros
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import InputError


@pytest.fixture(scope="module")
def rig(shared_data: Path) -> ICTRig:
    return ICTRig.load(shared_data)


def face(**weights: float) -> np.ndarray:
    out = np.zeros((1, len(ARKIT_NAMES)), np.float32)
    for name, value in weights.items():
        out[0, ARKIT_INDEX[name]] = value
    return out


def test_axes_map_ict_left_to_ros_left_and_back():
    assert np.allclose(to_ros(np.float32([1.0, 2.0, 3.0])), [0.03, 0.01, 0.02])
    points = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert np.allclose(from_ros(to_ros(points)), points, atol=1e-5)
    assert np.allclose(to_ros(NECK_PIVOT_ICT), NECK_PIVOT)


def test_missing_folder_says_where_the_model_comes_from(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="ICT-FaceKit"):
        ICTRig.load(tmp_path)


def test_left_shapes_move_the_left(rig: ICTRig):
    for name in ("eyeBlinkLeft", "mouthSmileLeft", "browDownLeft", "noseSneerLeft"):
        moved = np.abs(rig.deltas[ARKIT_INDEX[name], slice(*PARTS["face"])]).sum(axis=1)
        assert (moved * rig.neutral[slice(*PARTS["face"]), 0]).sum() > 0, name


def test_brow_and_cheek_drive_both_halves(rig: ICTRig):
    for name in ("browInnerUp", "cheekPuff"):
        delta = rig.deltas[ARKIT_INDEX[name]]
        left, right = rig.neutral[:, 0] > 1, rig.neutral[:, 0] < -1
        assert np.abs(delta[left]).max() == pytest.approx(np.abs(delta[right]).max(), rel=0.1)


def test_gap_opens_with_the_jaw_and_closes_with_mouth_close(rig: ICTRig):
    rest, wide = rig.gap_mm(face())[0], rig.gap_mm(face(jawOpen=1.0))[0]
    assert 0.5 < rest < 1.2
    assert 25 < wide < 35
    assert rig.gap_mm(face(jawOpen=0.5, mouthClose=0.35))[0] < 0.3 * rig.gap_mm(face(jawOpen=0.5))[0]


def test_tongue_out_passes_the_lips_and_moves_nothing_else(rig: ICTRig):
    delta = rig.deltas[ARKIT_INDEX["tongueOut"]]
    moved = np.abs(delta).max(axis=1) > 0
    first, last = PARTS["gums_tongue"]
    assert moved[first:last].sum() == moved.sum() > 200
    tip = rig.vertices(face(tongueOut=1.0, jawOpen=0.4), subset=np.flatnonzero(moved))[0, :, 2].max()
    assert tip > rig.neutral[rig.landmarks[[51, 57]], 2].max()


def test_eyes_turn_rigidly_towards_the_gaze(rig: ICTRig):
    ball = np.arange(*PARTS["eye_left"])
    rest = rig.neutral[ball]
    front = rest[:, 2].argmax()
    looking = rig.vertices(face(eyeLookOutLeft=1.0), subset=ball)[0]
    assert looking[front, 0] - rest[front, 0] > 0.5
    assert rig.vertices(face(eyeLookUpLeft=1.0), subset=ball)[0, front, 1] - rest[front, 1] > 0.4
    centre = eye_centre(rest)
    radius = np.linalg.norm(rest - centre, axis=1)
    assert np.allclose(np.linalg.norm(looking - centre, axis=1), radius, atol=1e-3)


def test_subset_and_identity_agree_with_the_whole(rig: ICTRig):
    rng = np.random.default_rng(1)
    weights, identity = rng.random((2, 52)).astype(np.float32), rng.normal(size=100)
    whole = rig.vertices(weights, identity)
    assert np.allclose(rig.vertices(weights, identity, rig.landmarks), whole[:, rig.landmarks], atol=1e-4)
    by_hand = rig.neutral[0] + identity @ rig.identity[:, 0].astype(float) + weights[0] @ rig.deltas[:, 0]
    assert np.allclose(whole[0, 0], by_hand, atol=1e-3)


def test_wrong_shapes_are_refused(rig: ICTRig):
    with pytest.raises(InputError, match="52"):
        rig.vertices(np.zeros((3, 51)))
    with pytest.raises(InputError, match="100"):
        rig.rest(np.zeros(3))


@pytest.fixture(scope="module")
def arrays(shared_data: Path) -> dict[str, np.ndarray]:
    with np.load(shared_data / "ict_face.npz", allow_pickle=False) as file:
        data = {k: file[k] for k in file.files}
    data["identity"] = data["identity"][:2]
    return data


def written(folder: Path, shared_data: Path, data: dict[str, np.ndarray]) -> Path:
    np.savez(folder / "mine.npz", **data)
    (folder / "ict_vertex_indices.json").write_bytes((shared_data / "ict_vertex_indices.json").read_bytes())
    return folder / "mine.npz"


def test_a_rig_of_ones_own_is_read(arrays: dict, shared_data: Path, tmp_path: Path):
    halves = [i for i, n in enumerate(arrays["expression_names"]) if str(n).startswith("cheekPuff")]
    keep = [i for i in range(len(arrays["expression_names"])) if i not in halves]
    names = [str(arrays["expression_names"][i]).replace("mouthSmile_L", "mouthSmileLeft") for i in keep]
    own = arrays | {
        "expression": np.concatenate([2 * arrays["expression"][keep], arrays["expression"][halves].sum(0)[None]]),
        "expression_names": np.array([*names, "cheekPuff"]),
    }
    rig = ICTRig.load(written(tmp_path, shared_data, own))
    usual = ICTRig.load(shared_data)
    assert len(rig.identity) == 2
    for name, factor in (("mouthSmileLeft", 2), ("jawOpen", 2), ("cheekPuff", 1)):
        mine, theirs = rig.deltas[ARKIT_INDEX[name]], usual.deltas[ARKIT_INDEX[name]]
        assert np.allclose(mine, factor * theirs, atol=5e-3), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("uv"), "lacks the arrays"),
        (lambda d: d.update(neutral=d["neutral"][:-5]), "another topology"),
        (lambda d: d.update(identity=d["identity"][:, :-1]), "another topology"),
        (lambda d: d.update(neutral=np.full_like(d["neutral"], np.nan)), "NaN"),
        (lambda d: d["faces"].__setitem__((0, 0), 99999), "outside"),
        (lambda d: d.update({k: d[k][3:] for k in ("expression", "expression_names")}), "lacks the shapes"),
        (lambda d: d["expression_names"].__setitem__(0, "browUpp_L"), "unknown shapes"),
        (lambda d: d.update(expression_names=d["expression_names"][1:]), "names"),
    ],
)
def test_a_rig_that_does_not_fit_is_refused(arrays: dict, shared_data: Path, tmp_path: Path, change, message: str):
    data = {k: v.copy() for k, v in arrays.items()}
    change(data)
    with pytest.raises(InputError, match=message):
        ICTRig.load(written(tmp_path, shared_data, data))


def test_a_damaged_rig_is_refused(shared_data: Path, tmp_path: Path):
    path = written(tmp_path, shared_data, {"neutral": np.zeros(3)})
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match="not a readable rig"):
        ICTRig.load(path)
