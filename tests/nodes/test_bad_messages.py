"""Whatever comes on a topic is used, or counted and survived."""

from __future__ import annotations

import time
from array import array

import numpy as np
import pytest
from harness import frames_of, until

from media2face.nodes import qos
from media2face.nodes.audio_messages import chunk_of, message_of
from media2face.runtime.intake import Chunk
from media2face_msgs.msg import AudioChunk, Expression, HeadMotion, Keyframe, SpeechFeatures, StyleEmbedding

RATE = 16_000
SOUND = np.random.default_rng(3).uniform(-0.3, 0.3, (2 * RATE, 1)).astype(np.float32)


def audio(first: int, count: int = 1600, last: bool = False, **fields) -> AudioChunk:
    """A good chunk with some fields made bad."""
    chunk = Chunk("u", first, RATE, SOUND[first : first + count], time.time_ns(), last)
    message = message_of(chunk)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


BAD_AUDIO = {
    "no id": {"utterance": ""},
    "rate of 1 Hz": {"sample_rate": 1},
    "rate that changes": {"sample_rate": 48_000},
    "no channels": {"channels": 0},
    "seven channels in mono data": {"channels": 7},
    "unknown encoding": {"encoding": 9},
    "int16 without data": {"encoding": AudioChunk.INT16},
    "both arrays": {"int16_data": array("h", [1, 2])},
    "nothing": {"float32_data": array("f")},
    "far future": {"first_sample": 2**62},
    "a minute ahead": {"first_sample": 60 * RATE},
}


