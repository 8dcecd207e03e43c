"""Baselines: state spaces that lead to the same lips, a regressor that sees no noise, and a run from cache to ONNX."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is installed with [train] only")
pytest.importorskip("tensorboard", reason="tensorboard is installed with [train] only")

from media2face.evaluation.motion_rows import available  # noqa: E402
from media2face.evaluation.motion_takes import Take  # noqa: E402
from media2face.models.baselines.config import SPACES, BaselineConfig  # noqa: E402
from media2face.models.media2face.config import DenoiserConfig  # noqa: E402
from media2face.onnx_export.baselines import export  # noqa: E402
from media2face.onnx_export.shipped import phone_head  # noqa: E402
from media2face.runtime.sessions import weights_folder  # noqa: E402
from media2face.training.baseline_spaces import SpaceLips, SpaceWindows, affine_to, states_in  # noqa: E402
from media2face.training.denoiser_loop import LoopSettings  # noqa: E402
from media2face.training.train_baseline import carried_over, regression, train  # noqa: E402

TINY = dict(layers=1, width=32, feed_forward=32, window=12, max_frames=64)


@pytest.fixture(scope="module")
def cache(shared, tmp_path_factory):
    """Forty clips of moving jaws, with features of noise."""
    folder, rng = tmp_path_factory.mktemp("cache"), np.random.default_rng(0)
    frames, clips = 40, []
    weights = np.zeros((40 * frames, 52), np.float32)
    weights[:, 17] = 0.3 + 0.2 * np.sin(np.arange(len(weights)) / 4)
    weights[:, rng.permutation(52)[:20]] += rng.uniform(0, 0.4, (len(weights), 20))
    pose = 0.05 * rng.standard_normal((len(weights), 6))
    states = np.concatenate([shared.decoder.latents(weights.clip(0, 1)), pose], axis=1).astype(np.float32)
    for k in range(40):
        clips.append({"id": f"clip{k}", "start": k * frames, "frames": frames, "source": "synthetic",
                      "split": "val" if k % 5 == 0 else "train", "style": "neutral", "intensity": 0.0})  # fmt: skip
    np.save(folder / "states.npy", states)
    np.save(folder / "features.npy", rng.standard_normal((2, len(states), 192)).astype(np.float16))
    np.save(folder / "prompts.npy", rng.standard_normal((1, 5, 2, 128)).astype(np.float32))
    np.savez(folder / "phone_head.npz", **dict(zip(("weight", "bias"), phone_head(), strict=True)))
    record = {"speech": shared.speech.fingerprint, "style": shared.style.fingerprint,
              "decoder": shared.decoder.fingerprint, "styles": ["neutral"], "rest": states[0].tolist(),
              "neutral_style": [0.0] * 128, "clips": clips}  # fmt: skip
    (folder / "index.json").write_text(json.dumps(record))
    return folder


def test_a_share_is_part_of_a_larger_one(cache, shared_data):
    some, more, every = (
        {c["id"] for c in SpaceWindows(cache, "train", BaselineConfig(share=s), shared_data).clips}
        for s in (0.3, 0.7, 1.0)
    )
    assert some < more < every and len(every) == 32 and 3 <= len(some) <= 17
    assert len(SpaceWindows(cache, "val", BaselineConfig(share=0.3), shared_data).clips) == 8
    with pytest.raises(ValueError, match="share"):
        BaselineConfig(share=0.0)


def test_every_space_has_the_same_lips(cache, shared_data):
    cached = np.load(cache / "states.npy")[:6]
    marks = {}
    for space in SPACES:
        states = states_in(space, cached, shared_data)
        mean, std = torch.zeros(states.shape[1]), torch.ones(states.shape[1])
        lips = SpaceLips(space, mean, std, shared_data)
        x = torch.from_numpy(states)[None]
        error, closed = lips.errors(x, torch.zeros_like(x))
        assert lips.errors(x, x)[0].abs().max() == 0
        marks[space] = lips._marks(x) if space == "vertices" else (lips.weights(x) @ lips.deltas).unflatten(-1, (-1, 3))
        assert error.shape == (1, 6, 60) and closed.shape == (1, 6, 1)
    assert torch.allclose(marks["z"], marks["weights"], atol=1e-3)
    assert torch.allclose(marks["z"], marks["vertices"], atol=1e-3)


def test_a_regressor_sees_nothing_of_what_it_predicts():
    seen = []

    def losses(network, held_out, rng, size):
        x, t = torch.ones(1, 4, 2), torch.tensor([[0, 0, 3, 9]])
        return {"total": network(x, t, "audio").sum()}

    def network(x, t, audio):
        seen.append((x, t, audio))
        return x

    config = replace(DenoiserConfig(), train_steps=9)
    assert regression(losses, config)(network, False, None, 1)["total"] == 4
    x, t, audio = seen[0]
    assert t.tolist() == [[0, 0, 9, 9]] and x[0, :, 0].tolist() == [1, 1, 0, 0] and audio == "audio"


def test_the_shipped_network_carried_over_predicts_the_same_face(cache, shared, shared_data):
    """With M' linear, the weights it predicts are those of its latents."""
    from media2face.models.media2face.config import CONFIGS
    from media2face.training.train_media2face import starting_point

    start = weights_folder() / "denoiser.onnx"
    own, record = starting_point(start)
    matrix, offset = affine_to("weights", 64, shared_data)
    mean, std = matrix @ torch.tensor(record["mean"]) + offset, torch.full((58,), 0.2)
    config = replace(CONFIGS["edge"](), latent_dim=52)
    network = carried_over(start, "weights", config, mean, std, shared_data).eval()
    torch.manual_seed(0)
    t = torch.full((1, 8), 500)
    conditions = torch.randn(1, 8, 192), torch.randn(1, 128), torch.ones(1), torch.ones(1)
    with torch.no_grad():
        z = own(torch.zeros(1, 8, 70), t, *conditions) * torch.tensor(record["std"]) + torch.tensor(record["mean"])
        made = network(torch.zeros(1, 8, 58), t, *conditions) * std + mean
    assert torch.allclose(made, z @ matrix.T + offset, atol=1e-3)


@pytest.mark.parametrize(("space", "objective"), [("vertices", "diffusion"), ("z", "regression")])
def test_from_cache_to_a_row(cache, shared, shared_data, tmp_path, space, objective):
    config = replace(DenoiserConfig(), audio_dim=192, style_dim=128, **TINY)
    settings = LoopSettings(0.03, batch=2, check_s=1.0, processor_time=True)
    train(cache, tmp_path / "run", shared_data, config, BaselineConfig(space, objective), settings)
    export(tmp_path / "run", cache, tmp_path / "rows", "baseline")
    row = available(tmp_path / "rows", shared)["baseline"]
    assert row.space == space and row.sampler.model.meta["trained"]["steps"] > 0
    samples = 0.1 * np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
    take = Take("noise", False, samples, np.zeros((15, 52), np.float32), np.zeros((15, 3), np.float32))
    first, second = (row(take, seed) for seed in (0, 1))
    assert first.offsets.shape == (15, 400, 3) and first.rotvec.shape == (15, 3) and np.isfinite(first.offsets).all()
    assert (first.weights is None) == (space == "vertices")
    assert (np.abs(first.offsets - second.offsets).max() < 1e-6) == (objective == "regression")
