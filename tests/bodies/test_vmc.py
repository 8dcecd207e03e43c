"""VMC, received with python-osc's server over a real socket, and byte by byte by hand."""

from __future__ import annotations

import socket
import struct
import threading
import time

import numpy as np
import pytest
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer

from media2face.bodies.bridges.vmc import REST, VmcSender
from media2face.bodies.frames import FaceFrame
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import ConfigError, ModelError
from media2face.runtime.eyes import TURN_RAD

NS = 1_000_000_000


def frame(rotation=(0.0, 0.0, 0.0, 1.0), translation=(0.0, 0.0, 0.0), present=NS, **weights) -> FaceFrame:
    values = np.zeros(52, np.float32)
    for name, value in weights.items():
        values[ARKIT_INDEX[name]] = value
    return FaceFrame("u", 0, 0, present, values, np.array(rotation), np.array(translation))


class Marionette:
    """Shapes and bones as a receiver sees them: shapes count once they are applied."""

    def __init__(self) -> None:
        self.shapes, self.bones, self.ok, self.times = {}, {}, [], []
        self.applied = 0
        waiting: dict[str, float] = {}

        def apply(address, *arguments):
            assert not arguments
            self.shapes = dict(waiting)
            waiting.clear()
            self.applied += 1

        dispatcher = Dispatcher()
        dispatcher.map("/VMC/Ext/Blend/Val", lambda _, name, value: waiting.update({name: value}))
        dispatcher.map("/VMC/Ext/Blend/Apply", apply)
        dispatcher.map("/VMC/Ext/Bone/Pos", lambda _, bone, *pose: self.bones.update({bone: np.array(pose)}))
        dispatcher.map("/VMC/Ext/OK", lambda _, *values: self.ok.append(values))
        dispatcher.map("/VMC/Ext/T", lambda _, value: self.times.append(value))
        self.server = BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def after(self, sender: VmcSender, one: FaceFrame) -> Marionette:
        """Itself, once it has applied a frame."""
        before = self.applied
        sender.send(one)
        end = time.monotonic() + 5
        while self.applied == before:
            assert time.monotonic() < end, "the frame was not applied"
            time.sleep(0.005)
        return self


@pytest.fixture
def marionette():
    made = Marionette()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join(2.0)


@pytest.fixture
def sender(marionette):
    made = VmcSender(f"127.0.0.1:{marionette.port}")
    yield made
    made.close()


def test_all_shapes_arrive_by_their_perfect_sync_names(marionette, sender):
    weights = {name: (i + 1) / 64 for i, name in enumerate(ARKIT_NAMES)}
    shapes = marionette.after(sender, frame(**weights)).shapes
    assert shapes == {name[0].upper() + name[1:]: value for name, value in weights.items()}
    assert marionette.ok == [(1, 3, 0)] and marionette.times == [0.0]
    marionette.after(sender, frame(present=NS + NS // 2))
    assert marionette.times[-1] == 0.5
    plain = VmcSender(f"127.0.0.1:{marionette.port}", "arkit")
    assert set(marionette.after(plain, frame()).shapes) == set(ARKIT_NAMES)
    plain.close()


def turned_forward(quaternion: np.ndarray) -> np.ndarray:
    """Where z (forward) and x (right) of Unity go under a quaternion, by the textbook's sandwich product."""
    x, y, z, w = quaternion
    vector, out = np.array([x, y, z]), []
    for point in (np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])):
        out.append(point + 2 * np.cross(vector, np.cross(vector, point) + w * point))
    return np.array(out)


