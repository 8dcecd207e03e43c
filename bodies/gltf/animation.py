"""A performance as an animation inside a GLB: morph weights by name, the head's turn, the eyes.

What the file held stays where it was, byte for byte; the animation's numbers are appended to its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from ...runtime.errors import InputError
from ...runtime.eyes import eye_angles
from .container import Glb, finite
from .nodes import Joint, find_joints, multiply
from .shape_names import arkit_name

if TYPE_CHECKING:
    from ...runtime.offline import Performance

CLIP = "media2face"
MAX_TARGETS = 4096
MAX_VALUES = 256 << 20


@dataclass
class Driver:
    """One mesh in the scene: ``gains`` (52, targets) from ARKit weights to its targets, ``rest`` (targets,)."""

    node: int
    gains: np.ndarray
    rest: np.ndarray


@dataclass
class Wiring:
    """How a file can follow a performance.

    Attributes:
        drivers: meshes with at least one shape that is understood.
        found: ARKit names that move something; ``missing`` and ``unused``: the rest of both sides.
        head: the joint that turns, if any. eyes: ``left`` and ``right`` joints, if any.
        notes: what else a user should know.
    """

    drivers: list[Driver]
    found: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    head: Joint | None = None
    eyes: dict[str, Joint] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report, a line each."""
        parts = [f"{len(self.found)} of 52 shapes found by name"]
        if self.missing:
            parts.append(f"not in the file: {', '.join(self.missing)}")
        if self.unused:
            more = f" and {len(self.unused) - 12} more" if len(self.unused) > 12 else ""
            parts.append(f"left alone: {', '.join(self.unused[:12])}{more}")
        parts.append(f"head: {self.head.name!r}" if self.head else "head: no joint found, it does not turn")
        eyes = ", ".join(f"{side} {joint.name!r}" for side, joint in self.eyes.items())
        return [*parts, f"eyes: {eyes or 'no joints turned'}", *self.notes]


def wire(glb: Glb) -> Wiring:
    """Find shapes and joints by name.

    Raises:
        InputError: no mesh has a shape that is understood, or the file's lists contradict each other.
    """
    nodes, meshes = glb.items("nodes"), glb.items("meshes")
    users: dict[int, list[int]] = {}
    for number, node in enumerate(nodes):
        if "mesh" in node:
            if type(node["mesh"]) is not int or not 0 <= node["mesh"] < len(meshes):
                raise InputError(f"{glb.name}: node {number} shows mesh {node['mesh']!r}, there are {len(meshes)}")
            users.setdefault(node["mesh"], []).append(number)
    found, unused, drivers, eye_shapes, targets_seen = set(), {}, [], False, False
    expressions = _expressions(glb, users)
    for number, mesh in enumerate(meshes):
        names = _target_names(glb, number, mesh)
        targets_seen |= bool(names)
        gains = np.zeros((52, len(names)), np.float32)
        for place, name in enumerate(names):
            shape = arkit_name(name)
            if shape:
                gains[ARKIT_INDEX[shape], place] = 1.0
        reached = {ARKIT_NAMES[k] for k in np.flatnonzero(gains.any(axis=1))}
        for shape, place, share in expressions.get(number, ()):
            if shape not in reached and place < len(names):
                gains[ARKIT_INDEX[shape], place] += share
        for place in np.flatnonzero(~gains.any(axis=0)):
            unused[names[place]] = None
        if not gains.any() or number not in users:
            continue
        now = {ARKIT_NAMES[k] for k in np.flatnonzero(gains.any(axis=1))}
        found |= now
        label = str(mesh.get("name", "")).lower()
        about_eyes = "eye" in label and not any(word in label for word in ("lash", "brow", "lid", "face"))
        eye_shapes |= about_eyes and any(n.startswith("eyeLook") for n in now)
        for node in users[number]:
            rest = nodes[node].get("weights", mesh.get("weights"))
            rest = np.array(rest, np.float32) if finite(rest, len(names)) else np.zeros(len(names), np.float32)
            drivers.append(Driver(node, gains, rest))
    if not drivers:
        if not targets_seen:
            raise InputError(f"{glb.name} has no morph targets: its face cannot move; export it with its shape keys")
        known = ", ".join(list(unused)[:6])
        raise InputError(
            f"{glb.name}: none of its shapes has an ARKit name such as jawOpen or eyeBlink_L ({known} ...)"
        )
    missing = tuple(n for n in ARKIT_NAMES if n not in found)
    wiring = Wiring(drivers, tuple(n for n in ARKIT_NAMES if n in found), missing, tuple(unused))
    wiring.head, wiring.eyes, wiring.notes = find_joints(glb)
    if eye_shapes and wiring.eyes:
        wiring.eyes = {}
        wiring.notes.append("the eyes follow their own eyeLook shapes")
    return wiring


