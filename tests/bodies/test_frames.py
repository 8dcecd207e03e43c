"""Frames wait for their moment; revisions replace; what cannot be right is refused."""

from __future__ import annotations

import numpy as np
import pytest

from media2face.bodies.frames import AHEAD, Stage, WeightReader
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import InputError
from media2face.runtime.presentation import NS, frame_offset

T0 = 1_700_000_000 * NS
UPRIGHT, STILL = np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(3)


def face(stage: Stage, k: int, value: float = 0.5, revision: int = 0, utterance: str = "u", now: int = T0) -> None:
    stage.face(utterance, k, revision, T0 + frame_offset(k), ["jawOpen"], np.array([value], np.float32), now)


def test_a_frame_is_given_out_at_its_moment_with_its_pose():
    stage = Stage()
    turned = np.array([0.0, 0.0, 0.6, 0.8])
    face(stage, 3, 0.25)
    stage.pose(T0 + frame_offset(3), turned, np.array([0.01, 0.0, 0.0]), T0)
    assert stage.next_time() == T0 + frame_offset(3) - AHEAD
    assert stage.due(T0 + frame_offset(3) - AHEAD - 1) == []
    (frame,) = stage.due(T0 + frame_offset(3) - AHEAD)
    assert (frame.utterance, frame.frame, frame.present) == ("u", 3, T0 + frame_offset(3))
    assert frame.weights[ARKIT_INDEX["jawOpen"]] == pytest.approx(0.25) and frame.weights.sum() == pytest.approx(0.25)
    assert np.allclose(frame.rotation, turned) and frame.translation[0] == 0.01
    assert stage.counts == {} and stage.next_time() is None


def test_frames_go_on_when_the_clock_is_set_back():
    stage, hour = Stage(), 3600 * NS
    face(stage, 0)
    assert len(stage.due(T0)) == 1
    stage.face("v", 0, 0, T0 - hour, ["jawOpen"], np.array([0.5], np.float32), T0 - hour)
    assert [f.utterance for f in stage.due(T0 - hour)] == ["v"]


def test_a_missing_pose_is_the_last_one_and_none_at_first_is_rest():
    stage = Stage()
    face(stage, 0)
    assert np.allclose(stage.due(T0)[0].rotation, UPRIGHT)
    stage.pose(T0 + frame_offset(1), np.array([0.6, 0.0, 0.0, 0.8]), STILL, T0)
    face(stage, 1)
    stage.due(T0 + frame_offset(1))
    face(stage, 2)
    assert np.allclose(stage.due(T0 + frame_offset(2))[0].rotation, [0.6, 0.0, 0.0, 0.8])


def test_a_higher_revision_replaces_what_waits_and_a_lower_one_is_refused():
    stage = Stage()
    for k in range(4):
        face(stage, k, 0.1)
    face(stage, 2, 0.9, revision=1)
    face(stage, 2, 0.3, revision=0)
    out = [f for k in range(6) for f in stage.due(T0 + frame_offset(k))]
    assert [(f.frame, round(float(f.weights[ARKIT_INDEX["jawOpen"]]), 3)) for f in out] == [
        (0, 0.1),
        (1, 0.1),
        (2, 0.9),
    ]
    assert stage.counts["frames of an old revision"] == 1


def test_of_late_frames_only_the_newest_goes_out_and_none_after_a_newer_one():
    stage = Stage()
    for k in range(5):
        face(stage, k)
    late = T0 + frame_offset(4) + NS // 50
    assert [f.frame for f in stage.due(late)] == [4]
    assert stage.counts["late frames left out"] == 4
    face(stage, 1, utterance="v", now=late)  # another utterance, but older than what is on stage
    assert stage.due(late) == []
    assert stage.counts["late frames left out"] == 5


@pytest.mark.parametrize("stamp", [0, T0 - 11 * NS, T0 + 6 * NS, T0 + 10_000 * NS])
def test_stamps_of_another_clock_are_refused(stamp):
    stage = Stage()
    with pytest.raises(InputError, match="stamp"):
        stage.face("u", 0, 0, stamp, ["jawOpen"], np.array([0.5]), T0)
    with pytest.raises(InputError, match="stamp"):
        stage.pose(stamp, UPRIGHT, STILL, T0)


@pytest.mark.parametrize(
    "rotation, translation",
    [
        ([np.nan, 0, 0, 1], STILL), ([0, 0, 0, 0], STILL), ([0, 0, 0, 9], STILL), (UPRIGHT, [0, np.inf, 0]),
        (UPRIGHT, [5, 0, 0]),
    ],
)  # fmt: skip
def test_poses_that_are_none_are_refused(rotation, translation):
    with pytest.raises(InputError):
        Stage().pose(T0, np.array(rotation, float), np.array(translation, float), T0)


def test_weights_go_by_name_in_any_order():
    reader = WeightReader()
    values = np.linspace(0.0, 1.0, 52, dtype=np.float32)
    assert np.array_equal(reader.read(list(ARKIT_NAMES), values), values)
    assert np.array_equal(reader.read(list(ARKIT_NAMES[::-1]), values[::-1]), values)
    assert np.array_equal(reader.read(list(ARKIT_NAMES), values), values)
    assert reader.read(["jawOpen"], np.array([7.0]))[ARKIT_INDEX["jawOpen"]] == 1.0


@pytest.mark.parametrize(
    "names, weights",
    [
        (["jawOpen"], [np.nan]), (["jawOpen"], [np.inf]), (["JawOpen"], [0.1]), (["jawOpen", "jawOpen"], [0.1, 0.2]),
        (["jawOpen"], [0.1, 0.2]), ([], []), ([f"x{i}" for i in range(300)], [0.0] * 300),
    ],
)  # fmt: skip
def test_weights_that_cannot_be_used_are_refused(names, weights):
    with pytest.raises(InputError):
        WeightReader().read(names, np.array(weights, np.float32))


def test_memory_does_not_grow_with_poses_that_no_frame_follows():
    stage = Stage()
    for k in range(5000):
        stage.pose(T0 + k, UPRIGHT, STILL, T0)
    assert len(stage._poses) <= 64
