"""Equation 9 and in-betweening, against a network whose answer is known; styles over time."""

import numpy as np
import pytest

from media2face.runtime.conditions import StyleTrack
from media2face.runtime.errors import InputError
from media2face.runtime.guidance import StyleShare, guided
from media2face.runtime.motion import SamplerConfig

T, D = 6, 2


class Known:
    """Says 1 without conditions, 10 with audio, 10 + style[0] with audio and style; keeps what it was asked."""

    def __init__(self):
        self.rows = 0

    def run(self, feeds):
        self.rows = len(feeds["x"])
        level = 1.0 + 9.0 * feeds["has_audio"] + feeds["has_style"] * feeds["style"][:, 0]
        return {"clean": np.broadcast_to(level[:, None, None], feeds["x"].shape).astype(np.float32)}


def call(styles, windows=1, **settings):
    model = Known()
    x = np.zeros((windows, T, D), np.float32)
    times, audio = np.full((windows, T), 500), np.zeros((windows, T, 3), np.float32)
    return guided(model, x, times, audio, styles, SamplerConfig(**settings)), model.rows


def style(value, strength=1.0, share=1.0):
    return StyleShare(np.array([value, 0.0], np.float32), strength, np.full(T, share, np.float32) * np.ones(T))


def test_equation_nine():
    made, rows = call([[style(5.0)]], guidance_audio=2.5, guidance_style=1.5)
    np.testing.assert_allclose(made, (1 - 4.0) * 1 + 2.5 * 10 + 1.5 * 15, rtol=1e-5)
    assert rows == 3


def test_branches_without_weight_are_not_computed():
    made, rows = call([[style(5.0)]], guidance_audio=0.0, guidance_style=1.0)
    assert rows == 1 and (made == 15.0).all()
    made, rows = call([[style(5.0, strength=0.0)]], guidance_audio=0.0, guidance_style=1.0)
    assert rows == 1 and (made == 10.0).all(), "a style of strength 0 is none"
    made, rows = call([[style(5.0, strength=0.5)]], guidance_audio=0.0, guidance_style=1.0)
    assert rows == 2 and (made == 12.5).all()


def test_a_gradient_mask_mixes_the_predictions_of_two_styles():
    ramp = np.linspace(0.0, 1.0, T).astype(np.float32)
    mix = [StyleShare(np.array([0.0, 0.0]), 1.0, 1.0 - ramp), StyleShare(np.array([5.0, 0.0]), 1.0, ramp)]
    made, rows = call([mix, [style(2.0)]], windows=2, guidance_audio=0.0, guidance_style=1.0)
    np.testing.assert_allclose(made[0, :, 0], 10 + 5 * ramp, rtol=1e-5)
    assert (made[1] == 12.0).all() and rows == 3, "windows with one and with two styles share a pass"


def vector(value):
    return np.array([value, 0.0], np.float32)


def test_shares_add_up_to_one_and_ease_in():
    track = StyleTrack(vector(0.0))
    track.set(vector(1.0), 1.0, 10, 0.5)
    track.set(vector(2.0), 1.0, 20, 0.5)
    frames = np.arange(0, 60)
    mix = track.mix(frames)
    shares = np.stack([m.share for m in mix])
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, atol=1e-6)
    assert [m.vector[0] for m in mix] == [0.0, 1.0, 2.0]
    assert shares[0, 9] == 1.0 and shares[1, 19] == pytest.approx(10 / 15) and shares[2, 34] == 1.0
    assert (np.diff(shares[2]) >= 0).all()


def test_the_latest_style_is_the_one_that_has_begun():
    track = StyleTrack(vector(0.0))
    track.set(vector(3.0), 0.5, 10, 0.3)
    assert track.latest(9).vector[0] == 0.0 and track.latest(10).vector[0] == 3.0


def test_an_earlier_style_drops_later_ones_and_restart_keeps_the_last():
    track = StyleTrack(vector(0.0))
    track.set(vector(1.0), 1.0, 50, 0.0)
    track.set(vector(2.0), 1.0, 20, 0.0)
    assert track.mix(np.array([60]))[0].vector[0] == 2.0
    track.restart()
    assert track.mix(np.array([0]))[0].vector[0] == 2.0
    moved = track.shifted(5)
    assert moved.mix(np.array([0]))[0].vector[0] == 2.0


@pytest.mark.parametrize(
    "bad", [(vector(np.nan), 1.0, 0.1), (np.zeros(3), 1.0, 0.1), (vector(0), 9.0, 0.1), (vector(0), 1.0, -1)]
)
def test_styles_that_cannot_be_used(bad):
    with pytest.raises(InputError):
        StyleTrack(vector(0.0)).set(bad[0], bad[1], 0, bad[2])
