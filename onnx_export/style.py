"""CLIP's two towers to ONNX, with what the runtime needs to read their embeddings."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from media2face.data.style_corpus import StyleCorpus, noise
from media2face.data.styles import LEVEL_INTENSITY, LEVELS, STYLES, emoji_words, lexicon, sample_prompt
from media2face.runtime.tokenizer import ClipTokenizer

from .metadata import write_model

_PROMPTS = 60  # per style and level, for its mean direction
_MEANINGLESS = 400  # texts, for the threshold of what is known


class TextTower(nn.Module):
    """Tokens (B, L) int64 of CLIP's vocabulary -> unit embeddings (B, D)."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.clip.encode_text(tokens, normalize=True)


class ImageTower(nn.Module):
    """RGB (B, 3, S, S) in [0, 1] -> unit embeddings (B, D); CLIP's normalisation is inside."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

        self.clip = clip
        visual = clip.visual
        mean = getattr(visual, "image_mean", None) or OPENAI_DATASET_MEAN
        std = getattr(visual, "image_std", None) or OPENAI_DATASET_STD
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.clip.encode_image((image - self.mean) / self.std, normalize=True)


def _to_onnx(module: nn.Module, example: torch.Tensor, name: str) -> onnx.ModelProto:
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        buffer = io.BytesIO()
        torch.onnx.export(
            module.eval(), (example,), buffer, input_names=[name], output_names=["embedding"], opset_version=17,
            dynamic_axes={name: {0: "batch"}, "embedding": {0: "batch"}}, dynamo=False,
        )  # fmt: skip
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return onnx.load_from_string(buffer.getvalue())


@torch.no_grad()
def _width(clip: nn.Module, size: int) -> int:
    return int(ImageTower(clip)(torch.zeros(1, 3, size, size)).shape[1])


@torch.no_grad()
def embed_texts(clip: nn.Module, tokenizer: ClipTokenizer, texts: list[str], batch: int = 128) -> np.ndarray:
    """Unit embeddings (len(texts), D) float32."""
    tower = TextTower(clip).eval()
    tokens = torch.from_numpy(tokenizer(texts, clip.context_length))
    return np.concatenate([tower(t).numpy() for t in tokens.split(batch)])


def prototypes(clip: nn.Module, tokenizer: ClipTokenizer) -> dict[str, list[float]]:
    """Mean direction of each style at each level, ``happy/strong`` -> D floats, over sampled prompts."""
    rng = np.random.default_rng(11)
    found = {}
    for style in STYLES:
        for level in LEVELS if style != "neutral" else ("medium",):
            prompts = [sample_prompt(style, LEVEL_INTENSITY[level], rng) for _ in range(_PROMPTS)]
            mean = embed_texts(clip, tokenizer, prompts).mean(0)
            found[f"{style}/{level}"] = [round(float(v), 5) for v in mean / np.linalg.norm(mean)]
    return found


def style_margin(embeddings: np.ndarray, table: dict[str, list[float]]) -> np.ndarray:
    """How much nearer each embedding lies to a style (at medium or strong) than to neutral, (n,) cosines."""
    neutral = embeddings @ np.array(table["neutral/medium"])
    styled = np.array([v for k, v in table.items() if not k.startswith("neutral") and not k.endswith("/slight")])
    return (embeddings @ styled.T).max(1) - neutral


def calibrate(clip: nn.Module, tokenizer: ClipTokenizer, table: dict, false_rate: float = 0.02) -> float:
    """Margin that ``false_rate`` of meaningless held-out texts exceed: above it, a text of unlisted words is known."""
    rng = np.random.default_rng(12)
    corpus = StyleCorpus(tokenizer, "held_out")
    texts = [noise(rng, "held_out") if i % 2 else corpus.sentence(rng) for i in range(_MEANINGLESS)]
    return float(np.quantile(style_margin(embed_texts(clip, tokenizer, texts), table), 1 - false_rate))


def export_text(clip: nn.Module, tokenizer: ClipTokenizer, folder: str | Path, known: bool = True, **fields) -> Path:
    """Write ``style_text.onnx``: tokens (B, context) int64 -> embedding (B, D); its record has prototypes and words.

    With ``known`` False the encoder is open: it has no list of words and no threshold of what it knows.
    """
    table = prototypes(clip, tokenizer)
    example = torch.from_numpy(tokenizer(["a cheerful host", "sad"], clip.context_length))
    return write_model(
        _to_onnx(TextTower(clip), example, "tokens"), "style_text", folder,
        dim=len(next(iter(table.values()))), context_length=clip.context_length, styles=list(STYLES), prototypes=table,
        levels=LEVEL_INTENSITY, known_margin=calibrate(clip, tokenizer, table) if known else None,
        lexicon=lexicon() if known else {}, emoji=emoji_words(), **fields,
    )  # fmt: skip


def export_image(clip: nn.Module, folder: str | Path, known_similarity: float | None = 0.55, **fields) -> Path:
    """Write ``style_image.onnx``: image (B, 3, S, S) RGB in [0, 1] -> embedding (B, D).

    A picture whose nearest style has a cosine below ``known_similarity`` is unknown to the runtime, hence neutral;
    with None every picture is taken as it is.
    """
    size = clip.visual.image_size
    size = size[0] if isinstance(size, (tuple, list)) else int(size)
    model = _to_onnx(ImageTower(clip), torch.rand(2, 3, size, size), "image")
    return write_model(model, "style_image", folder, dim=_width(clip, size), image_size=size,
                       known_similarity=known_similarity, **fields)  # fmt: skip
