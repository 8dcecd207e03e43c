"""The fit: its solver against a reference, and a known performance back from landmarks made of the rig."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear
from scipy.spatial.transform import Rotation

from media2face.data.fit import ANCHORS, CHIN, FITTED, LIPS, STABLE, FitConfig, Talker, align, smooth_series
from media2face.data.fit import solve_bounded as solve
from media2face.data.rig import NECK_PIVOT_ICT, ICTRig
from media2face.data.tracking import LANDMARKS, FaceTrack
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import ConfigError

PIXELS_PER_CM = 7.0


def test_solver_finds_the_bounded_least_squares_solution():
    rng = np.random.default_rng(1)
    shapes, target = rng.normal(size=(6, 20)), rng.normal(size=(9, 20))
    ridge = np.linspace(0.1, 1.0, 6)
    ours = solve(shapes, target, ridge, iterations=2000)
    a = np.vstack([shapes.T, np.diag(np.sqrt(ridge))])
    for row, goal in zip(ours, target, strict=True):
        reference = lsq_linear(a, np.r_[goal, np.zeros(6)], (0, 1), tol=1e-12).x
        np.testing.assert_allclose(row, reference, atol=1e-5)
    assert (ours == 0).any() and ours.max() <= 1


def test_sparse_silences_opposites_and_smooth_calms():
    rng = np.random.default_rng(2)
    shape = rng.normal(size=20)
    opposites = np.stack([shape, -shape + 0.05 * rng.normal(size=20)])
    noise = 0.3 * rng.normal(size=(50, 20))
    plain, quiet = (solve(opposites, noise, 0.01, sparse=s) for s in (0.0, 2.0))
    assert quiet.mean() < 0.3 * plain.mean()
    calm = solve(opposites, noise, 0.01, smooth=50.0)
    assert np.abs(np.diff(calm, 2, axis=0)).mean() < 0.3 * np.abs(np.diff(plain, 2, axis=0)).mean()


def test_smoothing_keeps_lines_and_does_not_delay():
    line = np.outer(np.arange(30.0), [1.0, -2.0])
    np.testing.assert_allclose(smooth_series(line, 50.0), line, atol=1e-8)
    bump = np.exp(-0.5 * ((np.arange(41) - 20) / 2.0) ** 2)
    smooth = smooth_series(bump, 5.0)
    assert smooth.argmax() == 20 and smooth[20] < 1.0
    np.testing.assert_allclose(smooth, smooth[::-1], atol=1e-9)


def test_align_recovers_a_similarity():
    rng = np.random.default_rng(3)
    template = rng.normal(size=(12, 3))
    rotation = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix()
    points = 2.5 * template @ rotation.T + [1.0, 2.0, 3.0]
    s, r, t = align(points[None], template)
    assert s[0] == pytest.approx(2.5)
    np.testing.assert_allclose(r[0], rotation, atol=1e-9)
    np.testing.assert_allclose(t[0], [1, 2, 3], atol=1e-9)


def test_config_refuses_nonsense():
    with pytest.raises(ConfigError, match="ridge"):
        FitConfig(ridge=0)
    with pytest.raises(ConfigError, match="smooth"):
        FitConfig(smooth=-1)


@pytest.fixture(scope="module")
def rig(shared_data) -> ICTRig:
    return ICTRig.load(shared_data)


def performance(frames: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """Weights (T, 52) of a talking mouth with closed pauses, and head rotation (T, 3) in REP-103 axes."""
    t = np.arange(frames) / 25
    talk = np.clip(np.sin(2 * np.pi * 0.25 * t), 0, 1)
    weights = np.zeros((frames, 52))
    weights[:, ARKIT_INDEX["jawOpen"]] = talk * 0.4 * np.sin(2 * np.pi * 2 * t) ** 2
    weights[:, ARKIT_INDEX["mouthPucker"]] = talk * 0.5 * np.sin(2 * np.pi * 0.7 * t) ** 2
    rotation = np.stack([0.05 * np.sin(t), 0.1 * np.sin(0.8 * t), 0.15 * np.cos(0.5 * t)], axis=1)
    return weights, rotation


def as_track(rig: ICTRig, weights: np.ndarray, rotation: np.ndarray) -> FaceTrack:
    """What a perfect tracker sees of the rig, in weak perspective: nearer heads are larger as a whole."""
    rest = np.zeros((LANDMARKS, 3))
    rest[STABLE] = np.random.default_rng(4).normal(0, 4, (len(STABLE), 3)) + [0, 4, 5]
    vertices = rig.vertices(weights, subset=rig.landmarks)
    head = np.repeat(rest[None], len(weights), axis=0)
    for number, mesh in ANCHORS.items():
        head[:, mesh] = vertices[:, number]
    singles = sorted((LIPS | CHIN).items(), key=lambda item: -len(item[1]))
    for number, mesh in singles:  # single ones last: they are exact, pairs lie where their mean should
        head[:, list(mesh)] = vertices[:, [number]]
    turn = Rotation.from_rotvec(rotation[:, [1, 2, 0]])
    turned = np.einsum("fij,fnj->fni", turn.as_matrix(), head - NECK_PIVOT_ICT)
    distance = 100 * FitConfig().camera_distance
    nearer = turned[:, STABLE, 2].mean(1) - turned[:, STABLE, 2].mean()
    pixels = PIXELS_PER_CM * (distance / (distance - nearer))[:, None, None] * turned + [90, -120, 0]
    frames = len(weights)
    return FaceTrack(
        times=np.arange(frames) / 25,
        landmarks=(pixels * [1, -1, -1]).astype(np.float32),
        scores=np.zeros((frames, 52), np.float32),
        matrices=np.tile(np.eye(4, dtype=np.float32), (frames, 1, 1)),
        found=np.ones(frames, bool),
        change=np.zeros(frames, np.float32),
    )


def test_a_known_performance_comes_back(rig):
    weights, rotation = performance()
    track = as_track(rig, weights, rotation)
    talker = Talker(rig, [track])
    fit = talker.fit(track)
    gap = rig.gap_mm(weights)
    assert np.corrcoef(rig.gap_mm(fit.weights), gap)[0, 1] > 0.99
    assert np.corrcoef(fit.rig_gap_mm, fit.gap_mm)[0, 1] > 0.99
    assert np.corrcoef(fit.weights[:, ARKIT_INDEX["jawOpen"]], weights[:, ARKIT_INDEX["jawOpen"]])[0, 1] > 0.95
    expected = (Rotation.from_rotvec(rotation).mean().inv() * Rotation.from_rotvec(rotation)).as_rotvec()
    for axis in range(3):
        assert np.abs(fit.head_rotvec[:, axis] - expected[:, axis]).max() < 0.01, "roll pitch yaw"[5 * axis :]
    assert np.abs(fit.head_translation).max() < 0.002, "the head turns about the pivot, which stays"
    assert talker.misfit_mm(track).max() < 0.1
    seen = [ARKIT_INDEX[n] for n in FITTED]
    assert not np.delete(fit.weights, seen, axis=1).any(), "nothing but the mouth moved"


def test_translation_has_metres_and_signs(rig):
    weights, rotation = performance()
    track = as_track(rig, weights, np.zeros_like(rotation))
    path = np.linspace(-1, 1, len(weights))
    track.landmarks[..., 0] += PIXELS_PER_CM * path[:, None].astype(np.float32)
    track.landmarks[..., 1] -= 2 * PIXELS_PER_CM * path[:, None].astype(np.float32)
    moved = Talker(rig, [track]).fit(track).head_translation
    np.testing.assert_allclose(moved[:, 1], 0.01 * path, atol=5e-4)  # 1 cm to the face's left: +y
    np.testing.assert_allclose(moved[:, 2], 0.02 * path, atol=5e-4)  # 2 cm up: +z
    assert np.abs(moved[:, 0]).max() < 1e-3


def test_blinks_and_gaze_come_from_the_scores_relative_to_rest(rig):
    weights, rotation = performance()
    track = as_track(rig, weights, rotation)
    track.scores[:] = 0.1
    for side in ("Left", "Right"):
        track.scores[20:24, ARKIT_INDEX[f"eyeBlink{side}"]] = 0.7
    track.scores[60:90, ARKIT_INDEX["eyeLookOutLeft"]] = 0.5
    track.scores[60:90, ARKIT_INDEX["eyeLookInRight"]] = 0.5
    out = Talker(rig, [track]).fit(track).weights
    blink = out[:, ARKIT_INDEX["eyeBlinkLeft"]]
    assert blink[21] == pytest.approx(1.0, abs=0.05) and blink[[10, 40]].max() == 0
    assert out[70, ARKIT_INDEX["eyeLookOutLeft"]] == pytest.approx(0.4, abs=0.02)
    assert out[70, ARKIT_INDEX["eyeLookInRight"]] == pytest.approx(0.4, abs=0.02)
    assert out[70, ARKIT_INDEX["eyeLookInLeft"]] == 0
