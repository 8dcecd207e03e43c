"""The shipped heads: what they hold, how light they are, and that they move as the decoder does."""

import gzip
import shutil

import numpy as np
import pytest

from media2face.bodies.export_glb import HEAD
from media2face.bodies.gltf.container import Glb
from media2face.bodies.gltf.error import BlendedHead
from media2face.bodies.gltf.head import STEP, add_mesh, to_gltf
from media2face.bodies.gltf.nodes import multiply, rotate
from media2face.bodies.gltf.shapes import Piece, numbered
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.decoder import FaceDecoder
from media2face.runtime.errors import ModelError
from media2face.runtime.eyes import eye_angles, rotate_eyes

LITE = HEAD.with_name("head_lite.glb")


@pytest.fixture(scope="module")
def decoder() -> FaceDecoder:
    try:
        return FaceDecoder()
    except ModelError as error:
        pytest.skip(f"the decoder is not shipped: {error}")


@pytest.fixture(scope="module", params=[HEAD, LITE], ids=["head", "head_lite"])
def glb(request) -> Glb:
    return Glb.read(request.param)


@pytest.fixture(scope="module")
def blended(decoder) -> dict[str, BlendedHead]:
    return {path.name: BlendedHead(Glb.read(path), decoder.rig) for path in (HEAD, LITE)}


def by_name(glb: Glb, key: str) -> dict[str, dict]:
    return {item["name"]: item for item in glb.items(key)}


def test_the_face_has_all_52_shapes_in_order(glb):
    meshes = by_name(glb, "meshes")
    assert tuple(meshes["face"]["extras"]["targetNames"]) == ARKIT_NAMES
    for mesh in meshes.values():
        names = mesh.get("extras", {}).get("targetNames", [])
        primitive = mesh["primitives"][0]
        assert len(primitive.get("targets", [])) == len(names) == len(mesh.get("weights", []))
        assert set(names) <= set(ARKIT_NAMES)
        assert all(set(target) == {"POSITION", "NORMAL"} for target in primitive.get("targets", []))
    assert {"jawOpen", "jawLeft", "jawForward"} <= set(meshes["teeth"]["extras"]["targetNames"])
    assert "tongueOut" in meshes["mouth"]["extras"]["targetNames"]
    assert "eyeBlinkLeft" in meshes["lashes"]["extras"]["targetNames"]


def test_every_shape_moves_something(glb):
    mesh = by_name(glb, "meshes")["face"]
    for name, target in zip(ARKIT_NAMES, mesh["primitives"][0]["targets"], strict=True):
        moved = np.abs(glb.array(target["POSITION"])).max() * STEP
        assert moved > 2e-3 or name == "tongueOut", name


def test_normals_are_unit_also_when_moved(glb):
    for name in ("face", "teeth", "mouth"):
        primitive = by_name(glb, "meshes")[name]["primitives"][0]
        rest = glb.array(primitive["attributes"]["NORMAL"])
        assert np.abs(np.linalg.norm(rest, axis=1) - 1).max() < 0.02
        jaw = by_name(glb, "meshes")[name]["extras"]["targetNames"].index("jawOpen")
        moved = rest + glb.array(primitive["targets"][jaw]["NORMAL"])
        assert np.percentile(np.abs(np.linalg.norm(moved, axis=1) - 1), 99) < 0.05


def test_nodes_and_axes(glb, decoder):
    nodes = by_name(glb, "nodes")
    rig = decoder.rig
    assert np.allclose(nodes["head"]["translation"], to_gltf(rig.neck_pivot))
    for side, centre in zip(("Left", "Right"), rig.eye_centres, strict=True):
        place = np.add(nodes["head"]["translation"], nodes[f"eye{side}"]["translation"])
        assert np.allclose(place, to_gltf(centre), atol=1e-6)
    assert nodes["eyeLeft"]["translation"][0] > 0.02, "the face's left is +X"
    assert nodes["eyeLeft"]["translation"][2] > 0.05, "it looks towards +Z"
    children = [glb.items("nodes")[k]["name"] for k in nodes["head"]["children"]]
    assert {"teeth", "mouth", "lashes", "eyeLeft", "eyeRight"} == set(children)


