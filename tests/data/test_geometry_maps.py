"""Coordinate maps: what is lost on the way to a map and back, and the faces that GNPFA learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media2face.data.expressions import SOURCES, ExpressionSampler, range_of_motion
from media2face.data.geometry_maps import LIP_WEIGHT, FaceAtlas, bilinear
from media2face.data.lip_seal import seal_fields
from media2face.data.rig import ICTRig
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import ConfigError, InputError


@pytest.fixture(scope="module")
def rig(shared_data: Path) -> ICTRig:
    return ICTRig.load(shared_data)


@pytest.fixture(scope="module")
def atlas(rig: ICTRig) -> FaceAtlas:
    return FaceAtlas.build(rig)


def test_bilinear_shares_sum_to_one_and_hit_texel_centres():
    texels, shares = bilinear(np.float32([[0, 0], [2.5, 1.25], [9, 4]]), 10, 5)
    assert np.allclose(shares.sum(axis=1), 1)
    grid = np.arange(50, dtype=np.float32)
    assert np.allclose((grid[texels] * shares).sum(axis=1), [0, 2.5 * 5 + 1.25, 49])


def test_every_shape_survives_the_map(rig: ICTRig, atlas: FaceAtlas):
    true = rig.deltas[:, atlas.charted]
    error = 10 * np.linalg.norm(atlas.to_mesh(atlas.to_map(true)) - true, axis=-1)
    lips = atlas.importance == LIP_WEIGHT
    assert error.mean() < 0.03
    assert error[ARKIT_INDEX["jawOpen"], lips].mean() < 0.12
    assert error[ARKIT_INDEX["eyeBlinkLeft"], lips].mean() < 0.15
    assert error.max() < 3.0


def test_upper_and_lower_lip_do_not_share_texels(rig: ICTRig, atlas: FaceAtlas):
    place = {v: atlas.place[i] for i, v in enumerate(atlas.charted)}
    for upper, lower in ((61, 67), (62, 66), (63, 65), (37, 41), (44, 46)):
        apart = place[rig.landmarks[lower]] - place[rig.landmarks[upper]]
        assert apart[0] > 1.5, (upper, lower)


def test_ride_follows_the_skin(rig: ICTRig, atlas: FaceAtlas):
    vertices = atlas.charted[100:110]
    place, share = atlas.ride(rig, vertices)
    assert np.allclose(share, 1, atol=0.05)
    assert np.abs(place - atlas.place[100:110]).max() < 2.0


def test_bad_values_are_refused(rig: ICTRig, atlas: FaceAtlas):
    with pytest.raises(InputError, match="expected values"):
        atlas.to_map(np.zeros((5, 3)))
    with pytest.raises(InputError, match="expected maps"):
        atlas.to_mesh(np.zeros((3, 8, 8)))
    with pytest.raises(ConfigError, match="at least"):
        FaceAtlas.build(rig, 16, 32)


def test_lip_seal_parts_the_lips_by_the_overlap_and_leaves_the_rest_alone(rig: ICTRig):
    fields = seal_fields(rig, rig.landmarks)
    for k, (upper, lower) in enumerate(((61, 67), (62, 66), (63, 65))):
        opened = [fields[j, upper] - fields[j, lower] for j in range(3)]
        assert opened == pytest.approx(np.eye(3)[k].tolist(), abs=1e-4)
        assert fields[k, upper] == pytest.approx(-fields[k, lower], abs=0.2)
    assert np.abs(fields[:, [60, 64]]).max() < 0.02
    assert np.abs(fields[:, :48]).max() < 0.05


def test_sampler_stays_within_bounds_and_repeats(shared_data: Path):
    first, second = (ExpressionSampler(shared_data, seed=3) for _ in range(2))
    for source in (*SOURCES, None):
        weights = first.sample(64, source)
        assert weights.shape == (64, 52)
        assert weights.min() >= 0 and weights.max() <= 1
        assert np.array_equal(weights, second.sample(64, source))
    assert (ExpressionSampler(shared_data, seed=4).sample(32, "single") > 0).sum(axis=1).max() == 1


def test_range_of_motion_splits_by_time(shared_data: Path, tmp_path: Path):
    train, val, test = (range_of_motion(shared_data, s) for s in ("train", "val", "test"))
    assert len(train) + len(val) + len(test) == 4030 + 3809
    assert len(train) > 7 * len(test) > 0
    assert train[:, ARKIT_INDEX["jawLeft"]].max() != train[:, ARKIT_INDEX["jawRight"]].max()
    with pytest.raises(FileNotFoundError, match="LiveLink"):
        range_of_motion(tmp_path)
