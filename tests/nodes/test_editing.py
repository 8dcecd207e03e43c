"""Timelines and keyframes of the ``animate`` action, listening between utterances, settings while running."""

from __future__ import annotations

import time

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from harness import until
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.parameter import Parameter

from media2face.nodes import qos
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.sources import is_idle
from media2face_msgs.action import Animate
from media2face_msgs.msg import Expression, Keyframe, StyleEmbedding
from media2face_msgs.srv import Interrupt

NS = 1_000_000_000


def ask(listener, goal: Animate.Goal):
    """The handle of a goal that was accepted."""
    client = ActionClient(listener.node, Animate, "animate")
    assert client.wait_for_server(15)
    sending = client.send_goal_async(goal)
    until(sending.done, 15, "the goal to be accepted")
    assert sending.result().accepted
    return sending.result()


def result_of(handle, seconds: float = 60):
    result = handle.get_result_async()
    until(result.done, seconds, "the clip to end")
    return result.result()


def test_a_clip_takes_a_timeline_and_keyframes(weights, speech, avatar, listener):
    if "keyframes" not in Animate.Goal.get_fields_and_field_types():
        pytest.skip("the messages are older than this source: pip install ./msgs")
    frames = listener.listen(Expression, "expression", qos.FRAMES)
    styles = listener.listen(StyleEmbedding, "style_embedding", qos.STATE)
    graph = avatar()
    blink = Keyframe(frame=40, names=["eyeBlinkLeft", "eyeBlinkRight"], weights=[1.0, 1.0])
    goal = Animate.Goal(audio=str(speech), style="0:happy 1.5~0.5:very sad", keyframes=[blink])
    answer = result_of(ask(listener, goal))
    assert answer.status == GoalStatus.STATUS_SUCCEEDED and answer.result.success, answer.result.message
    mine = [m for _, m in styles if m.utterance == answer.result.utterance]
    assert [(m.nearest[0], m.start_frame, round(m.ramp, 3)) for m in mine] == [("happy", 0, 0.0), ("sad", 45, 0.5)]
    assert graph.counts("motion_sampler")["refused on keyframe"] == 0
    shown = {m.frame: np.array(m.weights) for _, m in frames}
    assert shown[40][ARKIT_INDEX["eyeBlinkLeft"]] == pytest.approx(1.0, abs=2e-3)
    smile = np.array([shown[k][ARKIT_INDEX["mouthSmileLeft"]] for k in range(90)])
    assert smile[10:35].mean() > smile[70:].mean() + 0.1, "happy first, sad later"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"style": "0:happy 9:sad"}, "outlasts the speech"),
        ({"style": "2:happy 1:sad"}, "goes backwards"),
        ({"style": "happy", "strength": 5.0}, "strength"),
        ({"keyframes": [Keyframe(frame=200, names=["jawOpen"], weights=[1.0])]}, "beyond the end"),
        ({"keyframes": [Keyframe(frame=5), Keyframe(frame=5)]}, "two keyframes"),
        ({"keyframes": [Keyframe(frame=5, names=["jaw"], weights=[1.0])]}, "no ARKit shape"),
    ],
    ids=["late", "backwards", "strength", "key beyond the end", "keys in conflict", "names"],
)
def test_a_goal_that_cannot_be_met_is_explained_before_a_word_is_said(avatar, listener, speech, fields, reason):
    if "keyframes" not in Animate.Goal.get_fields_and_field_types():
        pytest.skip("the messages are older than this source: pip install ./msgs")
    avatar("audio_capture", wait=0.0)
    answer = result_of(ask(listener, Animate.Goal(audio=str(speech), **fields)), 15)
    assert answer.status == GoalStatus.STATUS_ABORTED
    assert reason in answer.result.message and "\n" not in answer.result.message


def test_the_face_listens_then_speaks_then_listens(weights, speech, avatar, listener):
    frames = listener.listen(Expression, "expression", qos.FRAMES)
    graph = avatar(presentation_delay=1.5, horizon=1.0, idle=True)
    until(lambda: len(frames) > 30, 30, "a second of listening")
    assert all(is_idle(m.utterance) for _, m in frames)
    handle = ask(listener, Animate.Goal(audio=str(speech)))
    until(lambda: any(not is_idle(m.utterance) for _, m in frames), 30, "speech")
    time.sleep(0.7)
    answer = listener.call(Interrupt, "interrupt", Interrupt.Request())
    assert answer.success, answer.message
    result_of(handle, 15)
    until(lambda: frames and is_idle(frames[-1][1].utterance), 15, "listening again")
    time.sleep(2.0)
    stamps = np.array([m.header.stamp.sec * NS + m.header.stamp.nanosec for _, m in frames])
    revisions = np.array([m.revision for _, m in frames])
    back = np.flatnonzero(np.diff(stamps) <= 0)
    names = np.array([m.utterance for _, m in frames])
    again = (revisions[back + 1] > revisions[back]) | (names[back + 1] != names[back])
    assert again.all(), "only a higher revision or another utterance takes frames back"
    assert np.median(np.diff(stamps)) == pytest.approx(NS / 30, rel=0.02)
    weights_of = np.array([m.weights for _, m in frames[-45:]])
    assert weights_of.std(axis=0).max() > 1e-3, "not frozen"
    assert graph.counts("motion_sampler")["errors while working"] == 0
    assert graph.nodes["face_decoder"].meters["latency"].summary() is not None


def test_guidance_and_temperatures_are_set_while_running(weights, avatar, listener):
    graph = avatar("motion_sampler", idle=True)
    node = graph.nodes["motion_sampler"]

    def put(name, value):
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return listener.call(SetParameters, "motion_sampler/set_parameters", request).results[0]

    assert put("guidance_audio", 1.5).successful and put("mouth_temperature", 0.5).successful
    until(lambda: node.live.stream.config.guidance_audio == 1.5, 10, "the setting to act")
    assert node.live.stream.config.mouth_temperature == 0.5
    assert not put("guidance_style", 99.0).successful, "out of range"
