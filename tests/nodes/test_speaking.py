"""Speech through the graph: timing of what others send, style, keyframes, barge-in, clips, two avatars."""

from __future__ import annotations

import time

import numpy as np
import pytest
import soundfile
from action_msgs.msg import GoalStatus
from harness import Listener, frames_of, until
from rclpy.action import ActionClient
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header, String

from media2face.nodes import qos
from media2face.nodes.audio_messages import message_of
from media2face.runtime.intake import Chunk
from media2face_msgs.action import Animate
from media2face_msgs.msg import AudioChunk, Expression, HeadMotion, Keyframe, PlaybackClock, StyleEmbedding, StylePrompt
from media2face_msgs.srv import AddKeyframe, Interrupt, SetStyle

NS = 1_000_000_000
PIPELINE = ("audio_playback", "speech_encoder", "style_encoder", "motion_sampler", "face_decoder")


def send(publisher, speech, utterance: str, size: int = 1600, seconds: float = 3.0, pace: float = 0.0) -> int:
    """Send a file as someone else's speech, at once (pace 0) or in real time; the number of its frames."""
    samples, rate = soundfile.read(speech, dtype="float32")
    samples = samples[: int(seconds * rate)]
    for i in range(0, len(samples), size):
        last = i + size >= len(samples)
        publisher.publish(message_of(Chunk(utterance, i, rate, samples[i : i + size, None], time.time_ns(), last)))
        if pace:
            time.sleep(size / rate / pace)
    return -(-len(samples) * 30 // rate)


def test_synthesis_faster_than_real_time_is_shown_in_time(weights, speech, avatar, listener):
    frames = listener.listen(Expression, "expression", qos.FRAMES)
    clocks = listener.listen(PlaybackClock, "playback_clock", qos.STATE)
    avatar(*PIPELINE, presentation_delay=2.0)
    sender = listener.publisher(AudioChunk, "audio", qos.AUDIO, readers=2)
    until(lambda: listener.node.count_subscribers("/avatar/head_motion"), 10, "the decoder")
    total = send(sender, speech, "one") + send(sender, speech, "two")
    until(lambda: len(frames) >= total, 30, f"{total} frames")
    for utterance in ("one", "two"):
        assert np.array_equal(frames_of(frames, utterance), np.arange(90))
    starts = {m.utterance: m.start.sec * NS + m.start.nanosec for _, m in clocks}
    assert starts["two"] - starts["one"] == 3 * NS, "the second sentence waits until the first has been spoken"
    for at, m in frames:
        stamp = m.header.stamp.sec * NS + m.header.stamp.nanosec
        assert stamp == starts[m.utterance] + m.frame * NS // 30
        assert stamp - at <= 0.1 * NS


def test_a_style_reaches_the_sampler_by_every_way(weights, avatar, listener):
    found = listener.listen(StyleEmbedding, "style_embedding", qos.STATE)
    avatar("style_encoder", style="sad")
    until(lambda: len(found) == 1, 10, "the style at start")
    assert found[0][1].nearest[0] == "sad" and found[0][1].start_frame == -1
    text = listener.publisher(String, "style_text", qos.PROMPT)
    text.publish(String(data="Well done <set expression(happy)> indeed"))
    until(lambda: len(found) == 2, 10, "the marked style")
    assert found[1][1].nearest[0] == "happy"
    request = SetStyle.Request(prompt=StylePrompt(text="angry", strength=0.7, start_frame=45, utterance="u", ramp=0.5))
    answer = listener.call(SetStyle, "set_style", request)
    assert answer.success and answer.nearest[0] == "angry"
    until(lambda: len(found) == 3, 10, "the style set by service")
    message = found[2][1]
    assert (message.utterance, message.start_frame) == ("u", 45)
    assert message.strength == pytest.approx(0.7) and message.ramp == pytest.approx(0.5)
    assert np.linalg.norm(message.vector) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (StylePrompt(text="happy", strength=9.0), "strength"),
        (StylePrompt(text="happy", strength=1.0, ramp=-1.0), "ramp"),
        (StylePrompt(text="x" * 10_000, strength=1.0), "characters"),
        (StylePrompt(strength=1.0, image=CompressedImage(data=b"not a picture")), "image"),
        (StylePrompt(text="happy", strength=1.0, image=CompressedImage(data=b"x")), "both"),
    ],
    ids=["strength", "ramp", "length", "image", "both"],
)
def test_unusable_prompts_are_explained_and_change_nothing(weights, avatar, listener, prompt, reason):
    found = listener.listen(StyleEmbedding, "style_embedding", qos.STATE)
    graph = avatar("style_encoder")
    answer = listener.call(SetStyle, "set_style", SetStyle.Request(prompt=prompt))
    assert not answer.success and reason in answer.message
    listener.publisher(StylePrompt, "style_prompt", qos.PROMPT).publish(prompt)
    until(lambda: graph.counts("style_encoder")["refused on style_prompt"] == 1, 10, "the refusal to be counted")
    assert len(found) == 1


