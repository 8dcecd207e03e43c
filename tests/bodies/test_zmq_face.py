"""Faces over ZeroMQ: what arrives, who is let in, and that nobody slow or gone holds up the sender."""

from __future__ import annotations

import os
import stat
import time

import msgpack
import numpy as np
import pytest
import zmq
import zmq.auth

from media2face.bodies.bridges.zmq_face import FacePublisher
from media2face.bodies.bridges.zmq_security import check_endpoint, is_local, load_server_keys, make_keys
from media2face.bodies.frames import FaceFrame
from media2face.runtime.arkit import ARKIT_NAMES
from media2face.runtime.errors import ConfigError


def frame(k: int = 0) -> FaceFrame:
    weights = (np.arange(52) / 64).astype(np.float32)
    return FaceFrame("hello", k, 2, 1_700_000_000_000_000_001, weights, np.array([0, 0, 0.6, 0.8]), np.full(3, 0.25))


def subscriber(context: zmq.Context, endpoint: str, topic: str = "avatar/face", keys=None, **options) -> zmq.Socket:
    """A SUB socket; ``keys`` is (own public, own secret, the server's public)."""
    socket = context.socket(zmq.SUB)
    for name, value in options.items():
        setattr(socket, name, value)
    if keys:
        socket.curve_publickey, socket.curve_secretkey, socket.curve_serverkey = keys
    socket.connect(endpoint)
    socket.subscribe(topic)
    return socket


