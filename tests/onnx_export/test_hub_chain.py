"""A published speech encoder end to end: exported, clips cached with it, a denoiser of that cache, a moving face."""

from __future__ import annotations

import json
from dataclasses import asdict
from multiprocessing.pool import ThreadPool
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("transformers", reason="needs the [train] extra")

from safetensors.torch import save_file  # noqa: E402

from media2face.data.clips import MotionClip  # noqa: E402
from media2face.models.media2face.config import DenoiserConfig  # noqa: E402
from media2face.models.media2face.network import Denoiser  # noqa: E402
from media2face.onnx_export import hub_speech, media2face  # noqa: E402
from media2face.runtime.clock import interpolate_features  # noqa: E402
from media2face.runtime.engine import AvatarEngine, EngineModels  # noqa: E402
from media2face.runtime.errors import ModelError  # noqa: E402
from media2face.runtime.sessions import load_model, weights_folder  # noqa: E402
from media2face.runtime.speech_window import load_speech_encoder  # noqa: E402
from media2face.training import motion_cache  # noqa: E402

pytestmark = pytest.mark.skipif(not (weights_folder() / "denoiser.onnx").is_file(), reason="no weights")
FRAMES = 45


def speech(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    swell = 0.06 + 0.05 * np.sin(np.arange(FRAMES * 16_000 // 30) / 900)
    return (rng.standard_normal(len(swell)) * swell).astype(np.float32)


@pytest.fixture(scope="module")
def trained(wav2vec2_folder, tmp_path_factory):
    """A weights folder with a tiny published encoder and a denoiser (untrained) made for a cache of its features."""
    root = tmp_path_factory.mktemp("chain")
    folder, clips, cache, run = (root / name for name in ("weights", "clips", "cache", "run"))
    hub_speech.main(["--model", str(wav2vec2_folder), "--out", str(folder), "--left", "0.5", "--lookahead", "0.1"])
    rng = np.random.default_rng(0)
    for i in range(2):
        weights = rng.uniform(0, 0.3, (FRAMES, 52)).astype(np.float32)
        clip = MotionClip(weights=weights, speaker="s", source="synthetic", split="train", style="neutral")
        clip.head_valid = True
        clip.save(clips / f"c{i}.npz", speech(i))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion_cache, "get_context", lambda _: SimpleNamespace(Pool=ThreadPool))
        motion_cache.build(clips, cache, noisy=0.0, weights=folder)
    record, states = json.loads((cache / "index.json").read_text()), np.load(cache / "states.npy")
    config = DenoiserConfig(
        audio_dim=np.load(cache / "features.npy").shape[-1], style_dim=len(record["neutral_style"]),
        phones=record["phones"], layers=1, width=32, feed_forward=32, window=40,
    )  # fmt: skip
    torch.manual_seed(0)
    network = Denoiser(config)
    run.mkdir()
    save_file({f"average.{k}": v for k, v in network.state_dict().items()}, run / "checkpoint.safetensors")
    mean, std = states.mean(0), states.std(0) + 0.05
    (run / "config.json").write_text(json.dumps({"config": asdict(config), "mean": mean.tolist(), "std": std.tolist()}))
    media2face.export(run, cache, folder)
    return folder, cache


def test_the_cache_holds_the_features_that_the_engine_will_hear(trained):
    folder, cache = trained
    encoder, features = load_speech_encoder(folder, "cpu"), np.load(cache / "features.npy")
    record = json.loads((cache / "index.json").read_text())
    assert record["speech"] == encoder.fingerprint and record["phones"] == 0
    assert not (cache / "phone_head.npz").exists() and features.shape == (2, 2 * FRAMES, 32)
    wanted = interpolate_features(encoder.encode(speech(1)), 0, np.arange(FRAMES))
    assert np.abs(features[0, FRAMES:].astype(np.float32) - wanted).max() < 2e-3 * np.abs(wanted).max()


def test_the_graph_runs_with_it_and_chunks_do_not_matter(trained):
    models = EngineModels.load(trained[0], "cpu", model="denoiser")
    assert load_model("denoiser", trained[0], "cpu").meta["requires"]["speech"] == models.speech.fingerprint

    def frames(chunk: int) -> np.ndarray:
        engine = AvatarEngine(models, seed=3)
        made = []
        for at in range(0, len(speech(5)), chunk):
            engine.accept_waveform(speech(5)[at : at + chunk])
            made += engine.frames_ready()
        engine.input_finished()
        made += engine.frames_ready()
        assert [f.index for f in made] == list(range(FRAMES))
        return np.stack([f.weights for f in made])

    whole = frames(10**6)
    assert np.abs(frames(700) - whole).max() <= 1e-5 and whole.std() > 0


def test_neither_denoiser_takes_the_others_encoder(trained, tmp_path):
    folder = trained[0]
    for path in weights_folder().iterdir():
        if path.suffix != ".md" and not path.name.startswith(("vision", "face_identities", "denoiser")):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "denoiser.onnx").write_bytes((folder / "denoiser.onnx").read_bytes())
    with pytest.raises(ModelError, match="was trained with speech"):
        EngineModels.load(tmp_path, "cpu", model="denoiser")
    (tmp_path / "denoiser.onnx").write_bytes((weights_folder() / "denoiser.onnx").read_bytes())
    (tmp_path / "speech_hub.onnx").write_bytes((folder / "speech_hub.onnx").read_bytes())
    with pytest.raises(ModelError, match="was trained with speech"):
        EngineModels.load(tmp_path, "cpu", model="denoiser")
