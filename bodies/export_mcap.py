"""A performance as the topics that an avatar publishes, in an MCAP file: for Foxglove, ``ros2 bag`` and our replay.

The file has what a live avatar would have said, at the times it would have said it: sound in tenths of a second as it
is captured, each frame a tenth of a second before it is to be seen, 0.3 s after its sound. Times are absolute; the
utterance begins when the file is written.
"""

from __future__ import annotations

import heapq
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.audio_io import AudioFile
from ..runtime.clock import SAMPLE_RATE
from ..runtime.errors import ConfigError
from ..runtime.presentation import NS, frame_offset
from .mcap_files import McapWriter

try:
    from builtin_interfaces.msg import Time
    from geometry_msgs.msg import PoseStamped

    from media2face_msgs.msg import AudioChunk, Expression, PlaybackClock, StylePrompt
except ImportError as error:
    raise ConfigError(f"writing MCAP needs ROS 2 and the package media2face_msgs ({error}): see README") from error

if TYPE_CHECKING:
    from ..runtime.offline import Performance

NAMESPACE = "avatar"
DELAY = 3 * NS // 10
AHEAD = CHUNK = CLOCK = NS // 10


def write(
    performance: Performance,
    path: Path,
    *,
    decoder=None,
    progress: Callable[[int, int], None] | None = None,
    neutral: np.ndarray | None = None,
) -> None:
    """Write ``path``: ``expression``, ``head_pose``, ``playback_clock``; of sound ``audio``, of words ``style_prompt``.

    Memory does not grow with the length of the sound.
    """
    start = time.time_ns()
    utterance = _utterance(performance)
    streams = [_frames(performance, start, utterance, progress)]
    length = [0]  # samples so far; known when the sound is over
    if performance.audio is not None:
        streams.append(_sound(performance.audio, start, utterance, length))
    streams.append(_clock(len(performance.weights), performance.audio is not None, start, utterance, length))
    with McapWriter(path) as file:
        topic = {k: f"/{NAMESPACE}/{k}" for k in ("expression", "head_pose", "playback_clock", "audio", "style_prompt")}
        file.topic(topic["expression"], Expression)
        file.topic(topic["head_pose"], PoseStamped)
        file.topic(topic["playback_clock"], PlaybackClock, latched=True, depth=1)
        if performance.audio is not None:
            file.topic(topic["audio"], AudioChunk, depth=1024)
        if performance.style:
            file.topic(topic["style_prompt"], StylePrompt)
            prompt = StylePrompt(text=performance.style, strength=float(performance.strength), start_frame=-1)
            prompt.header.stamp = _stamp(start)
            file.write(topic["style_prompt"], prompt, start)
        for when, _, name, message in heapq.merge(*streams, key=lambda item: item[:2]):
            file.write(topic[name], message, when)


Said = Iterator[tuple[int, int, str, object]]
"""Log time in ns, rank among things of one time, topic, message."""


def _frames(performance: Performance, start: int, utterance: str, progress: Callable[[int, int], None] | None) -> Said:
    names, total = list(performance.names), len(performance.weights)
    rest, head = f"{NAMESPACE}/head_rest", f"{NAMESPACE}/head"
    for k in range(total):
        seen = start + DELAY + frame_offset(k)
        weights = array("f", np.ascontiguousarray(performance.weights[k], np.float32).tobytes())
        expression = Expression(utterance=utterance, frame=k, names=names, weights=weights)
        expression.header.stamp, expression.header.frame_id = _stamp(seen), head
        yield seen - AHEAD, 2, "expression", expression
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = _stamp(seen), rest
        p, q = pose.pose.position, pose.pose.orientation
        p.x, p.y, p.z = map(float, performance.head_translation[k])
        q.x, q.y, q.z, q.w = map(float, performance.head_rotation[k])
        yield seen - AHEAD, 3, "head_pose", pose
        if progress and ((k + 1) % 30 == 0 or k + 1 == total):
            progress(k + 1, total)


def _sound(audio: str | Path | np.ndarray, start: int, utterance: str, length: list[int]) -> Said:
    """The sound at 16 kHz, float32, each tenth of a second when it has been heard."""
    size = SAMPLE_RATE // 10
    held: np.ndarray | None = None
    for piece in _pieces(audio, size):
        if held is not None:
            yield _chunk(held, start, utterance, length, last=False)
        held = piece
    yield _chunk(np.zeros(0, np.float32) if held is None else held, start, utterance, length, last=True)


def _chunk(samples: np.ndarray, start: int, utterance: str, length: list[int], last: bool) -> tuple:
    first = length[0]
    length[0] += len(samples)
    message = AudioChunk(
        utterance=utterance, first_sample=first, sample_rate=SAMPLE_RATE, channels=1, encoding=AudioChunk.FLOAT32,
        float32_data=array("f", samples.tobytes()), last=last,
    )  # fmt: skip
    message.header.stamp = _stamp(start + first * NS // SAMPLE_RATE)
    return start + length[0] * NS // SAMPLE_RATE, 0, "audio", message


def _pieces(audio: str | Path | np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Blocks of ``size`` samples; the last may be shorter."""
    if isinstance(audio, np.ndarray):
        samples = np.asarray(audio, np.float32)
        yield from (samples[i : i + size] for i in range(0, len(samples), size))
        return
    rest = np.zeros(0, np.float32)
    with AudioFile(audio) as source:
        for block in source.blocks(SAMPLE_RATE):
            rest = np.concatenate([rest, block])
            whole = len(rest) // size * size
            yield from (rest[i : i + size] for i in range(0, whole, size))
            rest = rest[whole:]
    if len(rest):
        yield rest


def _clock(frames: int, sounding: bool, start: int, utterance: str, length: list[int]) -> Said:
    """Where the sound is, ten times a second from the start of the utterance until its end."""
    over = frame_offset(frames)
    heard = start + DELAY
    for when in range(start, heard + over + CLOCK, CLOCK):
        when = min(when, heard + over)
        message = PlaybackClock(
            utterance=utterance, start=_stamp(heard), position=(when - heard) / NS,
            received=length[0] / SAMPLE_RATE if sounding else 0.0, presentation_delay=DELAY / NS,
            playing=0 <= when - heard < over, last=when - start >= over,
        )  # fmt: skip
        message.header.stamp = _stamp(when)
        yield when, 1, "playback_clock", message


def _utterance(performance: Performance) -> str:
    name = Path(performance.audio).stem[:100] if isinstance(performance.audio, (str, Path)) else "speech"
    return f"{name}-{performance.seed}"[:128]


def _stamp(ns: int) -> Time:
    return Time(sec=ns // NS, nanosec=ns % NS)
