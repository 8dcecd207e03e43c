"""Visemes from weights: poses that everybody would name, and the closures of the demo's speech."""

from __future__ import annotations

import time

import numpy as np
import pytest

from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import InputError, Media2FaceError
from media2face.runtime.visemes import EXAMPLES, TABLE, VISEMES, visemes_of


def pose(**shapes: float) -> np.ndarray:
    weights = np.zeros(52, np.float32)
    for shape, value in shapes.items():
        for name in (shape, shape + "Left", shape + "Right"):
            if name in ARKIT_INDEX:
                weights[ARKIT_INDEX[name]] = value
    return weights


def strongest(weights: np.ndarray) -> str:
    return VISEMES[int(visemes_of(weights[None])[0].argmax())]


def test_there_are_fifteen_in_the_order_of_ovr():
    assert VISEMES == tuple("sil PP FF TH DD kk CH SS nn RR aa E ih oh ou".split())
    assert set(TABLE) == set(VISEMES) - {"sil"} and set(EXAMPLES) == set(VISEMES)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_each_pose_of_the_table_is_its_viseme(name):
    assert strongest(pose(**TABLE[name])) == name


@pytest.mark.parametrize(
    "shapes, expected",
    [
        ({}, "sil"), ({"mouthSmile": 0.8}, "sil"), ({"mouthFrown": 0.5, "browDown": 0.7, "eyeBlink": 1.0}, "sil"),
        ({"jawOpen": 0.7}, "aa"), ({"jawOpen": 0.4, "mouthLowerDown": 0.12}, "aa"), ({"mouthPucker": 0.9}, "ou"),
        ({"mouthPress": 0.6}, "PP"), ({"jawOpen": 0.2, "mouthClose": 0.2, "mouthPress": 0.3}, "PP"),
        ({"mouthRollLower": 0.6, "mouthUpperUp": 0.2}, "FF"), ({"mouthStretch": 0.5, "jawOpen": 0.1}, "ih"),
        ({"jawOpen": 0.2, "mouthPucker": 0.4, "mouthFunnel": 0.2}, "oh"), ({"mouthFunnel": 0.5}, "CH"),
    ],
)  # fmt: skip
def test_known_poses(shapes, expected):
    assert strongest(pose(**shapes)) == expected


def test_they_are_shares_of_one_whatever_the_weights():
    rng = np.random.default_rng(0)
    weights = np.concatenate([rng.uniform(0, 1, (200, 52)), np.zeros((1, 52)), np.ones((1, 52)), np.full((1, 52), 9.0)])
    out = visemes_of(weights)
    assert out.shape == (203, 15) and out.min() >= 0.0 and np.allclose(out.sum(axis=1), 1.0, atol=1e-5)
    assert np.allclose(visemes_of(weights[5:6])[0], out[5], atol=1e-6), "a frame by itself gives the same"


def test_it_is_a_least_squares_fit():
    """Against scipy's exact non-negative least squares with the same ridge."""
    from scipy.optimize import nnls

    from media2face.runtime.visemes import ORDINARY, POSES, RIDGE

    rng = np.random.default_rng(1)
    for _ in range(20):
        given = {shape: rng.uniform(0, unit) for shape, unit in ORDINARY.items()}
        wanted = np.array([given[shape] / unit for shape, unit in ORDINARY.items()])
        exact, _ = nnls(np.concatenate([POSES.T, np.sqrt(RIDGE) * np.eye(14)]), np.concatenate([wanted, np.zeros(14)]))
        exact /= max(exact.sum(), 1.0)
        assert np.abs(visemes_of(pose(**given)[None])[0, 1:] - exact).max() < 0.02


@pytest.mark.parametrize(
    "weights", [np.zeros(52), np.zeros((3, 51)), np.full((1, 52), np.nan), np.full((1, 52), np.inf)]
)
def test_what_is_no_face_is_refused(weights):
    with pytest.raises(InputError):
        visemes_of(weights)


def test_a_frame_takes_little_time():
    weights = np.random.default_rng(0).uniform(0, 1, (1, 52))
    visemes_of(weights)
    began = time.perf_counter()
    for _ in range(50):
        visemes_of(weights)
    assert (time.perf_counter() - began) / 50 < 0.01


def test_p_b_and_m_of_the_demo_show_pp():
    """Where the speech encoder is sure of a bilabial, the animated face is PP; elsewhere in speech it seldom is."""
    from media2face.runtime.audio_io import stream_audio
    from media2face.runtime.demo import demo_speech
    from media2face.runtime.offline import animate
    from media2face.runtime.speech import SpeechEncoder

    try:
        samples = np.concatenate(list(stream_audio(demo_speech())))[: 8 * 16_000]
        encoder = SpeechEncoder(providers="cpu")
        performance = animate(samples, seed=0)
    except Media2FaceError as error:
        pytest.skip(str(error))
    stream = encoder.stream(with_phones=True)
    stream.accept_waveform(samples)
    stream.input_finished()
    logits = stream.read_phones()[1]
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    at = (320 * np.arange(len(chances)) + 200) / 16_000
    moments = np.arange(len(performance.weights)) / 30

    def chance(*phones: str) -> np.ndarray:
        return np.interp(moments, at, chances[:, [encoder.phones.index(p) for p in phones]].sum(axis=1))

    found = visemes_of(performance.weights)
    lips, silence = chance("p", "b", "m"), chance("sil")
    best = found.argmax(axis=1)
    closed, open_ = lips > 0.8, (lips < 0.05) & (silence < 0.05)
    assert closed.sum() >= 8
    assert (best[closed] == VISEMES.index("PP")).mean() >= 0.8
    assert (best[open_] == VISEMES.index("PP")).mean() <= 0.15
    assert found[silence > 0.9, VISEMES.index("sil")].mean() > 0.5
    assert len(ARKIT_NAMES) == 52
