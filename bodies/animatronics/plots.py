"""A dry run as a picture, a film of the simulated head, or a table of numbers."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...runtime.errors import ConfigError
from .dry_run import DryRun

PLOTS = (".png", ".svg", ".pdf")
SUFFIXES = (*PLOTS, ".mp4", ".csv")
MANY = 8
"""More joints than this go into two columns."""


def check_output(path: Path) -> None:
    """Say early what would go wrong.

    Raises:
        ConfigError: unknown suffix, no such folder, or matplotlib is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"cannot write {path.name!r}: expected a name that ends in {', '.join(SUFFIXES)}")
    if not path.parent.is_dir() or path.is_dir():
        raise ConfigError(f"cannot write {path}: expected a file in a folder that exists")
    if suffix in PLOTS and find_spec("matplotlib") is None:
        raise ConfigError("plots need matplotlib, which is not installed: pip install 'media2face[plot]'")


def write(run: DryRun, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Write a dry run; the suffix says what. The file appears whole or not at all."""
    check_output(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        if path.suffix.lower() == ".mp4":
            from .view import write_film

            write_film(run.robot, run.time, run.position, partial, progress=progress)
        elif path.suffix.lower() == ".csv":
            _write_table(run, partial)
        else:
            plot(run, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def plot(run: DryRun, path: Path) -> None:
    """A panel a joint: what is asked, what is commanded, the range, and where it clips or a cap holds it back."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, joints = run.table(), run.robot.joints
    columns = 2 if len(joints) > MANY else 1
    height = -(-len(joints) // columns)
    figure = Figure(figsize=(11.0, 1.0 + 1.25 * height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(height, columns, sharex=True, squeeze=False)
    for panel in panels.ravel(order="F")[len(joints) :]:
        panel.set_visible(False)
    for i, (joint, row, panel) in enumerate(zip(joints, rows, panels.ravel(order="F"), strict=False)):
        _panel(run, i, joint, row, panel)
    for panel in panels[-1]:
        panel.set_xlabel("s", fontsize=8)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.suptitle(f"{run.robot.robot}: what each servo would do", fontsize=11)
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    figure.savefig(path, dpi=85)


def _panel(run: DryRun, i: int, joint, row: dict, panel) -> None:
    low, high = joint.range
    asked, position = run.asked[:, i], run.position[:, i]
    panel.plot(run.time, asked, color="0.6", lw=1.6, label="asked by the face")
    panel.plot(run.time, position, color="#1f77b4", lw=0.9, label="commanded")
    for k, edge in enumerate(joint.range):
        panel.axhline(edge, color="#d62728", lw=0.8, ls="--", label="range" if k == 0 else None)
    spare = 0.06 * (high - low)
    bottom, top = min(low, asked.min()) - spare, max(high, asked.max()) + spare
    panel.set_ylim(bottom, top)
    panel.fill_between(
        run.time, bottom, top, where=run.clipped[:, i], color="#d62728", alpha=0.3, lw=0, label="clipped"
    )
    panel.fill_between(
        run.time, bottom, top, where=run.saturated[:, i], color="#ff9f1c", alpha=0.3, lw=0, label="held back by a cap"
    )
    panel.set_title(
        f"{joint.name}, channel {joint.channel}: clipped {row['clipped %']:.1f} %, at most {row['velocity %']:.0f} % "
        f"of velocity, {row['acceleration %']:.0f} % acc., {row['jerk %']:.0f} % jerk",
        fontsize=7, loc="left", pad=2,
    )  # fmt: skip
    panel.tick_params(labelsize=6)
    panel.margins(x=0.0)
    panel.set_ylabel("m" if joint.model and joint.model.slider else "rad", fontsize=7)


def _write_table(run: DryRun, path: Path) -> None:
    """A row a command: time, then asked and commanded position of each joint."""
    names = [f"{name}_{what}" for name in run.robot.names for what in ("asked", "position", "velocity", "acceleration")]
    values = np.stack([run.asked, run.position, run.velocity, run.acceleration], -1).reshape(len(run.time), -1)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *names])
        for time, row in zip(run.time, values, strict=True):
            writer.writerow([f"{time:.3f}", *[f"{v:.6f}" for v in row]])
