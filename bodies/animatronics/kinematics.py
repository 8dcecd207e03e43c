"""Where the links of the simulated head are, and what they look like: forward kinematics and triangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .robot_map import Joint, RobotMap
from .shapes import COLOURS, JointModel, Shape

ROW_STEP = 0.03
"""Joints without a model are levers in a row, so far apart, metres."""


def models(robot: RobotMap) -> dict[str, JointModel]:
    """Each joint's model; a joint without one becomes a lever in a row to the robot's left."""
    found, row = {}, 0
    for joint in robot.joints:
        if joint.model is None:
            row += 1
        found[joint.name] = joint.model or _lever(row)
    return found


def _lever(row: int) -> JointModel:
    bar = Shape("box", (0.04, 0.012, 0.008), at=(0.02, 0.0, 0.0), colour="light")
    hub = Shape("cylinder", (0.008, 0.014), rpy=(np.pi / 2, 0.0, 0.0), colour="dark")
    return JointModel(axis=(0.0, -1.0, 0.0), at=(0.0, 0.1 + ROW_STEP * row, 0.05), shapes=(bar, hub))


def ordered(robot: RobotMap) -> list[Joint]:
    """Joints, parents before children."""
    known, parts, found = {""}, models(robot), []
    waiting = list(robot.joints)
    while waiting:
        ready = [joint for joint in waiting if parts[joint.name].parent in known]
        found += ready
        known |= {joint.name for joint in ready}
        waiting = [joint for joint in waiting if joint.name not in known]
    return found


def turn(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation matrix (3, 3) about a unit axis (Rodrigues)."""
    x, y, z = axis
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], np.float64)
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def turn_rpy(rpy: tuple[float, float, float]) -> np.ndarray:
    """Rotation matrix of roll, pitch and yaw about the fixed axes x, y, z, as in URDF."""
    x, y, z = np.eye(3)
    return turn(z, rpy[2]) @ turn(y, rpy[1]) @ turn(x, rpy[0])


def link_poses(robot: RobotMap, positions: dict[str, float]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Rotation (3, 3) and origin (3,) in the base of the link that each joint moves; '' is the base."""
    parts = models(robot)
    poses = {"": (np.eye(3), np.zeros(3))}
    for joint in ordered(robot):
        model, q = parts[joint.name], positions[joint.name]
        rotation, origin = poses[model.parent]
        origin = origin + rotation @ np.array(model.at)
        axis = np.array(model.axis)
        if model.slider:
            origin = origin + rotation @ axis * q
        else:
            rotation = rotation @ turn(axis, q)
        poses[joint.name] = rotation, origin
    return poses


@dataclass(frozen=True)
class Mesh:
    """Triangles of all links, each in its link's frame.

    Attributes:
        vertices, normals: (V, 3).
        triangles: (F, 3) int32.
        colours: (F, 3) sRGB, 0 to 1.
        links: name of the joint that moves each link, and the slice of its vertices.
    """

    vertices: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    colours: np.ndarray
    links: tuple[tuple[str, slice], ...]

    def at(self, poses: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and normals (V, 3) float32 in the base."""
        vertices, normals = np.empty_like(self.vertices), np.empty_like(self.normals)
        for name, part in self.links:
            rotation, origin = poses[name]
            vertices[part] = self.vertices[part] @ rotation.T + origin
            normals[part] = self.normals[part] @ rotation.T
        return vertices.astype(np.float32), normals.astype(np.float32)


def mesh(robot: RobotMap) -> Mesh:
    """The whole robot as triangles."""
    parts = models(robot)
    vertices, normals, triangles, colours, links, count = [], [], [], [], [], 0
    for name, shapes in [("", robot.body), *[(joint.name, parts[joint.name].shapes) for joint in robot.joints]]:
        first = count
        for shape in shapes:
            v, n, f = _triangles(shape)
            rotation = turn_rpy(shape.rpy)
            vertices.append(v @ rotation.T + np.array(shape.at))
            normals.append(n @ rotation.T)
            triangles.append(f + count)
            colours.append(np.tile(COLOURS[shape.colour], (len(f), 1)))
            count += len(v)
        links.append((name, slice(first, count)))
    if not count:
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 3)), ())
    return Mesh(np.concatenate(vertices), np.concatenate(normals), np.concatenate(triangles).astype(np.int32),
                np.concatenate(colours), tuple(links))  # fmt: skip


def _triangles(shape: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, normals and triangles of a primitive about its own origin."""
    if shape.kind == "box":
        return _box(np.array(shape.size) / 2)
    if shape.kind == "sphere":
        return _revolved([(shape.size[0] * np.sin(a), -shape.size[0] * np.cos(a), np.sin(a), -np.cos(a))
                          for a in np.linspace(0, np.pi, 25)], 48)  # fmt: skip
    r, h = shape.size[0], shape.size[1] / 2
    return _revolved([(0, -h, 0, -1), (r, -h, 0, -1), (r, -h, 1, 0), (r, h, 1, 0), (r, h, 0, 1), (0, h, 0, 1)], 32)


def _box(half: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    vertices, normals, triangles = [], [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            normal = np.zeros(3)
            normal[axis] = sign
            b, c = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
            first = len(vertices)
            vertices += [(normal + sign * u * b + v * c) * half for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
            normals += [normal] * 4
            triangles += [(first, first + 1, first + 2), (first, first + 2, first + 3)]
    return np.array(vertices), np.array(normals), np.array(triangles)


def _revolved(profile: list[tuple[float, float, float, float]], segments: int):
    """A profile of (radius, z, normal's radius, normal's z) turned about z."""
    r, z, nr, nz = np.array(profile, np.float64).T
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    vertices = np.stack([c * r, s * r, np.broadcast_to(z, (segments, len(z)))], -1).reshape(-1, 3)
    normals = np.stack([c * nr, s * nr, np.broadcast_to(nz, (segments, len(z)))], -1).reshape(-1, 3)
    i, k = np.meshgrid(np.arange(segments), np.arange(len(z) - 1), indexing="ij")
    a, b = i * len(z) + k, (i + 1) % segments * len(z) + k
    quads = np.stack([a, b, b + 1, a, b + 1, a + 1], -1).reshape(-1, 3)
    return vertices, normals, quads
