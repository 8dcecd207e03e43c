"""Muon: orthogonal updates of matrices, Adam elsewhere; state that can be saved."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from media2face.training import checkpoint  # noqa: E402
from media2face.training.muon import Muon, orthogonal  # noqa: E402


@pytest.mark.parametrize("shape", [(20, 64), (64, 20), (32, 32)])
def test_singular_values_become_about_equal(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(-0.6, 0.9, shape[1]))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.max() < 1.35 and values.median() > 0.6
    before = torch.linalg.svdvals(matrix)
    assert before.max() > 2 * before.median()


def test_a_badly_scaled_problem_is_solved():
    torch.manual_seed(0)
    inputs = torch.randn(512, 32) @ torch.diag(torch.logspace(0, -1.5, 32))
    net = torch.nn.Linear(32, 24)
    true = inputs @ torch.randn(24, 32).T + 0.5
    optimizer = Muon(net.parameters(), lr=0.1)
    first = last = 0.0
    for step in range(300):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * (1 - step / 300)
        loss = (net(inputs) - true).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = first or loss.item(), loss.item()
    assert last < 1e-2 * first


def test_kernels_move_alike_in_all_directions_and_biases_as_adam():
    torch.manual_seed(0)
    net = torch.nn.Conv2d(16, 24, 3)
    before = [p.detach().clone() for p in net.parameters()]
    net(torch.randn(2, 16, 8, 8)).square().mean().backward()
    Muon(net.parameters(), lr=0.01).step()
    moved = [a - b.detach() for a, b in zip(before, net.parameters(), strict=True)]
    values = torch.linalg.svdvals(moved[0].flatten(1)) / (0.01 * 0.2 * 144**0.5)
    assert values.max() < 1.35 and values.median() > 0.6
    assert torch.allclose(moved[1].abs(), torch.full_like(moved[1], 0.01), rtol=1e-3)


def test_a_run_goes_on_as_if_it_had_not_stopped(tmp_path):
    def make():
        torch.manual_seed(1)
        net = torch.nn.Sequential(torch.nn.Linear(20, 20), torch.nn.Tanh(), torch.nn.Linear(20, 2))
        return net, checkpoint.Average(net), Muon(net.parameters(), lr=0.01)

    def steps(net, optimizer, count):
        for k in range(count):
            optimizer.zero_grad()
            net(torch.linspace(-1, 1, 20)[None] * (k + 1)).square().sum().backward()
            optimizer.step()

    net, average, optimizer = make()
    steps(net, optimizer, 3)
    checkpoint.save(tmp_path / "last.safetensors", net, average, optimizer, step=3)
    steps(net, optimizer, 2)
    other, average, optimizer = make()
    assert checkpoint.load(tmp_path / "last.safetensors", other, average, optimizer)["step"] == 3
    steps(other, optimizer, 2)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="expected lr > 0"):
        Muon([torch.nn.Parameter(torch.zeros(2))], lr=0.0)
