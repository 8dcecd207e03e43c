"""The GLB container: what is written comes back, and what strangers send is refused with a reason."""

import copy
import json
import os
import struct
from base64 import b64encode

import numpy as np
import pytest

from media2face.bodies.gltf.container import ARRAY, MAX_FILE, Glb, describe
from media2face.runtime.errors import InputError


def packed(tree: object, blob: bytes = b"") -> bytes:
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text
    if blob:
        body += struct.pack("<II", len(blob), 0x004E4942) + blob
    return struct.pack("<III", 0x46546C67, 2, 12 + len(body)) + body


def small() -> dict:
    """A description with one accessor of five VEC3 floats in 60 bytes."""
    return {
        "asset": {"version": "2.0"}, "buffers": [{"byteLength": 60}],
        "bufferViews": [{"buffer": 0, "byteLength": 60}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 5, "type": "VEC3"}],
    }  # fmt: skip


VALUES = np.arange(15, dtype=np.float32).reshape(5, 3)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.uint32, np.float32])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_arrays_come_back(dtype, width):
    values = np.random.default_rng(0).integers(0, 100, (7, width)).astype(dtype)
    glb = Glb()
    plain, attribute = glb.accessor(values), glb.accessor(values, ARRAY, bounds=True)
    again = Glb.parse(glb.to_bytes())
    for index in (plain, attribute):
        assert again.array(index).dtype == dtype and np.array_equal(again.array(index), values)
    view = again.tree["bufferViews"][again.tree["accessors"][attribute]["bufferView"]]
    assert view.get("byteStride", values.itemsize * width) % 4 == 0, "rows of attributes begin at multiples of four"
    assert again.tree["accessors"][attribute]["max"] == values.max(axis=0).tolist()


def test_normalised_integers_are_fractions():
    glb = Glb()
    index = glb.accessor(np.array([[-128], [-127], [0], [127]], np.int8), normalized=True)
    assert np.allclose(glb.array(index)[:, 0], [-1, -1, 0, 1])


def test_sparse_accessors_come_back():
    glb = Glb()
    rows, values = np.uint16([1, 4]), np.int16([[1, 2, 3], [-4, 5, 6]])
    views = glb.view(rows.tobytes()), glb.view(values.tobytes())
    index = glb.add("accessors", describe(values) | {"count": 6, "sparse": {
        "count": 2, "indices": {"bufferView": views[0], "componentType": 5123}, "values": {"bufferView": views[1]},
    }})  # fmt: skip
    expected = np.zeros((6, 3), np.int16)
    expected[rows] = values
    assert np.array_equal(Glb.parse(glb.to_bytes()).array(index), expected)


def test_data_inside_the_description_is_read():
    tree = small()
    tree["buffers"][0]["uri"] = "data:application/octet-stream;base64," + b64encode(VALUES.tobytes()).decode()
    assert np.array_equal(Glb.parse(packed(tree)).array(0), VALUES)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no GLB"),
        (b"glTF", "no GLB"),
        (b"PK\x03\x04" + bytes(100), "no GLB"),
        (struct.pack("<IIIII", 0x46546C67, 1, 20, 0, 0), "glTF 1"),
        (packed(small(), VALUES.tobytes())[:-8], "cut off"),
        (packed(small())[:40], "cut off"),
        (struct.pack("<IIIII", 0x46546C67, 2, 20, 2**31, 0x4E4F534A), "first chunk"),
        (packed(b"{" * 100), "not JSON"),
        (packed(b"[" * 200_000), "not JSON"),
        (packed(b'{"a":NaN}'), "not JSON"),
        (packed(b"\xff\xfe"), "not JSON"),
        (packed([]), "no glTF 2.0"),
        (packed({"asset": {"version": "1.0"}}), "no glTF 2.0"),
        (packed({"asset": 3}), "no glTF 2.0"),
        (packed({"asset": {"version": "2.0"}, "nodes": {"a": 1}}), "'nodes' is not a list"),
        (packed({"asset": {"version": "2.0"}, "meshes": [1]}), "'meshes' is not a list"),
    ],
)
def test_what_is_no_glb_is_refused(data, reason):
    with pytest.raises(InputError, match=reason):
        Glb.parse(data)


