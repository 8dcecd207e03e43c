"""MCAP files: read by two readers that are not ours, whole by ours, refused with a reason when they are not whole."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
from builtin_interfaces.msg import Time  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from sensor_msgs.msg import CameraInfo  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from media2face.bodies import export  # noqa: E402
from media2face.bodies.mcap_files import McapReader, McapWriter, definition, message_class, same_definition  # noqa: E402
from media2face.runtime.audio_io import read_audio  # noqa: E402
from media2face.runtime.demo import demo_speech  # noqa: E402
from media2face.runtime.errors import InputError  # noqa: E402
from media2face_msgs.msg import AudioChunk, Expression, PlaybackClock, StylePrompt  # noqa: E402

NS = 1_000_000_000


def of(path, topic):
    with McapReader(path) as reader:
        kind = reader.topics[f"/avatar/{topic}"]
        return [(m.time, deserialize_message(m.data, kind)) for m in reader.messages({f"/avatar/{topic}"})]


def ns(stamp: Time) -> int:
    return stamp.sec * NS + stamp.nanosec


def test_our_reader_gives_the_performance_back_bit_by_bit(performance, tmp_path):
    seen = []
    path = export(performance, tmp_path / "a.mcap", progress=lambda *p: seen.append(p))
    assert seen[-1] == (20, 20)
    faces, poses = of(path, "expression"), of(path, "head_pose")
    assert [m.frame for _, m in faces] == list(range(20)) and {tuple(m.names) for _, m in faces} == {performance.names}
    assert np.array_equal(np.array([m.weights for _, m in faces], np.float32), performance.weights)
    q = [m.pose.orientation for _, m in poses]
    assert np.array_equal(np.float32([[v.x, v.y, v.z, v.w] for v in q]), performance.head_rotation)
    first = ns(faces[0][1].header.stamp)
    assert [ns(m.header.stamp) - first for _, m in faces] == [k * NS // 30 for k in range(20)]
    assert all(ns(m.header.stamp) - time == NS // 10 for time, m in faces), "out a tenth of a second before it is seen"
    start = ns(of(path, "playback_clock")[0][1].start)
    assert first == start, "frame 0 is seen when sample 0 is heard"


def test_the_sound_is_whole_and_in_order(performance, tmp_path):
    chunks = [m for _, m in of(export(performance, tmp_path / "a.mcap"), "audio")]
    samples = np.concatenate([np.frombuffer(m.float32_data, np.float32) for m in chunks])
    assert np.array_equal(samples, performance.audio)
    assert [m.first_sample for m in chunks] == list(range(0, len(samples), 1600))
    assert [m.last for m in chunks] == [False] * (len(chunks) - 1) + [True]
    assert {m.sample_rate for m in chunks} == {16_000}


def test_the_sound_of_a_file(performance, tmp_path):
    performance.audio = demo_speech()
    chunks = [m for _, m in of(export(performance, tmp_path / "a.mcap"), "audio")]
    samples = np.concatenate([np.frombuffer(m.float32_data, np.float32) for m in chunks])
    assert np.array_equal(samples, read_audio(demo_speech()).samples) and chunks[-1].last


def test_style_is_there_when_it_was_said(performance, tmp_path):
    performance.style, performance.strength, performance.audio = "a cheerful host", 1.5, None
    path = export(performance, tmp_path / "a.mcap")
    ((_, prompt),) = of(path, "style_prompt")
    assert prompt.text == "a cheerful host" and prompt.strength == 1.5
    with McapReader(path) as reader:
        assert "/avatar/audio" not in reader.topics
        times = [m.time for m in reader.messages()]
    assert times == sorted(times)


def test_readers_of_others_read_it(performance, tmp_path):
    """mcap-ros2-support and rosbags parse the definitions in the file and the bytes by them: neither has our code."""
    reader = pytest.importorskip("mcap_ros2.reader")
    path = export(performance, tmp_path / "a.mcap")
    weights = [m.ros_msg.weights for m in reader.read_ros2_messages(str(path), topics=["/avatar/expression"])]
    assert np.array_equal(np.float32(weights), performance.weights)
    highlevel = pytest.importorskip("rosbags.highlevel")
    with highlevel.AnyReader([path]) as bag:
        counts = {c.topic: c.msgcount for c in bag.connections}
        assert counts["/avatar/expression"] == counts["/avatar/head_pose"] == 20
        found = [bag.deserialize(raw, c.msgtype) for c, _, raw in bag.messages() if c.topic == "/avatar/head_pose"]
    assert np.allclose([m.pose.position.x for m in found], 0.001)


@pytest.mark.parametrize("kind", [Expression, AudioChunk, StylePrompt, PlaybackClock, DiagnosticArray, CameraInfo])
def test_definitions_are_those_of_the_installed_messages(kind):
    """Against the .msg files of ROS themselves, with their comments, constants and defaults."""
    from pathlib import Path

    from ament_index_python.packages import get_package_share_directory

    texts, waiting, seen = [], [kind], {kind}
    while waiting:
        one = waiting.pop(0)
        package = one.__module__.split(".")[0]
        share = Path(get_package_share_directory(package)) / "msg" / f"{one.__name__}.msg"
        texts.append((f"{'=' * 80}\nMSG: {package}/{one.__name__}\n" if texts else "") + share.read_text())
        for said in one.get_fields_and_field_types().values():
            inner = said.removeprefix("sequence<").split(">")[0].split("[")[0].split(",")[0]
            found = message_class("/msg/".join(inner.split("/"))) if "/" in inner else None
            if found and found not in seen:
                seen.add(found)
                waiting.append(found)
    text = "\n".join(texts)
    assert same_definition(text, kind)
    assert not same_definition(text.replace("header", "heading", 1), kind)
    assert definition(kind).startswith("std_msgs/Header header\n")


def test_files_that_are_not_whole_are_refused(performance, tmp_path):
    whole = export(performance, tmp_path / "a.mcap").read_bytes()
    bad = tmp_path / "b.mcap"
    for cut in (9, 100, len(whole) // 2, len(whole) - 3):
        bad.write_bytes(whole[:cut])
        with pytest.raises(InputError, match="cut off or damaged.*mcap recover"):
            McapReader(bad)
    for text in (b"", b"no mcap at all", b"\x89PNG\r\n\x1a\n" + bytes(200)):
        bad.write_bytes(text)
        with pytest.raises(InputError, match="no MCAP file"):
            McapReader(bad)
    with pytest.raises(InputError, match="cannot read"):
        McapReader(tmp_path / "none.mcap")


def test_a_flipped_byte_is_found(performance, tmp_path):
    data = bytearray(export(performance, tmp_path / "a.mcap").read_bytes())
    data[len(data) // 2] ^= 0x40  # in the middle of the one chunk of messages
    (tmp_path / "b.mcap").write_bytes(data)
    with McapReader(tmp_path / "b.mcap") as reader, pytest.raises(InputError, match="damaged in its messages"):
        list(reader.messages())


def test_topics_that_cannot_be_read_here_are_left_out_with_a_reason(tmp_path):
    from mcap.writer import Writer

    path = tmp_path / "a.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="ros2")
        data = serialize_message(String(data="hello"))
        for name, kind, text, encoding in (
            ("/good", "std_msgs/msg/String", b"string data  # words", "cdr"),
            ("/older", "std_msgs/msg/String", b"string text", "cdr"),
            ("/unknown", "their_msgs/msg/Face", b"float32 x", "cdr"),
            ("/evil", "os.path/msg/System", b"float32 x", "cdr"),
            ("/json", "std_msgs/msg/String", b"string data", "json"),
        ):
            schema = writer.register_schema(kind, "ros2msg", text)
            writer.add_message(writer.register_channel(name, encoding, schema), 1, data, 1)
        writer.finish()
    with McapReader(path) as reader:
        assert set(reader.topics) == {"/good"} and reader.count == 1
        assert "another version" in reader.left_out["/older"] and "not installed" in reader.left_out["/unknown"]
        assert "not installed" in reader.left_out["/evil"] and "not a ROS 2 topic" in reader.left_out["/json"]
        assert [m.data for m in reader.messages()] == [data]


def test_a_file_without_topics_of_ours_is_refused(tmp_path):
    from mcap.writer import Writer

    with (tmp_path / "a.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start()
        writer.add_message(writer.register_channel("/x", "json", 0), 1, b"{}", 1)
        writer.finish()
    with pytest.raises(InputError, match="nothing to play"):
        McapReader(tmp_path / "a.mcap")


def test_a_long_file_is_read_a_chunk_at_a_time(tmp_path):
    """60 MB of messages: reading them holds a few chunks of 1 MB, not the file."""
    import tracemalloc

    path = tmp_path / "long.mcap"
    rng = np.random.default_rng(0)
    with McapWriter(path) as file:
        file.topic("/words", String)
        for k in range(600):
            file.write("/words", serialize_message(String(data=rng.bytes(50_000).hex())), k)
    tracemalloc.start()
    with McapReader(path) as reader:
        assert sum(len(m.data) for m in reader.messages()) > 60e6 - 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6
