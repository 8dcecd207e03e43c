"""Train the edge style encoder: the text tower first, then the image tower against it.

    python -m media2face.training.train_style --data ../shared/data --out runs/style --weights models/weights

The text tower learns from labelled prompts alone, by text-to-text contrast and the geometry of the labels; the image
tower then learns to land where the text of its style lies, with the text tower locked (LiT, Zhai et al. 2022). Both
stages write a checkpoint every minute and go on from it. The end of each stage rounds its weights to float16, which
is how they are stored, then exports and measures them.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from media2face.data.style_corpus import StyleCorpus, label_of
from media2face.data.styles import LEVEL_INTENSITY, STYLES, lexicon, sample_prompt
from media2face.models.style_encoder.config import EdgeConfig
from media2face.models.style_encoder.losses import contrastive_loss, geometry_loss, target_directions
from media2face.models.style_encoder.model import EdgeCLIP, vocabulary_rows
from media2face.runtime.sessions import load_model, weights_folder
from media2face.runtime.tokenizer import BPE_FILE, ClipTokenizer, pack

SCALE = 12.0
"""Inverse temperature of both contrastive losses."""
_MERGE_DROPOUT = 0.1


def kept_tokens(tokenizer: ClipTokenizer, corpus: StyleCorpus, limit: int = 5500, texts: int = 40_000) -> list[int]:
    """The tokens that training shows most, at most ``limit`` less four rows: bytes, listed words, frequent pieces."""
    rng = np.random.default_rng(7)
    counts = Counter(t for _ in range(texts) for t in _tokens(tokenizer, corpus.draw(rng).text, rng))
    sure = set(range(1, 512)) | {t for w in lexicon() for t in tokenizer.encode(w)}
    ranked = [t for t, n in counts.most_common() if t not in sure and n >= 4]
    return sorted(sure | set(ranked[: limit - 4 - len(sure)]))


def _tokens(tokenizer: ClipTokenizer, text: str, rng: np.random.Generator) -> list[int]:
    if rng.random() < 0.6:
        return tokenizer.encode(text)
    return tokenizer.encode(text, _MERGE_DROPOUT, rng)


def text_batch(tokenizer, corpus, rng, size: int, context: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (size, context), shortest text first, and labels (size, 15)."""
    drawn = [(_tokens(tokenizer, d.text, rng), d) for d in (corpus.draw(rng) for _ in range(size))]
    drawn.sort(key=lambda pair: len(pair[0]))
    tokens = pack([t for t, _ in drawn], context)
    return torch.from_numpy(tokens), torch.from_numpy(np.stack([d.label for _, d in drawn]))


def encode_sorted(model: EdgeCLIP, tokens: torch.Tensor, parts: int = 4) -> torch.Tensor:
    """Embeddings of texts sorted by length, in parts that are each cut to their longest text."""
    cut = (part[:, : int((part != 0).sum(1).max())] for part in tokens.chunk(parts))
    return torch.cat([model.encode_text(part, normalize=True) for part in cut])


def _optimizer(parameters, rate: float, steps: int):
    decay = [p for p in parameters if p.ndim > 1]
    plain = [p for p in parameters if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
                                  lr=rate, betas=(0.9, 0.98))  # fmt: skip
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min(1.0, (k + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, k / steps)))
    )
    return optimizer, schedule


class Stage:
    """One stage: its loop, its checkpoint, and going on from it."""

    def __init__(self, name: str, model: EdgeCLIP, parameters: list, rate: float, steps: int, folder: Path) -> None:
        self.name, self.model, self.steps, self.path = name, model, steps, folder / f"{name}.pt"
        self.parameters = parameters
        self.optimizer, self.schedule = _optimizer(parameters, rate, steps)
        self.step = 0
        if self.path.is_file():
            state = torch.load(self.path, weights_only=True)
            model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            self.step = state["step"]

    def save(self) -> None:
        partial = self.path.with_suffix(".part")
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                    "schedule": self.schedule.state_dict(), "step": self.step}, partial)  # fmt: skip
        partial.replace(self.path)

    def run(self, loss_of) -> None:
        """Train to the last step; ``loss_of(step)`` gives the loss of one freshly drawn batch."""
        saved, mean = time.monotonic(), None
        with tqdm(total=self.steps, initial=self.step, desc=self.name, mininterval=10) as bar:
            while self.step < self.steps:
                loss = loss_of(self.step)
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
                self.optimizer.step()
                self.schedule.step()
                self.step += 1
                mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
                bar.update()
                bar.set_postfix(loss=f"{mean:.3f}", refresh=False)
                if time.monotonic() - saved > 60:
                    self.save()
                    saved = time.monotonic()
        self.save()


def train_text(model: EdgeCLIP, tokenizer, corpus, folder: Path, steps: int, batch: int) -> None:
    """Stage one: texts among themselves."""
    parameters = [p for n, p in model.named_parameters() if not n.startswith("visual.") and n != "logit_scale"]
    stage = Stage("text", model, parameters, 1e-3, steps, folder)

    def loss_of(step: int) -> torch.Tensor:
        rng = np.random.default_rng((1, step))
        tokens, labels = text_batch(tokenizer, corpus, rng, batch, model.config.context_length)
        z, target = encode_sorted(model, tokens), target_directions(labels)
        cosines = target @ target.T
        contrast = contrastive_loss(z, z, cosines, torch.tensor(SCALE), exclude_self=True)
        return contrast + 10 * geometry_loss(z, z, cosines)

    model.train()
    stage.run(loss_of)
    _round_to_half(model)


