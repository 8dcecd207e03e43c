"""The shipped identities are those of the ICT model, to the errors that their card states."""

import numpy as np
import pytest

from media2face.data import face_identities
from media2face.data.face_asset import identity_neutral
from media2face.data.rig import ICTRig
from media2face.runtime.errors import ModelError
from media2face.runtime.identity import FaceIdentities
from media2face.runtime.rig_asset import RigAsset


@pytest.fixture(scope="module")
def ict(shared_data):
    return ICTRig.load(shared_data)


@pytest.fixture(scope="module")
def asset():
    try:
        return RigAsset.load()
    except ModelError as error:
        pytest.skip(f"the rig is not shipped yet: {error}")


def test_the_command_makes_the_shipped_file(ict, asset, tmp_path):
    faces = FaceIdentities.load(asset)
    np.savez(tmp_path / "face_identities.npz", **face_identities.build(ict, asset, modes=3))
    few = FaceIdentities.load(asset, tmp_path)
    assert few.modes == 3 and np.array_equal(few.shapes, faces.shapes[:3])
    assert np.allclose(few.eyes, faces.eyes[:3], atol=1e-7)


def test_errors_are_those_of_the_card(ict, asset):
    errors = face_identities.errors_mm(ict, asset, FaceIdentities.load(asset), people=5)
    assert 0.05 < errors["rounding mean"] < 0.13 and errors["rounding worst"] < 0.45
    assert errors["eye centre mean"] < 0.05 and errors["modes left out, mean"] < 0.6


def test_skin_is_that_of_the_training_identities(ict, asset):
    """What the decoder was trained on (face_asset.identity_neutral) and what it is given at run time are one."""
    coefficients = np.zeros(100, np.float32)
    coefficients[:64] = np.random.default_rng(3).standard_normal(64)
    ours, theirs = FaceIdentities.load(asset).neutral(coefficients[:64]), identity_neutral(ict, asset, coefficients)
    skin = slice(*asset.parts["face"])
    assert np.linalg.norm(ours[skin] - theirs[skin], axis=1).max() < 0.5e-3