LIES = {
    "more than the view": lambda t: t["accessors"][0].update(count=6),
    "far more than there is": lambda t: t["accessors"][0].update(count=10**9),
    "beyond 64 bits": lambda t: t["accessors"][0].update(count=10**30),
    "negative": lambda t: t["accessors"][0].update(count=-1),
    "no number": lambda t: t["accessors"][0].update(count="5"),
    "a flag": lambda t: t["accessors"][0].update(byteOffset=True),
    "half a number": lambda t: t["accessors"][0].update(count=1.5),
    "offset": lambda t: t["accessors"][0].update(byteOffset=4),
    "negative offset": lambda t: t["accessors"][0].update(byteOffset=-60),
    "unknown type": lambda t: t["accessors"][0].update(type="VEC9"),
    "unknown numbers": lambda t: t["accessors"][0].update(componentType=1),
    "unhashable": lambda t: t["accessors"][0].update(type=["VEC3"], componentType={}),
    "view past the bytes": lambda t: t["bufferViews"][0].update(byteLength=64),
    "view before them": lambda t: t["bufferViews"][0].update(byteOffset=-4),
    "stride 0": lambda t: t["bufferViews"][0].update(byteStride=0),
    "no such view": lambda t: t["accessors"][0].update(bufferView=7),
    "no such buffer": lambda t: t["bufferViews"][0].update(buffer=3),
    "another file": lambda t: t["buffers"][0].update(uri="../secret.bin"),
    "bad base64": lambda t: t["buffers"][0].update(uri="data:;base64,@@@"),
    "sparse without parts": lambda t: t["accessors"][0].update(sparse={"count": 1}),
    "sparse count": lambda t: t["accessors"][0].update(sparse={
        "count": 9, "indices": {"bufferView": 0, "componentType": 5123}, "values": {"bufferView": 0}}),
    "sparse past the end": lambda t: t["accessors"][0].update(sparse={
        "count": 1, "indices": {"bufferView": 0, "componentType": 5123, "byteOffset": 6}, "values": {"bufferView": 0}}),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_lies_about_sizes_are_refused(lie):
    tree = small()
    assert np.array_equal(Glb.parse(packed(copy.deepcopy(tree), VALUES.tobytes())).array(0), VALUES)
    LIES[lie](tree)
    glb = Glb.parse(packed(tree, VALUES.tobytes()))
    with pytest.raises(InputError):
        glb.array(0)


@pytest.mark.parametrize("index", [-1, 1, "0", None, True, 0.0, [0]])
def test_no_such_accessor(index):
    with pytest.raises(InputError, match="there is no accessors"):
        Glb.parse(packed(small(), VALUES.tobytes())).array(index)


def test_a_huge_file_is_refused_unread(tmp_path):
    path = tmp_path / "big.glb"
    path.write_bytes(packed(small(), VALUES.tobytes()))
    os.truncate(path, 500 << 20)
    with pytest.raises(InputError, match=f"at most|the most that is read is {MAX_FILE >> 20} MB"):
        Glb.read(path)


def test_no_file(tmp_path):
    for path in (tmp_path / "none.glb", tmp_path):
        with pytest.raises(InputError, match="expected a GLB file"):
            Glb.read(path)


def test_random_damage_never_escapes():
    """Flipped bytes anywhere give a whole array or an InputError, nothing else."""
    data = packed(small(), VALUES.tobytes())
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(3000):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 6)):
            broken[place] = rng.integers(0, 256)
        try:
            assert Glb.parse(bytes(broken)).array(0).size < 1 << 24
        except InputError:
            refused += 1
    assert 1500 < refused < 3000
