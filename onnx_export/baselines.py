"""Baselines as ONNX files that the runtime's sampler runs like the shipped denoiser.

    python -m media2face.onnx_export.baselines --run RUN --cache CACHE --out FOLDER --name regressor

The record says which space the states are in (``space``), so that the evaluation knows how to read them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from media2face.onnx_export.media2face import EYE_MOVES, denoiser_graph, load_run, region_axes, sampler_fields
from media2face.onnx_export.metadata import write_model
from media2face.onnx_export.shipped import shipped_mapping
from media2face.runtime.arkit import ARKIT_INDEX, MOUTH_NAMES, indices


def space_axes(space: str, std: np.ndarray, latent_dim: int) -> dict[str, np.ndarray]:
    """Directions of the standardised state that have a noise temperature of their own, see :func:`region_axes`.

    Vertices have none: the whole state is sampled at one temperature.
    """
    if space == "z":
        return region_axes(std, shipped_mapping(), latent_dim)
    if space == "weights":
        mouth = np.eye(latent_dim)[indices(MOUTH_NAMES)]
        moves = np.zeros((len(EYE_MOVES), latent_dim))
        for row, move in zip(moves, EYE_MOVES, strict=True):
            for name, k in move.items():
                row[ARKIT_INDEX[name]] = k / std[ARKIT_INDEX[name]]
        return {"mouth": mouth, "eyes": moves / np.linalg.norm(moves, axis=1, keepdims=True)}
    return {"mouth": np.zeros((1, latent_dim)), "eyes": np.zeros((1, latent_dim))}


def export(run: Path, cache: Path, folder: Path, name: str) -> Path:
    """Write ``<folder>/<name>.onnx`` from a run of ``training.train_baseline`` and the cache it was trained on."""
    network, record = load_run(run)
    data = json.loads((cache / "index.json").read_text())
    config, baseline = network.config, record["baseline"]
    axes = space_axes(baseline["space"], np.array(record["std"]), config.latent_dim)
    minutes = record["progress"].get("seconds", "nan"), record["progress"].get("step", "nan")
    return write_model(
        denoiser_graph(network), name, folder,
        **baseline, **sampler_fields(config, record, data, axes), rest=record["rest"],
        trained={"minutes": round(float(minutes[0]) / 60, 2), "steps": int(float(minutes[1]))},
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="run folder of training.train_baseline")
    parser.add_argument("--cache", type=Path, required=True, help="the cache it was trained on")
    parser.add_argument("--out", type=Path, required=True, help="folder of the baselines (not the shipped weights)")
    parser.add_argument("--name", required=True)
    options = parser.parse_args()
    parser.exit(0, f"{export(options.run, options.cache, options.out, options.name)}\n")


if __name__ == "__main__":
    main()
