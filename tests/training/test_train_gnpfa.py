"""GNPFA's training: it learns, resumes, and can keep the mappings of another run."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from media2face.data.range_of_motion import RangeOfMotion
from media2face.data.rom_maps import MapMaker, make
from media2face.models.gnpfa.config import GNPFAConfig
from media2face.models.gnpfa.networks import GNPFA
from media2face.onnx_export.shipped import shipped_mapping
from media2face.runtime.errors import ConfigError
from media2face.runtime.sessions import weights_folder
from media2face.training import train_gnpfa
from media2face.training.train_gnpfa import FaceMaps, evaluate, losses, start, train

SMALL = replace(
    GNPFAConfig.edge(), height=48, width=64, encoder_channels=(4, 6, 8, 8), generator_channels=(4, 6, 8, 8), batch=4
)


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_gnpfa, "START", {"people": 400, "steps": 150})
        yield


@pytest.fixture(scope="module")
def sets(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    train_set, val_set = (tmp_path_factory.mktemp(n) for n in ("train", "val"))
    make(shared_data, train_set, "train", 8, 8, None, 48, 64)
    make(shared_data, val_set, "val", 4, 8, None, 48, 64)
    return train_set, val_set


@pytest.fixture(scope="module")
def run(shared_data: Path, sets: tuple, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    folder = tmp_path_factory.mktemp("gnpfa")
    return folder, train(SMALL, shared_data, *sets, folder, minutes=0.05, mappings=weights_folder())


def test_first_steps_already_keep_the_lips(run: tuple, sets: tuple, shared_data: Path):
    report = evaluate(run[1], FaceMaps(shared_data, SMALL, sets[1], 1), faces=32)
    assert report["weight_mae"] < 0.02
    assert report["gap_mm"] < 0.3
    assert report["mapped_lips_mm"] < 0.4 * report["neutral_lips_mm"]
    assert report["mapped_moved_share"] < 0.4


def test_losses_reach_every_network(run: tuple, sets: tuple, shared_data: Path):
    model = copy.deepcopy(run[1]).requires_grad_(True)
    total, parts = losses(model, FaceMaps(shared_data, SMALL, sets[0]), SMALL)
    total.backward()
    assert set(parts) == {"recon", "latent", "shapes", "kl"}
    for name, part in model.named_children():
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters()), name


def test_the_encoder_reads_the_mesh_that_a_map_makes(sets: tuple, shared_data: Path):
    maps = FaceMaps(shared_data, SMALL, sets[0])
    offsets = maps.draw(3, True)[2]
    seen = maps.seen(offsets)
    mesh = maps.atlas.to_mesh(offsets.numpy())
    wanted = (MapMaker(RangeOfMotion(maps.rig, maps.atlas)).raster @ mesh[1]).T.reshape(3, 48, 64)
    assert torch.allclose(seen[1], torch.from_numpy(wanted).float(), atol=1e-3)


def test_resumes_and_keeps_the_mappings(run: tuple, sets: tuple, shared_data: Path):
    folder, _ = run
    steps = json.loads((folder / "metrics.json").read_text())["step"]
    again = train(SMALL, shared_data, *sets, folder, minutes=0.07, mappings=weights_folder())
    assert json.loads((folder / "metrics.json").read_text())["step"] > steps
    shipped = shipped_mapping("gnpfa_from_weights")
    for mine, theirs in zip(again.to_latent.parameters(), shipped.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_set_of_another_layout_is_refused(sets: tuple, shared_data: Path):
    with pytest.raises(ConfigError, match="--size 64 80"):
        FaceMaps(shared_data, GNPFAConfig.edge(), sets[0])


def test_without_mappings_they_start_from_the_rig(sets: tuple, shared_data: Path):
    model, maps = GNPFA(SMALL), FaceMaps(shared_data, SMALL, sets[0])
    start(model, maps, SMALL, None)
    weights = maps.rows(range(8))[0]
    assert (model.to_weights(model.to_latent(weights)) - weights).abs().max() < 1e-3