def test_shoulders_stay_and_the_face_follows_the_head(glb):
    primitive = by_name(glb, "meshes")["face"]["primitives"][0]["attributes"]
    height = glb.array(primitive["POSITION"])[:, 1] * STEP
    joints, weights = glb.array(primitive["JOINTS_0"]), glb.array(primitive["WEIGHTS_0"])
    head = np.where(joints == 1, weights, 0).sum(axis=1)
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert head[height > -0.05].min() > 0.999 and head[height < -0.17].max() < 0.05
    body, turned = glb.array(glb.items("skins")[0]["inverseBindMatrices"]).reshape(2, 4, 4).transpose(0, 2, 1)
    assert np.allclose(np.diag(body), [STEP, STEP, STEP, 1])
    assert np.allclose(turned[:3, 3], -np.array(by_name(glb, "nodes")["head"]["translation"]))


def test_light_enough_for_the_page():
    sizes = [len(gzip.compress(path.read_bytes(), 6)) for path in (HEAD, LITE)]
    assert sizes[0] < 1.8e6 and sizes[1] < 0.5e6
    assert HEAD.stat().st_size + LITE.stat().st_size < 4.5e6


def test_one_shape_at_a_time_is_what_the_decoder_makes(glb, decoder, blended):
    head = blended[glb.name]
    assert len(head.rows) > (15_000 if glb.name == "head.glb" else 3_500)
    skip = [ARKIT_INDEX[n] for n in ("mouthClose", "eyeBlinkLeft", "eyeBlinkRight")]  # defined otherwise, see below
    weights = np.eye(52, dtype=np.float32)[[k for k in range(52) if k not in skip]]
    z = decoder.latents(weights)
    truth = decoder.mesh(z)[:, head.rows]
    rest = decoder.mesh(decoder.latents(np.zeros((1, 52), np.float32)))[:, head.rows]
    still = head.mesh(np.zeros((1, 52), np.float32))
    away = 1e3 * np.linalg.norm((head.mesh(weights) - still) - (truth - rest), axis=2)
    assert away.max() < 0.1 + 0.025 * 2, "no more than what is left out as still, and a quantum"
    assert away.mean() < 0.02


def test_mouth_close_closes_an_open_jaw(decoder, blended):
    head = blended[HEAD.name]
    upper, lower = (np.flatnonzero(head.rows == decoder.rig.landmarks[k])[0] for k in (62, 66))
    weights = np.zeros((2, 52), np.float32)
    weights[:, ARKIT_INDEX["jawOpen"]] = 1
    weights[1, ARKIT_INDEX["mouthClose"]] = 1
    gap = np.ptp(head.mesh(weights)[:, [upper, lower], 2], axis=1)
    assert gap[0] > 0.02 and gap[1] < 1e-3


def test_blinks_meet(decoder, blended):
    head = blended[HEAD.name]
    weights = np.zeros((2, 52), np.float32)
    weights[1, [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]] = 1
    points = head.mesh(weights)
    for above, below in ((43, 47), (44, 46), (37, 41), (38, 40)):
        a, b = (np.flatnonzero(head.rows == decoder.rig.landmarks[k])[0] for k in (above, below))
        gap = points[:, a, 2] - points[:, b, 2]
        assert gap[0] > 7e-3 and -1.3e-3 < gap[1] < 0.15e-3


