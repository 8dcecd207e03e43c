"""Live Link Face, decoded from the wire with the offsets of the published layout, not with the sender's code."""

from __future__ import annotations

import socket
import struct
import time

import numpy as np
import pytest

from media2face.bodies.bridges.livelink import LiveLinkSender
from media2face.bodies.frames import FaceFrame
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import ConfigError

# Unreal's EARFaceBlendShape, written out
ORDER = """EyeBlinkLeft EyeLookDownLeft EyeLookInLeft EyeLookOutLeft EyeLookUpLeft EyeSquintLeft EyeWideLeft
EyeBlinkRight EyeLookDownRight EyeLookInRight EyeLookOutRight EyeLookUpRight EyeSquintRight EyeWideRight
JawForward JawLeft JawRight JawOpen MouthClose MouthFunnel MouthPucker MouthLeft MouthRight MouthSmileLeft
MouthSmileRight MouthFrownLeft MouthFrownRight MouthDimpleLeft MouthDimpleRight MouthStretchLeft MouthStretchRight
MouthRollLower MouthRollUpper MouthShrugLower MouthShrugUpper MouthPressLeft MouthPressRight MouthLowerDownLeft
MouthLowerDownRight MouthUpperUpLeft MouthUpperUpRight BrowDownLeft BrowDownRight BrowInnerUp BrowOuterUpLeft
BrowOuterUpRight CheekPuff CheekSquintLeft CheekSquintRight NoseSneerLeft NoseSneerRight TongueOut HeadYaw HeadPitch
HeadRoll LeftEyeYaw LeftEyePitch LeftEyeRoll RightEyeYaw RightEyePitch RightEyeRoll""".split()


def decode(data: bytes) -> dict:
    """A datagram by literal offsets: 1 byte, 4 + 36, 4 + n, 16, 1, 61 x 4."""
    assert data[0] == 6
    assert struct.unpack_from(">i", data, 1)[0] == 36
    device = data[5:41].decode("ascii")
    (n,) = struct.unpack_from(">i", data, 41)
    subject = data[45 : 45 + n].decode("utf-8")
    number, part, numerator, denominator = struct.unpack_from(">ifii", data, 45 + n)
    assert data[61 + n] == 61
    assert len(data) == 62 + n + 244
    values = dict(zip(ORDER, struct.unpack_from(">61f", data, 62 + n), strict=True))
    return {"device": device, "subject": subject, "time": (number, part, numerator, denominator), "values": values}


@pytest.fixture
def receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(2.0)
        yield made


def frame(rotation=(0.0, 0.0, 0.0, 1.0), present: int = 1_700_000_000_500_000_000, **weights: float) -> FaceFrame:
    values = np.zeros(52, np.float32)
    for name, value in weights.items():
        values[ARKIT_INDEX[name]] = value
    return FaceFrame("u", 7, 0, present, values, np.array(rotation), np.zeros(3))


def sent(receiver: socket.socket, one: FaceFrame, **settings) -> dict:
    sender = LiveLinkSender(f"127.0.0.1:{receiver.getsockname()[1]}", **settings)
    sender.send(one)
    data = receiver.recv(4096)
    sender.close()
    return decode(data)


def test_every_shape_stands_where_unreal_expects_it(receiver):
    for name, place in ARKIT_INDEX.items():
        if name.startswith("eyeLook"):
            continue
        values = sent(receiver, frame(**{name: 0.625}))["values"]
        assert values[name[0].upper() + name[1:]] == 0.625 and sum(map(abs, values.values())) == 0.625, place


def test_names_and_frame_time(receiver):
    present = 1_700_000_000_500_000_000
    found = sent(receiver, frame(present=present), subject="Ännchen")
    assert found["subject"] == "Ännchen"
    day = time.localtime(1_700_000_000)
    seconds = day.tm_hour * 3600 + day.tm_min * 60 + day.tm_sec + 0.5
    number, part, numerator, denominator = found["time"]
    assert (numerator, denominator) == (30, 1)
    assert (number + part) / 30 == pytest.approx(seconds, abs=1e-4) and 0.0 <= part < 1.0
    again = sent(receiver, frame(), subject="Ännchen")
    assert again["device"] == found["device"] != sent(receiver, frame(), subject="Berta")["device"]


@pytest.mark.parametrize(
    "axis, channel, sign",
    [((0, 0, 1), "HeadYaw", -1), ((0, 1, 0), "HeadPitch", 1), ((1, 0, 0), "HeadRoll", -1)],
)
def test_head_angles_are_radians_with_the_stated_signs(receiver, axis, channel, sign):
    angle = 0.3
    q = (*(np.array(axis) * np.sin(angle / 2)), np.cos(angle / 2))
    values = sent(receiver, frame(rotation=q))["values"]
    assert values[channel] == pytest.approx(sign * angle, abs=1e-6)
    assert sum(abs(values[c]) for c in ("HeadYaw", "HeadPitch", "HeadRoll")) == pytest.approx(angle, abs=1e-6)


def test_eye_angles_have_the_signs_of_recordings(receiver, shared_data):
    """Both channels of the app's recordings rise and fall with what is computed from their eyeLook shapes."""
    data = np.load(shared_data / "livelink_rom" / "rom_3.npz", allow_pickle=False)
    names = [str(n) for n in data["names"]]
    table = data["weights"][::40]
    mine = []
    for row in table:
        given = {n: float(np.clip(row[names.index(n[0].upper() + n[1:])], 0, 1)) for n in ARKIT_INDEX}
        mine.append(list(sent(receiver, frame(**given))["values"].values())[55:])
    mine = np.array(mine)
    for i, channel in enumerate(ORDER[55:]):
        if channel.endswith("Roll"):
            assert not mine[:, i].any()
            continue
        recorded = table[:, names.index(channel)]
        assert np.corrcoef(mine[:, i], recorded)[0, 1] > 0.95, channel
        difference = mine[:, i] - recorded
        assert np.abs(difference - np.median(difference)).mean() < 0.02, channel  # the app's eyes converge a little


@pytest.mark.parametrize(
    "settings",
    [
        {"address": "nobody.invalid"}, {"address": "127.0.0.1:0"}, {"address": "127.0.0.1:70000"},
        {"address": ":11111"}, {"address": "127.0.0.1:x"}, {"address": "127.0.0.1", "subject": ""},
        {"address": "127.0.0.1", "subject": "x" * 65}, {"address": "a..b"},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_refused(settings):
    with pytest.raises(ConfigError, match="livelink"):
        LiveLinkSender(**settings)


def test_a_receiver_may_vanish_and_come_back():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
        first.bind(("127.0.0.1", 0))
        port = first.getsockname()[1]
    sender = LiveLinkSender(f"127.0.0.1:{port}")
    for _ in range(20):
        sender.send(frame())
        time.sleep(0.002)
    assert sender.counts["livelink: nobody listens"] >= 10
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
        back.bind(("127.0.0.1", port))
        back.settimeout(2.0)
        sender.send(frame(jawOpen=0.5))
        sender.send(frame(jawOpen=0.5))
        assert decode(back.recv(4096))["values"]["JawOpen"] == 0.5
    sender.close()
