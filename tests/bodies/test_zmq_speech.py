"""Speech and styles over ZeroMQ: requests as documented, and everything that is none answered with the reason."""

from __future__ import annotations

import socket as sockets
import struct
import threading
import time

import msgpack
import numpy as np
import pytest
import zmq
import zmq.auth

from media2face.bodies.bridges.zmq_security import load_server_keys, make_keys
from media2face.bodies.bridges.zmq_speech import MAX_MESSAGE, SpeechServer, StyleRequest
from media2face.runtime.errors import ConfigError, StyleError


class Serving:
    """A server in a thread; ``taken`` keeps what it gave."""

    def __init__(self, keys=None) -> None:
        self.server = SpeechServer("tcp://127.0.0.1:*", keys)
        self.taken: list = []
        self.refuse = ""
        self._running = True
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while self._running:
            self.server.serve(self._take, lambda: 77, 0.05)

    def _take(self, request) -> None:
        if self.refuse:
            raise StyleError(self.refuse)
        self.taken.append(request)

    def close(self) -> None:
        self._running = False
        self._thread.join(5)
        self.server.close()


@pytest.fixture
def serving():
    made = Serving()
    yield made
    made.close()


@pytest.fixture
def client(context, serving):
    made = context.socket(zmq.REQ)
    made.connect(serving.server.endpoint)
    return made


def ask(client: zmq.Socket, request) -> dict:
    client.send(request if isinstance(request, bytes) else msgpack.packb(request))
    assert client.poll(5000), "no answer"
    return msgpack.unpackb(client.recv())


def audio(samples=None, **fields) -> dict:
    data = np.zeros(160, "<f4") if samples is None else samples
    return {"type": "audio", "utterance": "u", "sample_rate": 16_000, "samples": data.tobytes()} | fields


def test_audio_goes_on_where_it_was_until_it_ends(client, serving):
    wave = np.linspace(-1, 1, 400, dtype="<f4")
    assert ask(client, audio(wave)) == {"ok": True, "next_sample": 400}
    assert ask(client, audio(wave)) == {"ok": True, "next_sample": 800}
    assert ask(client, audio(wave, first_sample=2000)) == {"ok": True, "next_sample": 2400}
    assert ask(client, audio(wave[:0], last=True)) == {"ok": True, "next_sample": 2400}
    assert ask(client, audio(wave, utterance="v")) == {"ok": True, "next_sample": 400}
    assert [(c.utterance, c.first_sample, len(c.samples), c.last) for c in serving.taken] == [
        ("u", 0, 400, False), ("u", 400, 400, False), ("u", 2000, 400, False), ("u", 2400, 0, True),
        ("v", 0, 400, False),
    ]  # fmt: skip
    first = serving.taken[0]
    assert first.rate == 16_000 and first.stamp == 77 and np.array_equal(first.samples[:, 0], wave)


def test_int16_stereo(client, serving):
    pairs = np.array([[100, -200], [32767, -32768]], "<i2")
    assert ask(client, audio(pairs, encoding="int16", channels=2, sample_rate=48_000))["ok"]
    chunk = serving.taken[0]
    assert chunk.samples.shape == (2, 2) and chunk.rate == 48_000
    assert np.array_equal(chunk.samples, pairs.astype(np.float32) / 32768)


SECOND = {
    "type": "style", "image": b"\x89PNG", "strength": 2, "utterance": "u", "start_frame": 30, "ramp": 0.5
}  # fmt: skip


def test_styles(client, serving):
    assert ask(client, {"type": "style", "text": "a cheerful host"}) == {"ok": True}
    assert ask(client, SECOND)["ok"]
    first, second = serving.taken
    assert first == StyleRequest("a cheerful host", b"", 1.0, "", -1, 0.3)
    assert second == StyleRequest("", b"\x89PNG", 2.0, "u", 30, 0.5)
    assert ask(client, {"type": "ping"}) == {"ok": True}
    serving.refuse = "not like this"
    assert ask(client, {"type": "style", "text": "x"}) == {"ok": False, "error": "not like this"}


def test_a_dealer_may_send_without_waiting_with_or_without_an_empty_part(context, serving):
    dealer = context.socket(zmq.DEALER)
    dealer.connect(serving.server.endpoint)
    for _ in range(20):
        dealer.send(msgpack.packb(audio()))
    dealer.send_multipart([b"", msgpack.packb(audio())])
    answers = []
    while len(answers) < 21:
        assert dealer.poll(5000)
        answers.append(msgpack.unpackb(dealer.recv_multipart()[-1])["next_sample"])
    assert answers == [160 * (k + 1) for k in range(21)]


