"""The node ``face_tracker`` on real topics."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from harness import until
from PIL import Image as Picture
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

pytest.importorskip("embreex", reason="the renderer makes the pictures")

from media2face.bodies.render import Renderer  # noqa: E402
from media2face.nodes import qos  # noqa: E402
from media2face.nodes.base import to_stamp  # noqa: E402
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES  # noqa: E402
from media2face.runtime.decoder import FaceDecoder  # noqa: E402
from media2face.runtime.sessions import weights_folder  # noqa: E402
from media2face_msgs.msg import Expression, Keyframe  # noqa: E402

OPEN = np.zeros((1, 52), np.float32)
OPEN[0, ARKIT_INDEX["jawOpen"]] = 0.7


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A face with an open mouth, 240 x 240."""
    for name in ("vision_locator", "vision_pose", "vision_expression", "gnpfa_to_weights"):
        if not (weights_folder() / f"{name}.onnx").is_file():
            pytest.skip(f"no weights of {name} in {weights_folder()}")
    decoder = FaceDecoder(providers="cpu")
    return Renderer(decoder.rig, (240, 240)).render(decoder.mesh(decoder.latents(OPEN))[0])


def message(picture: np.ndarray, stamp: int | None = None, **fields) -> Image:
    height, width = picture.shape[:2]
    made = Image(height=height, width=width, encoding="rgb8", step=3 * width, data=picture.tobytes())
    made.header.stamp = to_stamp(time.time_ns() if stamp is None else stamp)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def packed(data: bytes) -> CompressedImage:
    made = CompressedImage(format="jpeg", data=data)
    made.header.stamp = to_stamp(time.time_ns())
    return made


def jpeg(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Picture.fromarray(picture).save(file, "JPEG", quality=90)
    return file.getvalue()


def test_pictures_become_expressions_poses_and_keyframes(picture, avatar, listener):
    expressions = listener.listen(Expression, "tracked_expression", qos.FRAMES)
    poses = listener.listen(PoseStamped, "tracked_head_pose", qos.FRAMES)
    keyframes = listener.listen(Keyframe, "keyframe", qos.PROMPT)
    graph = avatar("face_tracker")
    assert not graph.failures
    early = listener.call(Trigger, "take_keyframe", Trigger.Request())
    assert not early.success and "no face" in early.message
    raw = listener.publisher(Image, "image", qos.CAMERA)
    small = listener.publisher(CompressedImage, "image/compressed", qos.CAMERA)
    stamps = []
    for k in range(8):
        stamps.append(time.time_ns())
        raw.publish(message(picture, stamps[-1]))
        until(lambda n=k: len(expressions) > n, 10, f"expression {k}")
    small.publish(packed(jpeg(picture)))
    until(lambda: len(expressions) > 8 and len(poses) > 8, 10, "the compressed picture's expression")
    last = expressions[-1][1]
    assert list(last.names) == list(ARKIT_NAMES) and len(last.weights) == 52
    assert last.weights[ARKIT_INDEX["jawOpen"]] > 0.3
    assert [e.frame for _, e in expressions] == sorted(e.frame for _, e in expressions)
    first = expressions[0][1].header.stamp
    assert first.sec * 10**9 + first.nanosec == stamps[0]
    pose = poses[-1][1]
    assert pose.header.frame_id == "avatar/tracked_head_rest"
    q = pose.pose.orientation
    assert abs(np.linalg.norm([q.x, q.y, q.z, q.w]) - 1) < 1e-5 and q.w > 0.95
    answer = listener.call(Trigger, "take_keyframe", Trigger.Request())
    assert answer.success, answer.message
    until(lambda: keyframes, 5, "the keyframe")
    frame = keyframes[0][1]
    assert frame.frame == -1 and frame.has_head and list(frame.weights) == list(expressions[-1][1].weights)
    node = graph.nodes["face_tracker"]
    assert node.meters["track"].summary() and node.meters["latency"].summary()
    assert node.report()["face"].startswith("confidence")


BAD = {
    "unknown encoding": {"encoding": "bayer_rggb8"},
    "step too short": {"step": 100},
    "step that does not fit the data": {"step": 1000},
    "no pixels": {"width": 0, "height": 0, "step": 0, "data": b""},
    "huge": {"width": 2**31 - 1, "height": 2**31 - 1},
    "from the past": {"stamp": 1},
    "from the future": {"stamp": 2 * 10**18},
}


def test_bad_pictures_are_counted_and_the_next_good_one_is_tracked(picture, avatar, listener):
    expressions = listener.listen(Expression, "tracked_expression", qos.FRAMES)
    graph = avatar("face_tracker")
    raw = listener.publisher(Image, "image", qos.CAMERA)
    small = listener.publisher(CompressedImage, "image/compressed", qos.CAMERA)
    for k, (name, fields) in enumerate(BAD.items()):
        raw.publish(message(picture, **fields))
        until(lambda n=k: graph.counts("face_tracker")["refused on image"] > n, 10, name)
    for k, data in enumerate((b"", b"nonsense", jpeg(picture)[:500])):
        small.publish(packed(data))
        until(lambda n=k: graph.counts("face_tracker")["refused on image/compressed"] > n, 10, str(data[:10]))
    raw.publish(message(np.full_like(picture, 90)))
    until(lambda: graph.counts("face_tracker")["pictures without a face"] == 1, 10, "the empty picture")
    assert not expressions
    raw.publish(message(picture))
    until(lambda: expressions, 10, "an expression of the good picture")
    assert graph.counts("face_tracker")["errors while working"] == 0


def test_a_busy_tracker_takes_the_newest_picture_and_counts_the_others(picture, avatar, listener):
    expressions = listener.listen(Expression, "tracked_expression", qos.FRAMES)
    graph = avatar("face_tracker", max_age=0.0)
    node = graph.nodes["face_tracker"]
    track = node.tracker.track

    def slow(*arguments):
        time.sleep(0.3)
        return track(*arguments)

    node.tracker.track = slow
    raw = listener.publisher(Image, "image", qos.CAMERA)
    stamps = [time.time_ns() + k * 10**7 for k in range(6)]
    for stamp in stamps:
        raw.publish(message(picture, stamp))
        time.sleep(0.03)
    until(lambda: len(expressions) >= 2, 10, "two expressions")
    time.sleep(0.5)
    assert graph.counts("face_tracker")["pictures left out, busy"] >= 3
    last = expressions[-1][1].header.stamp
    assert last.sec * 10**9 + last.nanosec == stamps[-1]


def test_keyframes_every_so_often(picture, avatar, listener):
    keyframes = listener.listen(Keyframe, "keyframe", qos.PROMPT)
    avatar("face_tracker", keyframe_every=0.2)
    raw = listener.publisher(Image, "image", qos.CAMERA)
    for _ in range(10):
        raw.publish(message(picture))
        time.sleep(0.1)
    until(lambda: len(keyframes) >= 3, 5, "three keyframes")
    assert len(keyframes) <= 6
