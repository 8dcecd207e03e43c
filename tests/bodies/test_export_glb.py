"""Animated GLBs: our head and files of others, read back number by number and by Khronos' validator."""

import json
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from media2face.bodies import export, export_glb
from media2face.bodies.gltf.animation import CLIP
from media2face.bodies.gltf.container import Glb
from media2face.bodies.gltf.nodes import multiply, rotate
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import InputError
from media2face.runtime.eyes import TURN_RAD

VALIDATOR = "gltf-validator@2.0.0-dev.3.10"
FRAMES = 20


@pytest.fixture(scope="session")
def khronos():
    """Runs Khronos' glTF validator on a file: its issues."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Khronos' validator needs node and npm")
    folder = Path(tempfile.gettempdir()) / "media2face-gltf-validator"
    if not (folder / "node_modules" / "gltf-validator").is_dir():
        folder.mkdir(exist_ok=True)
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), VALIDATOR]
        if subprocess.run(install, capture_output=True, timeout=120).returncode:
            pytest.skip(f"npm could not install {VALIDATOR}: no network?")
    script = (
        "const v=require('gltf-validator'),f=require('fs').readFileSync(process.argv[1]);"
        "v.validateBytes(new Uint8Array(f)).then(r=>console.log(JSON.stringify(r.issues)))"
    )

    def check(path: Path) -> dict:
        done = subprocess.run(
            ["node", "-e", script, str(path.resolve())], cwd=folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return check


def avatar(names: list[str], **tree: object) -> Glb:
    """A triangle with a morph target for each name, on node 0, and whatever else of the description is given."""
    glb = Glb(name="own.glb")
    points = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    place = glb.accessor(points, 34962, bounds=True)
    targets = [{"POSITION": glb.accessor(points * 0.1 * k, 34962, bounds=True)} for k in range(len(names))]
    mesh = {"name": "face", "primitives": [{"attributes": {"POSITION": place}, "targets": targets}]}
    if not targets:
        del mesh["primitives"][0]["targets"]
    glb.add("meshes", mesh | {"extras": {"targetNames": names}})
    glb.tree |= {"nodes": [{"name": "face", "mesh": 0}], "scenes": [{"nodes": [0]}], "scene": 0} | tree
    return glb


def saved(glb: Glb, path: Path) -> Path:
    path.write_bytes(glb.to_bytes())
    return path


def tracks(glb: Glb) -> dict[tuple[int, str], np.ndarray]:
    """Keys of the clip: (node, path) -> (T, width)."""
    clip = glb.items("animations")[-1]
    out = {}
    for channel in clip["channels"]:
        sampler = clip["samplers"][channel["sampler"]]
        times = glb.array(sampler["input"])[:, 0]
        assert np.allclose(times, np.arange(len(times)) / 30, atol=1e-6)
        target = channel["target"]
        out[target["node"], target["path"]] = glb.array(sampler["output"]).reshape(len(times), -1)
    return out


def test_our_head_is_animated(performance, tmp_path):
    path = export(performance, tmp_path / "a.glb")
    glb = Glb.read(path)
    assert glb.items("animations")[0]["name"] == CLIP
    nodes = {node["name"]: k for k, node in enumerate(glb.items("nodes"))}
    got = tracks(glb)
    assert np.abs(got[nodes["face"], "weights"] - performance.weights).max() < 1e-6
    teeth = glb.items("meshes")[glb.items("nodes")[nodes["teeth"]]["mesh"]]["extras"]["targetNames"]
    assert np.abs(got[nodes["teeth"], "weights"] - performance.weights[:, [ARKIT_INDEX[n] for n in teeth]]).max() < 1e-6
    turn = got[nodes["head"], "rotation"]
    assert np.abs(turn - performance.head_rotation[:, [1, 2, 0, 3]]).max() < 1e-6
    rest = np.array(glb.items("nodes")[nodes["head"]]["translation"])
    assert np.abs(got[nodes["head"], "translation"] - rest - 0.001).max() < 1e-6
    look = {k: performance.weights[:, ARKIT_INDEX[f"eyeLook{k}Left"]] * v for k, v in TURN_RAD.items()}
    gaze = rotate(got[nodes["eyeLeft"], "rotation"], np.tile([0.0, 0, 1], (FRAMES, 1)))
    assert np.abs(np.arctan2(gaze[:, 0], gaze[:, 2]) - (look["Out"] - look["In"])).max() < 1e-5
    assert np.abs(-np.arcsin(gaze[:, 1]) - (look["Down"] - look["Up"])).max() < 1e-5


def test_what_the_file_held_stays(performance, tmp_path):
    own = saved(avatar(["JawOpen", "smile"], images=[{"uri": "skin.png"}], extras={"by": "me"}), tmp_path / "own.glb")
    before = Glb.read(own)
    wiring = export_glb.write(performance, tmp_path / "out.glb", template=own)
    after = Glb.read(tmp_path / "out.glb")
    assert after.blob[: len(before.blob)] == before.blob, "its bytes lie where they lay"
    for key, value in before.tree.items():
        if key in ("buffers", "bufferViews", "accessors"):
            continue
        assert after.tree[key] == value, key
    assert after.tree["accessors"][: len(before.tree["accessors"])] == before.tree["accessors"]
    assert after.tree["bufferViews"][: len(before.tree["bufferViews"])] == before.tree["bufferViews"]
    assert wiring.found == ("jawOpen",) and wiring.unused == ("smile",) and len(wiring.missing) == 51
    got = tracks(after)[0, "weights"]
    assert np.abs(got[:, 0] - performance.weights[:, ARKIT_INDEX["jawOpen"]]).max() < 1e-6 and not got[:, 1].any()


def test_animations_and_weights_of_the_file_are_kept(performance, tmp_path):
    glb = avatar(["jawOpen", "chubby"])
    glb.items("meshes")[0]["weights"] = [0, 0.7]
    still = np.zeros((2, 3), np.float32)
    idle = {"input": glb.accessor(np.float32([0, 1]), bounds=True), "output": glb.accessor(still)}
    target = {"node": 0, "path": "translation"}
    glb.add("animations", {"name": "idle", "samplers": [idle], "channels": [{"sampler": 0, "target": target}]})
    export_glb.write(performance, tmp_path / "out.glb", template=saved(glb, tmp_path / "own.glb"))
    after = Glb.read(tmp_path / "out.glb")
    assert [a["name"] for a in after.items("animations")] == ["idle", CLIP]
    assert np.allclose(tracks(after)[0, "weights"][:, 1], 0.7)


def test_a_template_with_data_in_its_description(performance, tmp_path):
    """A file without bytes of its own gets them, and every view still finds its buffer."""
    from base64 import b64encode

    glb = avatar(["jawOpen"])
    glb.tree["buffers"][0] |= {"uri": "data:application/octet-stream;base64," + b64encode(glb.blob).decode()}
    points, glb.blob = glb.array(0), bytearray()
    export_glb.write(performance, tmp_path / "out.glb", template=saved(glb, tmp_path / "own.glb"))
    after = Glb.read(tmp_path / "out.glb")
    assert np.array_equal(after.array(0), points) and len(after.items("buffers")) == 2
    assert np.abs(tracks(after)[0, "weights"][:, 0] - performance.weights[:, ARKIT_INDEX["jawOpen"]]).max() < 1e-6


TILT = [0.5, 0.5, 0.5, 0.5]  # 120 degrees about (1, 1, 1): +X to +Y to +Z


def rigged(turn: list[float], **extra: object) -> Glb:
    """A face with a skeleton whose bones lie askew."""
    nodes = [
        {"name": "face", "mesh": 0},
        {"name": "Armature", "rotation": turn, "scale": [0.01] * 3, "children": [2]},
        {"name": "mixamorig:Neck", "children": [3]},
        {"name": "mixamorig:Head", "rotation": [0, 0, 0.6, 0.8], "translation": [1, 2, 3], "children": [4, 5]},
        {"name": "LeftEye", "rotation": [0, 0.6, 0, 0.8]},
        {"name": "RightEye", "matrix": [1, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 0, 4, 5, 6, 1]},
    ]
    return avatar(["jawOpen"], nodes=nodes, scenes=[{"nodes": [0, 1]}], **extra)


def world(glb: Glb, turns: dict[int, np.ndarray], path: list[int]) -> np.ndarray:
    """Turn of the last node of a path in the scene, (T, 4)."""
    out = np.tile([0.0, 0, 0, 1], (FRAMES, 1))
    for node in path:
        out = multiply(out, turns.get(node, glb.items("nodes")[node].get("rotation", [0, 0, 0, 1])))
    return out


@pytest.mark.parametrize("backwards", [False, True], ids=["glTF", "VRM 0"])
def test_bones_of_a_file_turn_about_the_scenes_axes(performance, tmp_path, backwards):
    """However a rig's bones lie, the head turns in the scene by the performance's rotation, and so do the eyes."""
    extra = {"extensionsUsed": ["VRM"], "extensions": {"VRM": {}}} if backwards else {}
    flip = [-1, 1, -1, 1] if backwards else 1
    performance.weights[:] = 0
    performance.weights[:, ARKIT_INDEX["eyeLookOutLeft"]] = 0.5
    performance.head_rotation[:] = [0.1, 0.2, 0.3, np.sqrt(1 - 0.14)]
    glb = rigged(TILT, **extra)
    wiring = export_glb.write(performance, tmp_path / "out.glb", template=saved(glb, tmp_path / "own.glb"))
    assert wiring.head.name == "mixamorig:Head" and set(wiring.eyes) == {"left", "right"}
    after = Glb.read(tmp_path / "out.glb")
    got = tracks(after)
    turns = {node: values.astype(float) for (node, path), values in got.items() if path == "rotation"}
    before = world(glb, {}, [1, 2, 3])
    shown = world(after, turns, [1, 2, 3])
    turned = multiply(performance.head_rotation[:, [1, 2, 0, 3]].astype(float) * flip, before)
    assert np.abs(np.abs((shown * turned).sum(axis=1)) - 1).max() < 1e-6
    assert np.allclose(got[3, "translation"][0] - [1, 2, 3], 100 * rotate(np.array(TILT) * [-1, -1, -1, 1], np.array(
        [0.001, 0.001, 0.001]) * np.array(flip if backwards else [1, 1, 1, 1])[:3]), atol=1e-5)  # fmt: skip
    still = world(after, {4: turns[4]}, [1, 2, 3, 4])
    angle = TURN_RAD["Out"] * 0.5 / 2
    expected = multiply(np.array([0, np.sin(angle), 0, np.cos(angle)]), world(glb, {}, [1, 2, 3, 4]))
    assert np.abs(np.abs((still * expected).sum(axis=1)) - 1).max() < 1e-6
    eye = after.items("nodes")[5]
    assert "matrix" not in eye and np.allclose(eye["translation"], [4, 5, 6]) and np.allclose(eye["scale"], 1)
    assert np.allclose(rotate(np.array(eye["rotation"]), np.array([0.0, 1, 0])), [0, 0, 1], atol=1e-6)


def test_eyes_that_have_shapes_are_not_turned_twice(performance, tmp_path):
    glb = rigged([0, 0, 0, 1])
    primitive = glb.items("meshes")[0]["primitives"][0]
    glb.add("meshes", {"name": "EyeLeft", "primitives": [primitive], "extras": {"targetNames": ["eyeLookUpLeft"]}})
    glb.add("nodes", {"name": "EyeLeft_mesh", "mesh": 1})
    wiring = export_glb.write(performance, tmp_path / "out.glb", template=saved(glb, tmp_path / "own.glb"))
    assert not wiring.eyes and "own eyeLook shapes" in "\n".join(wiring.lines())


def test_expressions_of_a_vrm_reach_their_targets(performance, tmp_path):
    """Perfect sync: the mesh has other names, the VRM's expressions have ARKit's."""
    one = {"VRMC_vrm": {"expressions": {"custom": {
        "JawOpen": {"morphTargetBinds": [{"node": 0, "index": 1, "weight": 0.5}]},
        "Sparkle": {"morphTargetBinds": [{"node": 0, "index": 0, "weight": 1}]}}},
        "humanoid": {"humanBones": {"head": {"node": 1}}}}}  # fmt: skip
    nought = {"VRM": {"blendShapeMaster": {"blendShapeGroups": [
        {"name": "jawOpen", "binds": [{"mesh": 0, "index": 1, "weight": 50}]}]},
        "humanoid": {"humanBones": [{"bone": "head", "node": 1}]}}}  # fmt: skip
    for extensions in (one, nought):
        nodes = [{"name": "face", "mesh": 0}, {"name": "J_7"}]
        glb = avatar(["Fcl_A", "Fcl_B"], nodes=nodes, scenes=[{"nodes": [0, 1]}], extensions=extensions)
        wiring = export_glb.write(performance, tmp_path / "out.glb", template=saved(glb, tmp_path / "own.glb"))
        got = tracks(Glb.read(tmp_path / "out.glb"))
        assert wiring.found == ("jawOpen",) and wiring.head.node == 1
        assert np.allclose(got[0, "weights"][:, 1], 0.5 * performance.weights[:, ARKIT_INDEX["jawOpen"]], atol=1e-6)


def test_names_may_be_on_the_accessors(performance, tmp_path):
    glb = avatar(["a", "b"])
    mesh = glb.items("meshes")[0]
    del mesh["extras"]
    for target, name in zip(mesh["primitives"][0]["targets"], ("jawOpen", "tongueOut"), strict=True):
        glb.items("accessors")[target["POSITION"]]["name"] = name
    assert export_glb.read_template(saved(glb, tmp_path / "own.glb")).found == ("jawOpen", "tongueOut")


def changed(change) -> Glb:
    glb = rigged([0, 0, 0, 1])
    change(glb.tree)
    return glb


BAD = {
    "no morph targets": lambda: avatar([]),
    "none of its shapes has an ARKit name": lambda: avatar(["A", "I", "U"]),
    "shows mesh 9": lambda: changed(lambda t: t["nodes"][0].update(mesh=9)),
    "own ancestor": lambda: changed(lambda t: (t["nodes"][3].update(children=[4, 5, 1]), t["scenes"].clear())),
    "has the child 77": lambda: changed(lambda t: t["nodes"][3].update(children=[77])),
    "children of node 3 are no list": lambda: changed(lambda t: t["nodes"][3].update(children=4)),
    "rotation of node 1": lambda: changed(lambda t: t["nodes"][1].update(rotation=[0, 0, 0, 0])),
    "translation of node 3": lambda: changed(lambda t: t["nodes"][3].update(translation=["a", 0, 0])),
    "matrix of node 5": lambda: changed(lambda t: t["nodes"][5].update(matrix=[1])),
    "keeps data in another file": lambda: changed(lambda t: t["buffers"].append({"uri": "a.bin", "byteLength": 9})
                                                  or t["bufferViews"][1].update(buffer=1)),
    "no list of primitives": lambda: changed(lambda t: t["meshes"][0].update(primitives=3)),
    "are no list": lambda: changed(lambda t: t["meshes"][0]["primitives"][0].update(targets="x")),
    "has 5000 targets": lambda: changed(lambda t: t["meshes"][0]["primitives"][0].update(targets=[{}] * 5000)),
    "needs more bytes": lambda: changed(lambda t: t["accessors"][1].update(count=10**12)),
    "there is no accessors": lambda: changed(lambda t: t["meshes"][0]["primitives"][0].update(
        targets=[{"POSITION": 99}])),
    "expressions are damaged": lambda: changed(lambda t: t.update(extensions={"VRM": {"blendShapeMaster": 3}})),
    "is cut off": lambda: changed(lambda t: t["buffers"][0].update(byteLength=10**6)),
}  # fmt: skip


@pytest.mark.parametrize("reason", BAD)
def test_templates_that_cannot_be_used(performance, tmp_path, reason):
    glb = BAD[reason]()
    own = tmp_path / "own.glb"
    own.write_bytes(file_of(glb.tree, bytes(glb.blob)))
    path = tmp_path / "out.glb"
    path.write_bytes(b"an earlier result")
    with pytest.raises(InputError, match=reason):
        export(performance, path, template=own)
    assert path.read_bytes() == b"an earlier result"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.glb", "own.glb"]


def file_of(tree: object, blob: bytes) -> bytes:
    """A GLB of any description, however wrong."""
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(blob), b"BIN\0") + blob
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def test_random_damage_to_a_template_never_escapes(performance, tmp_path):
    text = json.dumps(rigged(TILT).tree)
    rng = np.random.default_rng(3)
    blob, done = bytes(rigged(TILT).blob), 0
    wrong = [-1, 0, 1, 5, 10**20, 1.5, None, True, "x", [], {}, [[]], {"a": 1}]

    def damaged(item: object) -> object:
        if rng.random() < 0.03:
            return wrong[rng.integers(len(wrong))]
        if isinstance(item, dict):
            return {k: damaged(v) for k, v in item.items()}
        return [damaged(v) for v in item] if isinstance(item, list) else item

    for _ in range(150):
        tree = damaged(json.loads(text))
        (tmp_path / "own.glb").write_bytes(file_of(tree, blob))
        try:
            export_glb.write(performance, tmp_path / "out.glb", template=tmp_path / "own.glb")
        except InputError:
            done += 1
    assert done > 40


def test_khronos_finds_nothing_wrong(performance, tmp_path, khronos):
    animated = export(performance, tmp_path / "a.glb")
    own = saved(rigged(TILT), tmp_path / "own.glb")
    export_glb.write(performance, tmp_path / "out.glb", template=own)
    for path in (export_glb.HEAD, export_glb.HEAD.with_name("head_lite.glb"), animated, tmp_path / "out.glb"):
        issues = khronos(path)
        serious = [m for m in issues["messages"] if m["severity"] < 2]
        assert issues["numErrors"] == issues["numWarnings"] == 0, (path.name, serious)


def test_khronos_would_say_so(tmp_path, khronos):
    glb = avatar(["jawOpen"])
    glb.items("accessors")[0]["max"] = [5, 5, 5]
    assert khronos(saved(glb, tmp_path / "bad.glb"))["numErrors"] > 0


def test_every_name_of_a_performance_lands_in_its_place(performance, tmp_path):
    """Names may come in another order, as from files of other makers."""
    order = np.random.default_rng(0).permutation(52)
    performance.names = tuple(ARKIT_NAMES[k] for k in order)
    performance.weights = performance.weights[:, order]
    own = saved(avatar(list(ARKIT_NAMES)), tmp_path / "own.glb")
    export_glb.write(performance, tmp_path / "out.glb", template=own)
    got = tracks(Glb.read(tmp_path / "out.glb"))[0, "weights"]
    assert np.abs(got[:, order] - performance.weights).max() < 1e-6
