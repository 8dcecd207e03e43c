"""``face_tracker``: a camera's pictures in; the expression and head pose of the face in them, and keyframes, out."""

from __future__ import annotations

from array import array

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from media2face.runtime.arkit import ARKIT_NAMES
from media2face.runtime.clock import FPS
from media2face.runtime.errors import InputError, Media2FaceError
from media2face.runtime.pictures import decode_picture, raw_picture
from media2face.runtime.rotation import rotvec_from_quaternion
from media2face.runtime.sources import utterance_id
from media2face.runtime.vision import FaceTracker, TrackedFace, TrackerConfig
from media2face_msgs.msg import Expression, Keyframe

from . import qos, runner
from .base import NS, AvatarNode, to_ns, to_stamp
from .parameters import PROVIDER, WEIGHTS, Param

NAMES = list(ARKIT_NAMES)
FUTURE_S = 0.5


class FaceTrackerNode(AvatarNode):
    """Runs :class:`.FaceTracker` on the newest picture; those that come while it is busy are left out and counted."""

    NAME = "face_tracker"
    PARAMETERS = (
        PROVIDER,
        WEIGHTS,
        Param("confidence", 0.5, "faces seen less surely are not there", 0.05, 0.95),
        Param("field_of_view", 60.0, "of the camera across the picture, degrees", 5.0, 160.0),
        Param("smoothing", 1.0, "of expression and head, 0 none, larger is smoother and later", 0.0, 10.0),
        Param("max_age", 1.0, "pictures stamped longer ago are refused, s; 0: none is", 0.0, 3600.0, fixed=False),
        Param("keyframe_every", 0.0, "send the tracked face as a keyframe so often, s; 0: on request only", 0.0, 60.0,
              fixed=False),
        Param("frame_id", "", "frame of the tracked head's rest pose; empty: <namespace>/tracked_head_rest"),
    )  # fmt: skip

    def setup(self) -> None:
        config = TrackerConfig(self.value("confidence"), self.value("field_of_view"), self.value("smoothing"))
        self.tracker = FaceTracker(self.value("weights") or None, self.value("provider"), config)
        self.tracker.track(np.zeros((120, 160, 3), np.uint8), 0.0)  # the first pass is slow
        namespace = self.get_namespace().strip("/")
        prefix = f"{namespace}/" if namespace else ""
        self.rest_frame, self.head_frame = (
            self.value("frame_id") or f"{prefix}tracked_head_rest",
            f"{prefix}tracked_head",
        )
        self.expressions = self.give(Expression, "tracked_expression", qos.FRAMES)
        self.poses = self.give(PoseStamped, "tracked_head_pose", qos.FRAMES)
        self.keyframes = self.give(Keyframe, "keyframe", qos.PROMPT)
        self._forget()
        self.take(Image, "image", self.on_picture, qos.CAMERA)
        self.take(CompressedImage, "image/compressed", self.on_picture, qos.CAMERA)
        self.serve(Trigger, "take_keyframe", self.on_take_keyframe)
        self.work(self.look)
        self.line = f"wants pictures on {self.resolve_topic_name('image')}"

    def stop(self) -> None:
        self._forget()

    def teardown(self) -> None:
        self.tracker = None

    def report(self) -> dict[str, str]:
        seen = self.seen
        values = {
            "face": "none" if seen is None else f"confidence {seen.confidence:.2f}",
            "pictures": str(self.pictures),
        }
        return values | {f"tracker: {kind}": str(count) for kind, count in sorted(self.tracker.counts.items())}

    def on_picture(self, message: Image | CompressedImage) -> None:
        """Keep the newest; what does not fit is refused by the worker."""
        if self.waiting is not None:
            self.counts["pictures left out, busy"] += 1
        self.waiting = message
        self.wake()

    def on_take_keyframe(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self.seen is None or self.now() - self.seen_at > NS:
            raise InputError("no face has been seen in the last second: show one to the camera, then ask again")
        self._send_keyframe()
        response.success, response.message = True, f"keyframe sent, confidence {self.seen.confidence:.2f}"
        return response

    def look(self) -> float | None:
        """Track the face in the picture that waits."""
        with self.lock:
            message, self.waiting = self.waiting, None
        if message is None:
            return None
        try:
            stamp = self._checked_stamp(to_ns(message.header.stamp))
            began = self.now()
            face = self.tracker.track(_pixels(message), stamp / NS)
        except Media2FaceError as error:
            with self.lock:
                self.refuse(f"refused on {'image' if isinstance(message, Image) else 'image/compressed'}", str(error))
            return None
        with self.lock:
            self.latest = stamp
            self.pictures += 1
            self.measure("track", (self.now() - began) / NS)
            self.seen = face
            if face is None:
                self.counts["pictures without a face"] += 1
            elif self.active:
                self._publish(face, stamp)
                self.measure("latency", (self.now() - stamp) / NS)
        return None

    def _checked_stamp(self, stamp: int) -> int:
        """The moment of a picture, ns; now where none is given.

        Raises:
            InputError: from the past or the future, or not later than the picture before.
        """
        now = self.now()
        stamp = stamp or now
        age, limit = (now - stamp) / NS, self.value("max_age")
        if limit and not -FUTURE_S <= age <= limit:
            raise InputError(f"expected a picture of the last {limit:g} s, got one stamped {-age:+.1f} s from now: set "
                             "the camera's clock, or max_age to 0")  # fmt: skip
        if self.latest is not None and stamp <= self.latest:
            if self.latest - stamp < 5 * NS:
                raise InputError("a picture is older than the one before it")
            self.tracker.reset()  # a recording that was started again
            self.first = stamp
        return stamp

    def _publish(self, face: TrackedFace, stamp: int) -> None:
        if self.first is None:
            self.first = stamp
        at = to_stamp(stamp)
        expression = Expression(
            utterance=self.session, frame=max(0, round((stamp - self.first) * FPS / NS)), revision=0, names=NAMES,
            weights=array("f", face.weights.tobytes()),
        )  # fmt: skip
        expression.header.stamp, expression.header.frame_id = at, self.head_frame
        self.expressions.publish(expression)
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = at, self.rest_frame
        p, q = pose.pose.position, pose.pose.orientation
        p.x, p.y, p.z = map(float, face.translation)
        q.x, q.y, q.z, q.w = map(float, face.rotation)
        self.poses.publish(pose)
        self.seen_at = self.now()
        every = self.value("keyframe_every")
        if every and self.seen_at - self.keyframe_at >= every * NS:
            self._send_keyframe()

    def _send_keyframe(self) -> None:
        face = self.seen
        message = Keyframe(frame=-1, names=NAMES, weights=array("f", face.weights.tobytes()), has_head=True)
        message.header.stamp = to_stamp(self.now())
        r, t = message.head_rotvec, message.head_translation
        r.x, r.y, r.z = map(float, rotvec_from_quaternion(face.rotation))
        t.x, t.y, t.z = map(float, np.clip(face.translation, -0.1, 0.1))
        self.keyframes.publish(message)
        self.keyframe_at = self.now()

    def _forget(self) -> None:
        self.waiting: Image | CompressedImage | None = None
        self.seen: TrackedFace | None = None
        self.latest: int | None = None
        self.first: int | None = None
        self.seen_at = self.keyframe_at = 0
        self.pictures = 0
        self.session = utterance_id("tracked")
        self.tracker.reset()


def _pixels(message: Image | CompressedImage) -> np.ndarray:
    if isinstance(message, CompressedImage):
        return decode_picture(bytes(message.data))
    return raw_picture(message.data, message.width, message.height, message.encoding, message.step)


def main() -> int:
    """Run this node."""
    return runner.main(FaceTrackerNode)
