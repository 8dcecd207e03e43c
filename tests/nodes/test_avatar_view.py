"""The page's node on real topics: who is watched, what a page is sent, what it may ask for, what is refused."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from array import array

import aiohttp
import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from harness import Listener, until

from media2face.bodies.web import wire
from media2face.nodes import avatar_view, qos
from media2face.nodes.base import to_stamp
from media2face.runtime.arkit import ARKIT_NAMES
from media2face_msgs.msg import AudioChunk, Expression, PlaybackClock, StyleEmbedding
from media2face_msgs.srv import AddKeyframe, Interrupt, SetStyle


class Page:
    """A page without a browser: keeps what it is sent, sends what a test asks for."""

    def __init__(self, address: str, namespace: str = "/avatar") -> None:
        self.faces, self.poses, self.sounds, self.texts = [], [], [], []
        self._address, self._namespace = address, namespace
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._live()), daemon=True)
        self._socket = None
        self._thread.start()
        until(lambda: self._socket is not None, 10, "the page's socket")

    async def _live(self) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(self._address + "socket") as connection:
            self._socket = connection
            await connection.send_str(json.dumps({"type": "watch", "namespace": self._namespace}))
            pinging = asyncio.create_task(self._ping())
            async for message in connection:
                if message.type == aiohttp.WSMsgType.TEXT:
                    self.texts.append(json.loads(message.data))
                else:
                    kept = {wire.FACE: self.faces, wire.POSE: self.poses, wire.SOUND: self.sounds}[message.data[0]]
                    kept.append(message.data)
            pinging.cancel()

    async def _ping(self) -> None:
        while True:
            await self._socket.send_str('{"type": "ping", "t": 0}')
            await asyncio.sleep(1.0)

    def send(self, message) -> None:
        """A JSON object, or bytes."""
        sending = self._socket.send_bytes(message) if isinstance(message, bytes) else self._socket.send_json(message)
        asyncio.run_coroutine_threadsafe(sending, self._loop).result(5)

    def text(self, kind: str, seconds: float = 10.0, **fields) -> dict:
        """Wait for a JSON message."""

        def found():
            return [m for m in self.texts if m["type"] == kind and fields.items() <= m.items()]

        until(lambda: found(), seconds, f"{kind} {fields}")
        return found()[-1]

    def close(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._socket.close(), self._loop)
        self._thread.join(5)


@pytest.fixture
def view(avatar):
    graph = avatar("avatar_view", page_port=0)
    assert not graph.failures, graph.failures
    return graph.nodes["avatar_view"]


@pytest.fixture
def page(view):
    made = Page(view.server.address)
    yield made
    made.close()


def expression(frame: int = 0, ahead: float = 0.1, revision: int = 0, **weights) -> Expression:
    message = Expression(utterance="u", frame=frame, revision=revision, names=list(ARKIT_NAMES))
    values = np.zeros(52, np.float32)
    for name, value in weights.items():
        values[ARKIT_NAMES.index(name)] = value
    message.weights = array("f", values.tobytes())
    message.header.stamp = to_stamp(time.time_ns() + round(ahead * 1e9))
    return message


def pose(w: float = 1.0, x: float = 0.0, ahead: float = 0.1) -> PoseStamped:
    message = PoseStamped()
    message.pose.orientation.w, message.pose.orientation.x = w, x
    message.pose.position.z = 0.01
    message.header.stamp = to_stamp(time.time_ns() + round(ahead * 1e9))
    return message


def test_nobody_looks_nothing_is_subscribed(view, listener):
    assert view.line == view.server.address
    listener.publisher(Expression, "expression", qos.FRAMES, readers=0)
    assert listener.node.count_subscribers("/avatar/expression") == 0
    page = Page(view.server.address)
    until(lambda: listener.node.count_subscribers("/avatar/expression") == 1, 10, "a subscription")
    page.close()
    until(lambda: listener.node.count_subscribers("/avatar/expression") == 0, 10, "the subscription to go")


def test_a_page_sees_what_is_published(view, page, listener):
    faces = listener.publisher(Expression, "expression", qos.FRAMES)
    poses = listener.publisher(PoseStamped, "head_pose", qos.FRAMES)
    message = expression(frame=12, revision=3, jawOpen=0.5)
    shuffled = expression(frame=13, revision=3)
    shuffled.names, shuffled.weights = ["jawOpen", "eyeBlinkLeft"], array("f", [0.25, 1.0])
    for one in (message, shuffled):
        faces.publish(one)
    poses.publish(pose(w=0.8, x=0.6))
    until(lambda: len(page.faces) == 2 and page.poses, 10, "two frames and a pose")
    kind, revision, frame, utterance, stamp = struct.unpack_from("<B3xIIId", page.faces[0])
    assert (kind, revision, frame, utterance) == (wire.FACE, 3, 12, wire.short_id("u"))
    assert stamp == pytest.approx(message.header.stamp.sec * 1e3 + message.header.stamp.nanosec / 1e6, abs=1e-3)
    weights = np.frombuffer(page.faces[1], "<u2", offset=24) / 65535.0
    assert weights[ARKIT_NAMES.index("jawOpen")] == pytest.approx(0.25, abs=1e-4)
    assert weights[0] == 1.0 and weights.sum() == pytest.approx(1.25, abs=1e-3)
    assert struct.unpack_from("<B3xId7f", page.poses[0])[3:] == pytest.approx((0.6, 0, 0, 0.8, 0, 0, 0.01))


def test_frames_that_cannot_be_shown_are_refused_and_counted(view, page, listener):
    faces = listener.publisher(Expression, "expression", qos.FRAMES)
    poses = listener.publisher(PoseStamped, "head_pose", qos.FRAMES)
    bad = [expression(jawOpen=float("nan")), expression(ahead=-60.0), expression(ahead=3600.0)]
    for names, weights in ((["jawDrop"], [0.5]), (["jawOpen"] * 2, [0.5, 0.5]), (["jawOpen"], []), ([], [])):
        message = expression()
        message.names, message.weights = names, array("f", weights)
        bad.append(message)
    for message in bad:
        faces.publish(message)
        time.sleep(0.02)
    for message in (pose(w=0.0), pose(w=float("nan")), pose(ahead=-60.0)):
        poses.publish(message)
        time.sleep(0.02)
    until(lambda: view.troubles()["refused on expression"] == len(bad), 10, "every bad frame to be counted")
    until(lambda: view.troubles()["refused on head_pose"] == 3, 10, "every bad pose to be counted")
    faces.publish(expression(frame=9))
    until(lambda: len(page.faces) == 1, 10, "the good frame after them")
    assert not page.poses


def test_sound_clock_and_style(view, page, listener):
    audio = listener.publisher(AudioChunk, "audio", qos.AUDIO)
    clock = listener.publisher(PlaybackClock, "playback_clock", qos.STATE)
    style = listener.publisher(StyleEmbedding, "style_embedding", qos.STATE)
    audio.publish(AudioChunk(utterance="u", sample_rate=16000, channels=3, encoding=1, int16_data=array("h", [1, 2])))
    tone = array("f", (0.5 * np.sin(np.arange(3200) / 5)).astype(np.float32).tobytes())
    for k in range(2):
        audio.publish(AudioChunk(utterance="u", first_sample=1600 * k, sample_rate=16000, channels=1,
                                 float32_data=tone[1600 * k : 1600 * (k + 1)], last=k == 1))  # fmt: skip
    until(lambda: page.sounds and page.sounds[-1][1] == 1, 10, "the sound to its end")
    samples = np.concatenate([np.frombuffer(s, "<i2", offset=12) for s in page.sounds]) / 32767.0
    assert len(samples) == 3200 and np.allclose(samples, np.frombuffer(tone, np.float32), atol=1e-4)
    assert view.troubles()["refused on audio"] == 1
    message = PlaybackClock(utterance="u", position=float("nan"))
    clock.publish(message)
    until(lambda: view.troubles()["refused on playback_clock"] == 1, 10, "the bad clock to be counted")
    clock.publish(PlaybackClock(utterance="u", start=to_stamp(5 * 10**9), received=0.2, presentation_delay=0.3))
    assert page.text("clock", utterance="u")["start"] == 5000.0
    style.publish(StyleEmbedding(prompt="merry", nearest=["happy"], similarity=array("f", [0.9]), known=True))
    assert page.text("style", prompt="merry")["nearest"] == ["happy"]


def test_wishes_reach_the_services_and_their_answers_the_page(view, page, listener):
    asked = []

    def serve(kind, name, text, success=True):
        def answer(request, response):
            asked.append(request)
            response.success, response.message = success, text
            return response

        listener.node.create_service(kind, name, answer)

    serve(SetStyle, "set_style", "happy, similarity 0.93")
    serve(AddKeyframe, "add_keyframe", "a keyframe belongs to speech", success=False)
    serve(Interrupt, "interrupt", "")
    page.text("avatars")
    page.send({"type": "style", "id": 1, "text": "a cheerful host", "strength": 1.5})
    assert page.text("answer", id=1) == {"type": "answer", "id": 1, "ok": True, "text": "happy, similarity 0.93"}
    assert asked[-1].prompt.text == "a cheerful host" and asked[-1].prompt.strength == 1.5
    assert asked[-1].prompt.start_frame == -1
    page.send(struct.pack("<B3xIf", wire.PICTURE, 2, 0.5) + b"a picture's bytes")
    assert page.text("answer", id=2)["ok"]
    assert bytes(asked[-1].prompt.image.data) == b"a picture's bytes" and not asked[-1].prompt.text
    page.send({"type": "keyframe", "id": 3, "weights": {"jawOpen": 0.5, "mouthSmileLeft": 1}})
    assert page.text("answer", id=3) == {"type": "answer", "id": 3, "ok": False, "text": "a keyframe belongs to speech"}
    assert asked[-1].keyframe.names == ["jawOpen", "mouthSmileLeft"] and asked[-1].keyframe.frame == -1
    page.send({"type": "interrupt", "id": 4})
    assert page.text("answer", id=4) == {"type": "answer", "id": 4, "ok": True, "text": "done"}
    page.send({"type": "style", "id": 5, "text": "x", "strength": 99})
    assert "strength must lie" in page.text("answer", id=5)["text"]
    assert len(asked) == 4
    assert view.troubles()["requests of pages refused"] == 1 and view.troubles()["refused by add_keyframe"] == 1


def test_a_service_that_is_not_there(view, page, monkeypatch):
    monkeypatch.setattr(avatar_view, "PATIENCE_S", 0.5)
    page.text("avatars")
    page.send({"type": "interrupt", "id": 1})
    assert "does not answer" in page.text("answer", id=1)["text"]
    page.send({"type": "watch", "id": 2, "namespace": "/nobody"})
    page.send({"type": "interrupt", "id": 3})
    assert "choose an avatar" in page.text("answer", id=3)["text"]


def test_several_avatars(view, page, domain, listener):
    anna = Listener(domain, "anna")
    try:
        publisher = anna.node.create_publisher(Expression, "expression", qos.FRAMES)
        assert page.text("avatars", names=["/avatar", "/anna"])
        page.send({"type": "watch", "namespace": "/anna"})
        until(lambda: publisher.get_subscription_count() == 1, 10, "anna's page")
        until(lambda: listener.node.count_subscribers("/avatar/expression") == 0, 10, "nobody on the other avatar")
        publisher.publish(expression(frame=4))
        until(lambda: len(page.faces) == 1, 10, "anna's frame")
    finally:
        anna.close()


def test_the_next_port_is_taken_where_one_is_in_use(avatar):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        node = avatar("avatar_view", page_port=port).nodes["avatar_view"]
        assert f"port {port} is taken" in node.line


def test_down_and_up_again(view, page, listener):
    faces = listener.publisher(Expression, "expression", qos.FRAMES)
    address = view.server.address
    view.trigger_deactivate()
    until(lambda: faces.get_subscription_count() == 0, 10, "no subscription while not active")
    view.trigger_cleanup()
    view.trigger_configure()
    view.trigger_activate()
    again = Page(view.server.address)
    until(lambda: faces.get_subscription_count() == 1, 10, "the subscription again")
    faces.publish(expression(frame=1))
    until(lambda: len(again.faces) == 1, 10, "a frame")
    again.close()
    assert address
