"""Networks read back from the shipped files compute what the files do."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from media2face.models.speech_encoder.config import SpeechEncoderConfig  # noqa: E402
from media2face.models.speech_encoder.network import SpeechEncoder  # noqa: E402
from media2face.models.vision.config import VisionConfig  # noqa: E402
from media2face.models.vision.networks import Locator, Vision  # noqa: E402
from media2face.onnx_export.shipped import (  # noqa: E402
    fill,
    phone_head,
    shipped_generator,
    shipped_mapping,
    shipped_picture_network,
    shipped_speech_encoder,
)
from media2face.onnx_export.speech import parity  # noqa: E402
from media2face.runtime.decoder import FaceDecoder  # noqa: E402
from media2face.runtime.sessions import load_model  # noqa: E402


def pictures(count: int, size: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, size // 8, size // 8, 3))
    fine = rng.normal(0, 12, (count, size, size, 3))
    return np.clip(coarse.repeat(8, 1).repeat(8, 2) + fine, 0, 255).astype(np.uint8)


def as_torch(images: np.ndarray):
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255


@pytest.mark.parametrize("name", ["expression", "pose", "locator"])
def test_batch_norms_come_back_and_change_nothing(name):
    cfg = VisionConfig.edge()
    network = Locator(cfg.locator_channels) if name == "locator" else getattr(Vision(cfg), name)
    size = 96 if name == "locator" else network.size
    shipped_picture_network(f"vision_{name}", network, as_torch(pictures(32, size)))
    assert network.training
    fresh = pictures(1, size, 1)
    with torch.no_grad():
        made = network.eval()(as_torch(fresh)).numpy()
    wanted = load_model(f"vision_{name}", None, "cpu").run({"image": fresh})
    if name == "pose":
        made, wanted = made[:, 6:9], wanted["place"]
    else:
        wanted = next(iter(wanted.values()))
    assert np.abs(made - wanted).max() < 1e-3 * max(1.0, np.abs(wanted).max())
    norm = next(m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert not torch.allclose(norm.running_var, torch.ones_like(norm.running_var))
    with torch.no_grad():  # and in training mode, on the pictures that gave the statistics
        same = as_torch(pictures(32, size))
        assert torch.allclose(network.train()(same), network.eval()(same), atol=0.05)


def test_the_generator_is_the_shipped_decoder():
    decoder, generator = FaceDecoder(), shipped_generator()
    z = decoder.latents(np.eye(52, dtype=np.float32)[[17, 23]])
    neutral = decoder.rig.neutral_map(decoder.rig.neutral)
    shipped = load_model("gnpfa_decoder", None, "cpu").run({"neutral": neutral, "latent": z})["offsets"]
    with torch.no_grad():
        made = generator(torch.from_numpy(neutral), torch.from_numpy(z)).numpy()
    assert np.abs(made - shipped).max() < 1e-4 and np.abs(shipped).max() > 0.5
    assert not any(p.requires_grad for p in generator.parameters())


def test_another_architecture_is_refused():
    layer = torch.nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"expected weight of shape \(2, 3\) in the file, got \(2, 4\)"):
        fill(layer, {"weight": np.zeros((2, 4), np.float32)})
    fill(layer, {"weight": np.ones((2, 3), np.float32)})
    assert layer.weight.eq(1).all() and layer.bias.eq(0).all()


def test_the_phone_head_gives_the_encoders_logits():
    model = load_model("speech_context", providers="cpu")
    frames = np.random.default_rng(0).standard_normal((1, 9, model.meta["dim"])).astype(np.float32)
    made = model.run({
        "frames": frames, "position_past": np.zeros(model.meta["position_past"], np.float32),
        "past": np.zeros(model.meta["past"], np.float32), "seen": np.array(0, np.int64),
    })  # fmt: skip
    weight, bias = phone_head()
    logits = made["hidden"][0] @ weight.T + bias
    assert np.abs(logits - made["phone_logits"][0]).max() <= 1e-4 and np.ptp(logits) > 1


@pytest.mark.parametrize(("name", "feed", "output", "size"), [
    ("gnpfa_from_weights", "weights", "latent", 52), ("gnpfa_to_weights", "latent", "weights", 64),
])  # fmt: skip
def test_the_mappings_equal_their_files(name, feed, output, size):
    values = np.random.default_rng(0).random((5, size), np.float32)
    with torch.no_grad():
        ours = shipped_mapping(name)(torch.from_numpy(values)).numpy()
    if output == "weights":
        ours = ours.clip(0, 1)
    assert np.abs(ours - load_model(name, providers="cpu").run({feed: values})[output]).max() <= 1e-4


def test_the_speech_encoder_is_trained_on_from_its_files():
    model = SpeechEncoder(SpeechEncoderConfig.edge()).eval()
    shipped_speech_encoder(model)
    assert parity(model, None, seconds=1.0) < 1e-4
    assert not isinstance(model.wav2vec2.encoder.pos_conv_embed.conv.weight, torch.nn.Parameter)  # weight norm is kept
    with pytest.raises(ValueError, match="layers.5"):
        shipped_speech_encoder(SpeechEncoder(replace(SpeechEncoderConfig.edge(), layers=6)))
