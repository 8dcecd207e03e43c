"""What goes over the page's WebSocket: frames and sound as binary messages, everything else as JSON.

Binary messages to the page are little-endian and begin with their kind. A page watches one avatar at a time, so they
need not say whose they are. Times are milliseconds of the server's clock.

=========  =====================================================================================================
``FACE``   kind u8, 3 bytes of nothing, revision u32, frame u32, utterance u32 (CRC-32 of its id), stamp f64,
           weights 52 x u16 (65535 is 1), ARKit order
``POSE``   kind u8, 3 bytes, revision u32, stamp f64, quaternion xyzw 4 x f32, offset of the pivot 3 x f32 (m)
``SOUND``  kind u8, flags u8 (1: the utterance ends here), 2 bytes, utterance u32, first sample u32 (16 kHz),
           samples i16 ...
=========  =====================================================================================================

A page sends JSON objects with ``type`` and ``id``, and pictures as one binary message: ``PICTURE`` u8, 3 bytes,
id u32, strength f32, then the bytes of a PNG, JPEG or WebP. Nothing a page sends is trusted: :func:`parse_text` and
:func:`parse_binary` check every field.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from ...runtime.arkit import ARKIT_INDEX
from ...runtime.errors import InputError
from ...runtime.style import MAX_CHARACTERS

FACE, POSE, SOUND, PICTURE = 1, 2, 3, 1
MAX_TEXT = 16_384
"""Longest JSON message of a page, bytes."""
MAX_PICTURE = 2_000_000
"""Largest picture of a page, bytes; pages shrink what they send to some hundred pixels."""
MAX_NAMESPACE = 200

_FACE_HEAD = struct.Struct("<B3xIIId")
_POSE = struct.Struct("<B3xId7f")
_SOUND_HEAD = struct.Struct("<BBxxII")
_PICTURE_HEAD = struct.Struct("<B3xIf")


@dataclass(frozen=True)
class Ping:
    """The page asks for the server's time; ``sent`` comes back to it as it is."""

    sent: float


@dataclass(frozen=True)
class Watch:
    """The page wants to see (and hear) the avatar of a namespace, or nothing while it is hidden ('')."""

    namespace: str


@dataclass(frozen=True)
class Style:
    """How to speak from now on, in words."""

    text: str
    strength: float
    ramp: float


@dataclass(frozen=True)
class Picture:
    """How to speak from now on, as a picture: the bytes of a PNG, JPEG or WebP."""

    data: bytes
    strength: float


@dataclass(frozen=True)
class Keyframe:
    """A face that the motion has to pass through, as soon as possible."""

    weights: dict[str, float]


@dataclass(frozen=True)
class Interrupt:
    """Stop speaking."""


class RequestError(InputError):
    """A request that is refused; ``number`` is its id, 0 where that could not be read."""

    def __init__(self, text: str, number: int = 0) -> None:
        super().__init__(text)
        self.number = number


Request = Ping | Watch | Style | Picture | Keyframe | Interrupt


def short_id(utterance: str) -> int:
    """An utterance's id as 32 bits."""
    return zlib.crc32(utterance.encode("utf-8", "replace"))


def face_message(utterance: str, frame: int, revision: int, stamp_ms: float, weights: np.ndarray) -> bytes:
    """A frame of the face; ``weights`` (52,) in ARKit order, 0 to 1."""
    head = _FACE_HEAD.pack(FACE, revision & 0xFFFFFFFF, frame & 0xFFFFFFFF, short_id(utterance), stamp_ms)
    return head + np.rint(np.asarray(weights) * 65535.0).astype("<u2").tobytes()


def pose_message(revision: int, stamp_ms: float, rotation, translation) -> bytes:
    """A pose of the head: quaternion xyzw and metres, REP-103."""
    return _POSE.pack(POSE, revision & 0xFFFFFFFF, stamp_ms, *map(float, rotation), *map(float, translation))


