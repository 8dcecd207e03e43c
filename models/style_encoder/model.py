"""CLIP for style prompts (Radford et al. 2021), as open_clip builds it.

What differs from CLIP in the ``edge`` model: both towers are small, and the token table holds only the tokens that
training showed. Token ids stay CLIP's own: a table inside the model maps each of the 49,408 to its row, and all unseen
ones to one shared "unknown" row, so tokenizers and exports are interchangeable with a published CLIP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import open_clip
import torch
from open_clip.model import CLIP
from torch import Tensor

from media2face.runtime.tokenizer import END, START, VOCABULARY

from .config import EdgeConfig, PaperConfig

PAD_ROW, UNKNOWN_ROW = 0, 1


def vocabulary_rows(kept: Sequence[int]) -> Tensor:
    """Row of each CLIP token, int64 (49408,): 0 padding, 1 unknown, then ``kept`` in order, START and END last.

    END must have the highest row, since CLIP reads its text at the largest id.
    """
    rows = torch.full((VOCABULARY,), UNKNOWN_ROW, dtype=torch.int64)
    order = [t for t in sorted(set(kept)) if t not in (0, START, END)] + [START, END]
    rows[torch.tensor(order)] = torch.arange(2, 2 + len(order))
    rows[0] = PAD_ROW
    return rows


class EdgeCLIP(CLIP):
    """open_clip's CLIP with a pruned token table.

    Args:
        config: sizes; ``vocabulary`` must be the number of rows that ``rows`` uses.
        rows: (49408,) int64 from :func:`vocabulary_rows`; a checkpoint brings its own.
    """

    def __init__(self, config: EdgeConfig, rows: Tensor | None = None) -> None:
        super().__init__(**config.open_clip())
        self.config = config
        rows = torch.zeros(VOCABULARY, dtype=torch.int16) if rows is None else rows.to(torch.int16)
        if int(rows.max()) >= config.vocabulary:
            raise ValueError(f"vocabulary is {config.vocabulary} rows, but the table uses {int(rows.max()) + 1}")
        self.register_buffer("rows", rows)

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        """CLIP token ids (B, L <= context) int64 -> embeddings (B, embed_dim)."""
        rows = self.rows[text].long()
        length = text.shape[1]
        x = self.token_embedding(rows) + self.positional_embedding[:length]  # (B, L, C)
        x = self.transformer(x, attn_mask=self.attn_mask[:length, :length])
        x = self.ln_final(x)
        x = x[torch.arange(x.shape[0], device=x.device), rows.argmax(dim=-1)] @ self.text_projection
        return torch.nn.functional.normalize(x, dim=-1) if normalize else x


def load_published(config: PaperConfig) -> tuple[CLIP, object]:
    """A published CLIP and its image transform.

    A tag brings its own activation (OpenAI's weights need QuickGELU, which open_clip only warns about), and weights
    that are not found are never replaced by random ones.

    Raises:
        FileNotFoundError: if neither a local copy nor a network has it; says what to give.
        ValueError: for a pickled checkpoint.
    """
    folder = Path(config.pretrained).expanduser()
    found = sorted(folder.glob("*.safetensors")) if folder.is_dir() else [folder] * folder.is_file()
    if folder.exists() and not any(path.suffix == ".safetensors" for path in found):
        raise ValueError(
            f"expected weights in safetensors at {folder}: pickled checkpoints are refused, since loading one may run "
            "its code. Convert one that you trust with safetensors.torch.save_file"
        )
    if folder.is_dir():
        options = {"model_name": f"local-dir:{folder}"}
    else:
        tag = open_clip.get_pretrained_cfg(config.name, config.pretrained)
        pretrained = str(folder) if folder.is_file() else config.pretrained
        options = {"model_name": config.name, "pretrained": pretrained}
        options["force_quick_gelu"] = bool(tag.get("quick_gelu", False))
    try:
        model, transform = open_clip.create_model_from_pretrained(**options)
    except Exception as error:  # hub, network and file errors come in many classes
        raise FileNotFoundError(
            f"open_clip could not load {config.name!r} with {config.pretrained!r} ({error}): give a tag it knows "
            "together with a network, or a checkpoint file or folder that you have"
        ) from error
    return model.eval(), transform


def clip_tokens(config: PaperConfig) -> Callable[[list[str]], Tensor]:
    """open_clip's own tokenizer of a published model: texts to ids (n, context)."""
    folder = Path(config.pretrained).expanduser()
    return open_clip.get_tokenizer(f"local-dir:{folder}" if folder.is_dir() else config.name)
