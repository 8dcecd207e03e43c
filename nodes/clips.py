"""One clip of the ``animate`` action: what is asked for, and following it through the graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from media2face.runtime.clip import Clip
from media2face.runtime.clock import FPS, frame_count, frame_time
from media2face.runtime.demo import demo_speech
from media2face.runtime.errors import StyleError
from media2face.runtime.keyframes import Keyframe as Face
from media2face.runtime.keyframes import named_weights
from media2face_msgs.action import Animate
from media2face_msgs.msg import Keyframe, StylePrompt

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


class ClipOrder:
    """The styles and keyframes of a goal, checked against the length of its clip before anything is said.

    Raises:
        AudioError: the file cannot be read.
        StyleError: the timeline or the strength cannot be used.
        InputError: a keyframe cannot be used, lies beyond the end, or two ask for one frame.
    """

    def __init__(self, goal: Animate.Goal) -> None:
        self._goal = goal
        if not 0.0 <= goal.strength <= 2.0:
            raise StyleError(f"strength must lie within 0 and 2, got {goal.strength:g}")
        faces = []
        for keyframe in goal.keyframes:
            if keyframe.frame >= 0:
                weights = named_weights(keyframe.names, np.asarray(keyframe.weights), "a keyframe")
                faces.append(Face(keyframe.frame / FPS, weights))
        path = goal.audio if goal.audio not in ("", "demo") else demo_speech()
        self._prompts = Clip(path, goal.style or None, keyframes=faces).prompts()

    def prompts(self, utterance: str, stamp) -> Iterator[StylePrompt]:
        """The styles, for the utterance of the clip."""
        for prompt, text in self._prompts:
            message = StylePrompt(
                text=text, strength=self._goal.strength or 1.0, utterance=utterance,
                start_frame=round(prompt.start * FPS), ramp=prompt.ramp,
            )  # fmt: skip
            message.header.stamp = stamp
            yield message

    def keyframes(self, utterance: str, stamp) -> Iterator[Keyframe]:
        """The keyframes, for the utterance of the clip; one without a frame is for its beginning."""
        for keyframe in self._goal.keyframes:
            keyframe.utterance, keyframe.frame = utterance, max(keyframe.frame, 0)
            keyframe.header.stamp = stamp
            yield keyframe
