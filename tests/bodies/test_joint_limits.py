"""No input whatever makes a joint leave its range or exceed its velocity, acceleration or jerk."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("hypothesis", reason="limits are proven by properties: pip install hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from media2face.bodies.animatronics.follower import FORESEEN, TOLERANCE, Follower
from media2face.bodies.animatronics.player import RobotPlayer
from media2face.bodies.animatronics.robot_map import Joint, RobotMap
from media2face.runtime.arkit import ARKIT_NAMES
from media2face.runtime.errors import InputError

PERIOD = 0.02
NS = 1_000_000_000
T0 = 1_000 * NS
wild = st.one_of(
    st.floats(-2.0, 2.0),
    st.sampled_from([0.0, 1.0, -1.0, 1e-12, 1e9, -1e9, 1e300, float("nan"), float("inf"), float("-inf")]),
)
limits = st.builds(
    lambda low, span, rest, v, a, j: dict(low=low, high=low + span, start=low + rest * span, v=v, a=a, j=j),
    st.floats(-3.0, 3.0), st.floats(0.01, 6.0), st.floats(0.0, 1.0),
    st.floats(0.05, 30.0), st.floats(0.5, 1000.0), st.floats(5.0, 50_000.0),
)  # fmt: skip


def assert_within(x: np.ndarray, low: float, high: float, v: float, a: float, j: float, period: float = PERIOD) -> None:
    """The commands alone (T,) prove the caps: a difference quotient is a mean of the derivative."""
    assert np.isfinite(x).all()
    assert low <= x.min() and x.max() <= high
    for order, cap in ((1, v), (2, a), (3, j)):
        quotient = np.abs(np.diff(x, order)).max() / period**order
        noise = 2.0**order * 4 * np.finfo(float).eps * np.abs(x).max() / period**order  # of subtracting positions
        assert quotient <= cap * (1 + 1e-9) + noise, f"derivative {order}: {quotient} > {cap}"


def follower(at: dict) -> Follower:
    return Follower(at["low"], at["high"], at["v"], at["a"], at["j"], PERIOD, at["start"])


def run(at: dict, references: list[list[tuple[float, float, float]]], repeat: int = 1) -> np.ndarray:
    one = follower(at)
    x = [one.position] * 4
    for reference in references:
        for _ in range(repeat):
            one.step(reference)
            assert abs(one.velocity) <= at["v"] and abs(one.acceleration) <= at["a"]
            x.append(one.position)
    return np.array(x)


@settings(max_examples=30, deadline=None)
@given(limits, st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=12), st.booleans())
def test_a_joint_that_was_left_starts_again_from_rest(at, goals, at_stop):
    one = follower(at)
    for goal in goals:
        one.step([(goal, 0.0, 0.0)])
    end = one.stopping()[-1][0]
    place = end if at_stop else one.position
    one.settle(at_stop)
    assert one.velocity == one.acceleration == 0.0 and one.position == pytest.approx(place, abs=1e-5)
    x = [one.position] * 4
    for goal in goals:
        one.step([(goal, 0.0, 0.0)])
        x.append(one.position)
    assert_within(np.array(x), at["low"], at["high"], at["v"], at["a"], at["j"])


@settings(max_examples=60, deadline=None)
@given(limits, st.lists(st.lists(st.tuples(wild, wild, wild), min_size=0, max_size=5), min_size=1, max_size=40),
       st.integers(1, 8))  # fmt: skip
def test_any_reference_at_all(at, references, repeat):
    x = run(at, references, repeat)
    assert_within(x, at["low"], at["high"], at["v"], at["a"], at["j"])


@settings(max_examples=50, deadline=None)
@given(limits, st.floats(0.0, 1.0))
def test_a_step_from_rest_is_reached_and_not_overshot(at, share):
    span = at["high"] - at["low"]
    place = at["low"] + share * span
    x = run(at, [[(place, 0.0, 0.0)] * len(FORESEEN)], 250)
    way = (x - at["start"]) * np.sign(place - at["start"])
    assert way.min() >= -1e-5 * span
    assert way.max() <= abs(place - at["start"]) + 1.01 * TOLERANCE * span
    fastest = abs(place - at["start"]) / at["v"] + at["v"] / at["a"] + at["a"] / at["j"]
    if fastest < 3.0:
        assert x[-1] == pytest.approx(place, abs=1e-3 * span)


@settings(max_examples=60, deadline=None)
@given(limits, st.lists(st.tuples(wild, wild, wild), max_size=20), st.floats(0.0, 1.0))
def test_whatever_came_before_it_gets_to_where_it_is_told(at, references, share):
    """Being safe by never moving would be cheap."""
    span = at["high"] - at["low"]
    place, one = at["low"] + share * span, follower(at)
    for reference in references:
        one.step([reference] * len(FORESEEN))
    patience = 3.0 * (span / at["v"] + at["v"] / at["a"] + at["a"] / at["j"]) + (60 * span / at["j"]) ** (1 / 3) + 0.5
    for _ in range(min(round(patience / PERIOD), 4000)):
        one.step([(place, 0.0, 0.0)] * len(FORESEEN))
        if abs(one.position - place) <= 1e-3 * span:
            return
    assert patience / PERIOD > 4000, f"{one.position} is not {place}"


@settings(max_examples=60, deadline=None)
@given(limits, st.lists(st.tuples(wild, wild, wild), min_size=1, max_size=20), st.integers(0, 19))
def test_from_anywhere_it_can_stop_within_the_limits(at, references, when):
    """The stop that ends a chunk of a joint trajectory starts where the joint is and obeys the same limits."""
    one = follower(at)
    x = [one.position] * 4
    for reference in references[: when + 1]:
        one.step([reference] * len(FORESEEN))
        x.append(one.position)
    stop = one.stopping()
    assert stop[-1][1] == pytest.approx(0.0, abs=1e-9) and stop[-1][2] == pytest.approx(0.0, abs=1e-6)
    assert_within(np.array([*x, *[s[0] for s in stop], stop[-1][0], stop[-1][0]]), at["low"], at["high"], at["v"],
                  at["a"], at["j"])  # fmt: skip


ROBOT = RobotMap(
    "probe",
    (
        Joint("jaw", 0, {"jawOpen": 1.0, "head_pitch": -0.5}, (0.0, 0.4), 0.02, 6.0, 120.0, 6000.0, latency_ms=40),
        Joint("yaw", 1, {"head_yaw": 2.0, "head_x": 3.0}, (-0.5, 0.6), 0.1, 2.0, 15.0, 200.0, direction=-1),
        Joint("lid", 2, {"eyeBlinkLeft": 5.0}, (-0.1, 1.0), 0.0, 30.0, 900.0, 50_000.0, deadband=0.01),
    ),
)
frame = st.fixed_dictionaries({
    "at": st.integers(-3 * NS, 8 * NS), "w": st.lists(wild, min_size=52, max_size=52) | st.lists(wild, max_size=3),
    "q": st.lists(wild, min_size=4, max_size=4), "t": st.lists(wild, min_size=3, max_size=3),
    "u": st.sampled_from("abc"), "r": st.integers(0, 3),
})  # fmt: skip
tuning = st.tuples(st.sampled_from(ROBOT.names), st.sampled_from(["gain", "offset", "min", "max"]), wild)
event = st.tuples(
    st.lists(frame, max_size=3), st.lists(tuning, max_size=2), st.booleans(),
    st.sampled_from([0, 1, 1, 1, 3, 40]), st.sampled_from([0, 0, 0, -5 * NS, 30 * NS]),
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(event, min_size=1, max_size=25))
def test_the_whole_player_with_bad_frames_tuning_stops_and_clocks(events):
    """NaN, jumps, dropouts, stamps from past and future, revisions, a clock that is set, live tuning, soft stops."""
    player = RobotPlayer(ROBOT)
    x = [[f.position for f in player.followers]] * 4
    now = T0
    for frames, tunings, stopped, steps, jump in events:
        now += jump
        for f in frames:
            try:
                weights = np.clip(f["w"], -1e30, 1e30)
                player.face(now + f["at"], ARKIT_NAMES, weights, now, f["u"], f["r"])
            except InputError:
                pass
            try:
                player.pose(now + f["at"], np.array(f["q"]), np.array(f["t"]), now)
            except InputError:
                pass
        for joint, key, value in tunings:
            try:
                player.mixer.tune(joint, key, value)
            except Exception as error:
                assert "expected" in str(error)
        player.stopped = stopped
        for _ in range(steps):
            now += round(PERIOD * NS)
            x.append(player.step(now).position)
    for i, joint in enumerate(ROBOT.joints):
        assert_within(np.array(x)[:, i], *joint.range, joint.velocity, joint.acceleration, joint.jerk)
