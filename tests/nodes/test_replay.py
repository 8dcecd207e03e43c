"""Replay over real DDS: the frames of the file on the same topics, stamps of now, order and spacing as they were."""

import time

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from media2face.bodies import export
from media2face.bodies.mcap_files import McapReader
from media2face.nodes import qos
from media2face.nodes.replay import Player, places_of
from media2face.runtime.errors import ConfigError, InputError
from media2face.runtime.offline import Performance
from media2face_msgs.msg import AudioChunk, Expression, PlaybackClock

from .harness import Listener, until

FRAMES = 24


@pytest.fixture(scope="module")
def performance() -> Performance:
    rng = np.random.default_rng(1)
    turn = np.concatenate([rng.normal(0, 0.1, (FRAMES, 3)), np.ones((FRAMES, 1))], axis=1)
    return Performance(
        weights=rng.random((FRAMES, 52), np.float32),
        head_rotation=(turn / np.linalg.norm(turn, axis=1, keepdims=True)).astype(np.float32),
        head_translation=rng.normal(0, 0.01, (FRAMES, 3)).astype(np.float32),
        latents=np.zeros((FRAMES, 64), np.float32), model="denoiser", seed=2,
        audio=rng.normal(0, 0.1, FRAMES * 16_000 // 30).astype(np.float32),
    )  # fmt: skip


@pytest.fixture(scope="module")
def file(performance, tmp_path_factory):
    return export(performance, tmp_path_factory.mktemp("replay") / "a.mcap")


@pytest.fixture
def node(domain):
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    yield Node("replay", context=context)
    rclpy.try_shutdown(context=context)


def ns(stamp) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


def player_for(node, reader, listener, readers: int, **options) -> Player:
    player = Player(node, reader, **options)
    until(lambda: player.subscribers() >= readers, 20, "subscribers")
    time.sleep(0.3)
    return player


def test_replay_gives_the_same_frames_on_the_same_topics(file, performance, node, listener):
    faces = listener.listen(Expression, "expression", qos.FRAMES)
    poses = listener.listen(PoseStamped, "head_pose", qos.FRAMES)
    sound = listener.listen(AudioChunk, "audio", qos.AUDIO)
    clocks = listener.listen(PlaybackClock, "playback_clock", qos.STATE)
    seen = []
    with McapReader(file) as reader:
        player = player_for(node, reader, listener, 4)
        began = time.time_ns()
        assert player.play(lambda s: seen.append(s) or True)
        until(lambda: len(faces) == len(poses) == FRAMES and len(sound) == 8, 10, "all frames")
        assert player.sent == reader.count and seen == sorted(seen) and seen[-1] == pytest.approx(1.1, abs=0.01)
    assert [m.frame for _, m in faces] == list(range(FRAMES))
    assert np.array_equal(np.float32([m.weights for _, m in faces]), performance.weights)
    q = [m.pose.orientation for _, m in poses]
    assert np.array_equal(np.float32([[v.x, v.y, v.z, v.w] for v in q]), performance.head_rotation)
    heard = np.concatenate([np.frombuffer(m.float32_data, np.float32) for _, m in sound])
    assert np.array_equal(heard, performance.audio)
    stamps = [ns(m.header.stamp) for _, m in faces]
    assert [s - stamps[0] for s in stamps] == [k * 10**9 // 30 for k in range(FRAMES)], "to the nanosecond"
    assert abs(stamps[0] - (began + 500_000_000)) < 300_000_000, "stamps are of now"
    late = np.array([receipt - ns(m.header.stamp) for receipt, m in faces]) / 1e6
    assert np.median(late) == pytest.approx(-100, abs=40), "out a tenth of a second before they are to be seen"
    assert {ns(m.start) for _, m in clocks} == {stamps[0]} and clocks[-1][1].last


def test_namespace_rate_topics_and_rounds(file, node, domain):
    other = Listener(domain, "robot/anna")
    try:
        faces = other.listen(Expression, "expression", qos.FRAMES)
        poses = other.listen(PoseStamped, "head_pose", qos.FRAMES)
        sound = other.listen(AudioChunk, "audio", qos.AUDIO)
        with McapReader(file) as reader:
            options = {"namespace": "/robot/anna", "rate": 4.0, "topics": ["expression", "head_pose"]}
            player = player_for(node, reader, other, 2, **options)
            assert player.places == ["/robot/anna/expression", "/robot/anna/head_pose"]
            assert player.play() and player.play()
            until(lambda: len(faces) == len(poses) == 2 * FRAMES, 10, "two rounds")
        assert not sound
        stamps = np.array([ns(m.header.stamp) for _, m in faces[:FRAMES]])
        assert np.abs(np.diff(stamps) - 1e9 / 120).max() < 10, "four times as fast"
        assert {m.header.frame_id for _, m in poses} == {"robot/anna/head_rest"}
        first, second = ([m.utterance for _, m in part] for part in (faces[:FRAMES], faces[FRAMES:]))
        assert set(first) == {"speech-2"} and set(second) == {"speech-2 (2)"}, "each round is an utterance of its own"
    finally:
        other.close()


def test_names_within_a_namespace():
    recorded = ("/avatar/look_at", "/robot_face/look_at", "/avatar/image/compressed", "/avatar/expression", "/tf")
    assert places_of(recorded, "robot") == {
        "/avatar/look_at": "/robot/look_at", "/robot_face/look_at": "/robot_face/look_at",
        "/avatar/image/compressed": "/robot/image/compressed", "/avatar/expression": "/robot/expression", "/tf": "/tf",
    }  # fmt: skip


def test_it_stops_when_told(file, node):
    with McapReader(file) as reader:
        player = Player(node, reader)
        assert not player.play(lambda s: s < 0.4)
        assert 0 < player.sent < reader.count


def test_what_cannot_be_played(file, node, tmp_path):
    with McapReader(file) as reader:
        with pytest.raises(InputError, match="no topic smell: it has audio, expression"):
            Player(node, reader, topics=["smell"])
    with pytest.raises(ConfigError, match="several avatars"):
        places_of(["/a/expression", "/b/expression"], "robot")
    assert places_of(["/a/expression", "/tf"], "") == {"/a/expression": "/expression", "/tf": "/tf"}


def test_the_command(file, performance, domain, listener):
    import os
    import subprocess
    import sys

    faces = listener.listen(Expression, "expression", qos.FRAMES)
    done = subprocess.run(
        [sys.executable, "-m", "media2face.cli.main", "replay", str(file), "--wait", "3"],
        capture_output=True, text=True, timeout=60, env=os.environ | {"ROS_DOMAIN_ID": str(domain)},
    )  # fmt: skip
    assert done.returncode == 0 and "/avatar/expression" in done.stdout, done.stderr
    until(lambda: len(faces) == FRAMES, 5, "the frames")
    assert np.array_equal(np.float32([m.weights for _, m in faces]), performance.weights)


def test_what_is_recorded_can_be_replayed(file, performance, node, domain, tmp_path):
    """record hears a replay over DDS and writes the same bytes at the same distances; its file replays too."""
    import os
    import signal
    import subprocess
    import sys

    path = tmp_path / "take.mcap"
    command = [sys.executable, "-m", "media2face.cli.main", "record", "-o", str(path)]
    recorder = subprocess.Popen(
        command, env=os.environ | {"ROS_DOMAIN_ID": str(domain)}, stdout=subprocess.PIPE, text=True
    )
    try:
        with McapReader(file) as reader:
            player = Player(node, reader)
            until(lambda: player.subscribers() >= 4, 30, "the recorder")
            time.sleep(0.5)
            player.play()
        time.sleep(0.5)
        assert not path.exists(), "the file appears when it is whole"
        recorder.send_signal(signal.SIGINT)
        said, _ = recorder.communicate(timeout=20)
    finally:
        recorder.kill()
    assert recorder.returncode == 0 and "24 /avatar/expression" in said
    with McapReader(path) as take:
        found = [deserialize_message(m.data, Expression) for m in take.messages({"/avatar/expression"})]
        assert "/avatar/playback_clock" in take.latched
        assert Player(node, take, rate=20.0).play()
    assert np.array_equal(np.float32([m.weights for m in found]), performance.weights)
    assert [p.name for p in tmp_path.iterdir()] == ["take.mcap"]


def test_the_command_refuses_in_one_line(tmp_path, capsys):
    from media2face.cli.main import main

    (tmp_path / "a.mcap").write_bytes(b"\x89MCAP0\r\n cut")
    assert main(["replay", str(tmp_path / "a.mcap")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "cut off or damaged" in lines[0]
    with pytest.raises(SystemExit):
        main(["replay", "a.mcap", "--rate", "nan"])
