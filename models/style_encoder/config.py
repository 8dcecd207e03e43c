"""Configuration of the style encoder: an open_clip CLIP, small (``edge``) or published (``paper``)."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class EdgeConfig:
    """The CLIP that ships: trained here, offline at once, on two CPU cores.

    Raises:
        ValueError: if a field is out of range; the message names it.
    """

    # embedding shared by both towers
    embed_dim: int = 128  # fifteen styles in three strengths need few directions

    # text tower: a causal transformer read at the end token
    vocabulary: int = 6000  # rows of the token table, set by the tokens that training shows
    context_length: int = 32  # a prompt is a phrase; CLIP's 77 would cost 2.4 times as much
    text_width: int = 128
    text_layers: int = 4
    text_heads: int = 4

    # image tower: CLIP's modified ResNet, which learns from few pictures better than a ViT
    image_size: int = 64
    image_layers: tuple[int, int, int, int] = (1, 1, 1, 1)
    image_width: int = 12
    image_head_width: int = 64

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if min(value if isinstance(value, tuple) else (value,)) < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.text_width % self.text_heads:
            raise ValueError(f"text_width {self.text_width} must be a multiple of text_heads {self.text_heads}")
        if self.vocabulary > 32_767:
            raise ValueError(f"vocabulary must fit 16 bits (32,767 rows), got {self.vocabulary}")
        if self.image_size % 32:
            raise ValueError(f"image_size must be a multiple of 32 (five halvings), got {self.image_size}")
        if self.context_length < 4:
            raise ValueError(f"context_length must leave room for start, end and a word, got {self.context_length}")

    def open_clip(self) -> dict:
        """The same as open_clip's own model config."""
        return {
            "embed_dim": self.embed_dim,
            "vision_cfg": {
                "layers": list(self.image_layers), "width": self.image_width, "head_width": self.image_head_width,
                "image_size": self.image_size,
            },
            "text_cfg": {
                "context_length": self.context_length, "vocab_size": self.vocabulary, "width": self.text_width,
                "heads": self.text_heads, "layers": self.text_layers,
            },
        }  # fmt: skip


@dataclass(frozen=True)
class PaperConfig:
    """Media2Face's own prompt encoder: a published CLIP, kept as it is.

    ``pretrained`` is a tag that open_clip knows (``openai``, ``laion2b_s34b_b79k``: needs a network or a filled cache),
    or the path of a checkpoint file or of a folder with ``open_clip_config.json`` and its weights.
    """

    name: str = "ViT-B-32"
    pretrained: str = "openai"

    def __post_init__(self) -> None:
        if not self.name or not self.pretrained:
            raise ValueError("name and pretrained must both be given, e.g. 'ViT-B-32' and 'openai', or a folder")
