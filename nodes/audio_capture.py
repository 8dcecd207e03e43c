"""``audio_capture``: speech from a file, a microphone, an action goal or foreign audio topics, as ``audio``."""

from __future__ import annotations

import numpy as np
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from std_msgs.msg import Header

from media2face.runtime.clock import SAMPLE_RATE
from media2face.runtime.demo import demo_speech
from media2face.runtime.errors import AudioError, Media2FaceError
from media2face.runtime.intake import Chunk
from media2face.runtime.sources import FileSpeech, Microphone, utterance_id
from media2face_msgs.action import Animate
from media2face_msgs.msg import AudioChunk, Expression, Keyframe, PlaybackClock, StylePrompt
from media2face_msgs.srv import Interrupt

from . import qos, runner
from .audio_messages import ForeignAudio, message_of
from .base import NS, AvatarNode, to_ns, to_stamp
from .clips import ClipFollower, ClipOrder
from .parameters import Param

FEEDBACK_PERIOD = NS // 5
SILENCE_ENDS = NS // 2
"""Foreign audio that pauses for longer begins a new utterance."""


class AudioCapture(AvatarNode):
    """Publishes one source of speech at a time; a clip asked for by the action goes first."""

    NAME = "audio_capture"
    PARAMETERS = (
        Param("audio", "", "speech: a file, 'demo', 'mic', or empty for what others send"),
        Param("loop", False, "speak the file again and again", fixed=False),
        Param("pace", 1.0, "how fast a file is delivered; 1 is real time, 0 as fast as possible", 0.0, 100.0),
        Param("chunk", 0.032, "length of a chunk, s", 0.005, 1.0),
        Param("device", "", "microphone: name or number; empty is the default one"),
        Param("wait", 20.0, "how long a file waits for the rest of the graph, s", 0.0, 600.0),
    )

    def setup(self) -> None:
        self.foreign = ForeignAudio.find()
        self.microphone: Microphone | None = None
        self.file: FileSpeech | None = None
        self.clip: ClipFollower | None = None
        self.goal: ServerGoalHandle | None = None
        audio = self.value("audio")
        if audio == "mic":
            self.microphone = Microphone(self.value("device"), self.value("chunk"))
        elif audio:
            self._open(audio)
        self.audio = self.give(AudioChunk, "audio", qos.AUDIO)
        self.prompts = self.give(StylePrompt, "style_prompt", qos.PROMPT)
        self.keyframes = self.give(Keyframe, "keyframe", qos.PROMPT)
        self.interrupts = self.create_client(Interrupt, "interrupt")
        self._made.append((self.destroy_client, self.interrupts))
        self.take(Header, "interrupted", self.on_interrupted, qos.EVENT)
        self.take(Expression, "expression", self.on_expression, qos.FRAMES)
        self.take(PlaybackClock, "playback_clock", self.on_clock, qos.STATE)
        server = ActionServer(
            self,
            Animate,
            "animate",
            execute_callback=lambda handle: Animate.Result(),  # never called: a goal ends with a callback of its own
            goal_callback=self.on_goal,
            handle_accepted_callback=self.on_accepted,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )
        self._made.append((lambda s: s.destroy(), server))
        self._listen_to_foreign()
        self.work(self.speak)

    def start(self) -> None:
        self.activated = self.now()
        self.graph_ready: int | None = None
        if self.microphone:
            self.microphone.start()

    def stop(self) -> None:
        if self.clip:
            self.clip.fail("audio_capture was deactivated")
            self._follow()
        if self.microphone:
            self.microphone.stop()

    def report(self) -> dict[str, str]:
        source = self.file or self.microphone
        return {"source": self.value("audio") or "others", "utterance": source.utterance if source else ""}

    # ------------------------------------------------------------------------------------------------ speaking

    def speak(self) -> float | None:
        """Send what is due; seconds until the next chunk."""
        with self.lock:
            pause = None
            if self.file:
                pause = self._speak_file()
            elif self.microphone:
                pause = self._speak_microphone()
            if self.clip:
                self._follow()
                pause = FEEDBACK_PERIOD / NS / 4 if pause is None else pause
        return pause

    def _speak_file(self) -> float:
        now = self.now()
        if self.file.began is None and not self._ready(now):
            return 0.05
        pause = self.file.due(now)
        if pause > 0:
            return pause
        try:
            chunk = self.file.next(now)
        except AudioError as error:
            self.refuse("files that broke off", str(error))
            chunk = Chunk(self.file.utterance, self.file.sent, SAMPLE_RATE, _nothing(), now, last=True)
            self.file.finished = True
        self.audio.publish(message_of(chunk))
        if self.clip:
            self.clip.sent = self.file.sent
        if self.file.finished:
            self._file_ended()
        return self.file.due(self.now()) if self.file else 0.0

    def _file_ended(self) -> None:
        began, sent = self.file.began, self.file.sent
        self.file = None
        if self.clip:
            self.clip.complete = True
        elif self.value("loop"):
            self._open(self.value("audio"))
            if self.file.pace:
                self.file.began = began + round(sent * NS / SAMPLE_RATE / self.file.pace)

    def _speak_microphone(self) -> float:
        chunk = self.microphone.next(self.now())
        if chunk is None:
            return self.value("chunk") / 8
        self.audio.publish(message_of(chunk))
        if self.microphone.lost:
            self.counts["microphone overflows"] = self.microphone.lost
        return 0.0

    def _open(self, audio: str) -> None:
        self.file = FileSpeech(demo_speech() if audio == "demo" else audio, self.value("chunk"), self.value("pace"))

    def _ready(self, now: int) -> bool:
        """Whether every stage listens (or has been waited for), and has had a moment to be matched."""
        if self.graph_ready is None:
            stages = [self.count_subscribers(topic) for topic in ("audio", "speech_features", "head_motion")]
            if all(stages):
                self.graph_ready = now
            elif now - self.activated > self.value("wait") * NS:
                self.refuse("spoke without the whole graph", "no node listens to audio, speech_features or head_motion")
                self.graph_ready = now
        return self.graph_ready is not None and now - self.graph_ready > 0.4 * NS

    # ------------------------------------------------------------------------------------------------ events

    def on_interrupted(self, message: Header) -> None:
        if self.file and self.file.utterance == message.frame_id:
            self.file = None
        if self.clip and self.clip.utterance == message.frame_id:
            self.clip.fail("interrupted")
        if self.microphone and self.microphone.utterance == message.frame_id:
            self.microphone.restart()

    def on_expression(self, message: Expression) -> None:
        if self.clip:
            self.clip.on_frame(message.utterance, message.frame, self.now())

    def on_clock(self, message: PlaybackClock) -> None:
        if self.clip and self.clip.utterance == message.utterance:
            self.clip.on_underruns(message.underruns)

    # ------------------------------------------------------------------------------------------------ animate

    def on_goal(self, goal: Animate.Goal) -> GoalResponse:
        if not self.active or self.clip:
            self.refuse("goals refused", "one clip at a time: wait, or cancel it" if self.clip else "not active")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def on_accepted(self, handle: ServerGoalHandle) -> None:
        """Begin to speak the goal's clip; the worker follows it, and ends the goal when its last frame is out."""
        goal: Animate.Goal = handle.request
        with self.lock:
            try:
                order = ClipOrder(goal)
                self._open(goal.audio or "demo")
            except Media2FaceError as error:
                handle.execute(lambda h, why=str(error): _ended(h, Animate.Result(message=why)))
                return
            self.clip = ClipFollower(self.file.utterance)
            self.goal = handle
            stamp = to_stamp(self.now())
            for prompt in order.prompts(self.clip.utterance, stamp):
                self.prompts.publish(prompt)
            for keyframe in order.keyframes(self.clip.utterance, stamp):
                self.keyframes.publish(keyframe)
        self.wake()

    def _follow(self) -> None:
        """Feedback on the clip, and its end."""
        clip, handle = self.clip, self.goal
        now = self.now()
        if handle.is_cancel_requested and not clip.failure:
            if self.file and self.file.utterance == clip.utterance:
                self.file = None
            self.interrupts.call_async(Interrupt.Request(utterance=clip.utterance))
            clip.fail("cancelled")
        over = clip.over(now)
        if not over and now - clip.told < FEEDBACK_PERIOD:
            return
        clip.told = now
        duration = clip.sent / SAMPLE_RATE
        feedback = Animate.Feedback(
            utterance=clip.utterance, frame=clip.frame, position=clip.position, duration=duration
        )
        handle.publish_feedback(feedback)
        if over:
            self.clip = self.goal = None
            result = Animate.Result(
                success=not clip.failure,
                message=clip.failure,
                utterance=clip.utterance,
                frames=clip.frames,
                duration=duration,
                underruns=clip.underruns,
            )
            handle.execute(lambda h: _ended(h, result))

    # ------------------------------------------------------------------------------------------------ foreign audio

    def _listen_to_foreign(self) -> None:
        if self.foreign is None:
            self.get_logger().info("audio_common_msgs is not installed: AudioChunk only")
            return
        self.heard_foreign = (0, "", 0)
        self.take(self.foreign.stamped, "audio_in", self.on_foreign, qos.AUDIO)
        if self.foreign.info:
            self.take(self.foreign.info, "audio_info", self.foreign.describe, qos.STATE)

    def on_foreign(self, message) -> None:
        found = self.foreign.samples(message)
        if found is None:
            self.refuse("foreign audio that cannot be read", "expected PCM with a known format")
            return
        rate, samples = found
        now = self.now()
        until, utterance, position = self.heard_foreign
        if not utterance or now - until > SILENCE_ENDS:
            if utterance:
                self.audio.publish(
                    message_of(Chunk(utterance, position, rate, _nothing(samples.shape[1]), now, last=True))
                )
            utterance, position = utterance_id("foreign"), 0
        stamp = to_ns(message.header.stamp) or now - round(len(samples) * NS / rate)
        self.audio.publish(message_of(Chunk(utterance, position, rate, samples, stamp)))
        self.heard_foreign = (max(until, now), utterance, position + len(samples))


def _ended(handle: ServerGoalHandle, result: Animate.Result) -> Animate.Result:
    if result.success:
        handle.succeed()
    elif handle.is_cancel_requested:
        handle.canceled()
    else:
        handle.abort()
    return result


def _nothing(channels: int = 1) -> np.ndarray:
    return np.zeros((0, channels), np.float32)


def main() -> int:
    """Run this node."""
    return runner.main(AudioCapture)
