"""The drawn head against the rig it is cut from, and the shipped networks on other identities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media2face.data.expressions import ExpressionSampler, personal_amplitude
from media2face.data.face_asset import build, eyeball, identity_neutral, split_quads
from media2face.data.geometry_maps import FaceAtlas
from media2face.data.rig import ICTRig, to_ros
from media2face.runtime.decoder import FaceDecoder
from media2face.runtime.rig_asset import RigAsset


@pytest.fixture(scope="module")
def rig(shared_data: Path) -> ICTRig:
    return ICTRig.load(shared_data)


def test_quads_split_without_losing_area():
    points = np.float32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    tris = split_quads(np.array([[0, 1, 2, 3], [0, 1, 2, -1]]))
    a, b, c = (points[tris[:, k]] for k in range(3))
    assert np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2 == pytest.approx(1.5)


def test_eyeball_is_closed_at_the_front_and_faces_outwards():
    points, tris, materials = eyeball(np.zeros(3))
    a, b, c = (points[tris[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    assert ((a + b + c) * normal).sum(axis=1).min() > 0
    assert materials[0] == "M_Pupil" and set(materials) == {"M_Pupil", "M_Iris", "M_Sclera"}


def test_shipped_rig_is_what_the_command_builds(rig: ICTRig):
    built = build(rig, FaceAtlas.build(rig))
    shipped = RigAsset.load()
    assert str(built["atlas"]) == shipped.atlas
    assert np.allclose(built["neutral"], shipped.neutral, atol=1e-6)
    assert np.array_equal(built["faces"], shipped.triangles)


def test_mesh_follows_the_rig_on_many_identities(rig: ICTRig, shared_data: Path):
    decoder, faces = FaceDecoder(), ExpressionSampler(shared_data, "val", seed=5)
    rng = np.random.default_rng(6)
    weights = faces.sample(24, "range_of_motion")
    skin = slice(*decoder.rig.parts["face"])
    errors, moved = [], []
    for coefficients in (np.zeros(100), *np.clip(rng.normal(size=(3, 100)), -2, 2)):
        neutral = identity_neutral(rig, decoder.rig, coefficients)
        mesh = decoder.mesh(decoder.latents(weights), neutral)[:, skin]
        shown = weights * personal_amplitude(rig, coefficients[None])
        true = to_ros(rig.vertices(shown, coefficients, decoder.rig.source[skin]))
        errors.append(1000 * np.linalg.norm(mesh - true, axis=-1).mean())
        moved.append(1000 * np.linalg.norm(true - neutral[skin], axis=-1).mean())
    assert errors[0] < 0.1 * moved[0]
    assert max(errors[1:]) < 0.2 * np.mean(moved[1:])
