"""Coming up, going down, and being told so."""

from __future__ import annotations

import signal
import time

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from harness import until
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.lifecycle import TransitionCallbackReturn

from media2face.nodes import qos
from media2face_msgs.msg import PlaybackClock


def change(listener, node: str, number: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=number))
    return listener.call(ChangeState, f"{node}/change_state", request).success


def state(listener, node: str) -> int:
    return listener.call(GetState, f"{node}/get_state", GetState.Request()).current_state.id


def test_a_node_that_is_not_to_start_itself_obeys(avatar, listener):
    avatar("audio_playback", autostart=False)
    assert state(listener, "audio_playback") == State.PRIMARY_STATE_UNCONFIGURED
    steps = (
        (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
        (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
        (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE),
        (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED),
    )
    for _ in range(2):
        for transition, after in steps:
            assert change(listener, "audio_playback", transition)
            assert state(listener, "audio_playback") == after


def test_publishers_live_from_configure_to_cleanup(avatar, listener):
    avatar("audio_playback", autostart=False)
    listener.listen(PlaybackClock, "playback_clock", qos.STATE)
    assert listener.node.count_publishers("/avatar/playback_clock") == 0
    change(listener, "audio_playback", Transition.TRANSITION_CONFIGURE)
    until(lambda: listener.node.count_publishers("/avatar/playback_clock") == 1, 5, "the publisher")
    change(listener, "audio_playback", Transition.TRANSITION_CLEANUP)
    until(lambda: listener.node.count_publishers("/avatar/playback_clock") == 0, 5, "the publisher to go")


@pytest.mark.parametrize("name", ["speech_encoder", "style_encoder", "motion_sampler", "face_decoder"])
def test_missing_weights_are_one_clear_line_and_can_be_mended(avatar, listener, tmp_path, weights, name):
    reports = listener.listen(DiagnosticArray, "diagnostics", qos.DIAGNOSTICS)
    graph = avatar(name, weights=str(tmp_path))
    (failure,) = graph.failures.values()
    assert str(tmp_path) in failure and "found no file" in failure
    assert state(listener, name) == State.PRIMARY_STATE_UNCONFIGURED
    until(
        lambda: any(m.status[0].level == DiagnosticStatus.ERROR for _, m in reports), 10, "an error in the diagnostics"
    )
    graph.nodes[name].set_parameters([_python_parameter("weights", str(weights))])
    assert graph.nodes[name].trigger_configure() == TransitionCallbackReturn.SUCCESS


def _python_parameter(name, value):
    from rclpy.parameter import Parameter as Local

    return Local(name, value=value)


def test_parameters_refuse_what_is_out_of_range(avatar, listener, weights):
    avatar("audio_playback", "face_decoder")

    def set_it(node: str, name: str, value: ParameterValue) -> bool:
        request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
        return listener.call(SetParameters, f"{node}/set_parameters", request).results[0].successful

    double, text = ParameterType.PARAMETER_DOUBLE, ParameterType.PARAMETER_STRING
    assert set_it("audio_playback", "presentation_delay", ParameterValue(type=double, double_value=0.5))
    assert not set_it("audio_playback", "presentation_delay", ParameterValue(type=double, double_value=50.0))
    assert not set_it("audio_playback", "presentation_delay", ParameterValue(type=text, string_value="long"))
    assert not set_it("face_decoder", "provider", ParameterValue(type=text, string_value="abacus"))
    request = DescribeParameters.Request(names=["presentation_delay"])
    (about,) = listener.call(DescribeParameters, "audio_playback/describe_parameters", request).descriptors
    assert "capture to presentation" in about.description
    assert (about.floating_point_range[0].from_value, about.floating_point_range[0].to_value) == (0.0, 5.0)


def test_diagnostics_come_once_a_second(avatar, listener):
    reports = listener.listen(DiagnosticArray, "diagnostics", qos.DIAGNOSTICS)
    avatar("audio_playback")
    until(lambda: len(reports) >= 4, 15, "four reports")
    gaps = [b[0] - a[0] for a, b in zip(reports, reports[1:], strict=False)]
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(1e9, rel=0.3)
    status = reports[-1][1].status[0]
    assert status.name == "/avatar/audio_playback" and status.level == DiagnosticStatus.OK
    assert {v.key: v.value for v in status.values}["state"] == "active"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_programs_end_cleanly(programs, listener, weights, speech, number):
    programs.start("audio_capture", audio=str(speech), wait=600.0)
    programs.start("audio_playback")
    programs.start("speech_encoder")
    for name in ("audio_capture", "audio_playback", "speech_encoder"):
        until(lambda n=name: state(listener, n) == State.PRIMARY_STATE_ACTIVE, 40, name)
    time.sleep(0.3)
    assert programs.end(number) == {"audio_capture": 0, "audio_playback": 0, "speech_encoder": 0}
