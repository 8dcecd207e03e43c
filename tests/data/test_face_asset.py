"""The drawn head against the rig it is cut from, and the shipped networks on other identities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media2face.data.face_asset import build, eyeball, identity_neutral, split_quads
from media2face.data.geometry_maps import FaceAtlas
from media2face.data.range_of_motion import RangeOfMotion, sample_identities
from media2face.data.rig import ICTRig
from media2face.evaluation.gnpfa_faces import TestFaces
from media2face.runtime.arkit import ARKIT_INDEX
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


def test_mesh_follows_many_people(rig: ICTRig, shared_data: Path):
    decoder, rom = FaceDecoder(), RangeOfMotion(rig)
    faces = TestFaces(rom, decoder.rig, shared_data, people=4, faces=9)
    errors, moved = [], []
    for face in faces.people:
        mesh = decoder.mesh(decoder.latents(face.weights), face.neutral)
        true = face.offsets[:, faces.skin]
        errors.append(10 * np.linalg.norm(faces.skin_offsets(face, mesh) - true, axis=-1).mean())
        moved.append(10 * np.linalg.norm(true, axis=-1).mean())
    assert errors[0] < 0.1 * moved[0]
    assert max(errors[1:]) < 0.2 * np.mean(moved[1:])
    seen = decoder.encode(faces.mesh(face), face.neutral)
    back = decoder.weights(seen)
    assert np.abs(back - face.weights).mean() < 0.04
    assert len(decoder.encode(faces.mesh(face)[:0], face.neutral)) == 0


def test_teeth_follow_a_persons_own_jaw(rig: ICTRig):
    decoder = FaceDecoder()
    weights = np.zeros((1, 52), np.float32)
    weights[0, ARKIT_INDEX["jawOpen"]] = 0.8
    z = decoder.latents(weights)
    first, last = decoder.rig.parts["teeth"]
    drops, chins = [], []
    for identity in (np.zeros(100), *sample_identities(4, "test")):
        neutral = identity_neutral(rig, decoder.rig, identity)
        moved = (decoder.mesh(z, neutral)[0] - neutral)[:, 2]
        drops.append(moved[first:last].min())
        chins.append(moved[decoder.rig.landmarks[[7, 8, 9]]].mean())
    assert np.std(chins) > 0.001
    assert np.allclose(np.divide(drops, chins), drops[0] / chins[0], rtol=0.12)
