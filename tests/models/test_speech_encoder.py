"""The network: causal, limited in reach, exact step by step; sizes are checked; it learns."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("transformers", reason="needs the [train] extra")

from media2face.data.speech_corpus import SpeechClip  # noqa: E402
from media2face.models.speech_encoder.config import SpeechEncoderConfig  # noqa: E402
from media2face.models.speech_encoder.network import FilterbankLayer, SpeechEncoder  # noqa: E402
from media2face.training.train_speech import TrainConfig, Trainer  # noqa: E402

SMALL = dict(conv_dim=(24, 32, 32), hidden_size=32, layers=2, heads=2, feed_forward=64, position_groups=4, window=12)
SMALL |= dict(position_kernel=4, dropout=0.0)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return SpeechEncoder(SpeechEncoderConfig(**SMALL)).eval()


@torch.no_grad()
def test_shapes_and_rate(model):
    hidden, logits = model(torch.randn(2, 16_000))
    assert hidden.shape == (2, 49, 32) and logits.shape == (2, 49, 42)


@torch.no_grad()
def test_a_frame_sees_nothing_later_than_its_400_samples(model):
    audio = torch.randn(1, 16_000) * 0.1
    changed = audio.clone()
    changed[:, 320 * 20 + 400 :] = torch.randn(1, 16_000 - 320 * 20 - 400)
    a, b = model(audio)[0], model(changed)[0]
    assert torch.equal(a[:, :21], b[:, :21]) and not torch.allclose(a[:, 22:], b[:, 22:])


@torch.no_grad()
def test_reach_is_bounded(model):
    """Two layers of 12 frames and a convolution of 4 reach 25 frames back, not further."""
    audio = torch.randn(1, 320 * 60 + 400) * 0.1
    changed = audio.clone()
    changed[:, :1600] = 0
    a, b = model(audio)[0], model(changed)[0]
    assert torch.allclose(a[:, 35:], b[:, 35:], atol=1e-6) and not torch.allclose(a[:, :10], b[:, :10], atol=1e-3)


@torch.no_grad()
def test_steps_equal_the_whole(model):
    c, encoder = model.config, model.wav2vec2.encoder
    frames = torch.randn(1, 50, c.hidden_size)
    whole = encoder(frames).last_hidden_state
    position = torch.zeros(1, c.position_kernel - 1, c.hidden_size)
    past = torch.zeros(c.layers, 2, c.heads, c.window - 1, c.hidden_size // c.heads)
    out, at = [], 0
    for n in (1, 2, 5, 13, 29):
        hidden, position, past = encoder.step(frames[:, at : at + n], position, past, torch.tensor(at))
        out.append(hidden)
        at += n
    assert (torch.cat(out, 1) - whole).abs().max() < 1e-5


@torch.no_grad()
def test_filterbank_begins_as_log_mel():
    layer = FilterbankLayer(64, 240, 80)
    t = torch.arange(4000) / 16_000
    peaks = [int(layer(torch.sin(2 * torch.pi * f * t)[None, None])[0].mean(1).argmax()) for f in (300, 1000, 3000)]
    assert peaks[0] < peaks[1] < peaks[2]
    loud = layer(torch.sin(2 * torch.pi * 1000 * t)[None, None]).max()
    soft = layer(0.1 * torch.sin(2 * torch.pi * 1000 * t)[None, None]).max()
    assert loud - soft == pytest.approx(0.25 * np.log(100), abs=0.01)


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="400 samples every 320"):
        SpeechEncoderConfig(conv_kernel=(240, 2, 1))
    with pytest.raises(ValueError, match="multiple of heads"):
        SpeechEncoderConfig(heads=5)
    with pytest.raises(ValueError, match="one length"):
        SpeechEncoderConfig(conv_dim=(8, 8))
    with pytest.raises(ValueError, match="unknown"):
        SpeechEncoderConfig.from_dict({"size": 3})
    config = SpeechEncoderConfig.edge()
    assert SpeechEncoderConfig.from_dict(config.to_dict()) == config


def test_paper_configuration_has_the_published_shape():
    with torch.device("meta"):
        model = SpeechEncoder(SpeechEncoderConfig.paper())
    count = sum(p.numel() for p in model.wav2vec2.parameters())
    assert 94e6 < count < 96e6
    assert len(model.wav2vec2.encoder.layers) == 12 and model.wav2vec2.config.conv_kernel == (10, 3, 3, 3, 3, 2, 2)


def _tones():
    """Three "phones" that are tones: enough to see the loss fall."""
    clips, rng = [], np.random.default_rng(0)
    for i in range(6):
        labels = rng.integers(1, 4, 10)
        t = np.arange(3200) / 16_000
        audio = np.concatenate([np.sin(2 * np.pi * 500 * label * t) for label in labels])
        bounds = np.arange(11) * 0.2
        clips.append(SpeechClip(str(i), "v", "en", "train", (audio * 8000).astype(np.int16), bounds, labels))
    return clips


def test_training_learns_and_is_taken_up_again(tmp_path):
    config = TrainConfig(minutes=0.15, frames=40, batch=4, compile=False, bf16=False, checkpoint_minutes=0.05)
    trainer = Trainer(config, SpeechEncoderConfig(**SMALL), tmp_path)
    clips = _tones()
    trainer.train(clips, clips[:2])
    assert trainer.history[-1]["accuracy"] > 0.6  # chance is a third
    again = Trainer(config, SpeechEncoderConfig(**SMALL), tmp_path)
    assert again.step == trainer.step and again.progress >= 1
    for name, value in trainer.average.items():
        assert torch.equal(again.average[name], value)
