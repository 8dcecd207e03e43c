"""Small GLB files for tests: a patch with named shapes, bones where asked, and every kind of damage."""

from __future__ import annotations

import json
import struct

import numpy as np


def glb(names: list[str] | None, bones: bool = False, vrm: dict | None = None, **more) -> bytes:
    """A square of four vertices whose shapes carry ``names`` (None: no shapes)."""
    points = np.array([[-0.1, 0, 0], [0.1, 0, 0], [0.1, 0.2, 0], [-0.1, 0.2, 0]], np.float32)
    blobs, views, accessors = [], [], []

    def accessor(values: np.ndarray, kind: str, component: int) -> int:
        views.append({"buffer": 0, "byteOffset": sum(map(len, blobs)), "byteLength": values.nbytes})
        blobs.append(values.tobytes())
        item = {"bufferView": len(views) - 1, "componentType": component, "count": len(values), "type": kind}
        if kind == "VEC3":
            item |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        accessors.append(item)
        return len(accessors) - 1

    primitive = {
        "attributes": {"POSITION": accessor(points, "VEC3", 5126)},
        "indices": accessor(np.array([0, 1, 2, 0, 2, 3], np.uint32), "SCALAR", 5125),
    }
    mesh = {"primitives": [primitive]}
    for k, _ in enumerate(names or []):
        offset = np.zeros((4, 3), np.float32)
        offset[:, 2] = 0.01 * (k + 1)
        primitive.setdefault("targets", []).append({"POSITION": accessor(offset, "VEC3", 5126)})
    if names:
        mesh |= {"weights": [0] * len(names), "extras": {"targetNames": names}}
    nodes = [{"mesh": 0, "name": "patch"}]
    if bones:
        nodes = [
            {"name": "mixamorig:Head", "children": [1, 2, 3]},
            {"mesh": 0, "name": "patch"},
            {"name": "mixamorig:LeftEye", "translation": [0.03, 0.1, 0.05]},
            {"name": "mixamorig:RightEye", "translation": [-0.03, 0.1, 0.05]},
        ]
    tree = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": nodes, "meshes": [mesh],
        "accessors": accessors, "bufferViews": views, "buffers": [{"byteLength": sum(map(len, blobs))}],
    } | more  # fmt: skip
    if vrm is not None:
        human = ["hips", "spine", "chest", "neck", "head", "leftEye", "rightEye", "leftUpperLeg", "leftLowerLeg",
                 "leftFoot", "rightUpperLeg", "rightLowerLeg", "rightFoot", "leftUpperArm", "leftLowerArm", "leftHand",
                 "rightUpperArm", "rightLowerArm", "rightHand"]  # fmt: skip
        first = len(nodes)
        parents = {"spine": "hips", "chest": "spine", "neck": "chest", "head": "neck", "leftEye": "head",
                   "rightEye": "head"}  # fmt: skip
        for bone in human:
            nodes.append({"name": bone, "translation": [0.0, 0.1, 0.0]})
        for bone in human[1:]:
            parent = first + human.index(parents.get(bone, "hips"))
            nodes[parent].setdefault("children", []).append(first + human.index(bone))
        nodes[first + human.index("head")]["children"].append(0)
        tree["scenes"] = [{"nodes": [first]}]
        tree["extensionsUsed"] = ["VRMC_vrm"]
        tree["extensions"] = {"VRMC_vrm": {
            "specVersion": "1.0",
            "meta": {"name": "test", "authors": ["test"], "licenseUrl": "https://vrm.dev/licenses/1.0/"},
            "humanoid": {"humanBones": {bone: {"node": first + k} for k, bone in enumerate(human)}},
            "expressions": vrm,
        }}  # fmt: skip
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    data = b"".join(blobs)
    data += b"\0" * (-len(data) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(data), 0x004E4942) + data
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks
