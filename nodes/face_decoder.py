"""``face_decoder``: head motion in, expressions and head poses out, each at its moment."""

from __future__ import annotations

from array import array
from collections import Counter

import numpy as np
from geometry_msgs.msg import PointStamped, PoseStamped, TransformStamped

from media2face.runtime.arkit import ARKIT_NAMES
from media2face.runtime.clock import FPS
from media2face.runtime.decoder import FaceDecoder
from media2face.runtime.errors import InputError
from media2face.runtime.gaze import Gaze, IdleFace
from media2face.runtime.presentation import FRAME_NS, NS, FrameQueue, Queued, StarvedFace, Timeline, frame_offset
from media2face.runtime.rotation import quaternions_from_rotvecs
from media2face.runtime.sources import is_idle, utterance_id
from media2face_msgs.msg import Expression, HeadMotion, PlaybackClock

from . import qos, runner
from .base import AvatarNode, to_ns, to_stamp
from .parameters import PRECISION, PRESENTATION_DELAY, PROVIDER, WEIGHTS, Param

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # not on PyPI; part of every ROS 2 installation
    TFMessage = None

NAMES = list(ARKIT_NAMES)


class FaceDecoderNode(AvatarNode):
    """Runs :class:`.FaceDecoder` as motion comes and a :class:`.FrameQueue` by the clock."""

    NAME = "face_decoder"
    PARAMETERS = (
        PROVIDER,
        WEIGHTS,
        PRECISION,
        PRESENTATION_DELAY,
        Param("publish_ahead", 0.1, "frames go out this much before they are to be seen, s", 0.0, 0.1),
        Param("gaze_fresh", 1.0, "how long a point on look_at holds the eyes, s", 0.1, 60.0),
        Param(
            "frame_id", "", "frame of the head's rest pose; empty: <namespace>/head_rest, its child is <namespace>/head"
        ),
    )

    def setup(self) -> None:
        self.decoder = FaceDecoder(self.weights(), self.value("provider"))
        namespace = self.get_namespace().strip("/")
        prefix = f"{namespace}/" if namespace else ""
        self.rest_frame, self.head_frame = self.value("frame_id") or f"{prefix}head_rest", f"{prefix}head"
        self.expressions = self.give(Expression, "expression", qos.FRAMES)
        self.poses = self.give(PoseStamped, "head_pose", qos.FRAMES)
        self.transforms = self.give(TFMessage, "/tf", qos.TF) if TFMessage else None
        if TFMessage is None:
            self.get_logger().info("tf2_msgs is not installed: no transforms, head_pose only")
        self._forget()
        self.take(HeadMotion, "head_motion", self.on_motion, qos.MOTION)
        self.take(PlaybackClock, "playback_clock", self.on_clock, qos.STATE)
        self.take(PointStamped, "look_at", self.on_look_at, qos.PROMPT)
        self.work(self.show)

    def stop(self) -> None:
        self._forget()

    def troubles(self) -> Counter[str]:
        return self.counts + self.queue.counts if hasattr(self, "queue") else self.counts

    def report(self) -> dict[str, str]:
        return {"frames published": str(self.published), "frames waiting": str(len(self.queue))}

    def on_motion(self, message: HeadMotion) -> None:
        began = self.now()
        n = message.frames
        if not 0 < n <= 3000:
            raise InputError(f"expected 1 to 3000 frames of motion, got {n}")
        if message.latent_space != self.decoder.fingerprint:
            raise InputError(f"expected latents of decoder {self.decoder.fingerprint}, got {message.latent_space!r}")
        if abs(message.fps - FPS) > 1e-3:
            raise InputError(f"expected motion at {FPS} frames per second, got {message.fps:g}")
        latent, rotvec, translation = (
            _rows(values, n, width, name)
            for values, width, name in (
                (message.latent, self.decoder.latent_dim, "latent"),
                (message.head_rotvec, 3, "head_rotvec"),
                (message.head_translation, 3, "head_translation"),
            )
        )
        weights = self.decoder.weights(latent)
        rotation = quaternions_from_rotvecs(rotvec)
        anchor = to_ns(message.header.stamp)
        start = self.timeline.begin(message.utterance, anchor)
        values = [(anchor, weights[i], rotation[i], translation[i]) for i in range(n)]
        self.queue.push(message.utterance, start, message.first_frame, message.revision, values)
        if message.last:
            self.ended = message.utterance
        self.measure("decode", (self.now() - began) / NS)
        self.wake()

    def on_clock(self, message: PlaybackClock) -> None:
        if message.utterance:
            self.timeline.put(message.utterance, to_ns(message.start))

    def on_look_at(self, message: PointStamped) -> None:
        """The eyes look at a point, for as long as it is fresh."""
        frame = message.header.frame_id
        if frame not in ("", self.rest_frame, self.head_frame):
            raise InputError(f"expected a point in {self.rest_frame} or {self.head_frame}, got one in {frame[:80]!r}: "
                             "the node robot_face turns others into these")  # fmt: skip
        now, stamp = self.now(), to_ns(message.header.stamp)
        if stamp and abs(stamp - now) > round(self.value("gaze_fresh") * NS):
            raise InputError(f"the point to look at was stamped {(stamp - now) / NS:+.1f} s from now")
        point = np.array([message.point.x, message.point.y, message.point.z])
        self.gaze.look_at(point, now / NS, on_head=frame == self.head_frame)
        self.wake()

    def show(self) -> float | None:
        """Publish what is due; seconds until the next frame."""
        with self.lock:
            for item in self.queue.due(self.now()):
                if self._overtaken(item):
                    self.counts["late frames left out"] += 1
                    continue
                self.starved, self.idle = StarvedFace(item), None
                self._publish(item)
            following = self.queue.next_time()
            if following is None:
                pause = self._ease()
                return self._look() if pause is None else pause
            return max((following - self.now()) / NS, 0.0)

    def _overtaken(self, item: Queued) -> bool:
        """Whether a later frame has been shown already (while the face came to rest): time does not run backwards."""
        shown = self.shown
        return (
            shown is not None
            and shown.utterance == item.utterance
            and (shown.revision >= item.revision and shown.frame >= item.frame)
        )

    def _ease(self) -> float | None:
        """No frame waits: unless the utterance is over, the last one is held, then eased to rest."""
        if self.starved is None or self.starved.item.utterance == self.ended:
            return None
        item = self.starved.due(self.now() + self.queue.ahead)
        if item is not None:
            self.counts["frames eased to rest for want of motion"] += 1
            self._publish(item)
        following = self.starved.next_time()
        return None if following is None else max((following - self.queue.ahead - self.now()) / NS, 0.0)

    def _look(self) -> float | None:
        """Nothing is said: frames go on only while the eyes have somewhere to look."""
        now = self.now()
        if not self.gaze.active(now / NS):
            self.idle = None
            return None
        if self.idle is None:
            earliest = now + self.queue.ahead
            if self.shown is not None:
                earliest = max(earliest, self.shown.present + FRAME_NS)
            self.idle = IdleFace(utterance_id("idle"), earliest, self.shown.value if self.shown else None)
        item = self.idle.due(now + self.queue.ahead)
        if item is not None:
            self._publish(item)
        return max((self.idle.next_time() - self.queue.ahead - self.now()) / NS, 0.0)

    def _publish(self, item: Queued) -> None:
        anchor, weights, rotation, translation = item.value
        if self.last_rotation is not None and rotation @ self.last_rotation < 0:
            rotation = -rotation
        self.last_rotation = rotation
        weights = self.gaze.apply(weights, rotation, translation, item.present / NS)
        stamp = to_stamp(item.present)
        expression = Expression(
            utterance=item.utterance, frame=item.frame, revision=item.revision, names=NAMES,
            weights=array("f", weights.astype(np.float32).tobytes()),
        )  # fmt: skip
        expression.header.stamp, expression.header.frame_id = stamp, self.head_frame
        self.expressions.publish(expression)
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = stamp, self.rest_frame
        p, q = pose.pose.position, pose.pose.orientation
        p.x, p.y, p.z = map(float, translation)
        q.x, q.y, q.z, q.w = map(float, rotation)
        self.poses.publish(pose)
        if self.transforms:
            transform = TransformStamped(header=pose.header, child_frame_id=self.head_frame)
            t = transform.transform.translation
            t.x, t.y, t.z = p.x, p.y, p.z
            transform.transform.rotation = q
            self.transforms.publish(TFMessage(transforms=[transform]))
        self.shown = item
        self.published += 1
        if anchor is not None and not is_idle(item.utterance):
            self.measure("latency", (self.now() - anchor - frame_offset(item.frame)) / NS)

    def _forget(self) -> None:
        self.queue = FrameQueue(round(self.value("publish_ahead") * NS))
        self.timeline = Timeline(round(self.value("presentation_delay") * NS))
        self.last_rotation: np.ndarray | None = None
        self.starved: StarvedFace | None = None
        self.shown: Queued | None = None
        self.gaze, self.idle = Gaze(self.value("gaze_fresh")), None
        self.ended = ""
        self.published = 0


def _rows(values: array, count: int, width: int, name: str) -> np.ndarray:
    data = np.frombuffer(values, np.float32)
    if data.size != count * width:
        raise InputError(f"expected {name} of {count} x {width} values, got {data.size}")
    if not np.isfinite(data).all():
        raise InputError(f"{name} holds NaN or infinite values")
    return data.reshape(count, width)


def main() -> int:
    """Run this node."""
    return runner.main(FaceDecoderNode)
