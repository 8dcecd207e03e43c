"""The vision encoders' networks and their differentiable renderer."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from media2face.models.vision.config import EncoderConfig, VisionConfig  # noqa: E402
from media2face.models.vision.mesh import HeadMesh  # noqa: E402
from media2face.models.vision.networks import STRIDE, ImageEncoder, Vision, _centres, rotation_of  # noqa: E402
from media2face.models.vision.renderer import Renderer  # noqa: E402
from media2face.runtime.decoder import FaceDecoder  # noqa: E402


def test_encoders_give_their_outputs():
    model = Vision(VisionConfig.edge()).eval()
    with torch.no_grad():
        assert model.expression(torch.rand(2, 3, 96, 96)).shape == (2, 64)
        assert model.pose(torch.rand(2, 3, 64, 64)).shape == (2, 10)
        assert model.locator(torch.rand(1, 3, 120, 160)).shape == (1, 4, 120 // STRIDE, 160 // STRIDE)


def test_paper_encoder_builds():
    cfg = EncoderConfig()
    with torch.no_grad():
        assert ImageEncoder(cfg, 64).eval()(torch.rand(1, 3, cfg.size, cfg.size)).shape == (1, 64)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="halved"):
        EncoderConfig(size=100, channels=(8, 8, 8), blocks=(0, 0, 0))
    with pytest.raises(ValueError, match="blocks"):
        EncoderConfig(size=64, channels=(8, 8), blocks=(1,))
    with pytest.raises(ValueError, match="rendered"):
        VisionConfig(rendered=100, batch=10)


def test_landmarks_are_the_centres_of_their_heat():
    heat = torch.zeros(1, 2, 8, 8)
    heat[0, 0, 6, 1], heat[0, 1, 0, 7] = 50, 50
    spots = _centres(heat)[0]
    assert torch.allclose(spots, torch.tensor([[-0.3125, 0.3125], [0.4375, -0.4375]]), atol=1e-4)
    encoder = ImageEncoder(EncoderConfig(32, (4, 8, 8), (0, 0, 0), (8,), 68), 5).eval()
    with torch.no_grad():
        made, spots = encoder.with_points(torch.rand(3, 3, 32, 32))
    assert made.shape == (3, 5) and spots.shape == (3, 68, 2) and spots.abs().max() <= 0.5


def test_rotations_are_orthonormal_and_start_at_identity():
    eye = rotation_of(torch.tensor([[1.0, 0, 0, 0, 1, 0]]))
    assert torch.allclose(eye[0], torch.eye(3))
    made = rotation_of(torch.randn(20, 6))
    assert torch.allclose(made @ made.transpose(1, 2), torch.eye(3).expand(20, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(made), torch.ones(20), atol=1e-5)


@pytest.fixture(scope="module")
def ball():
    """A bumpy ball of 12 x 24 quads."""
    phi, theta = np.meshgrid(np.linspace(0.05, np.pi - 0.05, 13), np.linspace(0, 2 * np.pi, 25)[:-1], indexing="ij")
    r = 0.06 + 0.004 * np.sin(5 * theta) * np.sin(phi)
    points = np.stack([r * np.cos(theta) * np.sin(phi), r * np.sin(theta) * np.sin(phi), r * np.cos(phi)], -1)
    quads = [(i * 24 + j, (i + 1) * 24 + j, (i + 1) * 24 + (j + 1) % 24, i * 24 + (j + 1) % 24)
             for i in range(12) for j in range(24)]  # fmt: skip
    tris = np.array([(a, b, c) for a, b, c, _ in quads] + [(a, c, d) for a, _, c, d in quads])
    return torch.from_numpy(points.reshape(-1, 3).astype(np.float32)), tris


def test_renderer_sees_the_near_side(ball):
    points, tris = ball
    renderer = Renderer(tris, 32)
    half, away = torch.tensor([0.08]), torch.tensor([0.6])
    found = renderer.visible(points[None], renderer.rays(half, away), away)[0]
    middle = points[torch.from_numpy(tris)[found[found >= 0]]].mean(1)
    assert 0.3 < (found >= 0).float().mean() < 0.6
    assert (middle[:, 0] > 0).all()


def test_gradients_agree_with_finite_differences(ball):
    """Vertices, colours and light; only pixels well inside, whose triangle does not change."""
    points, tris = ball
    renderer = Renderer(tris, 24)
    half, away = torch.tensor([0.08]), torch.tensor([0.6])
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(1, len(points), 3, generator=generator)
    light = torch.rand(1, 3, 9, generator=generator) + 0.5 * torch.eye(9)[:1]
    weight = torch.randn(1, 3, 24, 24, generator=generator)
    step = 1e-4
    rays = renderer.rays(half, away)
    base = renderer.visible(points[None], rays, away)
    turn = torch.randn(3, generator=generator)
    motion = (
        torch.linalg.cross(turn.expand_as(points), points) + 0.2 * torch.randn(points.shape, generator=generator) * 0.01
    )
    same = base.clone()
    for sign in (1, -1):
        same[renderer.visible((points + sign * step * motion)[None], rays, away) != base] = -1
    keep = ((same >= 0) | (base < 0)).reshape(1, 1, 24, 24) & (base >= 0).reshape(1, 1, 24, 24)
    assert keep.sum() > 100

    def value(points, colours, light):
        return (renderer(points[None], colours, half, away, light)[0] * weight * keep).sum()

    for name in ("points", "colours", "light"):
        at = {"points": points.clone(), "colours": colours.clone(), "light": light.clone()}
        way = motion if name == "points" else torch.randn(at[name].shape, generator=generator)
        at[name].requires_grad_(True)
        (slope,) = torch.autograd.grad(value(**at), at[name])
        analytic = float((slope * way).sum())
        with torch.no_grad():
            plus, minus = ({**at, name: at[name] + s * step * way} for s in (1, -1))
            numeric = float((value(**plus).double() - value(**minus).double()) / (2 * step))
        assert analytic == pytest.approx(numeric, rel=0.03, abs=2e-2), name


def test_head_mesh_is_the_run_time_rig():
    decoder = FaceDecoder()
    rng = np.random.default_rng(0)
    weights = rng.random((3, 52)).astype(np.float32) * (rng.random((3, 52)) < 0.3)
    z = decoder.latents(weights)
    neutral = decoder.rig.neutral
    wanted = decoder.mesh(z)
    offsets = decoder._generator.run({"neutral": decoder.rig.neutral_map(None), "latent": z})["offsets"]
    offsets = torch.from_numpy(offsets).requires_grad_(True)
    shown = torch.from_numpy(decoder.weights(z)).requires_grad_(True)
    made = HeadMesh(decoder.rig)(offsets, shown, torch.from_numpy(neutral).expand(3, -1, -1))
    assert np.abs(made.detach().numpy() - wanted).max() < 1e-5
    made.square().sum().backward()
    assert offsets.grad.abs().sum() > 0 and shown.grad.abs().sum() > 0
