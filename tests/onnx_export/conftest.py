"""Tiny checkpoints with random weights, saved as the hub saves them: enough to prove loading, windows and parity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

SIZES = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, conv_dim=(16,) * 7,
    num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, vocab_size=8,
)  # fmt: skip


def _save_wav2vec2(folder: Path, norm: str = "group", stable: bool = False, seed: int = 0, **changes) -> Path:
    """A Wav2Vec2Model and its preprocessor in ``folder``; ``norm``: feat_extract_norm, ``stable``: pre-norm layers."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(seed)
    config = Wav2Vec2Config(**SIZES | dict(feat_extract_norm=norm, do_stable_layer_norm=stable) | changes)
    model = Wav2Vec2Model(config).eval()
    with torch.no_grad():
        for p in model.parameters():  # away from the zeros and ones that a fresh network is full of
            p.add_(0.05 * torch.randn_like(p))
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({
        "feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True, "feature_size": 1,
        "padding_side": "right", "padding_value": 0.0, "return_attention_mask": norm == "layer", "sampling_rate": 16000,
    }))  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def save_wav2vec2() -> Callable[..., Path]:
    """``save_wav2vec2(folder, norm="group", stable=False, seed=0, **config)``."""
    return _save_wav2vec2


@pytest.fixture(scope="session")
def wav2vec2_folder(tmp_path_factory) -> Path:
    """The kind of wav2vec2-base: group norm, post-norm layers."""
    return _save_wav2vec2(tmp_path_factory.mktemp("wav2vec2"))
