"""Following one clip of the ``animate`` action through the graph."""

from __future__ import annotations

from media2face.runtime.clock import FPS, frame_count, frame_time

NS = 1_000_000_000
PATIENCE = 5 * NS
"""A clip that has been sent, and of which no frame came for this long, has failed."""


class ClipFollower:
    """Counts the frames of an utterance until its last one is out."""

    def __init__(self, utterance: str) -> None:
        self.utterance = utterance
        self.sent = 0  # samples at 16 kHz
        self.complete = False  # all has been sent
        self.frame = 0
        self.frames = 0
        self.failure = ""
        self.underruns = 0
        self.told = 0  # when feedback was sent
        self._first_underruns: int | None = None
        self._heard = 0

    @property
    def position(self) -> float:
        """Audio time of the latest frame, s."""
        return frame_time(self.frame)

    def on_frame(self, utterance: str, frame: int, now: int) -> None:
        """A frame was published."""
        if utterance != self.utterance:
            return
        self._heard = now
        if frame > self.frame or not self.frames:
            self.frames += 1
            self.frame = frame

    def on_underruns(self, total: int) -> None:
        """The playback clock counts underruns since its start; only the clip's own are of interest."""
        if self._first_underruns is None:
            self._first_underruns = total
        self.underruns = total - self._first_underruns

    def fail(self, reason: str) -> None:
        """End it."""
        self.failure = self.failure or reason

    def over(self, now: int) -> bool:
        """Whether the clip ended; a graph that gives no frames makes it fail."""
        if self.failure:
            return True
        if self.complete and self.frames and self.frame + 1 >= frame_count(self.sent):
            return True
        self._heard = self._heard or now
        if now - self._heard > PATIENCE + self.sent * NS // 16_000 * (not self.frames):
            self.fail(f"no frame came for {PATIENCE // NS} s: is the whole graph running ({FPS} frames per second)?")
        return bool(self.failure)