def hamilton(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    v = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
    return np.append(v, a[3] * b[3] - a[:3] @ b[:3])


@pytest.mark.parametrize(
    "axis, forward, right",
    [  # in Unity: x to the face's own right, y up, z forward
        ((0, 0, 1), (-np.sin(0.4), 0, np.cos(0.4)), (np.cos(0.4), 0, np.sin(0.4))),  # turns to its left
        ((0, 1, 0), (0, -np.sin(0.4), np.cos(0.4)), (1, 0, 0)),  # looks down
        ((1, 0, 0), (0, 0, 1), (np.cos(0.4), -np.sin(0.4), 0)),  # leans to its right: the right side goes down
    ],
)
def test_the_head_turns_as_it_should_in_unity(marionette, sender, axis, forward, right):
    q = (*(np.array(axis) * np.sin(0.2)), np.cos(0.2))
    bones = marionette.after(sender, frame(rotation=q)).bones
    neck, head = bones["Neck"][3:], bones["Head"][3:]
    found = turned_forward(hamilton(neck, head))
    assert np.allclose(found, [forward, right], atol=1e-6)
    assert 0 < np.arccos(neck[3]) < np.arccos(head[3])


def test_eyes_turn_as_they_should_in_unity(marionette, sender):
    bones = marionette.after(sender, frame(eyeLookOutLeft=1.0, eyeLookInRight=1.0)).bones
    for bone, turn in (("LeftEye", "Out"), ("RightEye", "In")):  # both to the face's left, -x
        angle = TURN_RAD[turn]
        assert np.allclose(turned_forward(bones[bone][3:])[0], [-np.sin(angle), 0, np.cos(angle)], atol=1e-6)
    bones = marionette.after(sender, frame(eyeLookUpLeft=1.0, eyeLookDownRight=1.0)).bones
    assert turned_forward(bones["LeftEye"][3:])[0][1] == pytest.approx(np.sin(TURN_RAD["Up"]), abs=1e-6)
    assert turned_forward(bones["RightEye"][3:])[0][1] == pytest.approx(-np.sin(TURN_RAD["Down"]), abs=1e-6)


def test_positions_are_those_of_our_head_in_unity(marionette, sender):
    from media2face.runtime.rig_asset import RigAsset

    try:
        rig = RigAsset.load(None)
    except ModelError as error:
        pytest.skip(str(error))
    for (x, y, z), bone in zip(rig.eye_centres - rig.neck_pivot, ("LeftEye", "RightEye"), strict=True):
        assert np.allclose(REST[bone], (-y, z, x), atol=0.001)
    bones = marionette.after(sender, frame(translation=(0.01, 0.02, 0.03))).bones
    assert np.allclose(bones["Neck"][:3] - REST["Neck"], (-0.02, 0.03, 0.01), atol=1e-6)


def test_bytes_on_the_wire_are_small_bundles_whose_last_message_applies():
    """OSC 1.0 by hand: '#bundle', time tag 1 (at once), then size and message; strings padded to four bytes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(2.0)
        sender = VmcSender(f"127.0.0.1:{receiver.getsockname()[1]}")
        sender.send(frame(jawOpen=0.75))
        found = []
        while not found or found[-1][0] != "/VMC/Ext/Blend/Apply":
            data = receiver.recv(65536)
            assert len(data) <= 1400 and data[:8] == b"#bundle\0" and struct.unpack(">Q", data[8:16]) == (1,)
            at = 16
            while at < len(data):
                (size,) = struct.unpack_from(">i", data, at)
                assert size % 4 == 0
                found.append(_message(data[at + 4 : at + 4 + size]))
                at += 4 + size
            assert at == len(data)
        sender.close()
    assert [a for a, *_ in found].count("/VMC/Ext/Blend/Val") == 52
    assert ("/VMC/Ext/Blend/Val", ",sf", ["JawOpen", 0.75]) in found
    assert {v[0] for a, t, v in found if a == "/VMC/Ext/Bone/Pos" and t == ",sfffffff"} == {
        "Neck", "Head", "LeftEye", "RightEye"
    }  # fmt: skip


def _message(data: bytes) -> tuple[str, str, list]:
    def text(at: int) -> tuple[str, int]:
        end = data.index(b"\0", at)
        return data[at:end].decode("ascii"), end + 4 - end % 4

    address, at = text(0)
    tags, at = text(at)
    values = []
    for tag in tags[1:]:
        if tag == "s":
            value, at = text(at)
        else:
            (value,) = struct.unpack_from({"i": ">i", "f": ">f"}[tag], data, at)
            at += 4
        values.append(value)
    assert at == len(data)
    return address, tags, values


@pytest.mark.parametrize("settings", [{"address": "nobody.invalid"}, {"address": "127.0.0.1", "names": "vrm"}])
def test_settings_that_cannot_be_used_are_refused(settings):
    with pytest.raises(ConfigError, match="vmc"):
        VmcSender(**settings)
