import numpy as np
import pytest

from media2face.runtime import clock


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (1, 1), (16_000, 30), (16_001, 31), (533, 1), (534, 2)])
def test_frame_count_is_the_ceiling_of_duration(samples, frames):
    assert clock.frame_count(samples) == frames


def test_features_are_read_at_the_frame_time():
    centres = (320 * np.arange(200) + 200) / 16_000
    frames = np.arange(1, 100)
    read = clock.interpolate_features(np.stack([centres, centres**2], axis=1).astype(np.float32), 0, frames)
    np.testing.assert_allclose(read[:, 0], frames / 30, atol=1e-5)


def test_a_window_reads_the_same_from_any_offset():
    features = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    frames = np.arange(60, 80)
    first = clock.features_needed(60) - 2
    np.testing.assert_array_equal(
        clock.interpolate_features(features, 0, frames), clock.interpolate_features(features[first:], first, frames)
    )


@pytest.mark.parametrize("frame", [0, 1, 2, 17, 100, 299, 10_000])
def test_features_needed_are_exactly_enough(frame):
    need = clock.features_needed(frame)
    clock.interpolate_features(np.zeros((max(need, 2), 1), np.float32), 0, np.array([frame]))
    assert need == int(np.floor(clock.feature_position(frame))) + 2 or frame == 0


def test_frames_before_the_first_feature_hold_it():
    features = np.arange(10, dtype=np.float32)[:, None]
    np.testing.assert_allclose(clock.interpolate_features(features, 0, np.array([-5, -1, 0])), 0.0)
