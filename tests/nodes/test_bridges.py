"""The bridges and the speech server, from and to real topics."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import sys
import time
from array import array

import msgpack
import numpy as np
import pytest
import soundfile
import zmq
from geometry_msgs.msg import PoseStamped
from harness import ROOT, until

from media2face.nodes import qos
from media2face.nodes.graph import GRAPH
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face_msgs.msg import AudioChunk, Expression, SpeechFeatures, StyleEmbedding, StylePrompt

NS = 1_000_000_000


@pytest.fixture
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(3.0)
        yield made


def stamp(message, when: int):
    message.header.stamp.sec, message.header.stamp.nanosec = when // NS, when % NS
    return message


def face(k: int, when: int, value: float = 0.5, revision: int = 0, **fields) -> Expression:
    weights = np.zeros(52, np.float32)
    weights[ARKIT_INDEX["jawOpen"]] = value
    made = Expression(utterance="u", frame=k, revision=revision, names=list(ARKIT_NAMES))
    made.weights = array("f", weights.tobytes())
    for name, content in fields.items():
        setattr(made, name, content)
    return stamp(made, when)


def pose(when: int, yaw: float = 0.0) -> PoseStamped:
    made = PoseStamped()
    made.pose.orientation.z, made.pose.orientation.w = float(np.sin(yaw / 2)), float(np.cos(yaw / 2))
    return stamp(made, when)


def jaw_and_yaw(data: bytes) -> tuple[float, float]:
    """JawOpen (channel 17) and HeadYaw (52) of a Live Link datagram, from its end."""
    assert data[-245] == 61
    values = struct.unpack(">61f", data[-244:])
    return values[17], values[52]


def test_frames_leave_at_their_moment_newest_revision_with_their_pose(avatar, listener, udp):
    graph = avatar("bridges", livelink=f"127.0.0.1:{udp.getsockname()[1]}")
    assert not graph.failures
    faces = listener.publisher(Expression, "expression", qos.FRAMES)
    poses = listener.publisher(PoseStamped, "head_pose", qos.FRAMES)
    begin = time.time_ns() + NS
    moments = [begin + k * NS // 30 for k in range(12)]
    for k, when in enumerate(moments):
        poses.publish(pose(when, yaw=-0.01 * k))
        faces.publish(face(k, when, 0.1))
        time.sleep(0.01)  # the topics keep ten messages
    for k in range(6, 12):
        faces.publish(face(k, moments[k], 0.9, revision=1))
        time.sleep(0.01)
    seen = {}
    while 11 not in seen:
        jaw, yaw = jaw_and_yaw(udp.recv(4096))
        k = round(100 * yaw)
        assert yaw == pytest.approx(0.01 * k, abs=1e-6) and k > max(seen, default=-1)
        assert jaw == pytest.approx(0.9 if k >= 6 else 0.1)
        seen[k] = (time.time_ns() - moments[k]) / 1e6
    assert len(seen) >= 6, "a busy machine may leave some out, each being late"
    assert min(seen.values()) > -6 and np.median(list(seen.values())) < 25, seen
    assert graph.counts("bridges")["refused on expression"] == 0


def test_bad_frames_are_refused_and_counted_and_good_ones_go_on(avatar, listener, udp):
    graph = avatar("bridges", livelink=f"127.0.0.1:{udp.getsockname()[1]}")
    faces = listener.publisher(Expression, "expression", qos.FRAMES)
    poses = listener.publisher(PoseStamped, "head_pose", qos.FRAMES)
    now = time.time_ns() + NS // 20
    bad = [
        face(0, now, float("nan")), face(0, now, float("inf")), face(0, now, names=["jawOpen"]),
        face(0, now, weights=[0.5]), face(0, now, names=["JawOpen"], weights=[0.5]), face(0, now, names=[], weights=[]),
        face(0, now - 3600 * NS), face(0, now + 3600 * NS), face(0, 0),
        face(0, now, names=["jawOpen"] * 2, weights=[1, 1]),
    ]  # fmt: skip
    for message in bad:
        faces.publish(message)
        time.sleep(0.01)
    broken = pose(now)
    broken.pose.position.x = float("nan")
    nothing = PoseStamped()
    nothing.pose.orientation.w = 0.0
    for message in (broken, stamp(nothing, now), pose(now + 3600 * NS)):
        poses.publish(message)
    until(lambda: graph.counts("bridges")["refused on head_pose"] == 3, 5, "three refused poses")
    until(lambda: graph.counts("bridges")["refused on expression"] == len(bad), 5, "the refused faces")
    faces.publish(face(1, time.time_ns(), 0.25))
    assert jaw_and_yaw(udp.recv(4096)) == (0.25, 0.0)


def test_zmq_says_what_the_topics_say(avatar, listener, context):
    graph = avatar("bridges", zmq="tcp://127.0.0.1:*")
    subscriber = context.socket(zmq.SUB)
    subscriber.connect(graph.nodes["bridges"].senders["zmq"].endpoint)
    subscriber.subscribe("avatar/face")
    faces = listener.publisher(Expression, "expression", qos.FRAMES)
    end = time.monotonic() + 5
    k = 0
    while not subscriber.poll(20):
        assert time.monotonic() < end
        when = time.time_ns()
        faces.publish(face(k, when, 0.5))
        k += 1
    found = msgpack.unpackb(subscriber.recv_multipart()[1])
    assert found["weights"]["jawOpen"] == 0.5 and found["utterance"] == "u"


@pytest.mark.parametrize(
    "settings, text",
    [
        ({}, "nowhere to send"), ({"livelink": "nobody.invalid"}, "not known"), ({"vmc": "127.0.0.1:0"}, "vmc"),
        ({"zmq": "tcp://0.0.0.0:5999"}, "zmq-keys"), ({"zmq": "tcp://127.0.0.1:*", "zmq_keys": "/nowhere"}, "zmq_keys"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_leaves_the_node_unconfigured_with_one_line(avatar, settings, text):
    failures = avatar("bridges", **settings).failures
    assert text in failures["bridges"] and "\n" not in failures["bridges"]


def test_receivers_that_vanish_are_counted_and_the_node_goes_on(avatar, listener, udp):
    gone = udp.getsockname()[1]
    udp.close()
    graph = avatar("bridges", livelink=f"127.0.0.1:{gone}", vmc=f"127.0.0.1:{gone}")
    faces = listener.publisher(Expression, "expression", qos.FRAMES)
    for k in range(20):
        faces.publish(face(k, time.time_ns()))
        time.sleep(0.02)
    counts = graph.counts("bridges")
    assert counts["livelink: nobody listens"] > 5 and counts["vmc: nobody listens"] > 5
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
        back.bind(("127.0.0.1", gone))
        back.settimeout(3.0)
        for k in range(20, 24):
            faces.publish(face(k, time.time_ns(), 0.75))
            time.sleep(0.02)
        assert back.recv(4096)


# ------------------------------------------------------------------------------------------------ the other way


def ask(client: zmq.Socket, **request) -> dict:
    client.send(msgpack.packb(request))
    assert client.poll(5000), "no answer"
    return msgpack.unpackb(client.recv())


@pytest.fixture
def dialogue(context):
    def connect(graph) -> zmq.Socket:
        client = context.socket(zmq.REQ)
        client.connect(graph.nodes["speech_server"].server.endpoint)
        return client

    return connect


def test_speech_and_styles_become_topics(avatar, listener, dialogue):
    graph = avatar("speech_server", zmq_in="tcp://127.0.0.1:*")
    chunks = listener.listen(AudioChunk, "audio", qos.AUDIO)
    prompts = listener.listen(StylePrompt, "style_prompt", qos.PROMPT)
    node = graph.nodes["speech_server"]
    until(lambda: node.count_subscribers("audio") and node.count_subscribers("style_prompt"), 10, "the listener")
    time.sleep(0.3)
    client = dialogue(graph)
    wave = np.linspace(-1, 1, 320, dtype="<f4")
    assert ask(client, type="audio", utterance="u", sample_rate=16_000, samples=wave.tobytes())["next_sample"] == 320
    assert ask(client, type="audio", utterance="u", sample_rate=16_000, last=True)["ok"]
    assert ask(client, type="style", text="sad", strength=1.5, utterance="u", start_frame=3, ramp=0.0)["ok"]
    assert ask(client, type="style", image=b"\x89PNG..")["ok"]
    assert not ask(client, type="audio", utterance="u", sample_rate=1)["ok"]
    until(lambda: len(chunks) == 2 and len(prompts) == 2, 5, "what was sent")
    first, last = (m for _, m in chunks)
    assert (first.utterance, first.first_sample, first.sample_rate, first.channels, first.last) == (
        "u",
        0,
        16_000,
        1,
        False,
    )
    assert np.array_equal(np.frombuffer(first.float32_data, np.float32), wave)
    assert abs(first.header.stamp.sec - time.time()) < 5
    assert last.last and last.first_sample == 320
    words, picture = (m for _, m in prompts)
    assert (words.text, words.strength, words.utterance, words.start_frame, words.ramp) == ("sad", 1.5, "u", 3, 0.0)
    assert bytes(picture.image.data) == b"\x89PNG.." and picture.start_frame == -1
    assert graph.counts("speech_server")["requests refused"] == 1


def test_a_whole_file_sent_at_once_is_spoken_in_its_style(weights, speech, avatar, listener, dialogue):
    """The encoders take what comes over ZeroMQ as they take any other publisher's."""
    features = listener.listen(SpeechFeatures, "speech_features", qos.FEATURES)
    styles = listener.listen(StyleEmbedding, "style_embedding", qos.STATE)
    graph = avatar("speech_server", "speech_encoder", "style_encoder", zmq_in="tcp://127.0.0.1:*")
    node = graph.nodes["speech_server"]
    until(lambda: node.count_subscribers("audio") and node.count_subscribers("style_prompt"), 10, "the encoders")
    time.sleep(0.3)
    client = dialogue(graph)
    assert ask(client, type="style", text="very happy")["ok"]
    samples, rate = soundfile.read(speech, dtype="float32")
    for first in range(0, len(samples), rate // 4):
        part = samples[first : first + rate // 4]
        last = first + rate // 4 >= len(samples)
        assert ask(client, type="audio", utterance="u", sample_rate=rate, samples=part.tobytes(), last=last)["ok"]
    until(lambda: features and features[-1][1].last, 20, "the features of the whole speech")
    assert features[-1][1].samples == pytest.approx(len(samples) * 16_000 / rate, abs=2)
    assert styles[-1][1].prompt == "very happy" and styles[-1][1].nearest[0] == "happy"


def test_a_port_in_use_is_one_clear_line(avatar):
    first = avatar("speech_server", zmq_in="tcp://127.0.0.1:*")
    endpoint = first.nodes["speech_server"].server.endpoint
    second = avatar("speech_server", zmq_in=endpoint, namespace="other")
    assert "another program" in second.failures["speech_server"]


def test_the_client_of_the_documentation_speaks_and_sees(weights, speech, avatar, tmp_path):
    """The whole graph, and docs/bridges.md's client as a program of its own."""
    page = (ROOT / "docs" / "bridges.md").read_text(encoding="utf-8")
    (client,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "soundfile" in block)
    assert len(client.splitlines()) < 30
    graph = avatar(
        "audio_capture", "audio_playback", "speech_encoder", "style_encoder", "motion_sampler", "face_decoder",
        "bridges", "speech_server", audio="", zmq="tcp://127.0.0.1:*", zmq_in="tcp://127.0.0.1:*",
    )  # fmt: skip
    assert not graph.failures
    server = graph.nodes["speech_server"]
    until(lambda: all(server.count_subscribers(t) for t in ("speech_features", "head_motion", "expression")), 10, "all")
    time.sleep(0.5)
    client = client.replace("tcp://127.0.0.1:5570", graph.nodes["bridges"].senders["zmq"].endpoint)
    client = client.replace("tcp://127.0.0.1:5571", server.server.endpoint)
    program = tmp_path / "client.py"
    program.write_text(client.replace("face.poll(2000)", "face.poll(6000)"), encoding="utf-8")
    done = subprocess.run([sys.executable, str(program), str(speech)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {name for name, _, _ in lines} == {lines[0][0]} and lines[0][0].startswith("client-")
    numbers = [int(frame) for _, frame, _ in lines]
    assert numbers == sorted(numbers) and len(numbers) >= 30 and numbers[-1] == 89
    assert max(float(jaw) for _, _, jaw in lines) > 0.1
    assert graph.nodes["style_encoder"].style == "happy"


@pytest.mark.parametrize(
    "name, settings",
    [("bridges", {"livelink": "127.0.0.1"}), ("speech_server", {"zmq_in": "tcp://127.0.0.1:*"}), ("robot_face", {})],
)
def test_nodes_have_the_topics_that_the_graph_names(avatar, name, settings):
    spec = next(s for s in GRAPH if s.name == name)
    graph = avatar(name, **settings)
    assert not graph.failures
    node = graph.nodes[name]
    own = ("/parameter_events", "/rosout", "/tf", "/tf_static", "/robot_face/expression", f"/avatar/{name}/")
    for found, wanted in (
        (node.get_publisher_names_and_types_by_node(name, "/avatar"), spec.gives),
        (node.get_subscriber_names_and_types_by_node(name, "/avatar"), spec.takes),
    ):
        topics = {t.removeprefix("/avatar/"): k[0] for t, k in found if not t.startswith(own)}
        topics.pop("face_expression", None)  # where hri_msgs is installed
        assert topics == dict(wanted)
