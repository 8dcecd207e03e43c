"""The exported pair computes what the network computes, and refuses a stranger beside it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("transformers", reason="needs the [train] extra")

from media2face.models.speech_encoder.config import SpeechEncoderConfig  # noqa: E402
from media2face.models.speech_encoder.network import SpeechEncoder  # noqa: E402
from media2face.onnx_export import speech as export  # noqa: E402
from media2face.runtime.errors import ModelError  # noqa: E402
from media2face.runtime.speech import SpeechEncoder as RuntimeEncoder  # noqa: E402

SMALL = dict(conv_dim=(24, 32, 32), hidden_size=32, layers=2, heads=2, feed_forward=64, position_groups=4, window=12)


def _model(seed: int) -> SpeechEncoder:
    torch.manual_seed(seed)
    return SpeechEncoder(SpeechEncoderConfig(**SMALL)).eval()


def test_parity_and_record(tmp_path):
    model = _model(0)
    export.export(model, tmp_path, steps=3)
    assert export.parity(model, tmp_path) < 1e-4
    encoder = RuntimeEncoder(tmp_path, providers="cpu")
    assert encoder.dim == 32 and encoder.delay == 4 and len(encoder.phones) == 42
    assert encoder.context.meta["steps"] == 3
    assert encoder.lookahead_s == pytest.approx(0.0925)


def test_halves_of_two_encoders_are_refused(tmp_path):
    export.export(_model(0), tmp_path / "a")
    export.export(_model(1), tmp_path / "b")
    (tmp_path / "b" / "speech_frontend.onnx").replace(tmp_path / "a" / "speech_frontend.onnx")
    with pytest.raises(ModelError, match="trained with speech_frontend"):
        RuntimeEncoder(tmp_path / "a", providers="cpu")


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="train_speech"):
        export.load_run(tmp_path)
