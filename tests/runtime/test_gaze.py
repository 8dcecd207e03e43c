"""Eyes on a point: geometry, limits, smoothness, and the way back."""

from __future__ import annotations

import numpy as np
import pytest

from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import InputError, ModelError
from media2face.runtime.eyes import TURN_RAD
from media2face.runtime.gaze import EYES, SPEED, Gaze, IdleFace, eye_turns, optical_rotation, turns_of, with_eye_turns
from media2face.runtime.rotation import matrices_from_quaternions

UPRIGHT, STILL = np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(3)
LOOKS = [i for n, i in ARKIT_INDEX.items() if n.startswith("eyeLook")]


def ray(turn: np.ndarray) -> np.ndarray:
    """Where an eye points: R = Rz(yaw) Ry(pitch) applied to x."""
    yaw, pitch = turn
    return np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])


def test_eyes_are_where_the_drawn_head_has_them():
    from media2face.runtime.rig_asset import RigAsset

    try:
        rig = RigAsset.load()
    except ModelError as error:
        pytest.skip(str(error))
    assert np.allclose(rig.eye_centres - rig.neck_pivot, list(EYES.values()), atol=0.001)


@pytest.mark.parametrize(
    "point", [(1.0, 0.0, 0.086), (0.6, 0.2, 0.0), (0.4, -0.1, 0.2), (3.0, 1.0, 0.5), (0.3, 0.0, 0.05)]
)
def test_both_eyes_meet_in_the_point(point):
    for eye, turn in zip(EYES.values(), eye_turns(np.array(point)), strict=True):
        way = np.array(point) - eye
        assert np.allclose(np.cross(ray(turn), way / np.linalg.norm(way)), 0.0, atol=1e-9)


def test_near_points_make_the_eyes_converge_and_far_ones_do_not():
    near, far = eye_turns(np.array([0.35, 0.0, 0.086])), eye_turns(np.array([1000.0, 0.0, 0.086]))
    assert near[0, 0] < -0.1 and near[1, 0] == pytest.approx(-near[0, 0])
    assert np.abs(far).max() < 1e-3


@pytest.mark.parametrize(
    "point", [(-1.0, 0.1, 0.0), (0.1, 5.0, 0.0), (0.1, -5.0, 0.0), (0.1, 0.0, 9.0), (0.1, 0.0, -9.0)]
)
def test_eyes_turn_no_farther_than_they_can(point):
    (ly, lp), (ry, rp) = eye_turns(np.array(point))
    assert -TURN_RAD["In"] <= ly <= TURN_RAD["Out"] and -TURN_RAD["Out"] <= ry <= TURN_RAD["In"]
    assert all(-TURN_RAD["Up"] <= p <= TURN_RAD["Down"] for p in (lp, rp))
    weights = with_eye_turns(np.zeros(52), eye_turns(np.array(point)))
    assert weights.min() >= 0.0 and weights.max() <= 1.0


def test_weights_and_turns_are_each_others_inverse_and_other_shapes_stay():
    rng = np.random.default_rng(0)
    for _ in range(100):
        weights = rng.uniform(0, 1, 52).astype(np.float32)
        turns = rng.uniform([-0.5, -0.4], [0.5, 0.6], (2, 2))
        out = with_eye_turns(weights, turns)
        assert np.allclose(turns_of(out), turns, atol=1e-6)
        others = [i for i in range(52) if i not in LOOKS]
        assert np.array_equal(out[others], weights[others])


def frames(gaze: Gaze, count: int, start: float, weights: np.ndarray, rotation=UPRIGHT, shift=STILL) -> np.ndarray:
    """Eye turns (count, 2, 2) of frames at 30 fps."""
    return np.array([turns_of(gaze.apply(weights, rotation, shift, start + k / 30)) for k in range(count)])


def test_without_a_point_frames_are_left_alone():
    weights = np.random.default_rng(1).uniform(0, 1, 52).astype(np.float32)
    assert Gaze().apply(weights, UPRIGHT, STILL, 0.0) is weights


