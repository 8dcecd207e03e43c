"""The vision encoders as ONNX: E_exp, E_pose and the locator, from uint8 pictures to what the tracker needs.

    python -m media2face.onnx_export.vision --run RUN --out models/weights

``vision_expression`` requires the M' whose latent space it was trained in.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import helper, numpy_helper
from safetensors import safe_open
from torch import Tensor, nn

from media2face.models.vision.config import EncoderConfig, VisionConfig
from media2face.models.vision.networks import STRIDE, Vision, rotation_of
from media2face.onnx_export.metadata import write_model
from media2face.runtime.face_crop import face_middle
from media2face.runtime.rig_asset import RigAsset
from media2face.runtime.sessions import load_model

PARITY = 1e-3
"""Largest allowed difference of ONNX Runtime from torch on random pictures (fp32 weights)."""


class _FromPixels(nn.Module):
    """Pictures as they lie in memory: (B, H, W, 3) uint8."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image.permute(0, 3, 1, 2).float() / 255.0)


class _Pose(_FromPixels):
    """E_pose's outputs taken apart: rotation (B, 3, 3), place (B, 3), confidence (B,)."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        made = super().forward(image)
        return rotation_of(made[:, :6]), made[:, 6:9], torch.sigmoid(made[:, 9])


def load_run(run: Path) -> tuple[Vision, dict]:
    """The averaged networks of a training run, and its metrics."""
    record = json.loads((run / "metrics.json").read_text())
    config = record.pop("config")
    sizes = {k: EncoderConfig(**_tuples(config.pop(k))) for k in ("expression", "pose")}
    model = Vision(VisionConfig(**sizes, **_tuples(config)))
    state = _average(run / "last.safetensors")
    model.load_state_dict({k: v for k, v in state.items() if not k.startswith("locator.")}, strict=False)
    if (run / "locator.safetensors").is_file():
        model.locator.load_state_dict(_average(run / "locator.safetensors"))
        record |= {f"locator_{k}": v for k, v in json.loads((run / "locator.json").read_text()).items()}
    return model.eval(), record


def _tuples(values: dict) -> dict:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _average(file: Path) -> dict[str, Tensor]:
    with safe_open(str(file), "pt") as archive:
        return {k[8:]: archive.get_tensor(k) for k in archive.keys() if k.startswith("average.")}  # noqa: SIM118


def to_onnx(module: nn.Module, example: Tensor, outputs: list[str], axes: dict) -> onnx.ModelProto:
    """One graph, checked against torch on fresh pictures.

    Raises:
        RuntimeError: if ONNX Runtime and torch differ by more than :data:`PARITY`.
    """
    program = torch.onnx.export(
        module.eval(), (example,), dynamo=True, verbose=False, input_names=["image"], output_names=outputs,
        dynamic_shapes=(axes,),
    )  # fmt: skip
    proto = program.model_proto
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    fresh = torch.randint(0, 256, example.shape, dtype=torch.uint8)
    with torch.no_grad():
        wanted = module(fresh)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    for name, got, true in zip(outputs, session.run(None, {"image": fresh.numpy()}), wanted, strict=True):
        worst = float(np.abs(got - true.numpy()).max())
        if not worst <= PARITY:
            raise RuntimeError(f"ONNX Runtime differs from torch by {worst:.2e} in {name}, allowed {PARITY:.0e}")
    return proto


def store_int8(model: onnx.ModelProto, smallest: int = 500_000) -> onnx.ModelProto:
    """Keep matrices of at least ``smallest`` float32 values as int8 with a scale for each row.

    They are turned back by a Cast and a Mul that ONNX Runtime folds when it loads the file.
    """
    large = [t for t in model.graph.initializer if len(t.dims) == 2 and np.prod(t.dims) >= smallest]
    for tensor in large:
        array = numpy_helper.to_array(tensor)
        scale = np.maximum(np.abs(array).max(axis=1, keepdims=True) / 127, 1e-12).astype(np.float32)
        name = tensor.name
        parts = {f"{name}_int8": np.round(array / scale).astype(np.int8), f"{name}_scale": scale}
        model.graph.initializer.remove(tensor)
        model.graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in parts.items())
        model.graph.node.insert(0, helper.make_node("Mul", [f"{name}_wide", f"{name}_scale"], [name]))
        model.graph.node.insert(
            0, helper.make_node("Cast", [f"{name}_int8"], [f"{name}_wide"], to=onnx.TensorProto.FLOAT)
        )
    return model


def export(run: Path, folder: Path, only: str | None = None) -> dict[str, Path]:
    """Write the models for the M' that lies in ``folder``; the locator only if the run holds one.

    Args:
        run: of training. folder: for the files. only: ``expression``, ``pose`` or ``locator``.
    """
    model, metrics = load_run(run)
    metrics = {k: round(float(v), 4) for k, v in metrics.items()}
    rig = RigAsset.load(folder)
    marks = rig.neutral[rig.landmarks]
    middle = [float(x) for x in face_middle(marks, marks)[0]]
    size, look = model.cfg.expression.size, model.cfg.pose.size
    batch = torch.export.Dim("batch", min=1, max=1024)
    high, wide = (torch.export.Dim(name, min=2, max=128) for name in ("high", "wide"))
    pixels = torch.zeros(2, 1, 1, 3, dtype=torch.uint8)
    space = load_model("gnpfa_to_weights", folder, "cpu").fingerprint
    jobs = {
        "vision_expression": (
            _FromPixels(model.expression), pixels.expand(2, size, size, 3).contiguous(), ["latent"], {0: batch},
            {"size": size, "requires": {"gnpfa_to_weights": space}},
        ),
        "vision_pose": (
            _Pose(model.pose), pixels.expand(2, look, look, 3).contiguous(), ["rotation", "place", "face"], {0: batch},
            {"size": look, "face_middle": middle, "neck_pivot": [float(x) for x in rig.neck_pivot]},
        ),
        "vision_locator": (
            _FromPixels(model.locator), torch.zeros(1, 128, 160, 3, dtype=torch.uint8), ["faces"],
            {1: STRIDE * high, 2: STRIDE * wide}, {},
        ),
    }  # fmt: skip
    if not (run / "locator.safetensors").is_file():
        del jobs["vision_locator"]
    if only:
        jobs = {f"vision_{only}": jobs[f"vision_{only}"]}
    return {
        name: write_model(store_int8(to_onnx(module, example, outputs, axes)), name, folder, metrics=metrics, **fields)
        for name, (module, example, outputs, axes, fields) in jobs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--run", type=Path, required=True, help="folder given to train_vision and train_locator as --out"
    )
    parser.add_argument("--out", type=Path, default=Path("models/weights"))
    parser.add_argument("--only", choices=["expression", "pose", "locator"], help="leave the other files as they are")
    options = parser.parse_args()
    made = export(options.run, options.out, options.only)
    parser.exit(0, "".join(f"{path}\n" for path in made.values()))


if __name__ == "__main__":
    main()
