"""``robot_face``: the conventions of robot faces: look_at and expressions in, expressions, visemes and frames out."""

from __future__ import annotations

from array import array

import numpy as np
from geometry_msgs.msg import PointStamped, TransformStamped

from media2face.bodies.frames import WeightReader
from media2face.runtime.affect import prompt_of, shown_affect, style_affect
from media2face.runtime.errors import InputError
from media2face.runtime.gaze import EYES, optical_rotation, turns_of
from media2face.runtime.transforms import FrameTree
from media2face.runtime.visemes import VISEMES, visemes_of
from media2face_msgs.msg import Expression, StyleEmbedding, StylePrompt

from . import qos, runner
from .base import NS, AvatarNode, to_ns, to_stamp
from .parameters import Param

try:
    from hri_msgs.msg import Expression as HriExpression
except ImportError:  # neither on PyPI nor part of every ROS 2 installation
    HriExpression = None
try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # not on PyPI; part of every ROS 2 installation
    TFMessage = None

TELL_PERIOD = NS // 10
AVERAGE_S = 1.0


class RobotFace(AvatarNode):
    """A robot's face as ROS4HRI and REP-155 know it; each part works where its messages are installed."""

    NAME = "robot_face"
    PARAMETERS = (
        Param("look_at_topic", "/robot_face/look_at", "topic of the points to look at"),
        Param("expression_topic", "/robot_face/expression", "topic of the expressions to show"),
        Param("face_id", "", "id in the frames' names, face_ID, gaze_ID and head_ID; empty: the namespace"),
    )

    def setup(self) -> None:
        namespace = self.get_namespace().strip("/")
        prefix = f"{namespace}/" if namespace else ""
        self.rest_frame, self.head_frame = f"{prefix}head_rest", f"{prefix}head"
        self.face_id = self.value("face_id") or namespace.replace("/", "_") or "avatar"
        self.visemes = self.give(Expression, "visemes", qos.FRAMES)
        self.points = self.give(PointStamped, "look_at", qos.PROMPT)
        self.prompts = self.give(StylePrompt, "style_prompt", qos.PROMPT)
        self.expressions = self.give(HriExpression, "face_expression", qos.PROMPT) if HriExpression else None
        self.transforms = self.give(TFMessage, "/tf", qos.TF) if TFMessage else None
        self.reader, self.frames = WeightReader(), FrameTree()
        self._forget()
        self.take(Expression, "expression", self.on_face, qos.FRAMES)
        self.take(StyleEmbedding, "style_embedding", self.on_style, qos.STATE)
        self.take(PointStamped, self.value("look_at_topic"), self.on_look_at, qos.PROMPT)
        if HriExpression:
            self.take(HriExpression, self.value("expression_topic"), self.on_expression, qos.PROMPT)
        if TFMessage:
            self.take(TFMessage, "/tf", self.on_transforms, qos.TF)
            self.take(TFMessage, "/tf_static", self.on_transforms, qos.TF_STATIC)
        missing = [n for n, kind in (("hri_msgs", HriExpression), ("tf2_msgs", TFMessage)) if kind is None]
        self.line = f"visemes; looks at {self.value('look_at_topic')}"
        if HriExpression:
            self.line += f"; shows {self.value('expression_topic')}"
        if missing:
            self.line += f"; not installed: {', '.join(missing)}"
        self.get_logger().info(self.line)

    def stop(self) -> None:
        self._forget()

    def report(self) -> dict[str, str]:
        return {"style": self.style, "valence": f"{self.affect[0]:.2f}", "arousal": f"{self.affect[1]:.2f}"}

    # ------------------------------------------------------------------------------------------------ in

    def on_look_at(self, message: PointStamped) -> None:
        """Give the point on to the decoder, in the frame of the head's rest pose or of the head."""
        frame = message.header.frame_id.lstrip("/") or self.rest_frame
        point = np.array([message.point.x, message.point.y, message.point.z])
        if frame not in (self.rest_frame, self.head_frame):
            point, frame = self.frames.transform(point, frame, self.rest_frame), self.rest_frame
        out = PointStamped()
        out.header.stamp, out.header.frame_id = message.header.stamp, frame
        out.point.x, out.point.y, out.point.z = map(float, point)
        self.points.publish(out)

    def on_expression(self, message) -> None:
        text, strength = prompt_of(message.expression, message.valence, message.arousal)
        prompt = StylePrompt(text=text, strength=strength, start_frame=-1, ramp=0.3)
        prompt.header.stamp = to_stamp(self.now())
        self.prompts.publish(prompt)

    def on_style(self, message: StyleEmbedding) -> None:
        if not message.nearest or len(message.nearest) != len(message.similarity):
            raise InputError("a style embedding without the names of its nearest styles")
        self.style = message.nearest[0] if message.known else "neutral"
        self.strength = float(np.clip(message.strength, 0.0, 2.0))
        self.confidence = float(np.clip(message.similarity[0], 0.0, 1.0)) if message.known else 0.0

    def on_transforms(self, message) -> None:
        for transform in message.transforms:
            q, p = transform.transform.rotation, transform.transform.translation
            try:
                self.frames.put(
                    transform.header.frame_id.lstrip("/"), transform.child_frame_id.lstrip("/"),
                    np.array([q.x, q.y, q.z, q.w]), np.array([p.x, p.y, p.z]),
                )  # fmt: skip
            except InputError as error:  # the others of the message count
                self.refuse("transforms refused", str(error))

    # ------------------------------------------------------------------------------------------------ out

    def on_face(self, message: Expression) -> None:
        weights = self.reader.read(message.names, np.frombuffer(message.weights, np.float32))
        out = Expression(
            header=message.header, utterance=message.utterance, frame=message.frame, revision=message.revision,
            names=list(VISEMES), weights=array("f", visemes_of(weights[None])[0].tobytes()),
        )  # fmt: skip
        self.visemes.publish(out)
        present = to_ns(message.header.stamp)
        share = float(np.clip((present - self.seen) / NS / AVERAGE_S, 0.0, 1.0)) if 0 < self.seen <= present else 1.0
        self.seen = present
        self.mean += share * (weights - self.mean)
        if abs(present - self.told) >= TELL_PERIOD:
            self.told = present
            self._tell(message)
        if self.transforms:
            self._show_frames(message, weights)

    def _tell(self, message: Expression) -> None:
        """Name, valence and arousal: the style's, drawn half way to what the face itself shows."""
        name, wanted = style_affect(self.style, self.strength)
        self.affect = (wanted + shown_affect(self.mean)) / 2.0 if wanted.any() else shown_affect(self.mean)
        if self.expressions:
            valence, arousal = map(float, self.affect)
            told = HriExpression(expression=name, valence=valence, arousal=arousal, confidence=self.confidence)
            told.header = message.header
            self.expressions.publish(told)

    def _show_frames(self, message: Expression, weights: np.ndarray) -> None:
        """REP-155: face_ID lies between the eyes, x out of the face; gaze_ID has z along the gaze, x right, y down."""
        middle = np.mean(list(EYES.values()), axis=0)
        yaw, pitch = turns_of(weights).mean(axis=0)
        forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
        frames = [
            self._frame(message, self.head_frame, f"head_{self.face_id}", np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])),
            self._frame(message, self.head_frame, f"face_{self.face_id}", middle, np.array([0.0, 0.0, 0.0, 1.0])),
            self._frame(message, self.head_frame, f"gaze_{self.face_id}", middle, optical_rotation(forward)),
        ]
        self.transforms.publish(TFMessage(transforms=frames))

    def _frame(self, message: Expression, parent: str, child: str, place: np.ndarray, q: np.ndarray):
        made = TransformStamped(child_frame_id=child)
        made.header.stamp, made.header.frame_id = message.header.stamp, parent
        t, r = made.transform.translation, made.transform.rotation
        t.x, t.y, t.z = map(float, place)
        r.x, r.y, r.z, r.w = map(float, q)
        return made

    def _forget(self) -> None:
        self.style, self.strength, self.confidence = "neutral", 1.0, 0.0
        self.mean = np.zeros(52, np.float32)
        self.affect = np.zeros(2)
        self.seen = self.told = 0


def main() -> int:
    """Run this node."""
    return runner.main(RobotFace)
