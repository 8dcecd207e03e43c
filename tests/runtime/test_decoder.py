"""The shipped face decoder: weights, latents and vertices, and files or numbers that do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.decoder import FaceDecoder
from media2face.runtime.errors import InputError, ModelError
from media2face.runtime.rig_asset import RigAsset
from media2face.runtime.sessions import weights_folder

FILES = ("gnpfa_to_weights.onnx", "gnpfa_from_weights.onnx", "gnpfa_decoder.onnx", "face_rig.npz")


@pytest.fixture(scope="module")
def decoder() -> FaceDecoder:
    return FaceDecoder()


def faces(*shapes: dict[str, float]) -> np.ndarray:
    out = np.zeros((len(shapes), len(ARKIT_NAMES)), np.float32)
    for row, shape in zip(out, shapes, strict=True):
        for name, value in shape.items():
            row[ARKIT_INDEX[name]] = value
    return out


def gap_mm(vertices: np.ndarray, rig: RigAsset) -> np.ndarray:
    lips = vertices[:, rig.landmarks]
    return 1000 * np.mean([lips[:, a, 2] - lips[:, b, 2] for a, b in ((61, 67), (62, 66), (63, 65))], axis=0)


def test_weights_come_back(decoder: FaceDecoder):
    rng = np.random.default_rng(0)
    weights = (rng.random((200, 52)) * (rng.random((200, 52)) < 0.15)).astype(np.float32)
    back = decoder.weights(decoder.latents(weights))
    assert back.dtype == np.float32 and back.min() >= 0 and back.max() <= 1
    assert np.abs(back - weights).mean() < 0.005
    assert np.abs(decoder.weights(decoder.latents(faces({})))).max() < 0.01


def test_latents_are_scaled_for_diffusion(decoder: FaceDecoder):
    std = np.array(decoder.meta["z_std"])
    assert std.shape == (decoder.latent_dim,) and 0.5 < std.min() and std.max() < 2.0
    assert np.allclose(decoder.meta["z_rest"], decoder.latents(faces({}))[0], atol=1e-3)


def test_rest_mesh_is_the_neutral(decoder: FaceDecoder):
    mesh = decoder.mesh(decoder.latents(faces({})))[0]
    assert 1000 * np.linalg.norm(mesh - decoder.rig.neutral, axis=1).mean() < 0.1


def test_mesh_opens_closes_blinks_and_looks(decoder: FaceDecoder):
    rig = decoder.rig
    rest, wide, shut, pressed, blink, left = decoder.mesh(decoder.latents(faces(
        {}, {"jawOpen": 0.8}, {"jawOpen": 0.4, "mouthClose": 0.31}, {"jawOpen": 0.4, "mouthClose": 0.5},
        {"eyeBlinkLeft": 1.0}, {"eyeLookOutLeft": 1.0},
    )))  # fmt: skip
    gaps = gap_mm(np.stack([rest, wide, shut, pressed]), rig)
    assert gaps[1] == pytest.approx(23.9, abs=1.0)
    assert gaps[2] == pytest.approx(0.84, abs=0.4)
    assert -0.6 < gaps[3] < 0.3  # the lips meet and do not pass through each other
    eye = rig.landmarks[[44, 46]]
    opening = [float(m[eye[0], 2] - m[eye[1], 2]) for m in (rest, blink)]
    assert opening[1] < 0.35 * opening[0]
    first, last = rig.parts["eye_left"]
    assert (left[first] - rest[first])[1] > 0.005
    lower_teeth = rig.neutral[:, 2] < -0.045
    lower_teeth[: rig.parts["teeth"][0]] = False
    lower_teeth[rig.parts["teeth"][1] :] = False
    assert (wide - rest)[lower_teeth, 2].max() < -0.01


def test_mesh_does_not_depend_on_the_batch(decoder: FaceDecoder):
    z = decoder.latents(np.random.default_rng(3).random((40, 52)).astype(np.float32) * 0.3)
    together = decoder.mesh(z)
    assert np.abs(together[33:35] - decoder.mesh(z[33:35])).max() < 1e-5
    assert len(decoder.mesh(z[:0])) == 0


def test_another_neutral_moves_the_rest_pose(decoder: FaceDecoder):
    z = decoder.latents(faces({}, {"jawOpen": 0.5}))
    wide = decoder.rig.neutral * np.float32([1.0, 1.08, 1.0])
    mesh = decoder.mesh(z, wide)
    assert 1000 * np.linalg.norm(mesh[0] - wide, axis=1).mean() < 1.0
    assert gap_mm(mesh[1:], decoder.rig)[0] > 8
    with pytest.raises(InputError, match="neutral"):
        decoder.mesh(z, wide[:-1])


@pytest.mark.parametrize("call", ["weights", "latents", "mesh"])
def test_bad_numbers_are_refused(decoder: FaceDecoder, call: str):
    good = 52 if call == "latents" else decoder.latent_dim
    with pytest.raises(InputError, match="expected"):
        getattr(decoder, call)(np.zeros((3, good + 1)))
    with pytest.raises(InputError, match="expected"):
        getattr(decoder, call)(np.zeros(good))
    broken = np.zeros((3, good), np.float32)
    broken[1, 2] = np.nan
    with pytest.raises(InputError, match="frame 1"):
        getattr(decoder, call)(broken)


def test_rig_is_sound():
    rig = RigAsset.load()
    assert rig.triangles.min() == 0 and rig.triangles.max() == len(rig.neutral) - 1
    assert len(rig.face_material) == len(rig.faces) and rig.face_material.max() < len(rig.material_names)
    assert rig.landmarks.shape == (68,) and np.isfinite(rig.neutral).all()
    assert rig.neutral[rig.landmarks[30], 0] == pytest.approx(rig.neutral[: rig.parts["face"][1], 0].max(), abs=2e-3)
    assert rig.neutral[rig.landmarks[54], 1] > 0.02
    assert (weights_folder() / "face_rig.npz").stat().st_size < 2.5e6


def test_missing_mixed_or_damaged_files_are_refused(tmp_path: Path):
    for file in FILES:
        shutil.copy(weights_folder() / file, tmp_path)
    z = FaceDecoder(tmp_path).latents(faces({}))
    (tmp_path / FILES[0]).replace(tmp_path / "kept")
    with pytest.raises(ModelError, match="found no file"):
        FaceDecoder(tmp_path)
    shutil.copy(tmp_path / FILES[1], tmp_path / FILES[0])
    with pytest.raises(ModelError, match="holds the model"):
        FaceDecoder(tmp_path)
    (tmp_path / "kept").replace(tmp_path / FILES[0])
    (tmp_path / "face_rig.npz").write_bytes(b"not a rig")
    with pytest.raises(ModelError, match="not a readable rig"):
        FaceDecoder(tmp_path).mesh(z)
    (tmp_path / "face_rig.npz").unlink()
    with pytest.raises(ModelError, match="found no file"):
        FaceDecoder(tmp_path).mesh(z)


def test_a_decoder_of_another_training_is_refused(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    for file in FILES:
        shutil.copy(weights_folder() / file, tmp_path)
    path = tmp_path / "gnpfa_from_weights.onnx"
    model = onnx.load(str(path))
    entry = model.metadata_props[0]
    entry.value = entry.value.replace(FaceDecoder().fingerprint, "0" * 16)
    onnx.save(model, str(path))
    with pytest.raises(ModelError, match="was trained with"):
        FaceDecoder(tmp_path)
