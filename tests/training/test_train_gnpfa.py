"""GNPFA's training: it learns, resumes, and can keep the mappings of another run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from media2face.models.gnpfa.config import GNPFAConfig
from media2face.training.train_gnpfa import FaceMaps, evaluate, losses, train

SMALL = replace(
    GNPFAConfig.edge(), height=48, width=64, encoder_channels=(4, 6, 8, 8), generator_channels=(4, 6, 8, 8), batch=4
)


@pytest.fixture(scope="module")
def run(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    folder = tmp_path_factory.mktemp("gnpfa")
    return folder, train(SMALL, shared_data, folder, minutes=0.02)


def test_first_steps_already_keep_the_lips(run: tuple[Path, torch.nn.Module], shared_data: Path):
    report = evaluate(run[1], FaceMaps(shared_data, SMALL, "val", 1), faces=32)
    assert report["weight_mae"] < 0.02
    assert report["gap_mm"] < 0.3
    assert report["mapped_lips_mm"] < 0.2 * report["moved_lips_mm"]


def test_losses_reach_every_network(run: tuple[Path, torch.nn.Module], shared_data: Path):
    model = run[1].requires_grad_(True)
    total, parts = losses(model, FaceMaps(shared_data, SMALL), SMALL)
    total.backward()
    assert set(parts) == {"recon", "latent", "shapes", "kl"}
    for name, part in model.named_children():
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters()), name


def test_resumes_and_keeps_the_mappings(run: tuple[Path, torch.nn.Module], shared_data: Path, tmp_path: Path):
    folder, model = run
    steps = json.loads((folder / "metrics.json").read_text())["step"]
    train(SMALL, shared_data, folder, minutes=0.03)
    assert json.loads((folder / "metrics.json").read_text())["step"] > steps
    other = train(SMALL, shared_data, tmp_path, minutes=0.01, mappings=folder)
    again = train(SMALL, shared_data, folder, minutes=0.03)
    for mine, theirs in zip(other.to_latent.parameters(), again.to_latent.parameters(), strict=True):
        assert torch.equal(mine, theirs)
