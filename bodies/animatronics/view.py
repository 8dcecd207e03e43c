"""Pictures of the simulated head without a screen: rays through Embree, shading in numpy."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from ...runtime.errors import InputError
from .kinematics import link_poses, mesh
from .robot_map import RobotMap

SIZE = 480
HALF_ANGLE = 0.16
TURN, LIFT = 0.30, 0.06
"""The camera stands this far to the robot's left and above, rad."""
LIGHTS = np.float32([[0.62, 0.75, 0.60], [0.60, -0.75, 0.10], [-0.60, 0.50, 0.60]])
STRENGTHS = np.float32([0.72, 0.22, 0.18])
AMBIENT = 0.30
BACKDROP = np.float32([0.11, 0.13, 0.15])


class HeadView:
    """Draws a robot in given positions.

    Args:
        robot: the map.
        size: edge of the square picture, pixels; even.
    """

    def __init__(self, robot: RobotMap, size: int = SIZE) -> None:
        if not 32 <= size <= 2048 or size % 2:
            raise InputError(f"expected an even picture size from 32 to 2048 pixels, got {size}")
        self.robot, self.size = robot, size
        self._mesh = mesh(robot)
        self._kinds = np.unique(self._mesh.colours, axis=0, return_inverse=True)[1].ravel()
        shade = 1.25 - 0.5 * (np.arange(size) + 0.5) / size
        self._backdrop = np.tile(BACKDROP * shade[:, None, None], (1, size, 1))
        rest = self._mesh.at(link_poses(robot, {j.name: j.rest for j in robot.joints}))[0]
        low, high = (rest.min(axis=0), rest.max(axis=0)) if len(rest) else (np.full(3, -0.1), np.full(3, 0.1))
        self._target = (low + high) / 2
        distance = 0.50 * float(np.linalg.norm(high - low)) / np.tan(HALF_ANGLE)
        toward = np.array([np.cos(TURN) * np.cos(LIFT), np.sin(TURN) * np.cos(LIFT), np.sin(LIFT)])
        right = np.cross([0.0, 0.0, 1.0], toward)
        right /= np.linalg.norm(right)
        self._eye = np.float32(self._target + distance * toward)
        self._frame = np.float32([right, np.cross(toward, right), -toward])
        self._lights = LIGHTS / np.linalg.norm(LIGHTS, axis=1, keepdims=True)

    def render(self, positions: np.ndarray) -> np.ndarray:
        """A picture (size, size, 3) uint8 of joint positions (J,), in the order of the map."""
        positions = np.asarray(positions, np.float64)
        if positions.shape != (len(self.robot.joints),) or not np.isfinite(positions).all():
            raise InputError(f"expected {len(self.robot.joints)} finite joint positions, got {positions}")
        poses = link_poses(self.robot, dict(zip(self.robot.names, positions, strict=True)))
        vertices, normals = self._mesh.at(poses)
        scene = EmbreeScene()
        kept = TriangleMesh(scene, vertices, self._mesh.triangles) if len(vertices) else None
        image = self._backdrop.copy()
        seen = np.full((self.size, self.size), -1)
        rows, columns = self._covered(vertices)
        row, column = (n.ravel() for n in np.meshgrid(rows, columns, indexing="ij"))
        if kept and len(row):
            part = np.ix_(rows, columns)
            colours, surface = self._trace(scene, normals, column + 0.5, row + 0.5)
            image[part], seen[part] = colours.reshape(len(rows), -1, 3), surface.reshape(len(rows), -1)
        ragged = np.zeros(seen.shape, bool)
        for axis in (0, 1):
            differs = np.diff(seen, axis=axis) != 0
            front, back = [slice(None)] * 2, [slice(None)] * 2
            front[axis], back[axis] = slice(1, None), slice(None, -1)
            ragged[tuple(front)] |= differs
            ragged[tuple(back)] |= differs
        row, column = np.nonzero(ragged)
        if len(row):
            finer = [
                self._trace(scene, normals, column + dx, row + dy)[0]
                for dx, dy in ((0.25, 0.12), (0.88, 0.25), (0.12, 0.75), (0.75, 0.88))
            ]
            image[row, column] = np.mean(finer, axis=0)
        return (255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8)

    def _covered(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the picture that the robot can be seen in."""
        if not len(vertices):
            return np.zeros(0, int), np.zeros(0, int)
        x, y, z = ((vertices - self._eye) @ self._frame.T).T
        scale = 2 * np.tan(HALF_ANGLE) / self.size
        z = np.maximum(z, 1e-3)
        found = []
        for place in (self.size / 2 - y / z / scale, self.size / 2 + x / z / scale):
            low, high = np.clip([place.min() - 2, place.max() + 2], 0, self.size)
            found.append(np.arange(int(low), int(high)))
        return found[0], found[1]

    def _trace(self, scene, normals: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colours (n, 3) at points of the picture, and a number for the surface that is seen there."""
        scale = 2 * np.tan(HALF_ANGLE) / self.size
        rays = np.stack([(x - self.size / 2) * scale, (self.size / 2 - y) * scale, np.ones(len(x))], 1) @ self._frame
        rays = np.ascontiguousarray(rays, np.float32)
        image = BACKDROP * (1.25 - 0.5 * y / self.size)[:, None]
        surface = np.full(len(rays), -1)
        found = scene.run(np.broadcast_to(self._eye, rays.shape).copy(), rays, query="INTERSECT", output=True)
        hit = np.flatnonzero(found["primID"] >= 0)
        triangle = found["primID"][hit]
        u, v = found["u"][hit, None], found["v"][hit, None]
        corner = self._mesh.triangles[triangle]
        normal = normals[corner[:, 0]] * (1 - u - v) + normals[corner[:, 1]] * u + normals[corner[:, 2]] * v
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        view = -rays[hit] / np.linalg.norm(rays[hit], axis=1, keepdims=True)
        lit = np.clip(normal @ self._lights.T, 0, None) @ STRENGTHS + AMBIENT * (0.75 + 0.25 * normal[:, 2])
        half = self._lights[0] + view
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        shine = 0.18 * np.clip(np.einsum("ij,ij->i", normal, half), 0, 1) ** 30
        image[hit] = self._mesh.colours[triangle] * lit[:, None] + shine[:, None]
        surface[hit] = 1000 * self._kinds[triangle] + np.round(2 * normal @ np.float32([1, 10, 100])).astype(int)
        return image, surface


def write_film(
    robot: RobotMap,
    time: np.ndarray,
    positions: np.ndarray,
    path: Path,
    fps: int = 25,
    progress: Callable[[int, int], None] | None = None,
    size: int = SIZE,
) -> None:
    """Write an MP4 of positions (T, J) at times (T,) s."""
    import av

    view = HeadView(robot, size)
    moments = np.arange(time[0], time[-1], 1.0 / fps)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as film:
        codec = "libx264" if "libx264" in av.codecs_available else "libopenh264"
        stream = film.add_stream(codec, rate=fps, options={"crf": "20"} if codec == "libx264" else {"b": "1500000"})
        stream.width = stream.height = view.size
        stream.pix_fmt = "yuv420p"
        for k, moment in enumerate(moments):
            image = view.render(positions[min(int(np.searchsorted(time, moment)), len(time) - 1)])
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = k, Fraction(1, fps)
            film.mux(stream.encode(frame))
            if progress:
                progress(k + 1, len(moments))
        film.mux(stream.encode())
