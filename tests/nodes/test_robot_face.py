"""The conventions of robot faces, on real topics; hri_msgs and tf2_msgs where they are installed."""

from __future__ import annotations

import importlib.util
import time
from array import array

import numpy as np
import pytest
from geometry_msgs.msg import PointStamped
from harness import until

from media2face.nodes import qos
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.gaze import eye_turns, turns_of
from media2face.runtime.visemes import VISEMES
from media2face_msgs.msg import Expression, HeadMotion, StyleEmbedding, StylePrompt

NS = 1_000_000_000
needs_hri = pytest.mark.skipif(not importlib.util.find_spec("hri_msgs"), reason="hri_msgs is not installed")
needs_tf = pytest.mark.skipif(not importlib.util.find_spec("tf2_msgs"), reason="tf2_msgs is not installed")


def stamped(message, when: int | None = None):
    when = time.time_ns() if when is None else when
    message.header.stamp.sec, message.header.stamp.nanosec = when // NS, when % NS
    return message


def point(x: float, y: float, z: float, frame: str = "avatar/head_rest", when: int | None = None) -> PointStamped:
    made = PointStamped()
    made.header.frame_id = frame
    made.point.x, made.point.y, made.point.z = float(x), float(y), float(z)
    return stamped(made, when)


def face(k: int = 0, **weights: float) -> Expression:
    values = np.zeros(52, np.float32)
    for name, value in weights.items():
        values[ARKIT_INDEX[name]] = value
    made = Expression(utterance="u", frame=k, revision=3, names=list(ARKIT_NAMES), weights=array("f", values.tobytes()))
    made.header.frame_id = "avatar/head"
    return stamped(made)


def style(name: str, strength: float = 1.0, similarity: float = 0.9, known: bool = True) -> StyleEmbedding:
    return StyleEmbedding(nearest=[name], similarity=[similarity], strength=strength, known=known)


def turns(message: Expression) -> np.ndarray:
    return turns_of(np.frombuffer(message.weights, np.float32))


# ------------------------------------------------------------------------------------------------ eyes


def test_eyes_of_a_silent_face_go_to_the_point_and_come_back(weights, avatar, listener):
    faces = listener.listen(Expression, "expression", qos.FRAMES)
    graph = avatar("face_decoder", "robot_face", gaze_fresh=0.6)
    assert not graph.failures
    asks = listener.publisher(PointStamped, "/robot_face/look_at", qos.PROMPT)
    until(lambda: graph.nodes["robot_face"].count_subscribers("look_at"), 10, "the decoder")
    where = np.array([0.8, 0.25, 0.1])
    for _ in range(6):
        asks.publish(point(*where))
        time.sleep(0.1)
    until(lambda: faces and np.allclose(turns(faces[-1][1]), eye_turns(where), atol=1e-3), 5, "the eyes on the point")
    assert faces[-1][1].utterance.startswith("idle")
    until(lambda: np.abs(turns(faces[-1][1])).max() < 1e-4, 5, "the eyes at rest again")
    time.sleep(0.3)
    count = len(faces)
    time.sleep(0.3)
    assert len(faces) == count, "and then nothing more is sent"
    stamps = np.array([m.header.stamp.sec * NS + m.header.stamp.nanosec for _, m in faces])
    assert (np.diff(stamps) > 0).all() and np.median(np.diff(stamps)) == pytest.approx(NS / 30, rel=0.02)
    early = (stamps - np.array([at for at, _ in faces])) / NS
    assert early.max() <= 0.101


