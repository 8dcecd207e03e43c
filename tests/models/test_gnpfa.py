"""GNPFA's networks and losses."""

from __future__ import annotations

import pytest
import torch

from media2face.models.gnpfa.config import CONFIGS, GNPFAConfig
from media2face.models.gnpfa.contact import LipContact
from media2face.models.gnpfa.losses import kl, latent_axes, reconstruction
from media2face.models.gnpfa.networks import GNPFA
from media2face.models.gnpfa.person import IdentityCode, IdentityMix, Pairs, Turning, fit_linear, turned
from media2face.models.gnpfa.touch import Lids, Lips

SMALL = GNPFAConfig(
    height=16, width=32, latent_dim=12, shapes=6, encoder_channels=(4, 6), generator_channels=(4, 6),
    mapping_width=8, encoder_sees_neutral=True, linear_basis=True, identity_code=4, lengths=2, gates=8, pairs=3,
    folds=2, turns=3,
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
    for name, parameter in model.named_parameters():
        if not name.endswith(("spread", "span", "most")):
            torch.nn.init.normal_(parameter, std=0.1)
    neutral, z = torch.randn(1, 3, 16, 32), torch.randn(4, 12)
    with torch.no_grad():
        together = model.generator(neutral, z)
        alone = model.generator(neutral.expand(4, -1, -1, -1), z)
        other = model.generator(torch.randn(1, 3, 16, 32), z)
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(together, other, atol=1e-2)


def test_gates_write_what_they_read_as_strongly_as_the_person_does():
    mix = IdentityMix(SMALL)
    forth = torch.eye(6, 12)
    mix.start(forth, forth.T, torch.zeros(6), [(0, 0), (0, 3)])
    code, z = torch.zeros(1, 6), torch.rand(5, 12)
    with torch.no_grad():
        assert torch.equal(mix(z, code), z)
        mix.gain.linear.bias[:2] = torch.tensor([0.5, -0.25])
        wanted = z.clone()
        wanted[:, 0] += 0.5 * z[:, 0]
        wanted[:, 3] -= 0.25 * z[:, 0]
        assert torch.allclose(mix(z, code), wanted, atol=1e-6)


def test_pairs_are_products_and_nothing_at_first():
    pairs, z = Pairs(SMALL, 2), torch.randn(5, 12)
    with torch.no_grad():
        assert torch.equal(pairs(z), torch.zeros(5, 14))
        pairs.writes.weight[13, 1] = 2.0
        assert torch.allclose(pairs(z)[:, 13], 2 * pairs.left(z)[:, 1] * pairs.right(z)[:, 1])


def test_directions_turn_vectors_place_by_place():
    turn = Turning(SMALL)
    vectors = torch.randn(2, 3, 16, 32)
    with torch.no_grad():
        assert torch.equal(turned(vectors, turn(torch.zeros(1, 6))), vectors)
        turn.patterns[0, :100] = 1.0
        turn.amount.linear.bias[3 * SMALL.turns] = 0.5  # row y, column x
        got = turned(vectors, turn(torch.zeros(1, 6)))
    wanted = vectors.flatten(2).clone()
    wanted[:, 1, :100] += 0.5 * wanted[:, 0, :100]
    assert torch.allclose(got.flatten(2), wanted, atol=1e-6)


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


def test_people_start_from_their_principal_axes_and_lengths():
    torch.manual_seed(2)
    who = torch.randn(40, 4)
    neutrals = (who @ torch.randn(4, 3 * 4 * 8)).view(40, 3, 4, 8)
    ends = (who @ torch.randn(4, 6) + 5.0).view(40, 2, 3)
    identity = IdentityCode(SMALL)
    identity.start(neutrals, ends)
    code = identity.of_pooled(neutrals)
    assert torch.allclose(code.std(0), torch.ones(6), atol=0.2) and code.mean(0).abs().max() < 1e-3
    lengths = identity.logarithms(code[:, :4]).exp()
    assert torch.allclose(lengths, ends.norm(dim=2), rtol=1e-2)


def test_a_linear_map_is_found():
    x = torch.randn(50, 3)
    y = x @ torch.tensor([[1.0, 0.0], [2.0, -1.0], [0.0, 3.0]]) + torch.tensor([4.0, 5.0])
    layer = torch.nn.Linear(3, 2)
    fit_linear(layer, x, y)
    assert torch.allclose(layer(x), y, atol=1e-3)


def test_lips_close_where_the_shared_rig_closes_and_press_forward():
    lips = Lips(SMALL)
    pixels = torch.zeros(1, 3, 16, 32)
    with torch.no_grad():
        for parameter in lips.parameters():
            parameter.zero_()
        lips.points[torch.arange(6), torch.arange(6)] = 1.0
        lips.seal[torch.arange(3), torch.arange(3)], lips.seal[torch.arange(3), torch.arange(3, 6)] = 0.5, -0.5
        for name, value in {"closed": 0.1, "span": 0.3, "press": 0.3, "most": 10.0}.items():
            getattr(lips, name).fill_(value)
        lips.rest.bias[:3] = 0.2
        lips.shared_rest.fill_(0.2)
        lips.shared.bias.fill_(0.05)  # the shared rig closes by 0.15
        lower = pixels.clone()
        lower[0, 1].view(-1)[3:6] = 0.05
        made = lips(lower, torch.zeros(1, 12), torch.zeros(1, 6))
        moved = made[0, 1].view(-1)
        assert torch.allclose(0.2 + moved[:3] - moved[3:6], torch.tensor(0.05), atol=1e-6)  # closed to the shared gap
        assert made[0, 2].abs().max() == 0
        lips.shared.bias.fill_(0.5)  # free: these lips go their own way, and overlap
        lower[0, 1].view(-1)[3:6] = 0.3
        made = lips(lower, torch.zeros(1, 12), torch.zeros(1, 6))
        assert torch.allclose(made[0, 1], lower[0, 1])
        bulge = 0.3 * 10 * torch.tanh(torch.tensor(0.01))
        assert torch.allclose(made[0, 2].view(-1)[:6], 0.5 * bulge.expand(6), atol=1e-6)


def test_skin_slides_over_the_eyeball_and_lids_do_not_cross():
    lids = Lids(SMALL)
    with torch.no_grad():
        for parameter in lids.parameters():
            parameter.zero_()
        lids.around[0, :4] = 1.0
        lids.arms[2, :4] = torch.tensor([2.0, 1.6, 1.4, 3.0])  # the third lies 0.1 deep at rest and may stay so
        lids.radius.fill_(1.5)
        lids.points[0, 10], lids.blinks[0, 512 + 10] = 1.0, 1.0
        lids.gaps.bias.fill_(0.2)
        inwards = torch.zeros(1, 3, 16, 32)
        flat = inwards.view(1, 3, -1)
        flat[0, 2, :4] = -0.5
        flat[0, 1, 10] = -0.3
        made = lids(inwards, torch.zeros(1, 3, 16, 32), torch.zeros(1, 12), torch.zeros(1, 6)).view(3, -1)
    assert torch.allclose(lids.arms[2, :4] + made[2, :4], torch.tensor([1.5, 1.5, 1.4, 2.5]), atol=1e-4)
    assert made[1, 10].item() == pytest.approx(-0.4, abs=1e-5)  # the overlap of 0.1, times what the blink is made of
