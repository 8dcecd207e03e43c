"""Nodes as programs; any of them may be killed and started again in the middle of speech."""

from __future__ import annotations

import time

import numpy as np
import pytest
import soundfile
from harness import frames_of, until

from media2face.nodes import qos
from media2face.runtime.demo import demo_speech
from media2face_msgs.msg import Expression, PlaybackClock

VICTIMS = ("speech_encoder", "motion_sampler", "face_decoder", "audio_playback", "style_encoder")
PIPELINE = ("audio_capture", "audio_playback", "speech_encoder", "style_encoder", "motion_sampler", "face_decoder")


@pytest.fixture(scope="module")
def long_speech(tmp_path_factory):
    samples, rate = soundfile.read(demo_speech(), dtype="float32")
    path = tmp_path_factory.mktemp("long") / "long.wav"
    soundfile.write(path, np.tile(samples, 4), rate)
    return path


def test_every_node_may_die_in_the_middle_of_speech(weights, long_speech, programs, listener):
    frames = listener.listen(Expression, "expression", qos.FRAMES)
    clocks = listener.listen(PlaybackClock, "playback_clock", qos.STATE)
    for name in PIPELINE:
        programs.start(name, audio=str(long_speech), wait=60.0)
    until(lambda: len(frames) > 15, 90, "speech")
    utterance = frames[0][1].utterance
    for victim in VICTIMS:
        programs.kill(victim)
        time.sleep(0.5)
        before = frames[-1][1].frame
        programs.start(victim)
        waited = time.monotonic()
        until(lambda b=before: frames[-1][1].frame > b + 180, 60, f"frames after {victim} was started again")
        assert time.monotonic() - waited < 40
        assert frames[-1][1].utterance == utterance, "it is the same speech that goes on"
    assert all(process.poll() is None for process in programs.running.values()), "nobody else died"

    # whatever was lost, a frame's stamp always is the moment of its sound
    (start,) = {m.start.sec * 10**9 + m.start.nanosec for _, m in clocks if m.utterance == utterance}
    for _, m in frames:
        assert m.header.stamp.sec * 10**9 + m.header.stamp.nanosec == start + m.frame * 10**9 // 30
    order = frames_of(frames, utterance)
    assert (np.diff(order) > 0).all() or len({m.revision for _, m in frames}) > 1
    assert programs.end() == dict.fromkeys(PIPELINE, 0)