NESTED = b"\x91" * 5000 + b"\xc0"
BAD = [
    (b"", "msgpack"), (b"\xc1", "msgpack"), (b"hello", "msgpack"), (msgpack.packb([1, 2]), "map"),
    (msgpack.packb({1: 2}), "msgpack"), (NESTED, "msgpack"), (b"\xdf\xff\xff\xff\xff", "msgpack"),
    (b"\xc6\xff\xff\xff\xff", "msgpack"), (msgpack.packb({f"k{i}": i for i in range(99)}), "msgpack"),
    (msgpack.packb({"type": "audio"})[:-2], "msgpack"), ({}, "type: missing"), ({"type": "dance"}, "type"),
    ({"type": 5}, "type"), ({"type": b"audio"}, "type"), (audio(utterance=""), "utterance"),
    (audio(utterance="x" * 129), "utterance"), (audio(utterance=[1]), "utterance"),
    (audio(sample_rate=7999), "sample_rate"),
    (audio(sample_rate=200_000), "sample_rate"), (audio(sample_rate=16_000.0), "sample_rate"),
    (audio(sample_rate=True), "sample_rate"), (audio(channels=0), "channels"), (audio(channels=9), "channels"),
    (audio(encoding="mp3"), "encoding"), (audio(first_sample=-1), "first_sample"),
    (audio(first_sample=2**60), "first_sample"),
    (audio(samples=np.zeros(3, "u1")), "samples"), (audio(samples=np.zeros(0)), "samples"), (audio(last="yes"), "last"),
    ({k: v for k, v in audio().items() if k != "utterance"}, "utterance: missing"),
    (audio() | {"samples": "text"}, "samples"), ({"type": "style", "text": "x" * 1001}, "text"),
    ({"type": "style", "text": "x", "image": b"y"}, "both"), ({"type": "style", "strength": 2.1}, "strength"),
    ({"type": "style", "strength": float("nan")}, "strength"), ({"type": "style", "ramp": -1}, "ramp"),
    ({"type": "style", "ramp": "x" * 999}, "ramp"), ({"type": "style", "start_frame": -2}, "start_frame"),
    ({"type": "style", "utterance": "x" * 200}, "utterance"), ({"type": "style", "image": "text"}, "image"),
]  # fmt: skip


def test_what_is_no_request_is_answered_with_the_reason_and_counted(client, serving):
    for request, reason in BAD:
        answer = ask(client, request)
        assert answer["ok"] is False and reason in answer["error"], (request, answer)
        assert len(answer["error"]) < 400
    assert serving.server.counts["requests refused"] == len(BAD) and serving.taken == []
    assert ask(client, audio())["ok"]


def test_a_wrong_number_of_parts_is_refused(context, serving):
    dealer = context.socket(zmq.DEALER)
    dealer.connect(serving.server.endpoint)
    dealer.send_multipart([b"a", b"b", b"c"])
    assert dealer.poll(5000)
    assert "one part" in msgpack.unpackb(dealer.recv_multipart()[-1])["error"]


def test_a_message_that_is_too_large_is_cut_off_before_it_is_read(context, serving, client):
    large = context.socket(zmq.DEALER)
    large.connect(serving.server.endpoint)
    large.send(msgpack.packb(audio(np.zeros(MAX_MESSAGE // 4, "<f4"))))
    assert not large.poll(300)
    assert ask(client, audio(np.zeros(MAX_MESSAGE // 4 - 100, "<f4")))["next_sample"] == MAX_MESSAGE // 4 - 100
    assert len(serving.taken) == 1


def test_bytes_that_are_no_zeromq_do_no_harm(serving, client):
    host, port = serving.server.endpoint.removeprefix("tcp://").split(":")
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" + b"\0" * 200, struct.pack(">Q", 2**63) * 50):
        with sockets.create_connection((host, int(port))) as raw:
            raw.sendall(data)
            time.sleep(0.05)
    assert ask(client, audio())["ok"]


def test_clients_that_leave_without_their_answer_do_no_harm(context, serving):
    for _ in range(30):
        hasty = context.socket(zmq.REQ)
        hasty.connect(serving.server.endpoint)
        hasty.send(msgpack.packb(audio(utterance="h")))
        hasty.close(20)
    patient = context.socket(zmq.REQ)
    patient.connect(serving.server.endpoint)
    assert ask(patient, {"type": "ping"}) == {"ok": True}


def test_only_known_keys_are_heard(context, tmp_path):
    make_keys(tmp_path / "keys", ["dialogue"])
    make_keys(tmp_path / "other", ["stranger"])
    server_key = zmq.auth.load_certificate(tmp_path / "keys" / "server.key")[0]
    serving = Serving(load_server_keys(tmp_path / "keys"))
    try:
        for name, folder, heard in (("stranger", "other", False), (None, None, False), ("dialogue", "keys", True)):
            client = context.socket(zmq.REQ)
            if name:
                pair = zmq.auth.load_certificate(tmp_path / folder / f"{name}.key_secret")
                client.curve_publickey, client.curve_secretkey = pair
                client.curve_serverkey = server_key
            client.connect(serving.server.endpoint)
            client.send(msgpack.packb(audio()))
            assert bool(client.poll(3000 if heard else 400)) == heard, name
        assert len(serving.taken) == 1
    finally:
        serving.close()


def test_open_endpoints_need_keys():
    with pytest.raises(ConfigError, match="zmq_in.*zmq-keys"):
        SpeechServer("tcp://0.0.0.0:5571")
