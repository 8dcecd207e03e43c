"""A video's face as a performance; the tracker is scripted, its networks are tested elsewhere."""

import numpy as np
import pytest

from media2face.runtime.errors import InputError
from media2face.runtime.tracking import track_frames
from media2face.runtime.vision import TrackedFace

PICTURE = np.zeros((32, 32, 3), np.uint8)


class Scripted:
    """Sees ``jaw`` of each picture's first pixel; none where it is 255."""

    class decoder:
        latent_dim = 64

    def __init__(self, flip: bool = False) -> None:
        self.flip, self.calls = flip, 0

    def reset(self) -> None:
        self.calls = 0

    def track(self, picture, time):
        self.calls += 1
        if picture[0, 0, 0] == 255:
            return None
        weights = np.zeros(52, np.float32)
        weights[17] = picture[0, 0, 0] / 100
        sign = -1 if self.flip and self.calls % 2 else 1
        turn = sign * np.array([0, 0, 0.1, 0.995], np.float32)
        return TrackedFace(np.full(64, weights[17]), weights, turn, np.zeros(3, np.float32), 0.9, np.zeros(2), 20.0, 1)


def picture(value: int) -> np.ndarray:
    made = PICTURE.copy()
    made[0, 0, 0] = value
    return made


def test_25_fps_becomes_30():
    frames = [(k / 25, picture(k)) for k in range(51)]
    performance, share = track_frames(Scripted(), frames)
    assert share == 1.0 and performance.fps == 30 and len(performance.weights) == 61
    assert np.allclose(performance.weights[:, 17], np.arange(61) / 30 * 25 / 100, atol=1e-5)
    assert performance.latents.shape == (61, 64)


def test_a_lost_face_is_bridged_and_quaternions_keep_their_sign():
    frames = [(k / 30, picture(255 if k < 3 or 10 <= k < 20 else 50)) for k in range(30)]
    performance, share = track_frames(Scripted(flip=True), frames)
    assert share == pytest.approx(17 / 30) and len(performance.weights) == 30
    assert np.allclose(performance.weights[:, 17], 0.5)
    steps = (performance.head_rotation[1:] * performance.head_rotation[:-1]).sum(1)
    assert (steps > 0.99).all()


def test_a_face_lost_for_long_is_held():
    frames = [(k / 30, picture(255 if 15 <= k < 150 else 0 if k < 15 else 80)) for k in range(180)]
    performance, _ = track_frames(Scripted(), frames)
    assert np.allclose(performance.weights[:149, 17], 0.0) and np.allclose(performance.weights[151:, 17], 0.8)


def test_no_face_at_all_is_refused():
    with pytest.raises(InputError, match="no face in any of 4"):
        track_frames(Scripted(), [(k / 30, picture(255)) for k in range(4)])
    with pytest.raises(InputError, match="at most"):
        track_frames(Scripted(), [(10**6, picture(1))])