def test_the_point_wins_over_the_motions_own_eyes_while_fresh(weights, avatar, listener):
    faces = listener.listen(Expression, "expression", qos.FRAMES)
    graph = avatar("face_decoder", "robot_face", presentation_delay=1.0, gaze_fresh=0.5)
    decoder = graph.nodes["face_decoder"].decoder
    sender = listener.publisher(HeadMotion, "head_motion", qos.MOTION)
    asks = listener.publisher(PointStamped, "/robot_face/look_at", qos.PROMPT)
    own = np.zeros((1, 52), np.float32)
    own[0, [ARKIT_INDEX["eyeLookUpLeft"], ARKIT_INDEX["eyeLookUpRight"], ARKIT_INDEX["jawOpen"]]] = 0.5
    latent = np.repeat(decoder.latents(own), 90, axis=0)
    motion = HeadMotion(
        utterance="u", first_frame=0, frames=90, fps=30.0, latent_space=decoder.fingerprint,
        latent_dim=decoder.latent_dim, latent=array("f", latent.astype(np.float32).tobytes()),
        head_rotvec=array("f", bytes(12 * 90)), head_translation=array("f", bytes(12 * 90)), last=True,
    )  # fmt: skip
    sender.publish(stamped(motion))
    generated = turns_of(decoder.weights(latent[:1])[0])
    until(lambda: len(faces) > 5, 10, "frames")
    assert np.allclose(turns(faces[2][1]), generated, atol=1e-3)
    jaw = faces[2][1].weights[ARKIT_INDEX["jawOpen"]]
    where = np.array([0.6, -0.2, 0.0])
    asks.publish(point(*where))
    until(lambda: np.allclose(turns(faces[-1][1]), eye_turns(where), atol=1e-3), 3, "the eyes on the point")
    assert faces[-1][1].utterance == "u" and faces[-1][1].weights[ARKIT_INDEX["jawOpen"]] == pytest.approx(
        jaw, abs=1e-5
    )
    until(lambda: np.allclose(turns(faces[-1][1]), generated, atol=1e-3), 5, "the generated eyes again")
    assert faces[-1][1].utterance == "u"


def test_bad_points_are_refused_and_counted(weights, avatar, listener):
    faces = listener.listen(Expression, "expression", qos.FRAMES)
    graph = avatar("face_decoder", "robot_face")
    asks = listener.publisher(PointStamped, "/robot_face/look_at", qos.PROMPT)
    until(lambda: graph.nodes["robot_face"].count_subscribers("look_at"), 10, "the decoder")
    asks.publish(point(1, 0, 0, frame="kitchen"))
    until(lambda: graph.counts("robot_face")["refused on /robot_face/look_at"] == 1, 5, "the unknown frame")
    bad = [point(np.nan, 0, 0), point(np.inf, 0, 0), point(0.094, 0.031, 0.086), point(1, 0, 0, when=5 * NS)]
    for one in (*bad, point(1, 0, 0, when=time.time_ns() + 3600 * NS)):
        asks.publish(one)
        time.sleep(0.02)
    until(lambda: graph.counts("face_decoder")["refused on look_at"] == 5, 5, "five refusals")
    assert not faces


# ------------------------------------------------------------------------------------------------ visemes


def test_visemes_follow_the_face_with_its_names_stamps_and_revision(avatar, listener):
    found = listener.listen(Expression, "visemes", qos.FRAMES)
    graph = avatar("robot_face")
    sender = listener.publisher(Expression, "expression", qos.FRAMES)
    sent = [face(0), face(1, jawOpen=0.7), face(2, mouthPressLeft=0.4, mouthPressRight=0.4), face(3, mouthPucker=0.8)]
    for message in (sent[0], face(9, jawOpen=float("nan")), *sent[1:]):
        sender.publish(message)
        time.sleep(0.02)
    until(lambda: len(found) == 4, 5, "four frames")
    for (_, got), given, name in zip(found, sent, ("sil", "aa", "PP", "ou"), strict=True):
        assert tuple(got.names) == VISEMES and VISEMES[int(np.argmax(got.weights))] == name
        assert (got.header, got.utterance, got.frame, got.revision) == (given.header, "u", given.frame, 3)
        assert sum(got.weights) == pytest.approx(1.0, abs=1e-5)
    assert graph.counts("robot_face")["refused on expression"] == 1


def test_what_is_not_installed_is_said_in_one_line(avatar):
    line = avatar("robot_face").nodes["robot_face"].line
    for package in ("hri_msgs", "tf2_msgs"):
        assert (package in line) == (importlib.util.find_spec(package) is None)


# ------------------------------------------------------------------------------------------------ hri_msgs


@needs_hri
def test_expressions_become_styles(avatar, listener):
    from hri_msgs.msg import Expression as Hri

    prompts = listener.listen(StylePrompt, "style_prompt", qos.PROMPT)
    graph = avatar("robot_face")
    sender = listener.publisher(Hri, "/robot_face/expression", qos.PROMPT)
    until(lambda: graph.nodes["robot_face"].count_subscribers("style_prompt"), 10, "the listener")
    for message in (
        Hri(expression=Hri.FURIOUS), Hri(expression="jubilant"), Hri(valence=float("nan")),
        Hri(valence=0.8, arousal=0.4), Hri(expression=Hri.NEUTRAL),
    ):  # fmt: skip
        sender.publish(message)
        time.sleep(0.02)
    until(lambda: len(prompts) == 3, 5, "three prompts")
    assert [(m.text, round(m.strength, 2)) for _, m in prompts] == [("very angry", 1.4), ("happy", 1.0), ("", 1.0)]
    assert all(m.start_frame == -1 for _, m in prompts)
    assert graph.counts("robot_face")["refused on /robot_face/expression"] == 2


