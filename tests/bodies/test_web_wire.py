"""What a page sends is untrusted: every field is checked; what it is sent has the layout that it reads."""

import json
import struct

import numpy as np
import pytest

from media2face.bodies.web import wire
from media2face.runtime.errors import InputError


def ask(**fields) -> str:
    return json.dumps(fields)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        (ask(type="ping", t=12.5), wire.Ping(12.5)),
        (ask(type="watch", id=3, namespace="/anna"), wire.Watch("/anna")),
        (ask(type="style", text="a cheerful host"), wire.Style("a cheerful host", 1.0, 0.3)),
        (ask(type="style", text="", strength=2, ramp=0), wire.Style("", 2.0, 0.0)),
        (ask(type="keyframe", weights={"jawOpen": 0.5}), wire.Keyframe({"jawOpen": 0.5})),
        (ask(type="interrupt", id=9), wire.Interrupt()),
    ],
)
def test_requests_are_read(text, request_):
    number, got = wire.parse_text(text)
    assert got == request_
    assert number == json.loads(text).get("id", 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "JSON"),
        ("[1, 2]", "JSON object"),
        ("[" * 9000, "JSON object"),
        ('{"type": "style", "text": "' + "a" * 20_000 + '"}', "at most"),
        (ask(type="shutdown"), "expected a type of"),
        (ask(type=["style"]), "expected a type of"),
        (ask(type="style", id=-1, text="x"), "id of 0"),
        (ask(type="style", id=True, text="x"), "id of 0"),
        (ask(type="style"), "text"),
        (ask(type="style", text=7), "text"),
        (ask(type="style", text="x" * 1001), "1000 characters"),
        (ask(type="style", text="x", strength=2.1), "within 0 and 2"),
        (ask(type="style", text="x", strength="1"), "number"),
        (ask(type="style", text="x", strength=True), "number"),
        ('{"type": "style", "text": "x", "strength": NaN}', "number"),
        ('{"type": "style", "text": "x", "strength": 1e999}', "number"),
        ('{"type": "style", "text": "\\ud800"}', "Unicode"),
        (ask(type="style", text="x", ramp=11), "ramp"),
        (ask(type="keyframe", weights=[1, 2]), "object"),
        (ask(type="keyframe", weights={"jawopen": 1}), "jawOpen"),
        (ask(type="keyframe", weights={"jawOpen": 1.5}), "jawOpen must lie"),
        (ask(type="keyframe", weights={str(k): 1 for k in range(60)}), "object"),
        (ask(type="watch", namespace="/" * 300), "at most"),
        (ask(type="ping", t="now"), "number"),
    ],
)
def test_bad_requests_are_refused_with_a_reason(text, says):
    with pytest.raises(InputError, match=says):
        wire.parse_text(text)


def test_pictures():
    data = struct.pack("<B3xIf", wire.PICTURE, 7, 0.5) + b"\x89PNG and so on"
    assert wire.parse_binary(data) == (7, wire.Picture(b"\x89PNG and so on", 0.5))
    for bad in (b"", b"\x02" + data[1:], data[:12], data + b"0" * wire.MAX_PICTURE):
        with pytest.raises(InputError):
            wire.parse_binary(bad)
    with pytest.raises(InputError, match="strength"):
        wire.parse_binary(struct.pack("<B3xIf", wire.PICTURE, 7, float("nan")) + b"12345678")


def test_layout_of_a_frame():
    weights = np.linspace(0.0, 1.0, 52, dtype=np.float32)
    data = wire.face_message("hello", 77, 3, 1234.5, weights)
    assert len(data) == 24 + 104
    kind, revision, frame, utterance, stamp = struct.unpack_from("<B3xIIId", data)
    assert (kind, revision, frame, stamp) == (wire.FACE, 3, 77, 1234.5)
    assert utterance == wire.short_id("hello") == 0x3610A686
    assert np.allclose(np.frombuffer(data, "<u2", 52, 24) / 65535.0, weights, atol=1e-5)


def test_layout_of_a_pose_and_of_sound():
    data = wire.pose_message(2, 10.0, (0, 0, 0.6, 0.8), (0.01, 0.02, 0.03))
    assert len(data) == 44
    assert struct.unpack_from("<B3xId7f", data) == pytest.approx((wire.POSE, 2, 10.0, 0, 0, 0.6, 0.8, 0.01, 0.02, 0.03))
    data = wire.sound_message("hello", 1600, np.array([0.0, 1.0, -2.0], np.float32), True)
    assert struct.unpack_from("<BBxxII", data) == (wire.SOUND, 1, wire.short_id("hello"), 1600)
    assert np.frombuffer(data, "<i2", offset=12).tolist() == [0, 32767, -32767]