def add_animation(glb: Glb, wiring: Wiring, performance: Performance, progress=None) -> None:
    """Append the performance as an animation, one key a frame, linear between."""
    frames = len(performance.weights)
    total = frames * sum(len(d.rest) + 8 for d in wiring.drivers)
    if total * 4 > MAX_VALUES:
        raise InputError(f"{frames} frames of {len(wiring.drivers)} meshes need {total * 4 >> 20} MB: cut the speech")
    prepare_buffer(glb)
    order = [ARKIT_INDEX[n] for n in performance.names]
    weights = np.zeros((frames, 52), np.float32)
    weights[:, order] = np.clip(performance.weights, 0.0, 1.0)
    times = glb.accessor((np.arange(frames) / performance.fps).astype(np.float32), bounds=True)
    samplers, channels = [], []

    def channel(node: int, path: str, values: np.ndarray) -> None:
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        samplers.append({"input": times, "output": glb.accessor(values.astype(np.float32)), "interpolation": "LINEAR"})

    shared: dict[bytes, int] = {}
    for driver in wiring.drivers:
        moved = driver.gains.any(axis=0)
        values = np.where(moved, np.clip(weights @ driver.gains, 0.0, 1.0), driver.rest).astype(np.float32)
        key = values.tobytes()
        if key in shared:
            channels.append({"sampler": shared[key], "target": {"node": driver.node, "path": "weights"}})
        else:
            shared[key] = len(samplers)
            channel(driver.node, "weights", values.reshape(-1, 1))
    if wiring.head:
        turn = wiring.head.to_file(np.asarray(performance.head_rotation, np.float64)[:, [1, 2, 0, 3]])
        channel(wiring.head.node, "rotation", _continuous(multiply(turn, wiring.head.rotation)))
        shift = wiring.head.shift(np.asarray(performance.head_translation, np.float64)[:, [1, 2, 0]])
        channel(wiring.head.node, "translation", wiring.head.translation + shift)
    for side, joint in wiring.eyes.items():
        yaw, pitch = eye_angles(weights, side).astype(np.float64).T / 2
        zero = np.zeros(frames)
        about_up = np.stack([zero, np.sin(yaw), zero, np.cos(yaw)], axis=1)
        about_left = np.stack([np.sin(pitch), zero, zero, np.cos(pitch)], axis=1)
        turn = joint.to_file(multiply(about_up, about_left))
        channel(joint.node, "rotation", _continuous(multiply(turn, joint.rotation)))
    for joint in (wiring.head, *wiring.eyes.values()):
        if joint:
            joint.write_rest(glb)
    glb.add("animations", {"name": CLIP, "samplers": samplers, "channels": channels})
    if progress:
        progress(frames, frames)


