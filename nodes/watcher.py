"""A spectator of one avatar: counts frames, latency and underruns from the topics, as any robot head could."""

from __future__ import annotations

import time
from collections import deque

from rclpy.node import Node

from media2face.runtime.clock import FPS, SAMPLE_RATE, frame_count
from media2face.runtime.meters import Percentiles
from media2face.runtime.presentation import frame_offset
from media2face.runtime.sources import is_idle
from media2face_msgs.msg import Expression, PlaybackClock, StyleEmbedding

from . import qos
from .base import NS, to_ns

PATIENCE = 1.5
"""How long after the end of the sound its last frame is still waited for, s."""


class Watcher(Node):
    """Subscribes to ``expression``, ``playback_clock`` and ``style_embedding``.

    Attributes:
        frames: expressions of speech received; those of a face that listens only show in the rate.
        latency: ms from the capture of the sample that a frame shows to the frame's receipt.
        skew: ms between the moment a frame asks to be seen and that at which its sound is heard.
    """

    def __init__(self, bars: tuple[str, ...] = (), **options) -> None:
        super().__init__("watcher", start_parameter_services=False, **options)
        self._bars = bars
        self.frames = 0
        self.out_of_order = 0
        self.latency = Percentiles(36_000)
        self.skew = Percentiles(36_000)
        self.underruns = 0
        self.style = "neutral"
        self.starved = 0
        self._recent: deque[float] = deque(maxlen=FPS)
        self._playback: PlaybackClock | None = None
        self._last: Expression | None = None
        self._revisions: dict[str, int] = {}
        self.create_subscription(Expression, "expression", self._on_expression, qos.FRAMES)
        self.create_subscription(PlaybackClock, "playback_clock", self._on_clock, qos.STATE)
        self.create_subscription(StyleEmbedding, "style_embedding", self._on_style, qos.STATE)

    @property
    def spoken(self) -> bool:
        """Whether an utterance has been heard to its end, and its last frame has come (or is not to be expected)."""
        clock = self._playback
        if clock is None or not clock.last:
            return False
        late = (self.get_clock().now().nanoseconds - to_ns(clock.start)) / NS - clock.received
        total = frame_count(round(clock.received * SAMPLE_RATE))
        complete = self._last is not None and self._last.utterance == clock.utterance and self._last.frame + 1 >= total
        return late > 0.0 and (complete or late > PATIENCE)

    def status(self) -> str:
        """One line."""
        state = "speaking" if self._playback and self._playback.playing else "listening"
        rate = self._rate()
        return (
            f"{state:9} {rate:5.1f} frames/s  latency p50 {_ms(self.latency, 'p50')}"
            f" p95 {_ms(self.latency, 'p95')} ms  style {self.style}"
            f"  underruns {self.underruns + self.starved}  frames {self.frames}"
        )

    def bars(self, width: int) -> list[str]:
        """A bar for each chosen weight."""
        weights = dict(zip(self._last.names, self._last.weights, strict=True)) if self._last else {}
        lines = []
        for name in self._bars:
            value = weights.get(name, 0.0)
            filled = round(value * width)
            lines.append(f"{name:>15} {'█' * filled}{'·' * (width - filled)} {value:4.2f}")
        return lines

    def summary(self) -> str:
        """What happened, in one line."""
        return (
            f"{self.frames} frames; latency p50 {_ms(self.latency, 'p50')}, p95 {_ms(self.latency, 'p95')}, "
            f"p99 {_ms(self.latency, 'p99')} ms; sound against face p99 {_ms(self.skew, 'p99')} ms; "
            f"underruns {self.underruns + self.starved}; out of order {self.out_of_order}"
        )

    def _rate(self) -> float:
        if len(self._recent) < 2 or time.monotonic() - self._recent[-1] > 0.5:
            return 0.0
        return (len(self._recent) - 1) / (self._recent[-1] - self._recent[0])

    def _on_expression(self, message: Expression) -> None:
        now = self.get_clock().now().nanoseconds
        if is_idle(message.utterance):
            self._recent.append(time.monotonic())
            return
        if self._last is not None and self._last.utterance == message.utterance:
            if message.frame <= self._last.frame and message.revision <= self._last.revision:
                self.out_of_order += 1
        self._last = message
        self.frames += 1
        self._recent.append(time.monotonic())
        clock = self._playback
        if clock is None or clock.utterance != message.utterance:
            return
        present, start = to_ns(message.header.stamp), to_ns(clock.start)
        delay = round(clock.presentation_delay * NS)
        self.latency.add((now - (start - delay + frame_offset(message.frame))) / 1e6)
        self.skew.add(abs(present - (start + frame_offset(message.frame))) / 1e6)
        self.starved += now > present

    def _on_clock(self, message: PlaybackClock) -> None:
        self._playback = message
        self.underruns = message.underruns

    def _on_style(self, message: StyleEmbedding) -> None:
        self.style = message.nearest[0] if message.nearest else "neutral"


def _ms(meter: Percentiles, key: str) -> str:
    found = meter.summary()
    return "-" if found is None else f"{found[key]:.0f}"
