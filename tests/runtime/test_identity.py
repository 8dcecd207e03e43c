"""Faces of other people: sampled, read from files, refused with a reason; eyes, teeth and lids go with them."""

import numpy as np
import pytest

from media2face.runtime.errors import InputError, ModelError
from media2face.runtime.identity import ICT_VERTICES, FaceIdentities, identity_of, read_neutral
from media2face.runtime.rig_asset import RigAsset


@pytest.fixture(scope="module")
def rig():
    try:
        return RigAsset.load()
    except ModelError as error:
        pytest.skip(f"the rig is not shipped yet: {error}")


@pytest.fixture(scope="module")
def faces(rig):
    return FaceIdentities.load(rig)


def write_obj(path, points, noise=""):
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}{noise}" for x, y, z in points]
    path.write_text("# a face\n" + "\n".join(lines) + "\nvt 0 0\nf 1 2 3\n")
    return path


def test_a_seed_is_a_person(faces, rig):
    one, again, other = faces.sample(3), faces.sample(3), faces.sample(4)
    assert np.array_equal(one, again) and one.shape == rig.neutral.shape and one.dtype == np.float32
    apart = np.linalg.norm(one - other, axis=1)
    assert 2e-3 < apart.mean() < 30e-3, "people differ by millimetres"
    assert np.array_equal(faces.neutral(np.zeros(faces.modes)), rig.neutral)


def test_many_people_have_faces_that_hold_together(faces, rig):
    """Upper lip above the lower one, eyes apart, edges neither torn nor folded to nothing."""
    edges = np.sort(np.concatenate([rig.triangles[:, [0, 1]], rig.triangles[:, [1, 2]]]), axis=1)
    before = np.linalg.norm(rig.neutral[edges[:, 0]] - rig.neutral[edges[:, 1]], axis=1)
    edges, before = edges[before > 5e-4], before[before > 5e-4]
    for seed in range(25):
        face = faces.sample(seed)
        ratio = np.linalg.norm(face[edges[:, 0]] - face[edges[:, 1]], axis=1) / before
        assert np.percentile(ratio, [0.1, 99.9]).tolist() == pytest.approx([1, 1], abs=0.9)
        lips = face[rig.landmarks[[51, 57]]]
        assert lips[0, 2] > lips[1, 2] + 5e-3


def test_eyes_lie_behind_the_lids(faces, rig):
    """The eyeball is moved and scaled with its socket: the corner points of the lids stay just outside of it."""
    for seed in range(20):
        face = faces.sample(seed)
        for side, marks in (("left", range(42, 48)), ("right", range(36, 42))):
            ball = slice(*rig.parts[f"eye_{side}"])
            rest, moved = rig.neutral[ball], face[ball]
            growth = np.ptp(moved, axis=0).max() / np.ptp(rest, axis=0).max()
            centre = moved.mean(axis=0) + growth * (rig.eye_centres[("left", "right").index(side)] - rest.mean(axis=0))
            radius = growth * 0.015
            away = np.linalg.norm(face[rig.landmarks[list(marks)]] - centre, axis=1) - radius
            assert away.min() > -0.3e-3, (seed, side, away)


def test_names_of_people(rig, faces, tmp_path):
    assert np.array_equal(identity_of("sample:7", rig), faces.sample(7))
    for wrong in ("sample:", "sample:x", "sample:-1", "sample:9999999999999999999"):
        with pytest.raises(InputError, match="sample:SEED"):
            identity_of(wrong, rig)
    with pytest.raises(InputError, match="found no file"):
        identity_of(str(tmp_path / "none.obj"), rig)


@pytest.mark.parametrize("unit", [1.0, 100.0, 1000.0])
def test_own_mesh_of_the_drawn_head_in_any_unit(rig, faces, tmp_path, unit):
    face = faces.sample(5)
    path = write_obj(tmp_path / "face.obj", unit * face)
    assert np.abs(read_neutral(path, rig) - face).max() < 2e-6
    np.savez(tmp_path / "face.npz", neutral=unit * face)
    assert np.abs(read_neutral(tmp_path / "face.npz", rig) - face).max() < 1e-6


def test_own_mesh_of_the_ict_model(rig, faces, tmp_path, shared_data):
    """An ICT face in centimetres and ICT's axes, with its own eyeballs, is the face that its coefficients make."""
    from media2face.data.rig import ICTRig

    ict = ICTRig.load(shared_data)
    coefficients = np.zeros(100, np.float32)
    coefficients[: faces.modes] = np.clip(np.random.default_rng(2).standard_normal(faces.modes), -2, 2)
    points = ict.rest(coefficients)
    face = read_neutral(write_obj(tmp_path / "face.obj", points), rig)
    wanted = faces.neutral(coefficients[: faces.modes])
    away = 1e3 * np.linalg.norm(face - wanted, axis=1)
    assert away.mean() < 0.2 and away.max() < 1.0, "mm"
    np.savez(tmp_path / "face.npz", neutral=ict.neutral, axes="ict", units="cm")
    assert np.abs(read_neutral(tmp_path / "face.npz", rig) - rig.neutral).max() < 2e-5


