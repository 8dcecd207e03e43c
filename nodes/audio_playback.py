"""``audio_playback``: plays the speech at its moment, and says on ``playback_clock`` when that is."""

from __future__ import annotations

from collections import Counter

from std_msgs.msg import Header

from media2face.runtime.intake import AudioIntake, Piece
from media2face.runtime.loudspeaker import open_loudspeaker
from media2face.runtime.presentation import NS, PlaybackBuffer, Timeline
from media2face_msgs.msg import AudioChunk, PlaybackClock

from . import qos, runner
from .audio_messages import chunk_of
from .base import AvatarNode, to_ns, to_stamp
from .parameters import PRESENTATION_DELAY, Param

CLOCK_PERIOD = NS // 10


class AudioPlayback(AvatarNode):
    """Feeds a :class:`.PlaybackBuffer` and publishes where its sound is."""

    NAME = "audio_playback"
    PARAMETERS = (
        PRESENTATION_DELAY,
        Param("device", "auto", "loudspeaker: 'auto', 'none' (silent, by the clock), or a device's name or number"),
    )

    def setup(self) -> None:
        self.clock = self.give(PlaybackClock, "playback_clock", qos.STATE)
        self._forget()
        self.take(AudioChunk, "audio", self.on_audio, qos.AUDIO)
        self.take(Header, "interrupted", self.on_interrupted, qos.EVENT)
        self.work(self.play)

    def start(self) -> None:
        self._forget()
        self.speaker, self.line = open_loudspeaker(self.buffer, self.value("device"), self.now)
        self.get_logger().info(self.line)
        self.speaker.start()

    def stop(self) -> None:
        self.speaker.stop()

    def troubles(self) -> Counter[str]:
        if not hasattr(self, "intake"):
            return self.counts
        own = Counter(
            {"underruns": self.buffer.underruns, "device set right": self.speaker.jumps if self.active else 0}
        )
        return self.counts + self.intake.counts + own

    def report(self) -> dict[str, str]:
        return {"device": "real" if self.speaker.real else "silent", "utterance": self.utterance}

    def on_audio(self, message: AudioChunk) -> None:
        chunk = chunk_of(message)
        if chunk is None:
            self.refuse("audio that cannot be read", f"utterance {message.utterance!r}: encoding, channels or length")
            return
        for piece in self.intake.push(chunk):
            self._add(piece)

    def on_interrupted(self, message: Header) -> None:
        self.intake.close(message.frame_id)
        self.buffer.stop(message.frame_id, max(to_ns(message.stamp), self.now() - NS))
        self.timeline.stop(self.now())
        self._tell()

    def play(self) -> float:
        """Let the clock use up sound where no device does, and tell the time ten times a second."""
        with self.lock:
            pause = self.speaker.pull()
            now = self.now()
            if self.utterance and now - self.told >= CLOCK_PERIOD:
                if self.buffer.playing(now) or self.was_playing:
                    self._tell()
            return min(pause, CLOCK_PERIOD / NS)

    def _add(self, piece: Piece) -> None:
        if piece.starts:
            start = self.timeline.begin(piece.utterance, piece.anchor)
            self.buffer.begin(piece.utterance, start, piece.first_sample)
            self.utterance, self.last = piece.utterance, False
        self.buffer.append(piece.utterance, piece.samples)
        if piece.ends:
            self.buffer.finish(piece.utterance)
            if not piece.cut:
                self.timeline.finish(piece.utterance, piece.first_sample + len(piece.samples))
            self.last = self.last or piece.utterance == self.utterance
        if piece.starts or piece.ends:
            self._tell()

    def _tell(self) -> None:
        now = self.now()
        start = self.timeline.get(self.utterance)
        if start is None:
            return
        self.told = now
        self.was_playing = self.buffer.playing(now)
        message = PlaybackClock(
            utterance=self.utterance,
            start=to_stamp(start),
            position=(now - start) / NS,
            received=self.buffer.received(self.utterance),
            presentation_delay=self.value("presentation_delay"),
            playing=self.was_playing,
            device=self.speaker.real,
            last=self.last,
            underruns=self.buffer.underruns,
        )
        message.header.stamp = to_stamp(now)
        self.clock.publish(message)

    def _forget(self) -> None:
        self.intake = AudioIntake()
        self.buffer = PlaybackBuffer()
        self.timeline = Timeline(round(self.value("presentation_delay") * NS))
        self.utterance, self.last, self.was_playing, self.told = "", False, False, 0


def main() -> int:
    """Run this node."""
    return runner.main(AudioPlayback)
