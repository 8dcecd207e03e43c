"""Joints of a glTF scene: which one is the head, which the eyes, and turns in their own axes.

Quaternions are x, y, z, w. A file faces +Z as glTF asks; VRM 0 faces -Z.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ...runtime.errors import InputError
from .container import Glb, finite

_PREFIX = r"(?:.*[:_.|])?"
_HEAD = [re.compile(p, re.IGNORECASE) for p in (r"head", _PREFIX + r"head", r"(?:c_)?head[_.]?(?:x|jnt|bone|joint)")]
_EYE = {
    side: re.compile(rf"{_PREFIX}(?:{side}_?eye|eye[_.]?{side}|eye[_.]?{side[0]}|{side[0]}[_.]eye)", re.IGNORECASE)
    for side in ("left", "right")
}
_REST = {"translation": [0, 0, 0], "rotation": [0, 0, 0, 1], "scale": [1, 1, 1]}


@dataclass
class Joint:
    """A node that an animation turns.

    Attributes:
        node, name: which one. translation (3,), rotation (4,), scale (3,): at rest, against its parent.
        parent (4,), size: the parent's turn and scale in the scene. backwards: the file faces -Z.
    """

    node: int
    name: str
    translation: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    parent: np.ndarray
    size: float
    backwards: bool

    def to_file(self, turns: np.ndarray) -> np.ndarray:
        """Turns (T, 4) about the scene's axes, of a face towards +Z, as turns in the parent's axes."""
        turns = turns * [-1, 1, -1, 1] if self.backwards else turns
        return multiply(multiply(conjugate(self.parent), turns), self.parent)

    def shift(self, offsets: np.ndarray) -> np.ndarray:
        """Offsets (T, 3) in metres, likewise."""
        offsets = offsets * [-1, 1, -1] if self.backwards else offsets
        return rotate(conjugate(self.parent), offsets) / self.size

    def write_rest(self, glb: Glb) -> None:
        """Give the node translation, rotation and scale in place of a matrix, which may not be animated."""
        node = glb.items("nodes")[self.node]
        if node.pop("matrix", None) is not None:
            node |= {k: getattr(self, k).tolist() for k in _REST}


def find_joints(glb: Glb) -> tuple[Joint | None, dict[str, Joint], list[str]]:
    """The head, the eyes by side, and notes; from a VRM's own list of bones, or by name.

    Raises:
        InputError: the nodes do not form trees.
    """
    nodes = glb.items("nodes")
    parents = _parents(glb)
    extensions = glb.tree.get("extensions", {})
    bones = _humanoid(extensions if isinstance(extensions, dict) else {}, len(nodes))
    places = {"head": bones.get("head", _named(nodes, _HEAD))}
    for side in ("left", "right"):
        places[side] = bones.get(f"{side}Eye", _named(nodes, [_EYE[side]]))
    joints, notes = {}, []
    for what, place in places.items():
        if place is None:
            continue
        joint = _joint(glb, nodes, parents, place, "VRM" in extensions)
        if joint:
            joints[what] = joint
        else:
            notes.append(f"{nodes[place].get('name', place)!r} is sheared and stays at rest")
    return joints.pop("head", None), joints, notes


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Quaternion product of (..., 4)."""
    ax, ay, az, aw = np.moveaxis(np.asarray(a, np.float64), -1, 0)
    bx, by, bz, bw = np.moveaxis(np.asarray(b, np.float64), -1, 0)
    return np.stack([
        aw * bx + ax * bw + ay * bz - az * by, aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw, aw * bw - ax * bx - ay * by - az * bz,
    ], axis=-1)  # fmt: skip


def conjugate(q: np.ndarray) -> np.ndarray:
    """The inverse of unit quaternions (..., 4)."""
    return np.asarray(q) * [-1, -1, -1, 1]