def test_barge_in_brings_the_face_to_rest_and_silences(weights, speech, avatar, listener):
    frames = listener.listen(Expression, "expression", qos.FRAMES)
    clocks = listener.listen(PlaybackClock, "playback_clock", qos.STATE)
    stopped = listener.listen(Header, "interrupted", qos.EVENT)
    graph = avatar(*PIPELINE, presentation_delay=2.0, horizon=0.6)
    sender = listener.publisher(AudioChunk, "audio", qos.AUDIO, readers=2)
    until(lambda: listener.node.count_subscribers("/avatar/head_motion"), 10, "the decoder")
    assert not listener.call(Interrupt, "interrupt", Interrupt.Request()).success, "nothing is being spoken"
    send(sender, speech, "long")
    send(sender, speech, "queued")
    until(lambda: len(frames) > 20, 30, "speech")
    asked = time.time_ns()
    assert not listener.call(Interrupt, "interrupt", Interrupt.Request(utterance="other")).success
    answer = listener.call(Interrupt, "interrupt", Interrupt.Request())
    assert answer.success and answer.utterance == "long"
    until(lambda: clocks and not clocks[-1][1].playing, 5, "silence")
    time.sleep(1.0)
    assert [m.frame_id for _, m in stopped] == ["long", "queued"]
    eased = [m for _, m in frames if m.revision == answer.revision]
    assert eased and all(m.utterance == "long" for _, m in frames)
    end = eased[-1].header.stamp.sec * NS + eased[-1].header.stamp.nanosec
    assert (end - asked) / NS < 1.5
    assert eased[-1].frame < 85, "it stopped well before the sentence ended"
    send(sender, speech, "long")
    until(lambda: graph.counts("speech_encoder")["after the end"] > 0, 10, "what still comes to be refused")
    send(sender, speech, "next", seconds=1.0)
    until(lambda: any(m.utterance == "next" and m.frame == 29 for _, m in frames), 20, "the avatar to speak again")


def test_keyframes_need_speech_and_names(weights, speech, avatar, listener):
    frames = listener.listen(Expression, "expression", qos.FRAMES)
    avatar(*PIPELINE, presentation_delay=3.0, temperature=0.0)
    sender = listener.publisher(AudioChunk, "audio", qos.AUDIO, readers=2)
    until(lambda: listener.node.count_subscribers("/avatar/head_motion"), 10, "the decoder")

    def ask(**fields):
        return listener.call(AddKeyframe, "add_keyframe", AddKeyframe.Request(keyframe=Keyframe(**fields)))

    assert "nothing is being spoken" in ask(frame=10, names=["jawOpen"], weights=[1.0]).message
    samples, rate = soundfile.read(speech, dtype="float32")
    first = Chunk("k", 0, rate, samples[: rate // 2, None], time.time_ns())
    sender.publish(message_of(first))
    time.sleep(0.5)
    assert "ARKit" in ask(frame=60, names=["jaw"], weights=[1.0]).message
    assert "one per name" in ask(frame=60, names=["jawOpen"], weights=[]).message
    assert "outside [0, 1]" in ask(frame=60, names=["jawOpen"], weights=[1.5]).message
    answer = ask(frame=60, names=["eyeBlinkLeft", "eyeBlinkRight"], weights=[1.0, 1.0])
    assert answer.success and answer.frame == 60, answer.message
    sender.publish(message_of(Chunk("k", rate // 2, rate, samples[rate // 2 :, None], time.time_ns(), True)))
    until(lambda: len(frames) >= 90, 30, "the frames")
    blink = {m.frame: dict(zip(m.names, m.weights, strict=True))["eyeBlinkLeft"] for _, m in frames}
    others = [v for k, v in blink.items() if abs(k - 60) > 10]
    assert blink[60] > np.mean(others) + 0.3, "the eyes are shut where the keyframe asks for it"


def test_a_clip_is_spoken_with_feedback(weights, speech, avatar, listener):
    graph = avatar(presentation_delay=2.0)
    client = ActionClient(listener.node, Animate, "animate")
    assert client.wait_for_server(15)
    heard = []
    goal = Animate.Goal(audio=str(speech), style="happy")
    sending = client.send_goal_async(goal, feedback_callback=lambda m: heard.append(m.feedback))
    until(sending.done, 15, "the goal to be accepted")
    handle = sending.result()
    assert handle.accepted
    second = client.send_goal_async(goal)
    until(second.done, 10, "an answer to the second goal")
    assert not second.result().accepted, "one clip at a time"
    result = handle.get_result_async()
    until(result.done, 40, "the clip to end")
    answer = result.result()
    assert answer.status == GoalStatus.STATUS_SUCCEEDED and answer.result.success, answer.result.message
    assert answer.result.frames == 90 and answer.result.duration == pytest.approx(3.0)
    assert len(heard) > 5 and [f.frame for f in heard] == sorted(f.frame for f in heard)
    assert {f.utterance for f in heard} == {answer.result.utterance}
    assert graph.counts("audio_capture")["goals refused"] == 1


def test_a_clip_can_be_cancelled(weights, speech, avatar, listener):
    frames = listener.listen(Expression, "expression", qos.FRAMES)
    avatar(presentation_delay=2.0)
    client = ActionClient(listener.node, Animate, "animate")
    assert client.wait_for_server(15)
    sending = client.send_goal_async(Animate.Goal(audio=str(speech)))
    until(sending.done, 15, "the goal to be accepted")
    until(lambda: len(frames) > 10, 30, "the clip to begin")
    cancelling = sending.result().cancel_goal_async()
    until(cancelling.done, 10, "an answer")
    result = sending.result().get_result_async()
    until(result.done, 10, "the end of the clip")
    assert result.result().status == GoalStatus.STATUS_CANCELED
    assert result.result().result.message == "cancelled" and not result.result().result.success
    time.sleep(1.5)
    assert frames[-1][1].frame < 89 and frames[-1][1].revision > 0, "the face was eased to rest"


def test_a_clip_that_is_no_sound_is_explained(avatar, listener, tmp_path):
    (tmp_path / "no.wav").write_text("this is not audio")
    avatar("audio_capture", wait=0.0)
    client = ActionClient(listener.node, Animate, "animate")
    assert client.wait_for_server(15)
    sending = client.send_goal_async(Animate.Goal(audio=str(tmp_path / "no.wav")))
    until(sending.done, 15, "the goal to be accepted")
    result = sending.result().get_result_async()
    until(result.done, 10, "the result")
    assert result.result().status == GoalStatus.STATUS_ABORTED
    assert "no.wav" in result.result().result.message


def test_two_avatars_share_a_domain(weights, speech, domain, avatar, listener):
    anna = Listener(domain, "anna")
    try:
        mine, hers = (w.listen(Expression, "expression", qos.FRAMES) for w in (listener, anna))
        motions = anna.listen(HeadMotion, "head_motion", qos.MOTION)
        avatar(audio=str(speech))
        avatar(audio="", namespace="anna")
        sender = anna.publisher(AudioChunk, "audio", qos.AUDIO, readers=2)
        until(lambda: anna.node.count_subscribers("/anna/head_motion") > 1, 10, "the decoder")
        send(sender, speech, "hers", seconds=1.0)
        until(lambda: len(mine) >= 90 and len(hers) >= 30, 60, "both to speak")
        assert {m.utterance for _, m in hers} == {"hers"} == {m.utterance for _, m in motions}
        assert "hers" not in {m.utterance for _, m in mine}
        assert {m.header.frame_id for _, m in hers} == {"anna/head"}
    finally:
        anna.close()
