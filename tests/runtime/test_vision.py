"""Faces in pictures: found, followed, read. The pictures are made by the product's own renderer."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("embreex", reason="the renderer makes the pictures")

from media2face.bodies.render import HALF_ANGLE, Renderer  # noqa: E402
from media2face.runtime.arkit import ARKIT_INDEX, MIRRORED  # noqa: E402
from media2face.runtime.errors import ConfigError, InputError, ModelError  # noqa: E402
from media2face.runtime.rotation import quaternions_from_rotvecs, rotvec_from_quaternion  # noqa: E402
from media2face.runtime.sessions import weights_folder  # noqa: E402
from media2face.runtime.vision import FaceTracker, TrackerConfig  # noqa: E402


@pytest.fixture(scope="module")
def tracker() -> FaceTracker:
    for name in ("vision_locator", "vision_pose", "vision_expression", "gnpfa_to_weights"):
        if not (weights_folder() / f"{name}.onnx").is_file():
            pytest.skip(f"no weights of {name} in {weights_folder()}")
    return FaceTracker(providers="cpu", config=TrackerConfig(field_of_view=2 * np.degrees(HALF_ANGLE)))


@pytest.fixture(autouse=True)
def forget(request):
    if "tracker" in request.fixturenames:
        request.getfixturevalue("tracker").reset()


@pytest.fixture(scope="module")
def show(tracker):
    """``show(yaw, jawOpen=0.6)``: a picture of the drawn head."""
    renderer = Renderer(tracker.decoder.rig, (240, 240))

    def picture(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, **weights: float) -> np.ndarray:
        face = np.zeros((1, 52), np.float32)
        for name, value in weights.items():
            face[0, ARKIT_INDEX[name]] = value
        turn = quaternions_from_rotvecs(np.radians([[roll, pitch, yaw]]))[0]
        return renderer.render(tracker.decoder.mesh(tracker.decoder.latents(face))[0], turn)

    return picture


def on_canvas(picture: np.ndarray, left: int, top: int, size: tuple[int, int] = (480, 640)) -> np.ndarray:
    canvas = np.empty((*size, 3), np.uint8)
    canvas[:] = picture[2, 2]
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def test_a_face_is_found_and_followed(tracker, show):
    picture = show()
    before = tracker.counts["no face"]
    faces = [tracker.track(picture, k / 30) for k in range(5)]
    assert all(f is not None and f.confidence > 0.5 for f in faces)
    assert tracker.counts["no face"] == before
    last = faces[-1]
    assert last.z.shape == (64,) and last.weights.shape == (52,)
    assert (last.weights >= 0).all() and (last.weights <= 1).all()
    assert abs(last.centre - 120).max() < 40 and 60 < last.side < 180
    assert np.linalg.norm(last.rotation) == pytest.approx(1.0, abs=1e-5)
    assert np.linalg.norm(last.translation) < 0.02


@pytest.mark.parametrize(("axis", "angle"), [("yaw", 20), ("yaw", -20), ("pitch", 12), ("roll", 15), ("roll", -15)])
def test_the_head_turns_the_right_way(tracker, show, axis, angle):
    straight = rotvec_from_quaternion(tracker.read(show()).rotation)
    turned = rotvec_from_quaternion(tracker.read(show(**{axis: angle})).rotation)
    moved = np.degrees(turned - straight)
    index = {"roll": 0, "pitch": 1, "yaw": 2}[axis]
    assert moved[index] == pytest.approx(angle, abs=0.3 * abs(angle))
    assert np.abs(np.delete(moved, index)).max() < 5


def test_an_open_mouth_is_seen(tracker, show):
    gaps = [tracker.keyframe(show(jawOpen=value))[ARKIT_INDEX["jawOpen"]] for value in (0.0, 0.4, 0.8)]
    assert gaps[0] < 0.15 and gaps[0] < gaps[1] < gaps[2] and gaps[2] > 0.4


def test_closed_eyes_are_seen(tracker, show):
    blink = [tracker.keyframe(show(eyeBlinkLeft=v, eyeBlinkRight=v))[ARKIT_INDEX["eyeBlinkLeft"]] for v in (0.0, 1.0)]
    assert blink[1] > blink[0] + 0.25


def test_place_in_metres(tracker, show):
    """Right in the picture is the face's left, +y; a smaller face is further away, -x."""
    picture = show()
    middle = tracker.read(on_canvas(picture, 200, 120)).translation
    right = tracker.read(on_canvas(picture, 320, 120)).translation
    low = tracker.read(on_canvas(picture, 200, 220)).translation
    small = tracker.read(on_canvas(picture[::2, ::2], 260, 180)).translation
    assert right[1] > middle[1] + 0.05 and abs(right[0] - middle[0]) < 0.15 * abs(middle[0])
    assert low[2] < middle[2] - 0.04
    assert small[0] == pytest.approx(2 * middle[0], rel=0.25)