def prepare_buffer(glb: Glb) -> None:
    """Make the file's first buffer its own bytes, if it kept all data in others."""
    buffers = glb.tree.setdefault("buffers", [{"byteLength": 0}])
    if not buffers or "uri" in buffers[0]:
        buffers.insert(0, {"byteLength": 0})
        for view in glb.items("bufferViews"):
            extensions = view.get("extensions")
            for place in (view, *(extensions.values() if isinstance(extensions, dict) else ())):
                if isinstance(place, dict) and type(place.get("buffer")) is int:
                    place["buffer"] += 1
        return
    promised = buffers[0].get("byteLength")
    if type(promised) is not int or promised > len(glb.blob):
        raise InputError(f"{glb.name} is cut off: {promised} bytes were promised, {len(glb.blob)} came")


def _continuous(turns: np.ndarray) -> np.ndarray:
    """Unit quaternions (T, 4) of which none is farther than a half turn from the one before."""
    turns = turns / np.linalg.norm(turns, axis=1, keepdims=True)
    flips = np.cumprod(np.where((turns[1:] * turns[:-1]).sum(axis=1) < 0, -1.0, 1.0))
    turns[1:] *= flips[:, None]
    return turns


def _target_names(glb: Glb, number: int, mesh: dict) -> list[str]:
    """Names of a mesh's morph targets; numbers where the file gives none."""
    primitives = mesh.get("primitives", [])
    if not isinstance(primitives, list) or not all(isinstance(p, dict) for p in primitives):
        raise InputError(f"{glb.name}: mesh {number} has no list of primitives")
    targets = [p.get("targets", []) for p in primitives]
    if not all(isinstance(t, list) for t in targets):
        raise InputError(f"{glb.name}: the targets of mesh {number} are no list")
    counts = {len(t) for t in targets}
    if len(counts) > 1:
        raise InputError(f"{glb.name}: the primitives of mesh {number} have {sorted(counts)} targets, expected as many")
    count = counts.pop() if counts else 0
    if count > MAX_TARGETS:
        raise InputError(f"{glb.name}: mesh {number} has {count} targets, at most {MAX_TARGETS} are read")
    for target in (t for ts in targets for t in ts):
        for index in target.values() if isinstance(target, dict) else [None]:
            glb.check_accessor(index)
    places = (mesh, *primitives)
    extras = [p.get("extras") for p in places]
    for names in (e.get("targetNames") for e in extras if isinstance(e, dict)):
        if isinstance(names, list) and len(names) == count:
            return [str(n) for n in names]
    names = []
    for place in range(count):  # older exporters name the accessors
        index = next(iter(targets[0][place].values()), None)
        names.append(str(glb.items("accessors")[index].get("name", place)) if index is not None else str(place))
    return names


def _expressions(glb: Glb, users: dict[int, list[int]]) -> dict[int, list[tuple[str, int, float]]]:
    """Expressions of a VRM (0 and 1) with ARKit names: mesh -> (ARKit name, target, share) of each bind."""
    extensions = glb.tree.get("extensions", {})
    out: dict[int, list[tuple[str, int, float]]] = {}
    mesh_of = {node: mesh for mesh, nodes in users.items() for node in nodes}
    try:
        for group in extensions.get("VRM", {}).get("blendShapeMaster", {}).get("blendShapeGroups", []):
            shape = arkit_name(group.get("name"))
            for bind in group.get("binds", []) if shape else []:
                out.setdefault(int(bind["mesh"]), []).append((shape, int(bind["index"]), float(bind["weight"]) / 100))
        for name, group in extensions.get("VRMC_vrm", {}).get("expressions", {}).get("custom", {}).items():
            shape = arkit_name(name)
            for bind in group.get("morphTargetBinds", []) if shape else []:
                mesh = mesh_of.get(int(bind["node"]), -1)
                out.setdefault(mesh, []).append((shape, int(bind["index"]), float(bind["weight"])))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{glb.name}: its VRM expressions are damaged ({error!r})") from error
    return {mesh: [b for b in binds if b[1] >= 0 and 0 <= b[2] <= 1] for mesh, binds in out.items()}
