"""GNPFA's networks and losses."""

from __future__ import annotations

import pytest
import torch

from media2face.models.gnpfa.config import CONFIGS, GNPFAConfig
from media2face.models.gnpfa.contact import LipContact
from media2face.models.gnpfa.losses import kl, latent_axes, reconstruction
from media2face.models.gnpfa.networks import GNPFA

SMALL = GNPFAConfig(
    height=16, width=32, latent_dim=12, shapes=6, encoder_channels=(4, 6), generator_channels=(4, 6),
    mapping_width=8, encoder_sees_neutral=True, linear_basis=True, identity_code=4, gates=8, bent=4, turns=3,
)  # fmt: skip


def test_bad_configurations_are_refused():
    with pytest.raises(ValueError, match="halved"):
        GNPFAConfig(height=60)
    with pytest.raises(ValueError, match="levels"):
        GNPFAConfig(encoder_channels=(8, 8))
    with pytest.raises(ValueError, match="standard deviation"):
        GNPFAConfig(latent_noise=-1.0)
    with pytest.raises(ValueError, match="positive"):
        GNPFAConfig(latent_dim=0)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_configurations_build_and_keep_shapes(name: str):
    cfg = CONFIGS[name]()
    with torch.device("meta"), torch.no_grad():  # shapes alone: the paper's size is slow on a CPU
        model = GNPFA(cfg)
        offset, neutral = torch.randn(2, 3, cfg.height, cfg.width), torch.randn(2, 3, cfg.height, cfg.width)
        mean, log_variance = model.encoder(offset, neutral)
        assert mean.shape == log_variance.shape == (2, cfg.latent_dim)
        assert model.generator(neutral, mean).shape == offset.shape
        assert model.to_weights(model.to_latent(torch.rand(5, cfg.shapes))).shape == (5, cfg.shapes)


def test_one_neutral_serves_many_frames():
    torch.manual_seed(0)
    model = GNPFA(SMALL).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    neutral, z = torch.randn(1, 3, 16, 32), torch.randn(4, 12)
    with torch.no_grad():
        together = model.generator(neutral, z)
        alone = model.generator(neutral.expand(4, -1, -1, -1), z)
        other = model.generator(torch.randn(1, 3, 16, 32), z)
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(together, other, atol=1e-2)


def test_linear_start_reproduces_the_rig():
    torch.manual_seed(0)
    offsets = torch.randn(6, 3, 16, 32)
    faces = torch.rand(400, 6)
    model = GNPFA(SMALL).eval()
    flat = offsets.flatten(1).double()
    model.start_mappings(latent_axes(flat @ flat.T, torch.cov(faces.T).double(), 12).float())
    model.start_basis(faces, offsets, [(0, 1)])
    weights = torch.rand(5, 6)
    true = torch.tensordot(weights, offsets, dims=1)
    neutral = torch.zeros(1, 3, 16, 32)
    with torch.no_grad():
        z = model.to_latent(weights)
        assert torch.allclose(model.to_weights(z), weights, atol=1e-4)
        assert torch.allclose(model.generator(neutral, z), true, atol=1e-2)
        assert (model.encoder(true, neutral.expand_as(true))[0] - z).abs().max() < 0.1


def test_latent_axes_have_unit_variance_and_follow_the_metric():
    torch.manual_seed(1)
    motion = torch.randn(6, 50).double()
    motion[0] *= 20
    covariance = torch.diag(torch.rand(6).double() + 0.1)
    axes = latent_axes(motion @ motion.T, covariance, 12)
    assert torch.diagonal(axes @ covariance @ axes.T).mean() == pytest.approx(1.0, rel=1e-6)
    assert axes[:, 0].norm() > 2 * axes[:, 1:].norm(dim=0).max()


def test_losses_are_zero_at_the_truth_and_weighted():
    maps, weight = torch.zeros(1, 3, 2, 2), torch.tensor([[4.0, 0.0], [0.0, 0.0]])
    assert reconstruction(maps, maps, weight) == 0
    wrong = maps.clone()
    wrong[..., 1, 1] = 1.0
    assert reconstruction(wrong, maps, weight) == 0
    wrong[..., 0, 0] = 1.0
    assert reconstruction(wrong, maps, weight) == pytest.approx(1.0)
    assert kl(torch.zeros(3, 4), torch.zeros(3, 4)) == 0
    assert kl(torch.ones(3, 4), torch.zeros(3, 4)) == pytest.approx(0.5)


def test_lips_meet_in_the_loss_and_rest_stays():
    lips = torch.zeros(6, 12)
    lips[torch.arange(6), torch.arange(6)] = 1.0
    seal = torch.zeros(3, 3, 4)
    for pair in range(3):
        seal.view(3, 12)[pair, pair], seal.view(3, 12)[pair, pair + 3] = 0.5, -0.5
    contact = LipContact(lips, seal)
    heights = torch.tensor([[0.1, 0.1, -0.2, 0.0, 0.0, 0.0]])
    still = torch.zeros(1, 3, 3, 4)
    assert torch.equal(contact(still, heights), still)
    pressed = still.clone()
    pressed[0, 1].view(12)[3:6] = 0.5
    gap = heights + contact(pressed, heights)[0, 1].view(12)[:6]
    assert torch.allclose(gap[0, :3] - gap[0, 3:], torch.tensor([0.0, 0.0, -0.2]), atol=1e-6)
    assert torch.equal(contact(pressed, heights)[:, [0, 2]], pressed[:, [0, 2]])


def test_people_start_from_their_principal_axes():
    torch.manual_seed(2)
    model = GNPFA(SMALL)
    neutrals = torch.randn(40, 4) @ torch.randn(4, 3 * 16 * 32)
    offsets = torch.randn(6, 3, 16, 32)
    weights = torch.rand(60, 6)
    faces = torch.tensordot(weights, offsets, dims=1) + (weights[:, :1] * weights[:, 1:2])[:, :, None, None]
    model.start_people(neutrals.view(40, 3, 16, 32), weights, faces, offsets)
    code = model.generator.identity(neutrals.view(40, 3, 16, 32) / 0.5)
    assert torch.allclose(code.std(0), torch.ones(4), atol=0.2) and code.mean(0).abs().max() < 1e-3
