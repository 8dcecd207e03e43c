"""A published CLIP of open_clip as ONNX: words and pictures that no list foresaw, for a generator trained with it.

    python -m media2face.onnx_export.hub_style --model ViT-B-32 --pretrained openai --out FOLDER
    python -m media2face.onnx_export.hub_style --pretrained ~/my_clip --out FOLDER      # open_clip_config.json, weights
    python -m media2face.onnx_export.hub_style --model ViT-B-32 --pretrained my.safetensors --out FOLDER

Writes ``style_text.onnx`` (tokens (B, context) -> unit embedding (B, D)) and ``style_image.onnx`` (RGB (B, 3, S, S) in
[0, 1], the model's own mean and deviation inside). The encoder is open: nothing is unknown to it. FOLDER becomes a
weights folder: what it lacks is copied from the shipped one, so that ``--weights FOLDER`` finds everything.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from media2face.data.styles import STYLES, emoji_words, lexicon
from media2face.models.style_encoder.config import PaperConfig
from media2face.models.style_encoder.model import clip_tokens, load_published
from media2face.onnx_export.metadata import complete_folder
from media2face.onnx_export.style import ImageTower, embed_texts, export_image, export_text
from media2face.runtime.sessions import load_model, weights_folder
from media2face.runtime.tokenizer import BPE_FILE, VOCABULARY, ClipTokenizer

log = logging.getLogger(__name__)

PARITY = 1e-4
"""Largest allowed difference of an embedding's entries from torch's."""
_RESIZE = ("shortest", "squash")


def export(model: nn.Module, theirs: Callable[[list[str]], Tensor], name: str, folder: str | Path) -> tuple[Path, Path]:
    """Write both towers; ``theirs`` is open_clip's tokenizer of the model, ``name`` is recorded as the checkpoint's.

    Raises:
        ValueError: if the model reads other tokens than CLIP's, or pictures that are not square.
    """
    tokenizer = ClipTokenizer(weights_folder() / BPE_FILE)
    check_tokens(model, tokenizer, theirs)
    size = getattr(model.visual, "image_size", None)
    size = size if isinstance(size, (tuple, list)) else (size, size)
    resize = getattr(model.visual, "preprocess_cfg", {}).get("resize_mode", "shortest")
    if size[0] != size[1] or resize not in _RESIZE:
        raise ValueError(
            f"{name} reads pictures of {size} pixels, resized by {resize!r}; expected square ones, {_RESIZE}"
        )
    text = export_text(model, tokenizer, folder, known=False, fp16=False, checkpoint=name)
    fingerprint = load_model("style_text", folder, "cpu").fingerprint
    image = export_image(
        model, folder, None, fp16=False, resize=resize, checkpoint=name, requires={"style_text": fingerprint}
    )
    return text, image


def check_tokens(model: nn.Module, ours: ClipTokenizer, theirs: Callable[[list[str]], Tensor]) -> None:
    """Compare ids over every style word we know, emoji and odd strings.

    Raises:
        ValueError: if the model has another vocabulary, or one id differs.
    """
    rows = next((m.num_embeddings for m in model.modules() if isinstance(m, nn.Embedding)), 0)
    odd = ["It's what I'd've SAID!!  12 3", "&amp;lt; x", "½ ² Ⅷ x_y-z...", "你好 世界", "", "a" * 400, "happy " * 90]
    texts = [*lexicon(), *STYLES, *emoji_words(), *(f"a {word}, talking" for word in STYLES), *odd]
    wanted = theirs(texts).numpy()
    if rows != VOCABULARY or not np.array_equal(ours(texts, wanted.shape[1]), wanted):
        raise ValueError(
            f"expected a model of CLIP's {VOCABULARY} byte-pair tokens, this one has {rows} rows or another tokenizer: "
            "take a CLIP such as ViT-B-32, ViT-L-14 or RN50 (SigLIP, CLIPA and multilingual ones read other tokens)"
        )


@torch.no_grad()
def parity(model: nn.Module, folder: str | Path, seed: int = 0) -> tuple[float, float]:
    """Largest difference of the two towers' embeddings from torch's: words and sentences, and pictures of noise."""
    tokenizer = ClipTokenizer(weights_folder() / BPE_FILE)
    texts = ["a cheerful host", "sad", "", "someone who has just been told terrible news", "x " * 100]
    text, image = (load_model(name, folder, "cpu") for name in ("style_text", "style_image"))
    tokens = tokenizer(texts, text.meta["context_length"])
    words = np.abs(text.run({"tokens": tokens})["embedding"] - embed_texts(model, tokenizer, texts)).max()
    size = image.meta["image_size"]
    pixels = np.random.default_rng(seed).random((3, 3, size, size), np.float32)
    wanted = ImageTower(model).eval()(torch.from_numpy(pixels)).numpy()
    return float(words), float(np.abs(image.run({"image": pixels})["embedding"] - wanted).max())


def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B-32", help="open_clip's name of the architecture (default: ViT-B-32)")
    parser.add_argument(
        "--pretrained", default="openai", help="a tag that open_clip knows, a .safetensors file, or a folder"
    )
    parser.add_argument("--out", type=Path, required=True, help="the weights folder to make or to add to")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = PaperConfig(options.model, options.pretrained)
    name = options.pretrained if Path(options.pretrained).is_dir() else f"{options.model}/{options.pretrained}"
    try:
        model, _ = load_published(config)
        paths = export(model, clip_tokens(config), name, options.out)
    except (FileNotFoundError, ValueError) as error:
        parser.exit(2, f"hub_style: error: {error}\n")
    worst = parity(model, options.out)
    if not max(worst) <= PARITY:
        for path in paths:
            path.unlink()
        parser.exit(1, f"hub_style: error: ONNX Runtime differs from torch by {worst}, allowed {PARITY:.0e}\n")
    complete_folder(options.out)
    for path, value in zip(paths, worst, strict=True):
        log.info("%s (%.0f MB), largest difference from torch %.1e", path, path.stat().st_size / 1e6, value)


if __name__ == "__main__":
    main()