def test_the_larger_of_two_faces_is_followed_and_both_are_counted(tracker, show):
    scene = on_canvas(show(), 30, 120)
    scene[180:300, 460:580] = show()[::2, ::2]
    face = tracker.track(scene, 0.0)
    assert abs(face.centre[0] - 150) < 40
    assert face.faces == 2 and tracker.counts["several faces"] >= 1


def test_no_face_in_noise_in_one_colour_or_in_a_wall(tracker):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (240, 320, 3)).astype(np.uint8)
    y, x = np.mgrid[:240, :320]
    wall = np.repeat((100 + 60 * np.sin(x / 9) * np.sin(y / 7))[..., None], 3, 2).astype(np.uint8)
    before = tracker.counts["no face"]
    for k, picture in enumerate((noise, np.full((240, 320, 3), 90, np.uint8), wall)):
        assert tracker.track(picture, k / 30) is None
    assert tracker.counts["no face"] == before + 3


def test_a_lost_face_is_counted_and_found_again(tracker, show):
    picture, nothing = show(), np.full((240, 240, 3), 90, np.uint8)
    before = tracker.counts["face lost"]
    seen = [tracker.track(p, k / 30) is not None for k, p in enumerate([picture, picture, nothing, nothing, picture])]
    assert seen == [True, True, False, False, True]
    assert tracker.counts["face lost"] == before + 1


def test_a_mirror_swaps_the_sides_and_nothing_else(tracker, show):
    picture = show(yaw=15)
    one, other = tracker.read(picture), tracker.read(np.ascontiguousarray(picture[:, ::-1]))
    assert np.abs(one.weights[list(MIRRORED)] - other.weights).max() < 0.03
    assert np.abs(one.rotation * [-1, 1, -1, 1] - other.rotation).max() < 0.01
    assert one.confidence == pytest.approx(other.confidence, abs=0.02)


def test_a_square_that_lies_badly_is_put_right(tracker, show):
    picture = show()
    true = tracker.read(picture)
    found = tracker._place(picture, [(true.centre + 0.3 * true.side, 1.35 * true.side)])
    assert np.linalg.norm(found.centre - true.centre) < 0.05 * true.side
    assert found.side == pytest.approx(true.side, rel=0.06)


def test_a_head_seen_from_behind_is_no_face(tracker, show):
    assert tracker.read(show(yaw=180)) is None


def test_smoothing_calms_noise(show, tracker):
    picture = show().astype(np.int16)
    rng = np.random.default_rng(1)
    noisy = [np.clip(picture + rng.normal(0, 14, picture.shape), 0, 255).astype(np.uint8) for _ in range(24)]

    def shake(smoothing: float) -> float:
        one = FaceTracker(providers="cpu", config=TrackerConfig(smoothing=smoothing), decoder=tracker.decoder)
        z = [one.track(p, k / 30).z for k, p in enumerate(noisy)]
        return float(np.abs(np.diff(z[8:], axis=0)).mean())

    assert shake(1.0) < 0.7 * shake(0.0)


def test_a_keyframe_leaves_the_tracking_alone(tracker, show):
    picture = show()
    tracker.track(picture, 0.0)
    place = tracker._last
    tracker.keyframe(show(jawOpen=0.6))
    assert tracker._last is place
    with pytest.raises(InputError, match="no face"):
        tracker.keyframe(np.full((240, 240, 3), 90, np.uint8))


@pytest.mark.parametrize(
    "bad", [np.zeros((240, 240), np.uint8), np.zeros((240, 240, 3)), np.zeros((4, 4, 3), np.uint8)]
)
def test_bad_pictures_are_refused(tracker, bad):
    with pytest.raises(InputError):
        tracker.track(bad, 0.0)


@pytest.mark.parametrize("fields", [{"confidence": 1.0}, {"field_of_view": 180}, {"smoothing": -1}, {"look_every": 0}])
def test_bad_settings_are_refused(fields):
    with pytest.raises(ConfigError):
        TrackerConfig(**fields)


def test_an_expression_of_another_latent_space_is_refused(tracker):
    class Other:
        fingerprint = "0" * 16

    with pytest.raises(ModelError, match="trained with"):
        FaceTracker(providers="cpu", decoder=Other())
