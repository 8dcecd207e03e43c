"""``avatar_view``: a web page that wears the face, live."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from geometry_msgs.msg import PoseStamped
from std_msgs.msg import Header

from media2face.bodies.frames import FAR_FUTURE, FAR_PAST, WeightReader
from media2face.bodies.web.server import Answer, PageServer
from media2face.bodies.web.wire import (
    Interrupt,
    Keyframe,
    Picture,
    Request,
    Style,
    face_message,
    pose_message,
    sound_message,
)  # fmt: skip
from media2face.runtime.errors import InputError
from media2face.runtime.intake import AudioIntake
from media2face_msgs.msg import AudioChunk, Expression, PlaybackClock, StyleEmbedding
from media2face_msgs.msg import Keyframe as KeyframeMessage
from media2face_msgs.srv import AddKeyframe, SetStyle
from media2face_msgs.srv import Interrupt as InterruptService

from . import qos, runner
from .audio_messages import chunk_of
from .base import NS, AvatarNode, to_ns, to_stamp
from .parameters import Param

EXPRESSION_TYPE = "media2face_msgs/msg/Expression"
TEND_S, LOOK_ROUND_S, PATIENCE_S = 0.25, 2.0, 5.0
MAX_AVATARS = 64
MAX_WISHES = 32  # requests that wait for their service, pictures of 2 MB among them


@dataclass(eq=False)
class _Wish:
    """A request of a page on its way to a service; ``future`` is None until the service has been found."""

    caller: object
    request: object
    name: str
    answer: Answer
    until: float
    future: object = None


@dataclass
class _Avatar:
    """An avatar that somebody watches: its subscriptions, and what of its stream has to be remembered."""

    subscriptions: list = field(default_factory=list)
    reader: WeightReader = field(default_factory=WeightReader)
    intake: AudioIntake = field(default_factory=AudioIntake)
    revision: int = 0


class AvatarViewNode(AvatarNode):
    """Runs a :class:`.PageServer`; subscribes to what somebody watches, and to nothing else."""

    NAME = "avatar_view"
    PARAMETERS = (
        Param("page_port", 8060, "port of the page; the next free one if it is taken, 0 for any", 0, 65535),
        Param("page_host", "127.0.0.1", "address the page listens on; 0.0.0.0 lets other machines see and steer"),
        Param("page_sound", "auto", "sound in the page: 'auto' offers it unless this machine's loudspeaker plays",
              choices=("auto", "always", "never")),
    )  # fmt: skip

    def setup(self) -> None:
        self.avatars: dict[str, _Avatar] = {}
        self.known: list[str] = []
        self.wishes: list[_Wish] = []
        self.callers: dict[tuple[str, str], object] = {}
        self.looked_round = 0.0
        self.server = PageServer(self.on_request, self.now, self.value("page_host"), self.value("page_port"))
        self.server.start()
        self.line = self.server.line
        self.get_logger().info(self.line)
        self.server.tell("hello", keep=True, sound=self.value("page_sound"), own=self.own)
        self.tending = self.create_timer(TEND_S, self.tend)
        self._made.append((self.destroy_timer, self.tending))

    @property
    def own(self) -> str:
        """This node's namespace, which is the avatar that a page sees first."""
        return self.get_namespace()

    def stop(self) -> None:
        for namespace in list(self.avatars):
            self._leave(namespace)
        with self.lock:
            wishes, self.wishes = self.wishes, []
        for wish in wishes:
            if wish.future is not None:
                wish.future.cancel()
            wish.answer(False, "the page's node was stopped")

    def teardown(self) -> None:
        for client in getattr(self, "callers", {}).values():
            self.destroy_client(client)
        self.callers = {}
        if hasattr(self, "server"):
            self.server.stop()
            del self.server

    def troubles(self) -> Counter[str]:
        found = Counter(self.counts)
        if hasattr(self, "server"):
            found += Counter(self.server.counts)  # a copy: its thread goes on counting
        for avatar in getattr(self, "avatars", {}).values():
            found += avatar.intake.counts
        return found

    def report(self) -> dict[str, str]:
        return {"page": self.server.address, "pages open": str(self.server.clients)}

    # ------------------------------------------------------------------------------------------------ who is watched

    def tend(self) -> None:
        """Subscribe to what is watched, and no more; give up on services that do not answer."""
        if not self.active:
            return
        with self.lock:
            now = time.monotonic()
            if self.server.clients and now - self.looked_round >= LOOK_ROUND_S:
                self.looked_round = now
                self._look_round()
            watched = self.server.watched & set(self.known)
            for namespace in set(self.avatars) - watched:
                self._leave(namespace)
            for namespace in watched - set(self.avatars):
                self._join(namespace)
            for wish in list(self.wishes):
                if wish.until < now:
                    self.wishes.remove(wish)
                    if wish.future:
                        wish.future.cancel()
                    wish.answer(False, f"{wish.name} does not answer: is its node running?")
                else:
                    self._send(wish)

    def _look_round(self) -> None:
        found = {self.own}
        for topic, types in self.get_topic_names_and_types():
            if EXPRESSION_TYPE in types and topic.endswith("/expression") and self.count_publishers(topic):
                found.add(topic[: -len("/expression")] or "/")
        known = [self.own, *sorted(found - {self.own})][:MAX_AVATARS]
        if known != self.known:
            self.known = known
            self.server.tell("avatars", keep=True, names=known)

    def _join(self, namespace: str) -> None:
        avatar = self.avatars[namespace] = _Avatar()
        prefix = namespace.rstrip("/")
        for kind, topic, callback, profile in (
            (Expression, "expression", self.on_expression, qos.FRAMES),
            (PoseStamped, "head_pose", self.on_pose, qos.FRAMES),
            (AudioChunk, "audio", self.on_audio, qos.AUDIO),
            (PlaybackClock, "playback_clock", self.on_clock, qos.STATE),
            (StyleEmbedding, "style_embedding", self.on_style, qos.STATE),
            (Header, "interrupted", self.on_interrupted, qos.EVENT),
        ):
            guarded = self._guarded(namespace, topic, callback)
            avatar.subscriptions.append(self.create_subscription(kind, f"{prefix}/{topic}", guarded, profile))

    def _leave(self, namespace: str) -> None:
        for subscription in self.avatars.pop(namespace).subscriptions:
            self.destroy_subscription(subscription)

    def _guarded(self, namespace: str, topic: str, callback):
        def on_message(message) -> None:
            if not self.active:
                return
            with self.lock:
                avatar = self.avatars.get(namespace)
                if avatar is None:
                    return
                try:
                    callback(namespace, avatar, message)
                except InputError as error:
                    self.refuse(f"refused on {topic}", str(error))

        return on_message

    # ------------------------------------------------------------------------------------------------ the stream

    def on_expression(self, namespace: str, avatar: _Avatar, message: Expression) -> None:
        stamp = self._checked(to_ns(message.header.stamp))
        weights = avatar.reader.read(message.names, np.frombuffer(message.weights, np.float32))
        avatar.revision = message.revision
        self.server.send(
            namespace, face_message(message.utterance, message.frame, message.revision, stamp / 1e6, weights)
        )

    def on_pose(self, namespace: str, avatar: _Avatar, message: PoseStamped) -> None:
        stamp = self._checked(to_ns(message.header.stamp))
        p, q = message.pose.position, message.pose.orientation
        rotation, translation = np.array([q.x, q.y, q.z, q.w]), np.array([p.x, p.y, p.z])
        length = float(np.linalg.norm(rotation))
        if not np.isfinite(length) or not 0.5 < length < 2.0:
            raise InputError(f"expected the head's rotation as a unit quaternion, got {rotation.tolist()}")
        if not np.isfinite(translation).all() or np.abs(translation).max() > 1.0:
            raise InputError(f"expected the head's offset in metres, got {translation.tolist()}")
        self.server.send(namespace, pose_message(avatar.revision, stamp / 1e6, rotation / length, translation))

    def on_audio(self, namespace: str, avatar: _Avatar, message: AudioChunk) -> None:
        chunk = chunk_of(message)
        if chunk is None:
            raise InputError("encoding, channels and length do not fit together")
        for piece in avatar.intake.push(chunk):
            samples = np.clip(piece.samples, -1.0, 1.0)
            self.server.send(namespace, sound_message(piece.utterance, piece.first_sample, samples, piece.ends))

    def on_clock(self, namespace: str, avatar: _Avatar, message: PlaybackClock) -> None:
        values = (message.position, message.received, message.presentation_delay)
        if not np.isfinite(values).all():
            raise InputError("position, received or presentation_delay is not finite")
        self.server.tell(
            "clock", namespace, keep=True, utterance=message.utterance, start=to_ns(message.start) / 1e6,
            received=message.received, delay=message.presentation_delay, playing=message.playing,
            device=message.device, last=message.last,
        )  # fmt: skip

    def on_style(self, namespace: str, avatar: _Avatar, message: StyleEmbedding) -> None:
        similarity = [float(v) if np.isfinite(v) else 0.0 for v in message.similarity]
        strength = float(message.strength) if np.isfinite(message.strength) else 1.0
        self.server.tell(
            "style", namespace, keep=True, prompt=message.prompt[:200], nearest=list(message.nearest)[:8],
            similarity=similarity[:8], known=message.known, strength=strength,
        )  # fmt: skip

    def on_interrupted(self, namespace: str, avatar: _Avatar, message: Header) -> None:
        avatar.intake.close(message.frame_id)
        self.server.tell("interrupted", namespace, utterance=message.frame_id[:128], at=to_ns(message.stamp) / 1e6)

    def _checked(self, stamp: int) -> int:
        now = self.now()
        if not now - FAR_PAST <= stamp <= now + FAR_FUTURE:
            raise InputError(f"the stamp is {(stamp - now) / NS:+.1f} s from now: expected the moment at which the "
                             "frame is to be seen, by this machine's clock")  # fmt: skip
        return stamp

    # ------------------------------------------------------------------------------------------------ what pages ask

    def on_request(self, request: Request, namespace: str, answer: Answer) -> None:
        """In the server's thread: hand a page's wish to the node that fulfils it."""
        if namespace not in self.known:
            raise InputError("choose an avatar first")
        if isinstance(request, Interrupt):
            self._call(InterruptService, "interrupt", namespace, InterruptService.Request(), answer)
        elif isinstance(request, Keyframe):
            keyframe = KeyframeMessage(
                frame=-1, names=list(request.weights), weights=array("f", request.weights.values())
            )
            self._call(AddKeyframe, "add_keyframe", namespace, AddKeyframe.Request(keyframe=keyframe), answer)
        else:
            wanted = SetStyle.Request()
            wanted.prompt.header.stamp = to_stamp(self.now())
            wanted.prompt.strength, wanted.prompt.start_frame, wanted.prompt.ramp = request.strength, -1, 0.3
            if isinstance(request, Style):
                wanted.prompt.text, wanted.prompt.ramp = request.text, request.ramp
            elif isinstance(request, Picture):
                wanted.prompt.image.data = array("B", request.data)
            self._call(SetStyle, "set_style", namespace, wanted, answer)

    def _call(self, kind: type, name: str, namespace: str, request, answer: Answer) -> None:
        with self.lock:
            if not self.active:
                raise InputError("the page's node is not active")
            if len(self.wishes) >= MAX_WISHES:
                raise InputError("too many requests wait for an answer: try again in a moment")
            caller = self.callers.get((namespace, name))
            if caller is None:
                caller = self.create_client(kind, f"{namespace.rstrip('/')}/{name}")
                self.callers[namespace, name] = caller
            wish = _Wish(caller, request, name, answer, time.monotonic() + PATIENCE_S)
            self.wishes.append(wish)
            self._send(wish)

    def _send(self, wish: _Wish) -> None:
        """Call the service as soon as it is there: what is sent before that is lost."""
        if wish.future is None and wish.caller.service_is_ready():
            wish.future = wish.caller.call_async(wish.request)
            wish.future.add_done_callback(lambda done: self._answered(done, wish))

    def _answered(self, future, wish: _Wish) -> None:
        if future.cancelled():
            return
        with self.lock:
            if wish in self.wishes:
                self.wishes.remove(wish)
        response = future.result()
        if not response.success:
            self.refuse(f"refused by {wish.name}", response.message)
        wish.answer(response.success, response.message or "done")


def main() -> int:
    """Run this node."""
    return runner.main(AvatarViewNode)