def test_the_eyes_reach_the_point_smoothly_hold_it_and_come_back():
    weights = with_eye_turns(np.zeros(52), np.full((2, 2), 0.1))
    gaze, point = Gaze(fresh_s=1.0), np.array([1.0, 0.4, 0.2])
    before = frames(gaze, 5, 0.0, weights)
    gaze.look_at(point, 5 / 30)
    looking = frames(gaze, 30, 5 / 30, weights)
    after = frames(gaze, 40, 36 / 30, weights)
    assert np.allclose(before, 0.1, atol=1e-6)
    assert np.allclose(looking[8:], eye_turns(point), atol=1e-6), "there within a quarter of a second"
    assert np.allclose(after[-10:], 0.1, atol=1e-6), "back within a second"
    path = np.concatenate([before, looking, after])
    assert np.abs(np.diff(path, axis=0)).max() < SPEED / 30 + 1e-6
    assert gaze.apply(weights, UPRIGHT, STILL, 9.0) is weights and not gaze.active(9.0)


def test_a_moving_point_is_followed_and_kept_fresh():
    gaze, weights = Gaze(fresh_s=0.2), np.zeros(52, np.float32)
    for k in range(60):
        point = np.array([1.0, 0.3 * np.sin(k / 10), 0.086])
        gaze.look_at(point, k / 30)
        turns = turns_of(gaze.apply(weights, UPRIGHT, STILL, k / 30))
        if k > 10:
            assert np.allclose(turns, eye_turns(point), atol=1e-6)


def test_the_eyes_make_up_for_the_heads_motion_unless_the_point_moves_with_it():
    angle = 0.3
    turned = np.array([0.0, 0.0, np.sin(angle / 2), np.cos(angle / 2)])
    shift, point = np.array([0.0, 0.02, 0.01]), np.array([1.5, 0.2, 0.1])
    world, head = Gaze(), Gaze()
    world.look_at(point, 0.0)
    head.look_at(point, 0.0, on_head=True)
    found = frames(world, 25, 0.0, np.zeros(52), turned, shift)[-1]
    in_head = matrices_from_quaternions(turned[None])[0].T @ (point - shift)
    assert np.allclose(found, eye_turns(in_head), atol=1e-6)
    assert np.allclose(frames(head, 25, 0.0, np.zeros(52), turned, shift)[-1], eye_turns(point), atol=1e-6)


@pytest.mark.parametrize("point", [(np.nan, 0, 0), (np.inf, 0, 0), (0.1, 0.03, 0.09), (1.0, 0.0)])
def test_points_that_are_none_are_refused(point):
    gaze = Gaze()
    with pytest.raises(InputError):
        gaze.look_at(np.array(point), 0.0)
    assert not gaze.active(0.0)


def test_time_that_jumps_does_no_harm():
    gaze, weights = Gaze(), np.zeros(52, np.float32)
    gaze.look_at(np.array([1.0, 0.5, 0.0]), 0.0)
    for time in (0.0, 5.0, 0.1, -3.0, 0.2, 1e9, 0.3):
        out = gaze.apply(weights, UPRIGHT, STILL, time)
        assert np.isfinite(out).all() and 0.0 <= out.min() and out.max() <= 1.0


def test_a_silent_face_gives_frames_at_their_moments():
    face = IdleFace("idle-1", 10**9)
    assert face.due(10**9 - 1) is None
    first = face.due(10**9)
    assert (first.utterance, first.frame, first.revision, first.present) == ("idle-1", 0, 0, 10**9)
    assert first.value[1].shape == (len(ARKIT_NAMES),) and first.value[0] is None
    late = face.due(10**9 + 10 * 10**9 // 30 + 5)
    assert late.frame == 10 and face.next_time() == 10**9 + 11 * 10**9 // 30


@pytest.mark.parametrize("yaw, pitch", [(0.0, 0.0), (0.5, 0.3), (-0.6, -0.4), (0.64, 0.61)])
def test_the_optical_frame_has_z_ahead_x_right_y_down(yaw, pitch):
    forward = ray((yaw, pitch))
    m = matrices_from_quaternions(optical_rotation(forward)[None])[0]
    assert np.allclose(m[:, 2], forward) and np.allclose(m.T @ m, np.eye(3)) and np.linalg.det(m) == pytest.approx(1.0)
    assert m[2, 0] == pytest.approx(0.0, abs=1e-9) and m[1, 0] < 0 and m[2, 1] < 0