def test_a_head_elsewhere_is_brought_back(rig, faces, tmp_path):
    np.savez(tmp_path / "face.npz", neutral=faces.sample(1) + [1.0, -2.0, 1.7])
    away = read_neutral(tmp_path / "face.npz", rig) - faces.sample(1)
    assert np.linalg.norm(away, axis=1).max() < 0.02


def test_meshes_that_do_not_fit_are_refused(rig, faces, tmp_path):
    face = faces.sample(1)
    broken = face.copy()
    broken[100, 2] = np.nan
    shuffled = np.random.default_rng(0).permutation(face)
    cases = {
        "vertices": face[:-1], "vertex 100": broken, "order of vertices": shuffled, "got (3,)": np.zeros(3),
        "mean face": 12.0 * face, "in m, cm or mm": np.zeros_like(face),
    }  # fmt: skip
    for words, points in cases.items():
        np.savez(tmp_path / "face.npz", neutral=points)
        with pytest.raises(InputError) as refused:
            read_neutral(tmp_path / "face.npz", rig)
        assert words in str(refused.value), refused.value
    np.savez(tmp_path / "face.npz", vertices=face)
    with pytest.raises(InputError, match="named 'neutral', found vertices"):
        read_neutral(tmp_path / "face.npz", rig)
    np.savez(tmp_path / "face.npz", neutral=face, units="inch")
    with pytest.raises(InputError, match="inch"):
        read_neutral(tmp_path / "face.npz", rig)
    np.savez(tmp_path / "face.npz", neutral=np.array(["a", "b"]))
    with pytest.raises(InputError, match="numbers"):
        read_neutral(tmp_path / "face.npz", rig)


def test_files_that_are_no_meshes_are_refused(rig, tmp_path):
    (tmp_path / "a.npz").write_text("no archive")
    np.save(tmp_path / "b.npy", np.zeros((4, 3)))
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    (tmp_path / "a.obj").write_text("v 1 2 three\n")
    (tmp_path / "b.obj").write_text("v 1 2\n")
    (tmp_path / "c.obj").write_text("v 1 2 3\n" * (ICT_VERTICES + 1))
    (tmp_path / "d.obj").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "a.ply").write_text("ply")
    for name, words in (
        ("a.npz", "archive"), ("b.npz", "archive"),
        ("a.obj", "line 1"), ("b.obj", "line 1"), ("c.obj", "at most"), ("d.obj", "vertices"),
        ("a.ply", "as .npz or .obj"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            read_neutral(tmp_path / name, rig)
    with (tmp_path / "big.obj").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(InputError, match="at most 64"):
        read_neutral(tmp_path / "big.obj", rig)


def test_no_pickle_is_loaded(rig, tmp_path):
    np.savez(tmp_path / "face.npz", neutral=np.array([{"a": 1}], object))
    with pytest.raises(InputError, match="archive"):
        read_neutral(tmp_path / "face.npz", rig)


def test_a_damaged_or_foreign_file_of_identities(rig, tmp_path):
    with pytest.raises(ModelError, match="found no file"):
        FaceIdentities.load(rig, tmp_path)
    np.savez(tmp_path / "face_identities.npz", rig="other", step=1.0, steps=np.zeros((1, 3, 2), np.int16), eyes=0)
    with pytest.raises(ModelError, match="other vertices"):
        FaceIdentities.load(rig, tmp_path)
    (tmp_path / "face_identities.npz").write_bytes(b"PK broken")
    with pytest.raises(ModelError, match="readable"):
        FaceIdentities.load(rig, tmp_path)


def test_motion_goes_with_the_identity(rig, faces):
    """Another person's mesh moves as the mean's does: jaw down by centimetres, eyes turn about their own centres."""
    from media2face.runtime.arkit import ARKIT_INDEX
    from media2face.runtime.decoder import FaceDecoder

    decoder = FaceDecoder(providers="cpu")
    weights = np.zeros((3, 52), np.float32)
    weights[1, ARKIT_INDEX["jawOpen"]] = 0.7
    weights[2, [ARKIT_INDEX["eyeLookOutLeft"], ARKIT_INDEX["eyeLookInRight"]]] = 0.8
    latents = decoder.latents(weights)
    chin = rig.landmarks[8]
    drop = []
    for seed in range(4):
        face = faces.sample(seed)
        rest, opened, looking = decoder.mesh(latents, face)
        assert np.abs(rest - face).max() < 4e-3, "at rest it is the identity"
        drop.append(float(rest[chin, 2] - opened[chin, 2]))
        teeth = slice(*rig.parts["teeth"])
        assert np.abs((opened - rest)[teeth]).max() > 5e-3
        ball = slice(*rig.parts["eye_left"])
        sizes = [np.linalg.norm(m[ball] - m[ball].mean(axis=0), axis=1) for m in (rest, looking)]
        assert np.allclose(*sizes, atol=1e-6), "eyes turn rigidly"
        assert (looking[ball][0] - rest[ball][0])[1] > 3e-3, "to the face's left"
    assert min(drop) > 8e-3 and max(drop) < 2 * min(drop)
