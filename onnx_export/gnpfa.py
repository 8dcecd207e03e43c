"""GNPFA as ONNX: M, M', G_geo and E_geo, with what the engine must know of the latent space.

    python -m media2face.onnx_export.gnpfa --run RUN --data ../shared/data --out models/weights
    python -m media2face.onnx_export.gnpfa ... --only geometry      # M and M' stay as they are

``gnpfa_to_weights`` names the latent space by its fingerprint; the others require it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from safetensors import safe_open
from torch import Tensor, nn

from media2face.data.expressions import ExpressionSampler
from media2face.data.geometry_maps import FaceAtlas
from media2face.data.rig import ICTRig
from media2face.models.gnpfa.config import GNPFAConfig
from media2face.models.gnpfa.networks import GNPFA
from media2face.onnx_export.metadata import write_model
from media2face.runtime.sessions import load_model

PARITY = 1e-4
"""Largest allowed difference of ONNX Runtime from torch (fp32 weights): latents, weights, cm; relative above 1."""


class _ClippedWeights(nn.Module):
    """M' as the engine uses it: weights leave within [0, 1]."""

    def __init__(self, model: GNPFA) -> None:
        super().__init__()
        self.mapping = model.to_weights

    def forward(self, latent: Tensor) -> Tensor:
        return self.mapping(latent).clamp(0.0, 1.0)


class _Mean(nn.Module):
    """E_geo as the engine uses it: the mean of z."""

    def __init__(self, model: GNPFA) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, offsets: Tensor, neutral: Tensor) -> Tensor:
        return self.encoder(offsets, neutral)[0]


def load_run(run: Path) -> tuple[GNPFA, dict]:
    """The averaged networks of a training run, and its metrics."""
    record = json.loads((run / "metrics.json").read_text())
    config = {k: tuple(v) if isinstance(v, list) else v for k, v in record.pop("config").items()}
    model = GNPFA(GNPFAConfig(**config))
    with safe_open(str(run / "last.safetensors"), "pt") as file:
        state = {k[8:]: file.get_tensor(k) for k in file.keys() if k.startswith("average.")}  # noqa: SIM118
    model.load_state_dict(state)
    return model.eval(), record


def graphs(model: GNPFA) -> dict[str, tuple[nn.Module, tuple[Tensor, ...], list[str], str, dict]]:
    """Per model name: module, example inputs, input names, output name, dynamic axes."""
    cfg = model.cfg
    frames = torch.export.Dim("frames", min=1, max=65536)
    latent = torch.randn(3, cfg.latent_dim)
    neutral, offsets = torch.randn(1, 3, cfg.height, cfg.width), torch.randn(3, 3, cfg.height, cfg.width)
    return {
        "gnpfa_to_weights": (_ClippedWeights(model), (latent,), ["latent"], "weights", ({0: frames},)),
        "gnpfa_from_weights": (model.to_latent, (torch.rand(3, cfg.shapes),), ["weights"], "latent", ({0: frames},)),
        "gnpfa_decoder": (model.generator, (neutral, latent), ["neutral", "latent"], "offsets", (None, {0: frames})),
        "gnpfa_encoder": (_Mean(model), (offsets, neutral), ["offsets", "neutral"], "latent", ({0: frames}, None)),
    }


def to_onnx(module: nn.Module, example: tuple[Tensor, ...], inputs: list[str], output: str, axes) -> onnx.ModelProto:
    """One graph, checked against torch on fresh inputs of another length.

    Raises:
        RuntimeError: if ONNX Runtime and torch differ by more than :data:`PARITY`.
    """
    program = torch.onnx.export(
        module.eval(), example, dynamo=True, verbose=False, input_names=inputs, output_names=[output],
        dynamic_shapes=axes,
    )  # fmt: skip
    proto = program.model_proto
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    fresh = [x if axis is None else torch.rand(7, *x.shape[1:]) for x, axis in zip(example, axes, strict=True)]
    with torch.no_grad():
        wanted = module(*fresh).numpy()
    got = session.run(None, {n: x.numpy() for n, x in zip(inputs, fresh, strict=True)})[0]
    worst = float(np.abs(got - wanted).max() / max(1.0, np.abs(wanted).max()))
    if not worst <= PARITY:
        raise RuntimeError(f"ONNX Runtime differs from torch by {worst:.2e} in {output}, allowed {PARITY:.0e}")
    return proto


def export(run: Path, data: Path, folder: Path, only: str | None = None) -> dict[str, Path]:
    """Write the four models; with ``only='geometry'`` G_geo and E_geo, for the M' that lies in ``folder``."""
    model, metrics = load_run(run)
    made = graphs(model)
    metrics = {k: v for k, v in metrics.items() if isinstance(v, float)}
    common = {"latent_dim": model.cfg.latent_dim}
    atlas = FaceAtlas.build(ICTRig.load(data), model.cfg.height, model.cfg.width).fingerprint
    paths: dict[str, Path] = {}
    if only is None:
        faces = torch.from_numpy(ExpressionSampler(data, "train", seed=7).sample(20_000))
        with torch.no_grad():
            z = model.to_latent(faces)
            rest = model.to_latent(torch.zeros(1, model.cfg.shapes))[0]
        stats = {"z_mean": z.mean(0).tolist(), "z_std": z.std(0).tolist(), "z_rest": rest.tolist()}
        paths["gnpfa_to_weights"] = write_model(
            to_onnx(*made["gnpfa_to_weights"]), "gnpfa_to_weights", folder, fp16=False, metrics=metrics, **common,
            **stats,
        )  # fmt: skip
    space = load_model("gnpfa_to_weights", folder, "cpu").fingerprint
    geometry = ("gnpfa_decoder", "gnpfa_encoder")
    for name in geometry if only else ("gnpfa_from_weights", *geometry):
        drawn = {"atlas": atlas, "map_size": [model.cfg.height, model.cfg.width]} if name in geometry else {}
        paths[name] = write_model(
            to_onnx(*made[name]), name, folder, fp16=bool(drawn), metrics=metrics,
            requires={"gnpfa_to_weights": space}, **common, **drawn,
        )  # fmt: skip
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="folder given to train_gnpfa as --out")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("models/weights"))
    parser.add_argument("--only", choices=("geometry",))
    options = parser.parse_args()
    made = export(options.run, options.data, options.out, options.only)
    parser.exit(0, "".join(f"{path}\n" for path in made.values()))


if __name__ == "__main__":
    main()
