"""What each servo would do with a performance: the same player as the node's, without a robot and without waiting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...runtime.errors import InputError
from ...runtime.presentation import NS, frame_offset
from .player import RobotPlayer
from .robot_map import RobotMap

PUBLISHED_AHEAD_S = 0.1
"""How long before it is to be seen a frame comes, as in the graph."""
LEAD_IN_S, LEAD_OUT_S = 0.3, 1.7
"""Time at rest before the performance, and after it: going to rest is part of what is looked at."""
EPOCH = 1_000_000 * NS


@dataclass(frozen=True)
class DryRun:
    """Every command of a dry run; arrays (T, J), rad (m for sliders) and seconds.

    Attributes:
        time: (T,) seconds; 0 is when the first frame is to be seen.
        asked: what the face asks of the joint at this moment (its latency put aside), without any limit.
        target: the same within the range.
        position, velocity, acceleration, jerk: the commands; the jerk is the mean over a period.
        clipped, saturated: see :class:`.Command`.
    """

    robot: RobotMap
    time: np.ndarray
    asked: np.ndarray
    target: np.ndarray
    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    jerk: np.ndarray
    clipped: np.ndarray
    saturated: np.ndarray

    def table(self) -> list[dict[str, float | str]]:
        """A row a joint: share of the time clipped and saturated (%), caps used at most (%), error and span (rad)."""
        rows = []
        for i, joint in enumerate(self.robot.joints):
            x = self.position[:, i]
            rows.append({
                "joint": joint.name,
                "channel": joint.channel,
                "lowest": x.min(),
                "highest": x.max(),
                "clipped %": 100.0 * self.clipped[:, i].mean(),
                "saturated %": 100.0 * self.saturated[:, i].mean(),
                "velocity %": 100.0 * np.abs(self.velocity[:, i]).max() / joint.velocity,
                "acceleration %": 100.0 * np.abs(self.acceleration[:, i]).max() / joint.acceleration,
                "jerk %": 100.0 * np.abs(self.jerk[:, i]).max() / joint.jerk,
                "rms error": float(np.sqrt(np.mean((x - self.target[:, i]) ** 2))),
            })  # fmt: skip
        return rows


def dry_run(
    robot: RobotMap, performance, progress: Callable[[int, int], None] | None = None, player: RobotPlayer | None = None
) -> DryRun:
    """Play a performance (:class:`~media2face.runtime.offline.Performance`) to a robot that is not there.

    Frames come as in the graph, 100 ms before they are to be seen.

    Raises:
        InputError: the performance has no frames, or arrays that do not fit or hold NaN.
    """
    total = len(performance.weights)
    if not total:
        raise InputError("the performance has no frames: nothing to play")
    player = player or RobotPlayer(robot)
    period = robot.period
    steps = int((LEAD_IN_S + total / performance.fps + LEAD_OUT_S) * robot.rate)
    sent, commands = 0, []
    for k in range(steps):
        now = EPOCH + round((k * period - LEAD_IN_S) * NS)
        while sent < total and EPOCH + frame_offset(sent) - round(PUBLISHED_AHEAD_S * NS) <= now:
            present = EPOCH + frame_offset(sent)
            player.face(present, performance.names, performance.weights[sent], now, "dry run")
            player.pose(present, performance.head_rotation[sent], performance.head_translation[sent], now)
            sent += 1
        commands.append(player.step(now))
        if progress:
            progress(k + 1, steps)
    columns = {
        name: np.array([getattr(c, name) for c in commands])
        for name in ("asked", "target", "position", "velocity", "acceleration", "clipped", "saturated")
    }
    acceleration = columns["acceleration"]
    jerk = np.diff(acceleration, axis=0, prepend=acceleration[:1]) / period
    time = np.arange(steps) * period - LEAD_IN_S
    return DryRun(robot, time, jerk=jerk, **columns)