def train_image(model: EdgeCLIP, tokenizer, pictures, folder: Path, steps: int, batch: int) -> None:
    """Stage two: pictures to the texts of their style, text tower locked."""
    stage = Stage("image", model, list(model.visual.parameters()), 1e-3, steps, folder)
    mean, std = image_statistics()
    prompts, prompt_labels = prompt_pool(model, tokenizer)

    def loss_of(step: int) -> torch.Tensor:
        rng = np.random.default_rng((2, step))
        images, labels = pictures.draw(batch, rng)
        chosen = torch.from_numpy(rng.integers(len(prompts), size=4 * batch))
        z = model.encode_image((images - mean) / std, normalize=True)
        cosines = target_directions(labels) @ target_directions(prompt_labels[chosen]).T
        contrast = contrastive_loss(z, prompts[chosen], cosines, torch.tensor(SCALE))
        return contrast + 10 * geometry_loss(z, prompts[chosen], cosines)

    model.train()
    stage.run(loss_of)
    _round_to_half(model)


@torch.no_grad()
def prompt_pool(model: EdgeCLIP, tokenizer, each: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (n, D) of prompts of all styles at all levels, and their labels (n, 15)."""
    rng = np.random.default_rng(3)
    kinds = [(s, level) for s in STYLES for level in LEVEL_INTENSITY for _ in range(each)]
    texts = [sample_prompt(s, LEVEL_INTENSITY[level], rng) for s, level in kinds]
    labels = [label_of(s, LEVEL_INTENSITY[level] if s != "neutral" else 1.0) for s, level in kinds]
    tokens = torch.from_numpy(tokenizer(texts, model.config.context_length))
    embeddings = torch.cat([model.encode_text(part, normalize=True) for part in tokens.split(128)])
    return embeddings, torch.from_numpy(np.stack(labels))


def image_statistics() -> tuple[torch.Tensor, torch.Tensor]:
    """CLIP's mean and standard deviation of RGB, each (3, 1, 1)."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    return torch.tensor(OPENAI_DATASET_MEAN).view(3, 1, 1), torch.tensor(OPENAI_DATASET_STD).view(3, 1, 1)


@torch.no_grad()
def _round_to_half(model: EdgeCLIP) -> None:
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point() and tensor.isfinite().all():
            tensor.copy_(tensor.half().float())


def save_model(model: EdgeCLIP, folder: Path) -> None:
    """``model.safetensors`` and ``config.json``, as :func:`load_edge` reads them."""
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"vocabulary": model.config.vocabulary}))


def load_edge(folder: str | Path, towers: tuple[str, ...] = ("text", "image")) -> EdgeCLIP:
    """The trained edge model of ``folder``; a tower that is left out is freshly drawn."""
    model = EdgeCLIP(EdgeConfig(**json.loads((Path(folder) / "config.json").read_text())))
    state = load_file(Path(folder) / "model.safetensors")
    if "image" not in towers:
        state |= {k: v for k, v in model.state_dict().items() if k.startswith("visual.")}
    model.load_state_dict(state)
    return model.eval()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with emoji/ and grid_s1/")
    parser.add_argument("--out", type=Path, default=Path("runs/style"), help="checkpoints")
    parser.add_argument("--weights", type=Path, default=weights_folder(), help="where the ONNX files go")
    parser.add_argument("--stage", choices=("text", "image", "all"), default="all")
    parser.add_argument("--text-steps", type=int, default=2000)
    parser.add_argument("--image-steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)

    from media2face.data.style_images import StyleImages
    from media2face.onnx_export.style import export_image, export_text

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = ClipTokenizer(args.weights / BPE_FILE)
    corpus = StyleCorpus(tokenizer)
    if args.stage in ("text", "all"):
        begun = args.out / "text.pt"
        if begun.is_file():  # go on with the rows it began with, even if the word table has changed since
            rows = torch.load(begun, weights_only=True)["model"]["rows"]
        else:
            rows = vocabulary_rows(kept_tokens(tokenizer, corpus))
        model = EdgeCLIP(EdgeConfig(vocabulary=int(rows.max()) + 1), rows)
        train_text(model, tokenizer, corpus, args.out, args.text_steps, args.batch)
        save_model(model, args.out)
        export_text(model.eval(), tokenizer, args.weights)
    if args.stage in ("image", "all"):
        model = load_edge(args.out, towers=("text",))
        train_image(model, tokenizer, StyleImages(args.data, model.config.image_size), args.out, args.image_steps,
                    args.batch * 3 // 8)  # fmt: skip
        save_model(model, args.out)
        text = load_model("style_text", args.weights, "cpu").fingerprint
        export_image(model.eval(), args.weights, requires={"style_text": text})


if __name__ == "__main__":
    main()
