"""The Media2Face denoiser, or its student, as ONNX, with the statistics that the sampler needs.

python -m media2face.onnx_export.media2face --run RUN --cache CACHE --out models/weights
python -m media2face.onnx_export.media2face --run RUN --cache CACHE --name student
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors import safe_open

from media2face.models.gnpfa.networks import Mapping
from media2face.models.media2face.config import DenoiserConfig
from media2face.models.media2face.network import Denoiser
from media2face.onnx_export.metadata import write_model
from media2face.onnx_export.shipped import shipped_mapping
from media2face.runtime.arkit import ARKIT_INDEX, MOUTH_NAMES, indices

INPUTS = ("x", "t", "audio", "style", "has_audio", "has_style")


def denoiser_graph(network: Denoiser) -> onnx.ModelProto:
    """Graph with inputs :data:`INPUTS` (batch and frames dynamic) and the output ``clean``, float32."""
    config = network.config
    network = network.eval()
    example = (
        torch.randn(2, 36, config.state_dim), torch.randint(0, config.train_steps, (2, 36)),
        torch.randn(2, 36, config.audio_dim), torch.randn(2, config.style_dim), torch.ones(2), torch.ones(2),
    )  # fmt: skip
    batch, frames = torch.export.Dim("batch", min=1, max=1024), torch.export.Dim("frames", min=2, max=config.max_frames)
    both, one = {0: batch, 1: frames}, {0: batch}
    program = torch.onnx.export(
        network, example, dynamo=True, verbose=False, input_names=list(INPUTS), output_names=["clean"],
        dynamic_shapes=(both, both, both, one, one, one),
    )  # fmt: skip
    return program.model_proto


def load_run(run: Path) -> tuple[Denoiser, dict]:
    """The averaged network of a training run and its record (config, mean, std)."""
    record = json.loads((run / "config.json").read_text())
    network = Denoiser(DenoiserConfig(**record["config"]))
    with safe_open(str(run / "checkpoint.safetensors"), "pt") as file:
        prefix = "average."
        state = {k[len(prefix) :]: file.get_tensor(k) for k in file.keys() if k.startswith(prefix)}  # noqa: SIM118
        record["progress"] = file.metadata() or {}
    network.load_state_dict(state)
    return network.eval(), record


EYE_MOVES = (
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    {"eyeLookUpLeft": 1.0, "eyeLookUpRight": 1.0, "eyeLookDownLeft": -1.0, "eyeLookDownRight": -1.0},
    {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0, "eyeLookInLeft": -1.0, "eyeLookOutRight": -1.0},
)
"""What both eyes do together: blink, look up or down, look to a side."""


def region_axes(std: np.ndarray, mapping: Mapping, latent_dim: int) -> dict[str, np.ndarray]:
    """Directions of the standardised latent that move mouth and eyes, to first order of M'.

    Returns:
        ``mouth`` (r, latent_dim) and ``eyes`` (3, latent_dim): orthonormal rows, the eyes' orthogonal to the mouth's.
        The sampler gives each region a noise temperature of its own.
    """
    rows = mapping.affine.weight.detach().numpy() * std[None, :latent_dim]
    _, sizes, axes = np.linalg.svd(rows[indices(MOUTH_NAMES)], full_matrices=False)
    mouth = axes[sizes > 0.02 * sizes[0]]
    moves = np.stack([sum(k * rows[ARKIT_INDEX[n]] for n, k in move.items()) for move in EYE_MOVES])
    eyes = np.linalg.qr((moves - moves @ mouth.T @ mouth).T)[0].T
    return {"mouth": mouth, "eyes": eyes}


def export(run: Path, cache: Path, folder: Path, name: str = "denoiser") -> Path:
    """Write ``<folder>/<name>.onnx`` from a run and the cache it was trained on.

    The record of a student says under ``student`` which teacher it was distilled from and the guidance folded in.
    """
    network, record = load_run(run)
    data = json.loads((cache / "index.json").read_text())
    axes = region_axes(np.array(record["std"]), shipped_mapping(folder=folder), network.config.latent_dim)
    return write_model(
        denoiser_graph(network), name, folder, **sampler_fields(network.config, record, data, axes), rest=data["rest"],
        window=network.config.window, **({"student": record["student"]} if "student" in record else {}),
    )  # fmt: skip


def sampler_fields(config: DenoiserConfig, record: dict, data: dict, axes: dict[str, np.ndarray]) -> dict:
    """What the sampler has to know of a generator: sizes, statistics, and the companions of ``data``, its cache."""
    return {
        "latent_dim": config.latent_dim, "audio_dim": config.audio_dim, "style_dim": config.style_dim,
        "train_steps": config.train_steps, "mean": record["mean"], "std": record["std"],
        "neutral_style": data["neutral_style"], "axes": {k: np.round(v, 5).tolist() for k, v in axes.items()},
        "requires": {"speech": data["speech"], "style": data["style"], "decoder": data["decoder"]},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="run folder of train_media2face or distill_media2face")
    parser.add_argument("--cache", type=Path, required=True, help="the cache it was trained on")
    parser.add_argument("--out", type=Path, default=Path("models/weights"))
    parser.add_argument("--name", default="denoiser")
    options = parser.parse_args()
    parser.exit(0, f"{export(options.run, options.cache, options.out, options.name)}\n")


if __name__ == "__main__":
    main()
