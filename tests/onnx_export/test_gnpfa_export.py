"""GNPFA's export: ONNX Runtime gives what torch gives, and the three files name one another."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from media2face.models.gnpfa.config import GNPFAConfig
from media2face.models.gnpfa.networks import GNPFA
from media2face.onnx_export.gnpfa import PARITY, export, graphs, load_run, to_onnx
from media2face.runtime.sessions import load_model
from media2face.training import checkpoint


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run with random weights everywhere, zero-started layers too."""
    torch.manual_seed(0)
    model = GNPFA(replace(
        GNPFAConfig.edge(), height=48, width=64, encoder_channels=(4, 6, 8, 8), generator_channels=(4, 6, 8, 8)
    ))  # fmt: skip
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.03)
    folder = tmp_path_factory.mktemp("run")
    optimizer = torch.optim.Adam(model.parameters())
    checkpoint.save(folder / "last.safetensors", model, checkpoint.Average(model), optimizer, step=3, seconds=1)
    (folder / "metrics.json").write_text(json.dumps({"config": asdict(model.cfg), "gap_mm": 0.1}))
    return folder


def test_files_agree_with_torch(run: Path, shared_data: Path, tmp_path: Path):
    model, _ = load_run(run)
    paths = export(run, shared_data, tmp_path)
    assert set(paths) == {"gnpfa_to_weights", "gnpfa_from_weights", "gnpfa_decoder", "gnpfa_encoder"}
    z, neutral = torch.randn(9, 64), torch.randn(1, 3, model.cfg.height, model.cfg.width)
    with torch.no_grad():
        wanted = model.generator(neutral, z).numpy(), model.to_weights(z).clamp(0, 1).numpy()
    decoder = load_model("gnpfa_decoder", tmp_path, "cpu")
    offsets = decoder.run({"neutral": neutral.numpy(), "latent": z.numpy()})["offsets"]
    scale = np.abs(wanted[0]).max()
    assert np.abs(offsets - wanted[0]).max() < 5e-3 * scale  # weights are stored as fp16
    back = load_model("gnpfa_to_weights", tmp_path, "cpu")
    assert np.abs(back.run({"latent": z.numpy()})["weights"] - wanted[1]).max() < PARITY
    assert decoder.meta["requires"]["gnpfa_to_weights"] == back.fingerprint
    kept = paths["gnpfa_to_weights"].read_bytes()
    assert set(export(run, shared_data, tmp_path, only="geometry")) == {"gnpfa_decoder", "gnpfa_encoder"}
    assert paths["gnpfa_to_weights"].read_bytes() == kept


def test_a_graph_that_differs_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch):
    model, _ = load_run(run)
    monkeypatch.setattr("media2face.onnx_export.gnpfa.PARITY", -1.0)
    with pytest.raises(RuntimeError, match="differs from torch"):
        to_onnx(*graphs(model)["gnpfa_from_weights"])
