"""GNPFA's networks and losses."""

from __future__ import annotations

import pytest
import torch

from media2face.models.gnpfa.config import CONFIGS, GNPFAConfig
from media2face.models.gnpfa.losses import kl, latent_axes, reconstruction
from media2face.models.gnpfa.networks import GNPFA

SMALL = GNPFAConfig(
    height=16, width=32, latent_dim=12, shapes=6, encoder_channels=(4, 6), generator_channels=(4, 6),
    mapping_width=8, encoder_sees_neutral=True, linear_basis=True, mix_matrices=2, mix_channels=(3, 4),
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
    model.start_basis(faces, offsets)
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
