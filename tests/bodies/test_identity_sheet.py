"""The picture of several people: as many faces as asked for, each another, and frames that do not exist refused."""

import numpy as np
import pytest
from PIL import Image

from media2face.bodies import export, identity_sheet
from media2face.runtime.errors import InputError, ModelError


@pytest.fixture(autouse=True)
def _shipped():
    from media2face.runtime.decoder import FaceDecoder

    try:
        FaceDecoder(providers="cpu")
    except ModelError as error:
        pytest.skip(f"the weights are not shipped yet: {error}")


def test_rows_are_people_and_columns_faces(tmp_path):
    path = tmp_path / "people.png"
    identity_sheet.main(["-o", str(path), "--size", "64", "--identity", "mean", "sample:3"])
    image = np.asarray(Image.open(path)).astype(int)
    assert image.shape == (2 * 66 - 2, 6 * 66 - 2, 3)
    cell = {(r, c): image[66 * r : 66 * r + 64, 66 * c : 66 * c + 64] for r in range(2) for c in range(6)}
    assert all(np.abs(cell[0, c] - cell[1, c]).mean() > 1 for c in range(6)), "another person"
    assert all(np.abs(cell[r, 0] - cell[r, c]).mean() > 0.2 for r in range(2) for c in range(1, 6)), "another face"


def test_frames_of_a_performance(tmp_path, performance):
    performance.latents = np.zeros((20, 64), np.float32)
    npz = str(export(performance, tmp_path / "a.npz"))
    options = ["-o", str(tmp_path / "a.png"), "--size", "64", "--performance", npz, "--identity", "sample:1",]
    identity_sheet.main([*options, "--frames", "0", "19"])
    assert Image.open(tmp_path / "a.png").size == (130, 64)
    with pytest.raises(InputError, match="frames from 0 to 19"):
        identity_sheet.main([*options, "--frames", "20"])
