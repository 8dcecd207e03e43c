"""Tracking of real video, and what it refuses."""

import numpy as np
import pytest

from media2face.data.tracking import FaceTrack, VideoTracker
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import ConfigError, InputError


@pytest.fixture(scope="module")
def tracker(shared_data):
    pytest.importorskip("mediapipe", reason="tracking needs the [train] extra")
    pytest.importorskip("av", reason="tracking needs the [train] extra")
    with VideoTracker(shared_data / "face_landmarker.task") as tracker:
        yield tracker


def test_a_talking_face(tracker, shared_data, tmp_path):
    track = tracker.track(shared_data / "grid_s1" / "bbaf2n.mp4")
    assert track.landmarks.shape == (75, 478, 3) and track.found.all()
    np.testing.assert_allclose(track.times, np.arange(75) / 25, atol=1e-6)
    opening = track.landmarks[:, 14, 1] - track.landmarks[:, 13, 1]
    assert opening.min() < 1 < 5 < opening.max()
    assert np.corrcoef(opening, track.scores[:, ARKIT_INDEX["jawOpen"]])[0, 1] > 0.8
    assert (track.landmarks[:, 263, 0] > track.landmarks[:, 33, 0] + 40).all(), "its left eye lies right in the picture"
    assert track.change[0] == 0 and 0 < track.change[1:].mean() < 5
    track.save(tmp_path / "t.npz")
    np.testing.assert_array_equal(FaceTrack.load(tmp_path / "t.npz").landmarks, track.landmarks)


def test_broken_pictures_and_foreign_files_are_refused(tracker, shared_data, tmp_path):
    with pytest.raises(InputError, match="of 75 frames"):
        tracker.track(shared_data / "grid_s1" / "bbizzn.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError, match="not a readable video"):
        tracker.track(tmp_path / "text.mp4")
    with pytest.raises(InputError, match="not a readable video"):
        tracker.track(tmp_path / "missing.mp4")


def test_missing_model_is_named(tmp_path):
    with pytest.raises(ConfigError, match="face_landmarker"):
        VideoTracker(tmp_path / "none.task")
