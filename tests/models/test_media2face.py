"""The denoiser: masks of section 4.1, losses of equations 5 to 8, ONNX parity, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from media2face.models.media2face.config import DenoiserConfig  # noqa: E402
from media2face.models.media2face.losses import denoiser_loss, simple_loss, smooth_loss, velocity_loss  # noqa: E402
from media2face.models.media2face.network import Denoiser  # noqa: E402

SMALL = DenoiserConfig(
    layers=2, width=64, feed_forward=128, latent_dim=10, audio_dim=12, style_dim=8, window=16, phones=5
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Denoiser(SMALL).eval()


def inputs(batch=2, frames=16, **changes):
    generator = torch.Generator().manual_seed(1)
    values = {
        "x": torch.randn(batch, frames, SMALL.state_dim, generator=generator),
        "t": torch.randint(0, 500, (batch, frames), generator=generator),
        "audio": torch.randn(batch, frames, SMALL.audio_dim, generator=generator),
        "style": torch.randn(batch, SMALL.style_dim, generator=generator),
        "has_audio": torch.ones(batch),
        "has_style": torch.ones(batch),
    }
    return {**values, **changes}


def test_both_conditions_are_heard(network):
    plain = network(**inputs())
    assert not torch.allclose(plain, network(**inputs(audio=torch.zeros(2, 16, 12))))
    assert not torch.allclose(plain, network(**inputs(style=torch.zeros(2, 8))))


def test_the_first_mask_hides_the_style_and_the_second_hides_everything(network):
    off = torch.zeros(2)
    a = network(**inputs(has_style=off))
    b = network(**inputs(has_style=off, style=torch.zeros(2, 8)))
    torch.testing.assert_close(a, b)
    c = network(**inputs(has_audio=off))
    d = network(**inputs(has_audio=off, style=torch.zeros(2, 8), audio=torch.zeros(2, 16, 12)))
    torch.testing.assert_close(c, d)
    assert not torch.allclose(a, c)


def test_a_head_goes_on_as_it_was_told_heads_do():
    """A network that says nothing of its own leaves the head to the linear prediction, frame after frame."""
    torch.manual_seed(0)
    network = Denoiser(replace(SMALL, hold=True)).eval()
    dynamics = torch.stack([torch.linspace(1.8, 1.95, 6), torch.linspace(-0.85, -0.96, 6)]).double()
    network.foresee(dynamics)
    given, ahead = 6, 10
    times = torch.cat([torch.zeros(2, given), torch.full((2, ahead), 500)], dim=1).long()
    x = inputs()["x"]
    made = network(**inputs(t=times))[..., SMALL.latent_dim :].double()
    pose = x[:, :given, SMALL.latent_dim :].double()
    for _ in range(ahead):
        pose = torch.cat([pose, dynamics[:1] * pose[:, -1:] + dynamics[1:] * pose[:, -2:-1]], dim=1)
    torch.testing.assert_close(made, pose, atol=1e-4, rtol=1e-4)
    alone = torch.cat([torch.zeros(2, 1), torch.full((2, 15), 500)], dim=1).long()  # no step is known: it stays nearly
    still = network(**inputs(t=alone))[:, 1, SMALL.latent_dim :].double()
    torch.testing.assert_close(still, dynamics.sum(dim=0) * x[:, 0, SMALL.latent_dim :].double(), atol=1e-4, rtol=1e-4)


def test_losses_are_those_of_the_paper():
    clean = torch.randn(1, 5, 3)
    predicted = torch.randn(1, 5, 3)
    mask = torch.ones(1, 5)
    torch.testing.assert_close(simple_loss(clean, predicted, mask), ((clean - predicted) ** 2).mean())
    v = (clean[:, 1:] - clean[:, :-1]) - (predicted[:, 1:] - predicted[:, :-1])
    torch.testing.assert_close(velocity_loss(clean, predicted, mask), (v**2).mean())
    line = torch.arange(5.0).view(1, 5, 1).expand(1, 5, 3)
    assert smooth_loss(line, mask) < 1e-10  # equation 7 as printed would not vanish on a straight line


def test_given_frames_cost_nothing():
    clean, noised = torch.randn(2, 16, 16), torch.zeros(2, 16)
    noised[:, 8:] = 1
    predicted = clean.clone()
    predicted[:, :8] += 100.0
    assert denoiser_loss(SMALL, clean, predicted, noised)["simple"] == 0
    assert denoiser_loss(SMALL, clean, predicted, noised)["velocity"] < 1e-8


def test_it_learns_to_follow_the_audio():
    torch.manual_seed(0)
    network = Denoiser(SMALL)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    mix = torch.randn(SMALL.audio_dim, SMALL.state_dim) / 3
    first = last = None
    for _ in range(150):
        audio = torch.randn(8, 16, SMALL.audio_dim)
        clean = audio @ mix
        values = inputs(8, audio=audio, x=torch.randn_like(clean), t=torch.full((8, 16), 500))
        loss = denoiser_loss(SMALL, clean, network(**values), torch.ones(8, 16))["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = first or float(loss), float(loss)
    assert last < 0.5 * first


def test_onnx_parity(network):
    pytest.importorskip("onnxscript")
    import onnxruntime as ort

    from media2face.onnx_export.media2face import denoiser_graph

    session = ort.InferenceSession(denoiser_graph(network).SerializeToString(), providers=["CPUExecutionProvider"])
    for batch, frames in ((1, 9), (3, 40)):
        values = inputs(batch, frames)
        ours = session.run(None, {k: v.numpy() for k, v in values.items()})[0]
        np.testing.assert_allclose(ours, network(**values).detach().numpy(), atol=1e-4)


def test_paper_configuration_builds():
    config = DenoiserConfig()
    assert (config.layers, config.heads, config.width, config.window, config.train_steps) == (8, 4, 512, 200, 500)
    count = sum(p.numel() for p in Denoiser(config).parameters())
    assert 20e6 < count < 40e6


@pytest.mark.parametrize("bad", [{"width": 65}, {"drop_all": 1.5}, {"window": 4}])
def test_bad_configurations_are_refused(bad):
    with pytest.raises(ValueError):
        DenoiserConfig(**bad)