def rotate(q: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 3) turned by a unit quaternion."""
    pure = np.concatenate([points, np.zeros((*points.shape[:-1], 1))], axis=-1)
    return multiply(multiply(q, pure), conjugate(q))[..., :3]


def _joint(glb: Glb, nodes: list[dict], parents: np.ndarray, place: int, backwards: bool) -> Joint | None:
    rest = _transform(glb, nodes[place], place)
    if rest is None:
        return None
    turn, size, at = np.array([0.0, 0, 0, 1]), 1.0, parents[place]
    while at >= 0:
        above = _transform(glb, nodes[at], at)
        if above is None:
            return None
        turn, size = multiply(above[1], turn), size * float(np.cbrt(abs(np.prod(above[2]))))
        at = parents[at]
    return Joint(place, str(nodes[place].get("name", place)), *rest, turn, max(size, 1e-9), backwards)


def _transform(glb: Glb, node: dict, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Translation, rotation and scale of a node; None for a matrix that is no such three."""
    if "matrix" not in node:
        out = []
        for key, still in _REST.items():
            values = node.get(key, still)
            if not finite(values, len(still)):
                raise InputError(f"{glb.name}: the {key} of node {place} is {str(values)[:60]}")
            out.append(np.array(values, np.float64))
        length = np.linalg.norm(out[1])
        if length < 1e-6:
            raise InputError(f"{glb.name}: the rotation of node {place} is no quaternion")
        out[1] /= length
        return tuple(out)
    if not finite(node["matrix"], 16):
        raise InputError(f"{glb.name}: the matrix of node {place} is not 16 numbers")
    matrix = np.array(node["matrix"], np.float64).reshape(4, 4).T
    scale = np.linalg.norm(matrix[:3, :3], axis=0)
    if scale.min() < 1e-9:
        return None
    axes = matrix[:3, :3] / scale
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3 or np.linalg.det(axes) < 0:
        return None
    return matrix[:3, 3], _quaternion(axes), scale


def _quaternion(m: np.ndarray) -> np.ndarray:
    """Of a rotation matrix: the eigenvector of Bar-Itzhack's symmetric 4 x 4 matrix with the greatest eigenvalue."""
    k = np.array([
        [m[0, 0] - m[1, 1] - m[2, 2], m[1, 0] + m[0, 1], m[2, 0] + m[0, 2], m[2, 1] - m[1, 2]],
        [m[1, 0] + m[0, 1], m[1, 1] - m[0, 0] - m[2, 2], m[2, 1] + m[1, 2], m[0, 2] - m[2, 0]],
        [m[2, 0] + m[0, 2], m[2, 1] + m[1, 2], m[2, 2] - m[0, 0] - m[1, 1], m[1, 0] - m[0, 1]],
        [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m[0, 0] + m[1, 1] + m[2, 2]],
    ]) / 3  # fmt: skip
    return np.linalg.eigh(k)[1][:, -1]


def _parents(glb: Glb) -> np.ndarray:
    nodes = glb.items("nodes")
    parents = np.full(len(nodes), -1)
    for number, node in enumerate(nodes):
        children = node.get("children", [])
        if not isinstance(children, list):
            raise InputError(f"{glb.name}: the children of node {number} are no list")
        for child in children:
            if type(child) is not int or not 0 <= child < len(nodes) or parents[child] >= 0:
                raise InputError(f"{glb.name}: node {number} has the child {child!r}, which is none or another's")
            parents[child] = number
    for start in range(len(nodes)):
        at, steps = parents[start], 0
        while at >= 0:
            at, steps = parents[at], steps + 1
            if steps > len(nodes):
                raise InputError(f"{glb.name}: node {start} is its own ancestor")
    return parents


def _named(nodes: list[dict], patterns: list[re.Pattern]) -> int | None:
    for pattern in patterns:
        for number, node in enumerate(nodes):
            # a mesh that is called "head" is no joint, unless it is one: a node with children
            if pattern.fullmatch(str(node.get("name", ""))[:200]) and ("skin" not in node):
                return number
    return None


def _humanoid(extensions: dict, count: int) -> dict[str, int]:
    """Bones of a VRM: name -> node."""
    bones: dict[str, object] = {}
    try:
        for name, bone in extensions.get("VRMC_vrm", {}).get("humanoid", {}).get("humanBones", {}).items():
            bones[name] = bone["node"]
        for bone in extensions.get("VRM", {}).get("humanoid", {}).get("humanBones", []):
            bones[bone["bone"]] = bone["node"]
    except (AttributeError, KeyError, TypeError):
        return {}
    return {name: node for name, node in bones.items() if type(node) is int and 0 <= node < count}
