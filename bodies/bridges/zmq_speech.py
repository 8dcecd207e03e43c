"""Speech and styles from programs that are no ROS nodes: msgpack over a ZeroMQ ROUTER; ask with REQ or DEALER.

A request is one msgpack map, and is answered by ``{"ok": true, ...}`` or ``{"ok": false, "error": why}``:

* ``{"type": "audio", "utterance": id, "sample_rate": Hz, "channels": 1..8, "encoding": "float32" | "int16",
  "samples": bytes, "first_sample": index, "last": bool}``: interleaved, little-endian. ``channels`` is 1, ``encoding``
  float32 and ``last`` false where they are missing; a missing ``first_sample`` goes on where the utterance was. The
  answer has ``next_sample``.
* ``{"type": "style", "text": words}`` or ``{"type": "style", "image": bytes}``, with ``strength`` (0 to 2, 1 if
  missing), ``utterance``, ``start_frame`` (-1 if missing: at once) and ``ramp`` (s, 0.3 if missing).
* ``{"type": "ping"}``.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgpack
import numpy as np
import zmq

from ...runtime.audio_io import MAX_CHANNELS, MAX_RATE, MIN_RATE
from ...runtime.errors import InputError, Media2FaceError, StyleError
from ...runtime.intake import MAX_ID, Chunk, pcm
from ...runtime.style import MAX_CHARACTERS
from .zmq_security import Door, ServerKeys, check_endpoint

MAX_MESSAGE = 1 << 20
"""Largest request, bytes; whoever sends more is disconnected before it is read."""
MAX_SAMPLE = 2**53
KEPT = 64
ENCODINGS = {"float32": "<f4", "int16": "<i2"}


@dataclass(frozen=True)
class StyleRequest:
    """How to speak; fields as in the message ``StylePrompt``. ``text`` or ``image`` is empty, or both (neutral)."""

    text: str
    image: bytes
    strength: float
    utterance: str
    start_frame: int
    ramp: float


def unpack(data: bytes) -> dict:
    """A request's map.

    Raises:
        InputError: if it is not a msgpack map with text for keys.
    """
    try:
        found = msgpack.unpackb(
            data, raw=False, strict_map_key=True, max_str_len=4 * MAX_CHARACTERS, max_bin_len=MAX_MESSAGE,
            max_array_len=16, max_map_len=16, max_ext_len=0,
        )  # fmt: skip
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise InputError(f"expected a msgpack map, got {len(data)} bytes that are none ({error})") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise InputError(f"expected a msgpack map with text for keys, got {type(found).__name__}")
    return found


def chunk_of(request: Mapping, expected: int, now: int) -> Chunk:
    """The sound of an ``audio`` request, stamped ``now`` (ns); without ``first_sample`` it begins at ``expected``.

    Raises:
        InputError: naming the field that cannot be used.
    """
    utterance = _field(request, "utterance", str)
    if not 0 < len(utterance) <= MAX_ID:
        raise InputError(f"utterance: expected an id of 1 to {MAX_ID} characters, got {len(utterance)}")
    rate = _whole(request, "sample_rate", MIN_RATE, MAX_RATE)
    channels = _whole(request, "channels", 1, MAX_CHANNELS, 1)
    first = _whole(request, "first_sample", 0, MAX_SAMPLE, expected)
    encoding = _field(request, "encoding", str, "float32")
    if encoding not in ENCODINGS:
        raise InputError(f"encoding: expected {' or '.join(ENCODINGS)}, got {encoding[:40]!r}")
    data = _field(request, "samples", bytes, b"")
    dtype = np.dtype(ENCODINGS[encoding])
    if len(data) % (dtype.itemsize * channels):
        raise InputError(f"samples: expected a multiple of {dtype.itemsize * channels} bytes, got {len(data)}")
    last = _field(request, "last", bool, False)
    if not data and not last:
        raise InputError("samples: expected sound, or last = true")
    return Chunk(utterance, first, rate, pcm(encoding, np.frombuffer(data, dtype), channels), now, last)


def style_of(request: Mapping) -> StyleRequest:
    """The style of a ``style`` request.

    Raises:
        InputError: naming the field that cannot be used.
        StyleError: text and image, or a text that is too long.
    """
    text, image = _field(request, "text", str, ""), _field(request, "image", bytes, b"")
    if text and image:
        raise StyleError("a style has a text or an image, got both: send two requests")
    if len(text) > MAX_CHARACTERS:
        raise StyleError(f"text: expected at most {MAX_CHARACTERS} characters, got {len(text)}")
    utterance = _field(request, "utterance", str, "")
    if len(utterance) > MAX_ID:
        raise InputError(f"utterance: expected at most {MAX_ID} characters, got {len(utterance)}")
    start = _whole(request, "start_frame", -1, MAX_SAMPLE, -1)
    return StyleRequest(
        text, image, _number(request, "strength", 0.0, 2.0, 1.0), utterance, start,
        _number(request, "ramp", 0.0, 10.0, 0.3),
    )  # fmt: skip


class SpeechServer:
    """Answers requests, one after another.

    Args:
        endpoint: where to serve, such as ``tcp://127.0.0.1:5571``.
        keys: see :func:`.load_server_keys`; needed where the endpoint can be reached from elsewhere.

    Attributes:
        counts: requests, by kind.

    Raises:
        ConfigError: if the endpoint is malformed, in use, or open to others without keys.
    """

    def __init__(self, endpoint: str, keys: ServerKeys | None = None) -> None:
        check_endpoint(endpoint, keys, "zmq_in")
        self.counts: Counter[str] = Counter()
        self.served = 0
        self._next: OrderedDict[str, int] = OrderedDict()
        self._door = Door(keys)
        self._socket = self._door.open(
            zmq.ROUTER, endpoint, "zmq_in", maxmsgsize=MAX_MESSAGE, rcvhwm=64, sndhwm=64, router_handover=1
        )
        self.endpoint = self._socket.last_endpoint.decode()
        self.line = f"speech and styles over ZeroMQ on {self.endpoint}{' (CurveZMQ)' if keys else ''}"

    def serve(self, take: Callable[[Chunk | StyleRequest], None], clock: Callable[[], int], wait: float) -> bool:
        """Wait up to ``wait`` s for a request, hand it to ``take`` and answer; whether there was one.

        ``take`` refuses by raising a :class:`Media2FaceError`; ``clock`` gives the time of receipt, ns.
        """
        if not self._socket.poll(round(1000 * wait)):
            return False
        try:
            sender, *parts = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        envelope = [sender]
        if len(parts) == 2 and not parts[0]:  # of a REQ
            envelope.append(parts.pop(0))
        try:
            if len(parts) != 1:
                raise InputError(f"expected a request in one part, got {len(parts)}")
            answer = {"ok": True} | self._answer(parts[0], take, clock())
            self.served += 1
        except Media2FaceError as error:
            self.counts["requests refused"] += 1
            answer = {"ok": False, "error": str(error)}
        try:
            self._socket.send_multipart([*envelope, msgpack.packb(answer)], zmq.NOBLOCK)
        except zmq.ZMQError:
            self.counts["answers that nobody took"] += 1
        return True

    def close(self) -> None:
        """Stop serving."""
        self._door.close()

    def _answer(self, data: bytes, take: Callable[[Chunk | StyleRequest], None], now: int) -> dict:
        request = unpack(data)
        kind = _field(request, "type", str)
        if kind == "ping":
            return {}
        if kind == "style":
            take(style_of(request))
            return {}
        if kind != "audio":
            raise InputError(f"type: expected audio, style or ping, got {kind[:40]!r}")
        utterance = request.get("utterance")
        chunk = chunk_of(request, self._next.get(utterance, 0) if isinstance(utterance, str) else 0, now)
        take(chunk)
        position = chunk.first_sample + len(chunk.samples)
        if chunk.last:
            self._next.pop(chunk.utterance, None)
        else:
            self._next[chunk.utterance] = position
            self._next.move_to_end(chunk.utterance)
            if len(self._next) > KEPT:
                self._next.popitem(last=False)
        return {"next_sample": position}


_MISSING = object()


def _field(request: Mapping, name: str, kind: type, default=_MISSING):
    value = request.get(name, default)
    if value is _MISSING:
        raise InputError(f"{name}: missing, expected {kind.__name__}")
    if type(value) is not kind:
        raise InputError(f"{name}: expected {kind.__name__}, got {type(value).__name__}")
    return value


def _whole(request: Mapping, name: str, low: int, high: int, default=_MISSING) -> int:
    value = _field(request, name, int, default)
    if not low <= value <= high:
        raise InputError(f"{name}: expected {low} to {high}, got {value}")
    return value


def _number(request: Mapping, name: str, low: float, high: float, default: float) -> float:
    value = request.get(name, default)
    if type(value) not in (int, float) or not low <= value <= high:
        raise InputError(f"{name}: expected a number from {low:g} to {high:g}, got {str(value)[:40]}")
    return float(value)
