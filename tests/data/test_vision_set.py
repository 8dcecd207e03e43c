"""Training pictures of the vision encoders and their labels."""

import numpy as np
import pytest

pytest.importorskip("embreex")
pytest.importorskip("scipy")

from media2face.data.face_pictures import Studio, View, backdrop, head_rotation  # noqa: E402
from media2face.data.vision_set import LABEL, SIZE, PictureSet, SyntheticPictures, facing, identity_coefficients  # noqa: E402
from media2face.runtime.rig_asset import RigAsset  # noqa: E402


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(RigAsset.load(), 96)


def view(yaw: float = 0.0, distance: float = 0.8, **fields) -> View:
    return View(head_rotation(yaw, 0, 0), distance, np.zeros(2), 1.0, **fields)


def test_rotations_turn_left_down_and_right():
    forward, up = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    assert (head_rotation(30, 0, 0) @ forward)[1] > 0.4
    assert (head_rotation(0, 30, 0) @ forward)[2] < -0.4
    assert (head_rotation(0, 0, 30) @ up)[1] < -0.4
    assert facing(head_rotation(0, 0, 0)) == 1 and facing(head_rotation(90, 0, 0)) == 0
    assert facing(head_rotation(72, 0, 0)) == -1


def test_the_face_is_in_the_middle_and_fills_the_crop(studio):
    rig = studio.rig
    cast = studio.cast(rig.neutral, rig.neutral, view())
    assert np.allclose(cast.centre, 47.5) and cast.side == pytest.approx(80.0)
    seen = np.zeros(96 * 96, bool)
    seen[cast.hit] = True
    columns = np.flatnonzero(seen.reshape(96, 96)[30])
    assert abs(columns.mean() - 47.5) < 2 and 60 < len(columns) < 96
    assert studio.cast(rig.neutral, rig.neutral, View(np.eye(3), 0.8, np.array([0.1, 0.0]), 1.0)).centre[0] < 47.5


def test_nearer_cameras_see_a_narrower_head(studio):
    """Perspective: from near by, what lies behind the face's middle looks smaller."""

    def width(distance: float) -> float:
        cast = studio.cast(studio.rig.neutral, studio.rig.neutral, view(distance=distance))
        return float(np.ptp(cast.hit[cast.hit // 96 == 30] % 96))

    assert width(0.3) < width(2.5)


def test_one_cast_shows_different_people_and_the_background(studio):
    rng = np.random.default_rng(0)
    cast = studio.cast(studio.rig.neutral, studio.rig.neutral, view())
    behind = backdrop(rng, 96)
    one, other = (studio.shade(cast, rng, behind) for _ in range(2))
    assert one.dtype == np.uint8 and one.shape == (96, 96, 3)
    assert np.abs(one.astype(int) - other).mean() > 8
    empty = np.ones(96 * 96, bool)
    empty[cast.hit] = False
    assert empty.sum() > 200
    wanted = np.round(255 * behind.reshape(-1, 3)[empty])
    assert np.array_equal(one.reshape(-1, 3)[empty], wanted)


def test_synthetic_pictures_repeat_and_splits_differ(shared_data):
    train = SyntheticPictures(shared_data, "train")
    images, labels = train.pictures(3, count=2, looks=2)
    again, _ = train.pictures(3, count=1, looks=2)
    assert images.shape == (4, SIZE, SIZE, 3) and len(again) == 2
    assert (labels["done"] == 1).all() and (labels["identity"] == 3).all()
    assert np.array_equal(labels["z"][0], labels["z"][1]) and not np.array_equal(labels["z"][0], labels["z"][2])
    assert not np.array_equal(identity_coefficients("val", 3), identity_coefficients("train", 3))


def test_a_set_on_disk_goes_on_where_it_stopped(tmp_path):
    PictureSet(tmp_path, "train", 8)
    labels = np.zeros(2, LABEL)
    labels["done"], labels["gap"] = 1, 2.5
    PictureSet(tmp_path, "train", 8).write(4, np.full((2, SIZE, SIZE, 3), 7, np.uint8), labels)
    again = PictureSet(tmp_path, "train")
    assert again.ready().tolist() == [4, 5] and (again.images[5] == 7).all() and again.labels["gap"][4] == 2.5
    with pytest.raises(FileNotFoundError, match="vision_set"):
        PictureSet(tmp_path, "val")