def received(publisher: FacePublisher, socket: zmq.Socket, seconds: float = 3.0) -> list[bytes] | None:
    """Send until something arrives, or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        publisher.send(frame())
        if socket.poll(20):
            return socket.recv_multipart()
    return None


def test_the_schema_as_it_is_documented(context):
    publisher = FacePublisher("tcp://127.0.0.1:*", "/avatar")
    topic, data = received(publisher, subscriber(context, publisher.endpoint))
    assert topic == b"avatar/face"
    found = msgpack.unpackb(data)
    assert list(found) == [
        "version", "sequence", "utterance", "frame", "revision", "stamp_ns", "weights", "rotation", "translation"
    ]  # fmt: skip
    assert (found["version"], found["utterance"], found["frame"], found["revision"]) == (1, "hello", 0, 2)
    assert found["stamp_ns"] == 1_700_000_000_000_000_001
    assert found["weights"] == {name: i / 64 for i, name in enumerate(ARKIT_NAMES)}
    assert np.allclose(found["rotation"], [0, 0, 0.6, 0.8]) and found["translation"] == [0.25] * 3
    # float32 on the wire: 0xca and four bytes, big-endian, after the key
    at = data.index(b"jawOpen") + len("jawOpen")
    assert data[at] == 0xCA and len(data) < 1500
    publisher.close()


def test_frames_of_other_avatars_are_not_received(context):
    publisher = FacePublisher("tcp://127.0.0.1:*", "/stage/anna")
    other = subscriber(context, publisher.endpoint, "avatar/face")
    mine = subscriber(context, publisher.endpoint, "stage/anna/face")
    assert received(publisher, mine) is not None
    assert not other.poll(50)
    publisher.close()


def test_a_subscriber_that_sleeps_loses_frames_and_holds_up_nobody(context):
    publisher = FacePublisher("tcp://127.0.0.1:*")
    awake = subscriber(context, publisher.endpoint)
    asleep = subscriber(context, publisher.endpoint, rcvhwm=2, rcvbuf=4096)
    assert received(publisher, awake) and received(publisher, asleep)
    end = time.monotonic() + 5
    while publisher.subscribers < 2:
        assert time.monotonic() < end
        received(publisher, awake)
    slowest, got = 0.0, []
    for k in range(1500):
        began = time.perf_counter()
        publisher.send(frame(k))
        slowest = max(slowest, time.perf_counter() - began)
        while awake.poll(200 if not got or got[-1] < k else 0):
            got.append(msgpack.unpackb(awake.recv_multipart()[1])["frame"])
    assert slowest < 0.1
    assert got[-1500:] == list(range(1500))
    late = []
    while asleep.poll(100):
        late.append(msgpack.unpackb(asleep.recv_multipart()[1])["sequence"])
    assert 0 < len(late) < 150, "a sleeper must not pile up what nobody will look at"
    fresh = msgpack.unpackb(received(publisher, asleep)[1])["sequence"]
    assert fresh > late[-1] + 1000, "and sees by the sequence that it missed something"
    asleep.close(0)
    end = time.monotonic() + 5
    while publisher.subscribers > 1:
        assert time.monotonic() < end, "one who leaves is not counted any more"
        publisher.send(frame())
        time.sleep(0.01)
    publisher.close()


def test_garbage_from_a_subscriber_does_no_harm(context):
    publisher = FacePublisher("tcp://127.0.0.1:*")
    rude = context.socket(zmq.XSUB)
    rude.connect(publisher.endpoint)
    good = subscriber(context, publisher.endpoint)
    for data in (b"", b"\x07junk", b"\x01" + b"x" * 100, b"\x00never", os.urandom(200), b"\x01" * 100_000):
        rude.send(data)
    assert received(publisher, good) is not None
    publisher.close()


# ------------------------------------------------------------------------------------------------ keys


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys"
    make_keys(folder, ["stage"])
    return folder


def client_keys(folder, name: str) -> tuple[bytes, bytes, bytes]:
    public, secret = zmq.auth.load_certificate(folder / f"{name}.key_secret")
    return public, secret, zmq.auth.load_certificate(folder / "server.key")[0]


def test_only_known_keys_are_let_in(context, keys, tmp_path):
    make_keys(tmp_path / "elsewhere", ["stranger"])
    stranger = client_keys(tmp_path / "elsewhere", "stranger")[:2] + client_keys(keys, "stage")[2:]
    publisher = FacePublisher("tcp://127.0.0.1:*", keys=load_server_keys(keys))
    assert received(publisher, subscriber(context, publisher.endpoint, keys=stranger), 0.5) is None
    assert received(publisher, subscriber(context, publisher.endpoint), 0.5) is None, "plain text"
    assert publisher.subscribers == 0
    assert received(publisher, subscriber(context, publisher.endpoint, keys=client_keys(keys, "stage"))) is not None
    publisher.close()


def test_key_files_are_for_their_owner_alone(keys):
    for path in (keys / "server.key_secret", keys / "stage.key_secret"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = (keys / "server.key_secret").read_bytes()
    make_keys(keys, ["second"])
    assert (keys / "server.key_secret").read_bytes() == before, "the server's keys stay"
    for name in ("second", "server", "../x", "", "a b"):
        with pytest.raises(ConfigError):
            make_keys(keys, [name])
    (keys / "server.key_secret").chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_server_keys(keys)


def test_damaged_or_missing_keys_are_refused(keys, tmp_path):
    with pytest.raises(ConfigError, match="zmq-keys"):
        load_server_keys(tmp_path / "nothing")
    (keys / "clients" / "stage.key").write_text('curve\n    public-key = "short"\n')
    with pytest.raises(ConfigError, match="40 characters"):
        load_server_keys(keys)
    (keys / "clients" / "stage.key").unlink()
    with pytest.raises(ConfigError, match="nobody could connect"):
        load_server_keys(keys)


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:5570", "tcp://*:5570", "tcp://192.168.1.4:5570", "tcp://[::]:5570",
                                      "tcp://eth0:5570"])  # fmt: skip
def test_open_endpoints_need_keys(endpoint, keys):
    assert not is_local(endpoint)
    with pytest.raises(ConfigError, match="zmq-keys"):
        FacePublisher(endpoint)
    assert check_endpoint(endpoint, load_server_keys(keys), "zmq") == endpoint


@pytest.mark.parametrize("endpoint", ["127.0.0.1:5570", "tcp://127.0.0.1", "udp://127.0.0.1:1",
                                      "tcp://:5570", "", "tcp://127.0.0.1:99999"])  # fmt: skip
def test_endpoints_that_are_none_are_refused(endpoint):
    with pytest.raises(ConfigError, match="zmq"):
        FacePublisher(endpoint)


def test_a_port_in_use_is_one_clear_line():
    first = FacePublisher("tcp://127.0.0.1:*")
    with pytest.raises(ConfigError, match="is another program"):
        FacePublisher(first.endpoint)
    first.close()


def test_over_a_local_socket_file(context, tmp_path):
    publisher = FacePublisher(f"ipc://{tmp_path}/face")
    assert received(publisher, subscriber(context, publisher.endpoint)) is not None
    publisher.close()