@needs_hri
def test_what_the_face_shows_is_told(avatar, listener):
    from hri_msgs.msg import Expression as Hri

    told = listener.listen(Hri, "face_expression", qos.PROMPT)
    avatar("robot_face")
    styles = listener.publisher(StyleEmbedding, "style_embedding", qos.STATE)
    faces = listener.publisher(Expression, "expression", qos.FRAMES)
    styles.publish(style("afraid", 0.8))
    time.sleep(0.2)
    for k in range(45):
        faces.publish(face(k, eyeWideLeft=0.6, eyeWideRight=0.6, mouthFrownLeft=0.5, mouthFrownRight=0.5))
        time.sleep(0.02)
    until(lambda: len(told) >= 5, 5, "what is told")
    last = told[-1][1]
    assert last.expression == Hri.SCARED and last.valence < -0.4 and last.arousal > 0.4
    assert last.confidence == pytest.approx(0.9) and last.header.stamp.sec > 0
    assert len(told) <= 14, "at most ten a second"


# ------------------------------------------------------------------------------------------------ tf


@needs_tf
def test_frames_are_those_of_rep_155(avatar, listener):
    from tf2_msgs.msg import TFMessage

    from media2face.runtime.rotation import matrices_from_quaternions

    found = listener.listen(TFMessage, "/tf", qos.TF)
    avatar("robot_face")
    faces = listener.publisher(Expression, "expression", qos.FRAMES)
    until(lambda: listener.node.count_publishers("/tf"), 5, "the frames")
    time.sleep(0.2)
    sent = face(0, eyeLookOutLeft=0.5, eyeLookInRight=0.5 * 0.64 / 0.55)
    faces.publish(sent)
    until(lambda: found, 5, "transforms")
    transforms = {t.child_frame_id: t for t in found[-1][1].transforms}
    assert set(transforms) == {"head_avatar", "face_avatar", "gaze_avatar"}
    assert all(t.header.frame_id == "avatar/head" and t.header.stamp == sent.header.stamp for t in transforms.values())
    r = transforms["gaze_avatar"].transform.rotation
    axes = matrices_from_quaternions(np.array([[r.x, r.y, r.z, r.w]]))[0]
    assert np.allclose(axes[:, 2], [np.cos(0.32), np.sin(0.32), 0.0], atol=1e-3), "z along the gaze, here to the left"
    assert axes[1, 0] < -0.9 and axes[2, 1] == pytest.approx(-1.0, abs=1e-6), "x right, y down"
    here, there = (transforms[n].transform.translation for n in ("face_avatar", "gaze_avatar"))
    assert (here.x, here.y, here.z) == (there.x, there.y, there.z) == pytest.approx((0.094, 0.0, 0.086))


@needs_tf
def test_points_come_in_any_frame_that_tf_knows(weights, avatar, listener):
    from geometry_msgs.msg import TransformStamped
    from tf2_msgs.msg import TFMessage

    points = listener.listen(PointStamped, "look_at", qos.PROMPT)
    graph = avatar("robot_face")
    static = listener.publisher(TFMessage, "/tf_static", qos.TF_STATIC)
    asks = listener.publisher(PointStamped, "/robot_face/look_at", qos.PROMPT)
    transform = TransformStamped(child_frame_id="avatar/head_rest")
    transform.header.frame_id = "base_link"
    transform.transform.translation.z = 1.5
    transform.transform.rotation.z = transform.transform.rotation.w = float(np.sqrt(0.5))
    static.publish(TFMessage(transforms=[transform]))
    time.sleep(0.3)
    asks.publish(point(0.0, 2.0, 1.6, frame="base_link"))
    until(lambda: points, 5, "the point")
    p = points[-1][1]
    assert p.header.frame_id == "avatar/head_rest"
    assert (p.point.x, p.point.y, p.point.z) == pytest.approx((2.0, 0.0, 0.1), abs=1e-6)
    assert graph.counts("robot_face")["refused on /robot_face/look_at"] == 0