def test_realistic_faces_blend_within_a_tenth_of_a_millimetre(decoder, blended):
    """Small weights in many places, as speech has them: what linear blending costs against the decoder."""
    rng = np.random.default_rng(2)
    weights = (0.3 * rng.random((8, 52)) * (rng.random((8, 52)) < 0.3)).astype(np.float32)
    weights[:, ARKIT_INDEX["mouthClose"]] = 0
    away = blended[HEAD.name].errors(decoder, decoder.latents(weights))
    assert away.mean() < 0.1 and np.percentile(away, 99) < 1.0


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_eye_nodes_turn_as_the_decoders_eyes(glb, decoder, side):
    """The rotation documented for viewers, applied to the file's eyeball, gives the renderer's eyeball."""
    rig, rng = decoder.rig, np.random.default_rng(1)
    weights = rng.random((4, 52)).astype(np.float32)
    yaw, pitch = eye_angles(weights, side.lower()).astype(np.float64).T / 2
    zero = np.zeros(4)
    up = np.stack([zero, np.sin(yaw), zero, np.cos(yaw)], 1)
    left = np.stack([np.sin(pitch), zero, zero, np.cos(pitch)], 1)
    primitive = by_name(glb, "meshes")[f"eye{side}"]["primitives"][0]
    nodes = by_name(glb, "nodes")
    ball = glb.array(primitive["attributes"]["POSITION"]) * nodes[f"eye{side}"]["scale"]
    centre = rig.eye_centres[("Left", "Right").index(side)]
    for k, turn in enumerate(multiply(up, left)):
        shown = rotate(turn, ball.astype(np.float64)) + to_gltf(centre)
        truth = to_gltf(rotate_eyes(ball[:, [2, 0, 1]] + centre, centre, weights[k : k + 1], side.lower())[0])
        assert np.abs(shown - truth).max() < 1e-5
    first, last = rig.parts[f"eye_{side.lower()}"]
    rest = np.sort(np.linalg.norm(rig.neutral[first:last] - centre, axis=1))
    assert abs(np.linalg.norm(ball, axis=1).max() - rest[-1]) < 2e-5


def test_a_piece_comes_back_as_it_was():
    """Writing a mesh and reading it: positions within half a step, shapes only where they move."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.1, 0.1, (40, 3)).astype(np.float32)
    deltas = np.zeros((52, 40, 3), np.float32)
    deltas[3, :7] = 0.004
    deltas[9, 20:] = rng.uniform(-0.01, 0.01, (20, 3))
    piece = Piece(points, np.tile(np.float32([1, 0, 0]), (40, 1)), np.arange(39).reshape(13, 3), deltas, 0 * deltas)
    glb = Glb()
    add_mesh(glb, "m", piece, glb.add("materials", {}))
    mesh = Glb.parse(glb.to_bytes()).items("meshes")[0]
    assert mesh["extras"]["targetNames"] == [ARKIT_NAMES[3], ARKIT_NAMES[9]]
    primitive = mesh["primitives"][0]
    assert np.abs(glb.array(primitive["attributes"]["POSITION"]) * STEP - to_gltf(points)).max() <= STEP / 2 + 1e-9
    for place, shape in ((0, 3), (1, 9)):
        got = glb.array(primitive["targets"][place]["POSITION"]) * STEP
        assert np.abs(got - to_gltf(deltas[shape])).max() <= STEP / 2 + 1e-9


def test_numbered_keeps_triangles_inside():
    used, triangles = numbered(np.array([[0, 1, 2], [2, 3, 4], [4, 5, 6]]), [(2, 5)])
    assert used.tolist() == [2, 3, 4] and triangles.tolist() == [[0, 1, 2]]


def test_another_face_gets_a_head_of_its_own(decoder, tmp_path):
    """A neutral of another size moves the eyes, the skin and the lashes with it; the texture is the shipped one."""
    from media2face.bodies.gltf.head import build, shipped_skin

    shutil.copy(LITE, tmp_path / "lite.glb")
    skin = shipped_skin(tmp_path / "lite.glb")
    assert skin[:2] == b"\xff\xd8", "a JPEG"
    glb = build(decoder, 1.1 * decoder.rig.neutral, skin)
    place = np.add(by_name(glb, "nodes")["head"]["translation"], by_name(glb, "nodes")["eyeLeft"]["translation"])
    assert np.allclose(place, 1.1 * to_gltf(decoder.rig.eye_centres[0]), atol=1e-4)
    place = by_name(glb, "meshes")["face"]["primitives"][0]["attributes"]["POSITION"]
    height = glb.items("accessors")[place]["max"][1] * STEP
    assert abs(height - 1.1 * decoder.rig.neutral[:, 2].max()) < 0.006
