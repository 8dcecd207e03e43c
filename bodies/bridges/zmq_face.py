"""Frames over ZeroMQ: a PUB socket with msgpack, for whatever subscribes.

A message has two parts, the topic (``NAMESPACE/face``, UTF-8) and a msgpack map:

===============  =========================================================================
key              value
===============  =========================================================================
``version``      1
``sequence``     counts the frames sent; a gap tells a subscriber that it was too slow
``utterance``    id, text
``frame``        index k; it shows audio time k / 30 s
``revision``     as in the message ``Expression``
``stamp_ns``     when it is to be seen, ns since 1970, by the sender's clock
``weights``      map of the 52 ARKit names to 0 .. 1, float32
``rotation``     [x, y, z, w] of the head against rest, REP-103 (x forward, y left, z up)
``translation``  [x, y, z] offset of the neck pivot from rest, m
===============  =========================================================================
"""

from __future__ import annotations

from collections import Counter

import msgpack
import zmq

from ...runtime.arkit import ARKIT_NAMES
from ..frames import FaceFrame
from .zmq_security import Door, ServerKeys, check_endpoint

VERSION = 1
TOPIC = "face"
HIGH_WATER = 8
SEND_BUFFER = 32_768
MAX_MESSAGE = 1024  # of subscribers: a topic, or a step of the CurveZMQ handshake


def payload(frame: FaceFrame, sequence: int) -> bytes:
    """The msgpack map of a frame."""
    return msgpack.packb(
        {
            "version": VERSION,
            "sequence": sequence,
            "utterance": frame.utterance,
            "frame": frame.frame,
            "revision": frame.revision,
            "stamp_ns": frame.present,
            "weights": dict(zip(ARKIT_NAMES, frame.weights.tolist(), strict=True)),
            "rotation": [float(value) for value in frame.rotation],
            "translation": [float(value) for value in frame.translation],
        },
        use_single_float=True,
    )


class FacePublisher:
    """Publishes frames to all who subscribe; a slow subscriber loses frames and holds up nobody.

    Args:
        endpoint: where to serve, such as ``tcp://127.0.0.1:5570``.
        namespace: of the avatar; part of the topic.
        keys: see :func:`.load_server_keys`; needed where the endpoint can be reached from elsewhere.

    Raises:
        ConfigError: if the endpoint is malformed, in use, or open to others without keys.
    """

    def __init__(self, endpoint: str, namespace: str = "avatar", keys: ServerKeys | None = None) -> None:
        check_endpoint(endpoint, keys, "zmq")
        self.counts: Counter[str] = Counter()
        self.subscribers = 0
        self._sequence = 0
        self._topic = "/".join(part for part in (namespace.strip("/"), TOPIC) if part).encode()
        self._door = Door(keys)
        self._socket = self._door.open(
            zmq.XPUB, endpoint, "zmq", sndhwm=HIGH_WATER, sndbuf=SEND_BUFFER, maxmsgsize=MAX_MESSAGE, xpub_verboser=1
        )
        self.endpoint = self._socket.last_endpoint.decode()
        self.line = f"ZeroMQ {self._topic.decode()!r} on {self.endpoint}{' (CurveZMQ)' if keys else ''}"

    def send(self, frame: FaceFrame) -> None:
        """Publish one frame; never waits."""
        self._meet()
        self._sequence += 1
        if not self.subscribers:
            return
        try:
            self._socket.send_multipart([self._topic, payload(frame, self._sequence)], zmq.NOBLOCK)
        except zmq.Again:
            self.counts["zmq: the network is slow"] += 1

    def close(self) -> None:
        """Stop serving."""
        self._door.close()

    def _meet(self) -> None:
        """Count who came and went."""
        for _ in range(64):
            try:
                news = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if news[:1] in (b"\0", b"\1"):
                self.subscribers = max(self.subscribers + (1 if news[0] else -1), 0)