def test_bad_audio_is_counted_and_the_speech_goes_on(weights, avatar, listener):
    features = listener.listen(SpeechFeatures, "speech_features", qos.FEATURES)
    graph = avatar("speech_encoder", "audio_playback")
    sender = listener.publisher(AudioChunk, "audio", qos.AUDIO, readers=2)
    for i in range(20):
        sender.publish(audio(1600 * i, last=i == 19))
        if i == 5:
            for fields in BAD_AUDIO.values():
                sender.publish(audio(9600, **fields))
        if i == 10:
            sender.publish(audio(1600 * 8))
    until(lambda: features and features[-1][1].last, 20, "the end of the speech")
    for name in ("speech_encoder", "audio_playback"):
        counts = graph.counts(name)
        assert counts["audio that cannot be read"] == 5
        assert counts["duplicate or too late"] == 1
        assert sum(v for k, v in counts.items() if k != "underruns") == len(BAD_AUDIO) + 1
    assert features[-1][1].samples == 2 * RATE
    indices = [m.first_feature for _, m in features]
    lengths = [len(m.data) // m.dim for _, m in features]
    assert indices == list(np.cumsum([0, *lengths[:-1]])), "features without a gap"


def test_every_rate_and_format_arrives_as_the_same_speech(weights, avatar, listener):
    features = listener.listen(SpeechFeatures, "speech_features", qos.FEATURES)
    avatar("speech_encoder")
    sender = listener.publisher(AudioChunk, "audio", qos.AUDIO)
    t = np.arange(48_000) / 48_000
    wave = (0.3 * np.sin(2 * np.pi * 220 * t)).astype(np.float32)
    for name, step, channels, encoding in (("f32", 3, 1, 0), ("i16", 1, 2, 1), ("low", 6, 1, 1)):
        rate = 48_000 // step
        samples = np.repeat(wave[::step, None], channels, axis=1)
        message = message_of(Chunk(name, 0, rate, samples, time.time_ns(), True))
        if encoding == AudioChunk.INT16:
            message.encoding, message.float32_data = encoding, array("f")
            message.int16_data = array("h", np.round(samples * 32767).astype(np.int16).tobytes())
            assert np.allclose(chunk_of(message).samples, samples, atol=1e-4)
        sender.publish(message)
    until(lambda: sum(m.last for _, m in features) == 3, 20, "three utterances")
    assert [m.samples for _, m in features if m.last] == [RATE] * 3


def _features(sampler, first: int, count: int, **fields) -> SpeechFeatures:
    dim, requires = sampler.audio_dim, sampler.model.meta.get("requires", {})
    message = SpeechFeatures(utterance="u", first_feature=first, rate=50.0, dim=dim, encoder=requires.get("speech", ""))
    message.data = array("f", np.random.default_rng(first).standard_normal(count * dim).astype(np.float32).tobytes())
    message.header.stamp.sec = int(time.time())
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def test_bad_features_styles_and_keyframes_are_refused(weights, avatar, listener):
    motion = listener.listen(HeadMotion, "head_motion", qos.MOTION)
    graph = avatar("motion_sampler")
    sampler = graph.nodes["motion_sampler"].sampler
    sender = listener.publisher(SpeechFeatures, "speech_features", qos.FEATURES)
    style = listener.publisher(StyleEmbedding, "style_embedding", qos.STATE)
    keyframe = listener.publisher(Keyframe, "keyframe", qos.PROMPT)
    nan = array("f", [float("nan")] * (10 * sampler.audio_dim))
    for fields in ({"encoder": "another"}, {"dim": 7}, {"dim": 0}, {"rate": 100.0}, {"data": nan}):
        sender.publish(_features(sampler, 0, 10, **fields))
    wanted = sampler.model.meta.get("requires", {}).get("style", "")
    for fields in ({"encoder": "another"}, {"vector": [1.0]}, {"strength": 99.0}, {"ramp": -3.0}):
        good = {"encoder": wanted, "vector": [0.1] * sampler.style_dim, "strength": 1.0, "start_frame": -1}
        style.publish(StyleEmbedding(**(good | fields)))
        time.sleep(0.3)  # the topic keeps the latest style only
    keyframe.publish(Keyframe(frame=10, names=["jawOpen"], weights=[1.0]))
    until(lambda: sum(graph.counts("motion_sampler").values()) >= 10, 15, "ten refusals")
    counts = graph.counts("motion_sampler")
    assert counts["refused on speech_features"] == 5 and counts["refused on style_embedding"] == 4
    assert counts["refused on keyframe"] == 1
    sender.publish(_features(sampler, 0, 60, utterance="good", last=True, samples=RATE))
    until(lambda: motion and motion[-1][1].last, 20, "the motion of the good one")
    assert sum(m.frames for _, m in motion if m.utterance == "good") == 30


def _motion(decoder, first: int, count: int, **fields) -> HeadMotion:
    message = HeadMotion(
        utterance="u", first_frame=first, frames=count, fps=30.0, latent_space=decoder.fingerprint,
        latent_dim=decoder.latent_dim, latent=array("f", bytes(4 * count * decoder.latent_dim)),
        head_rotvec=array("f", bytes(12 * count)), head_translation=array("f", bytes(12 * count)),
    )  # fmt: skip
    now = time.time_ns()
    message.header.stamp.sec, message.header.stamp.nanosec = now // 10**9, now % 10**9
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def test_bad_motion_is_refused_and_good_motion_shown(weights, avatar, listener):
    faces = listener.listen(Expression, "expression", qos.FRAMES)
    graph = avatar("face_decoder", presentation_delay=1.0)
    decoder = graph.nodes["face_decoder"].decoder
    sender = listener.publisher(HeadMotion, "head_motion", qos.MOTION)
    nan = array("f", [float("nan")] * 6)
    for fields in (
        {"latent_space": "another"}, {"fps": 25.0}, {"frames": 0}, {"frames": 3}, {"frames": 2**31},
        {"head_rotvec": nan}, {"latent": [1.0]},
    ):  # fmt: skip
        sender.publish(_motion(decoder, 0, 2, **fields))
    good = _motion(decoder, 0, 20)
    sender.publish(good)
    sender.publish(good)
    sender.publish(_motion(decoder, 25, 5, header=good.header))
    until(lambda: len(faces) >= 25, 15, "the good frames")
    counts = graph.counts("face_decoder")
    assert counts["refused on head_motion"] == 7
    assert counts["duplicate frames"] == 20 and counts["frames that never came"] == 5
    assert frames_of(faces).tolist()[:25] == [*range(20), *range(25, 30)]
    until(lambda: len(faces) >= 40, 15, "the face to come to rest, since no motion follows and the speech is not over")
    assert max(faces[-1][1].weights) == pytest.approx(0.0, abs=1e-5)


def test_a_flood_is_survived(weights, avatar, listener):
    graph = avatar("speech_encoder", "audio_playback")
    sender = listener.publisher(AudioChunk, "audio", qos.AUDIO, readers=2)
    for i in range(300):
        sender.publish(audio(0, 160, utterance=f"u{i}", last=i % 2 == 0))
    until(lambda: sum(graph.counts("audio_playback").values()) > 0, 15, "cut utterances to be counted")
    until(lambda: graph.counts("speech_encoder")["cut short by another utterance"] >= 148, 30, "all to be counted")
    assert graph.counts("speech_encoder")["cut short by another utterance"] <= 152