def sound_message(utterance: str, first_sample: int, samples: np.ndarray, ends: bool) -> bytes:
    """A piece of speech, mono float32 at 16 kHz."""
    head = _SOUND_HEAD.pack(SOUND, int(ends), short_id(utterance), first_sample & 0xFFFFFFFF)
    return head + np.rint(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()


def parse_text(text: str) -> tuple[int, Request]:
    """A page's JSON message: its id and what it asks for.

    Raises:
        RequestError: no JSON object, of an unknown type, or a field is missing, of a wrong type or out of range.
    """
    if len(text) > MAX_TEXT:
        raise RequestError(f"expected a message of at most {MAX_TEXT} characters, got {len(text)}")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError("expected a JSON object") from error
    if not isinstance(message, dict):
        raise RequestError(f"expected a JSON object, got {type(message).__name__}")
    number = message.get("id", 0)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**32:
        raise RequestError("expected an id of 0 to 2^32 - 1")
    kind = message.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise RequestError(f"expected a type of {', '.join(_READERS)}, got {str(kind)[:40]!r}", number)
    try:
        return number, reader(message)
    except InputError as error:
        raise RequestError(str(error), number) from None


def parse_binary(data: bytes) -> tuple[int, Picture]:
    """A page's picture, with its id.

    Raises:
        RequestError: too short, too large, or of another kind; the style encoder judges the picture itself.
    """
    if len(data) < _PICTURE_HEAD.size + 8 or data[0] != PICTURE:
        raise RequestError("expected a picture: kind, id, strength and the bytes of a PNG, JPEG or WebP")
    if len(data) > MAX_PICTURE + _PICTURE_HEAD.size:
        raise RequestError(f"expected a picture of at most {MAX_PICTURE / 1e6:g} MB, got {len(data) / 1e6:.1f} MB")
    _, number, strength = _PICTURE_HEAD.unpack_from(data)
    if not 0.0 <= strength <= 2.0:
        raise RequestError(f"strength must lie within 0 and 2, got {strength:g}", number)
    return number, Picture(bytes(data[_PICTURE_HEAD.size :]), strength)


def _within(name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise InputError(f"expected {name} as a number, got {str(value)[:40]!r}")
    if not low <= value <= high:
        raise InputError(f"{name} must lie within {low:g} and {high:g}, got {value:g}")
    return float(value)


def _text(name: str, value: object, longest: int) -> str:
    if not isinstance(value, str):
        raise InputError(f"expected {name} as text, got {type(value).__name__}")
    if len(value) > longest:
        raise InputError(f"{name} has at most {longest} characters, got {len(value)}")
    if any(0xD800 <= ord(c) < 0xE000 for c in value):
        raise InputError(f"{name} is not valid Unicode")
    return value


def _keyframe(message: dict) -> Keyframe:
    weights = message.get("weights")
    if not isinstance(weights, dict) or len(weights) > len(ARKIT_INDEX):
        raise InputError("expected a keyframe's weights as an object of ARKit names and numbers")
    unknown = [name for name in weights if name not in ARKIT_INDEX]
    if unknown:
        raise InputError(f"expected ARKit shape names such as 'jawOpen', got {unknown[0][:40]!r}")
    return Keyframe({name: _within(name, value, 0.0, 1.0) for name, value in weights.items()})


def _style(message: dict) -> Style:
    text = _text("the style", message.get("text"), MAX_CHARACTERS)
    strength = _within("strength", message.get("strength", 1.0), 0.0, 2.0)
    return Style(text, strength, _within("ramp", message.get("ramp", 0.3), 0.0, 10.0))


_READERS = {
    "ping": lambda m: Ping(_within("t", m.get("t"), -1e15, 1e15)),
    "watch": lambda m: Watch(_text("the namespace", m.get("namespace"), MAX_NAMESPACE)),
    "style": _style,
    "keyframe": _keyframe,
    "interrupt": lambda m: Interrupt(),
}
