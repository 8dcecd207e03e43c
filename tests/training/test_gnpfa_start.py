"""Where E_geo and G_geo start: M's inverse, people's measures, and a face that is nearly right before any training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from media2face.data.expressions import ExpressionSampler
from media2face.data.rom_maps import make
from media2face.models.gnpfa.config import GNPFAConfig
from media2face.models.gnpfa.networks import GNPFA
from media2face.models.gnpfa.person import Amounts
from media2face.runtime.sessions import weights_folder
from media2face.training import gnpfa_start
from media2face.training.gnpfa_crowd import Crowd, learn
from media2face.training.train_gnpfa import FaceMaps, evaluate, take_mappings

SMALL = replace(
    GNPFAConfig.edge(), height=48, width=64, encoder_channels=(4, 6, 8, 8), generator_channels=(4, 6, 8, 8), batch=4
)


@pytest.fixture(scope="module")
def maps(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceMaps:
    folder = tmp_path_factory.mktemp("set")
    make(shared_data, folder, "train", 20, 8, None, 48, 64)
    return FaceMaps(shared_data, SMALL, folder)


@pytest.fixture(scope="module")
def model() -> GNPFA:
    torch.manual_seed(0)
    model = GNPFA(SMALL)
    take_mappings(model, weights_folder())
    return model


@pytest.fixture(scope="module")
def weights(shared_data: Path) -> torch.Tensor:
    return torch.from_numpy(ExpressionSampler(shared_data, "train", 1).sample(2000))


@pytest.fixture(scope="module")
def space(model: GNPFA, weights: torch.Tensor) -> gnpfa_start.Space:
    return gnpfa_start.Space(model, weights)


@pytest.fixture(scope="module")
def crowd(maps: FaceMaps) -> Crowd:
    return Crowd(maps.maker, 260, SMALL.turns)


@pytest.fixture(scope="module")
def started(model: GNPFA, space: gnpfa_start.Space, crowd: Crowd) -> GNPFA:
    with torch.no_grad():
        gnpfa_start.start_generator(model, space, crowd, 100)
    return model


def test_the_shipped_mapping_is_linear_and_leaves_dimensions_free(model: GNPFA, space, shared_data: Path):
    fresh = torch.from_numpy(ExpressionSampler(shared_data, "val", 2).sample(500))
    with torch.no_grad():
        z = model.to_latent(fresh)
    assert (z @ space.back + space.rest - fresh).abs().max() < 0.02
    assert space.free.shape == (12, 64)
    moved = z @ space.free.T
    assert (moved - moved[0]).abs().max() < 0.01


def test_measures_give_what_whole_meshes_give(maps: FaceMaps, crowd: Crowd):
    rom = maps.maker.rom
    for row in (0, 7):
        person = rom.sampled(crowd.coefficients[row].numpy())
        assert np.abs(person.mixing - crowd.mixing[row]).max() < 0.06  # blinks alone differ: lids that turn
        assert np.abs(person.turning[crowd.places] - crowd.turning[row]).max() < 1e-5
        wanted = (person.turning - np.eye(3)).reshape(-1, 9)
        got = (wanted.T @ np.linalg.pinv(crowd.patterns)) @ crowd.patterns
        assert np.abs(got.T - wanted).mean() < 0.05 * max(np.abs(wanted).mean(), 1e-3)
    assert np.abs(crowd.mixing[0] - np.eye(52)).max() < 1e-3


def test_a_start_draws_faces_before_any_training(started: GNPFA, maps: FaceMaps):
    report = evaluate(started, maps, faces=96)
    assert report["mapped_mm"] < 0.15 * report["neutral_mm"]
    assert report["mapped_lips_mm"] < 0.15 * report["neutral_lips_mm"]
    mean = np.flatnonzero(maps.set.person % 10 == 0)
    known, neutral, offsets, heights = maps.rows(mean)
    with torch.no_grad():
        made = maps.contact(started.generator(neutral, started.to_latent(known), False), heights)
    error = np.linalg.norm(maps.atlas.to_mesh((made - offsets).numpy()), axis=-1)
    assert error.mean() < 0.02 * np.linalg.norm(maps.atlas.to_mesh(offsets.numpy()), axis=-1).mean()


def test_free_dimensions_move_the_face_and_leave_mapped_faces_alone(started: GNPFA, space, maps: FaceMaps):
    known, neutral, _, _ = maps.rows(np.arange(8, 14))
    with torch.no_grad():
        z = started.to_latent(known)
        before = started.generator(neutral, z, False)
        gnpfa_start.start_free(started, space, maps, 64)
        assert (started.generator(neutral, z, False) - before).abs().max() < 2e-3
        moved = started.generator(neutral, z + space.free[0], False) - before
    assert moved.square().sum(1).mean().sqrt() == pytest.approx(0.01, rel=0.3)


def test_the_reading_undoes_what_the_generator_does(started: GNPFA, space, crowd: Crowd, maps: FaceMaps):
    with torch.no_grad():
        gnpfa_start.start_encoder(started, space, crowd, 100)
        gnpfa_start.start_reading(started, space, maps)
        known, neutral, offsets, _ = maps.rows(np.arange(0, 160, 3))
        z = started.encoder(maps.seen(offsets), neutral)[0]
    error = (z @ space.back + space.rest - known).abs()
    assert error[known > 0.05].mean() < 0.2 * known[known > 0.05].mean()


def test_what_people_decide_is_learned_and_exact_for_the_first():
    torch.manual_seed(3)
    x = torch.randn(1500, SMALL.identity_code + SMALL.lengths)
    y = torch.stack([x[:, 0] + 0.3 * torch.tanh(2 * x[:, 1]), x[:, 2] * 0.5], dim=1)
    net = Amounts(SMALL, 2)
    error = learn(net, x, y, 300)
    assert error < 0.15
    with torch.no_grad():
        assert torch.allclose(net(x[:1]), y[:1], atol=1e-5)
