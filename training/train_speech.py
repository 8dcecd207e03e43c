"""Train the speech encoder on synthetic speech with known phones.

    python -m media2face.training.train_speech --corpus SPEECH VARIANTS --out RUN --minutes 50

The net learns phones by cross-entropy with label smoothing, and beside them loudness, pitch and voicing, in short
batches (steps count for more than batch size on a few cores). The schedule follows the time that was spent, not steps:
learning rate and end depend on --minutes only. RUN/checkpoint.pt is written every few minutes and taken up again;
RUN/encoder.safetensors holds the averaged weights, RUN/config.json sizes and history.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from media2face.data.speech_corpus import PhoneBatches, SpeechClip, load_corpus
from media2face.evaluation import phones as measures
from media2face.models.speech_encoder.config import SpeechEncoderConfig
from media2face.models.speech_encoder.network import SpeechEncoder
from media2face.onnx_export.shipped import shipped_speech_encoder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """How the speech encoder is trained."""

    minutes: float = 50.0
    learning_rate: float = 1.5e-3
    warm_up: float = 0.05  # of the time
    weight_decay: float = 0.02
    clip: float = 1.0
    smoothing: float = 0.05
    weight_prosody: float = 0.3  # of the prosody's losses beside the phones'
    average: float = 0.999  # of the weights
    batch: int = 8
    frames: int = 120  # 2.4 s
    checkpoint_minutes: float = 2.5
    evaluate_minutes: float = 5.0
    bf16: bool = field(default_factory=lambda: bool(torch.cpu.get_capabilities().get("avx512_bf16")))  # else imitated
    compile: bool = True  # torch.compile: twice as fast after a minute or two; needs a C++ compiler
    seed: int = 0

    def __post_init__(self) -> None:
        if self.minutes <= 0 or self.batch < 1 or self.frames < 16:
            raise ValueError(
                f"minutes, batch and frames must be > 0, >= 1, >= 16, got {self.minutes}, {self.batch}, {self.frames}"
            )


@torch.no_grad()
def evaluate(model: SpeechEncoder, clips: list[SpeechClip]) -> dict[str, float]:
    """Frame accuracy and place AUC on whole utterances."""
    model.eval()
    delay, scored = model.config.delay, []
    for clip in clips:
        audio = torch.from_numpy(clip.samples.astype(np.float32) / 32768)[None]
        audio = functional.pad(audio, (0, 320 * delay))
        p = measures.posteriors(model(audio)[1][0, delay:].numpy())
        names = [(a, b, _NAMES[i]) for a, b, i in zip(clip.bounds[:-1], clip.bounds[1:], clip.phones, strict=True)]
        scored.append((p, measures.feature_times(len(p)), names))
    model.train()
    accuracy = measures.phone_accuracy(scored)
    place = measures.place_auc((measures.bilabial_mass(p), t, n) for p, t, n in scored)
    scores = {"accuracy": accuracy["frames"], "accuracy_speech": accuracy["speech"], "place_auc": place.auc}
    return scores | place.pairs


_NAMES = tuple(measures.INDEX)


class Trainer:
    """The training loop, with averaged weights, checkpoints and a time-based schedule."""

    def __init__(self, config: TrainConfig, sizes: SpeechEncoderConfig, out: Path, start: Path | None = None):
        torch.manual_seed(config.seed)
        self.config, self.sizes, self.out = config, sizes, out
        self.model = SpeechEncoder(sizes).train()
        if start is not None:
            shipped_speech_encoder(self.model, start)
        wav2vec2 = self.model.wav2vec2
        self._frames, self._encoder = wav2vec2.frames, wav2vec2.encoder.forward
        if config.compile:
            self._frames, self._encoder = torch.compile(self._frames), torch.compile(self._encoder)
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        plain = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.step, self.elapsed, self.history = 0, 0.0, []
        if (out / "checkpoint.pt").exists():
            state = torch.load(out / "checkpoint.pt", weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average, self.step, self.elapsed = state["average"], state["step"], state["elapsed"]
            self.history = state["history"]
            log.info("taken up at step %d, %.1f minutes", self.step, self.elapsed / 60)

    @property
    def progress(self) -> float:
        return self.elapsed / (60 * self.config.minutes)

    def save(self) -> None:
        """Write checkpoint, averaged weights and record, each whole or not at all."""
        self.out.mkdir(parents=True, exist_ok=True)
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "average": self.average}
        state |= {"step": self.step, "elapsed": self.elapsed, "history": self.history}
        torch.save(state, self.out / "checkpoint.part")
        (self.out / "checkpoint.part").replace(self.out / "checkpoint.pt")
        save_file({k: v.contiguous() for k, v in self.average.items()}, self.out / "encoder.part")
        (self.out / "encoder.part").replace(self.out / "encoder.safetensors")
        record = {"config": self.sizes.to_dict(), "steps": self.step, "minutes": self.elapsed / 60}
        record["history"] = self.history
        (self.out / "config.json").write_text(json.dumps(record, indent=1))

    def averaged(self) -> SpeechEncoder:
        """A copy of the model with the averaged weights."""
        model = SpeechEncoder(self.sizes)
        model.load_state_dict(self.average)
        return model

    def losses(self, audio: Tensor, labels: Tensor, prosody: Tensor) -> tuple[Tensor, Tensor]:
        """Of audio (B, n): the mean cross-entropy of phones (B, T), and the error of prosody (B, T, 3)."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bf16):
            hidden = self._encoder(self._frames(audio)).last_hidden_state
            logits, heard = self.model.phone_head(hidden), self.model.prosody_head(hidden)
        delay, count = self.sizes.delay, labels.shape[1] - self.sizes.delay
        said, meant = logits[:, delay:].float(), labels[:, :count]
        phones = functional.cross_entropy(said.flatten(0, 1), meant.flatten(), label_smoothing=self.config.smoothing)
        heard, true = heard[:, delay:].float(), prosody[:, :count]
        voiced = true[..., 2]
        loudness = functional.smooth_l1_loss(heard[..., 0], true[..., 0])
        pitch = functional.smooth_l1_loss(heard[..., 1], true[..., 1], reduction="none", beta=0.25)
        voicing = functional.binary_cross_entropy_with_logits(heard[..., 2], voiced)
        return phones, loudness + (pitch * voiced).sum() / (voiced.sum() + 1) + voicing

    def rate(self) -> float:
        """Learning rate now: warm-up, then a cosine."""
        c, p = self.config, self.progress
        warm = min(1.0, (p + 1e-3) / c.warm_up)
        return c.learning_rate * warm * max(0.005, 0.5 * (1 + math.cos(math.pi * min(1.0, p))))

    def train(self, train: list[SpeechClip], held_out: list[SpeechClip]) -> None:
        """Train until the time is spent."""
        c = self.config
        batches = PhoneBatches(train, c.frames, c.batch, seed=c.seed + self.step)
        saved, evaluated, smooth = self.elapsed, self.elapsed, np.zeros(2)
        bar = tqdm(total=round(c.minutes * 60), initial=round(self.elapsed), unit="s", mininterval=10)
        with bar, logging_redirect_tqdm():
            while self.progress < 1:
                began = time.monotonic()
                parts = self.losses(*(torch.from_numpy(a) for a in next(batches)))
                loss = parts[0] + c.weight_prosody * parts[1]
                for group in self.optimizer.param_groups:
                    group["lr"] = self.rate()
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), c.clip)
                self.optimizer.step()
                self.step += 1
                keep = min(c.average, (1 + self.step) / (10 + self.step))
                for name, value in self.model.state_dict().items():
                    self.average[name].lerp_(value, 1 - keep)
                smooth += (0.02 if self.step > 50 else 0.2) * (np.array([p.item() for p in parts]) - smooth)
                self.elapsed += time.monotonic() - began
                bar.n = min(bar.total, round(self.elapsed))
                if self.step % 10 == 0:
                    bar.set_postfix_str(f"step {self.step} phones {smooth[0]:.3f} prosody {smooth[1]:.3f}")
                if self.elapsed - saved > 60 * c.checkpoint_minutes:
                    saved = self.elapsed
                    self.save()
                if self.elapsed - evaluated > 60 * c.evaluate_minutes:
                    evaluated = self.elapsed
                    scores = {"step": self.step, "minutes": self.elapsed / 60, **evaluate(self.averaged(), held_out)}
                    self.history.append(scores)
                    log.info("%s", json.dumps({k: round(v, 4) for k, v in scores.items()}))
        self.history.append({"step": self.step, "minutes": self.elapsed / 60, **evaluate(self.averaged(), held_out)})
        log.info("%s", json.dumps(self.history[-1]))
        self.save()


def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--corpus", type=Path, required=True, nargs="+",
        help="folders made by media2face.data.synthetic_speech and voice_variants",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=TrainConfig.minutes)
    parser.add_argument("--rate", type=float, default=TrainConfig.learning_rate)
    parser.add_argument("--start-from", type=Path, metavar="FOLDER", help="go on from the exported encoder in FOLDER")
    parser.add_argument("--size", choices=("edge", "paper"), default="edge")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-compile", action="store_true", help="where there is no C++ compiler")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    sizes = SpeechEncoderConfig.edge() if options.size == "edge" else SpeechEncoderConfig.paper()
    config = TrainConfig(options.minutes, options.rate, seed=options.seed, compile=not options.no_compile)
    trainer = Trainer(config, sizes, options.out, options.start_from)
    clips = [clip for folder in options.corpus for clip in load_corpus(folder)]
    held_out = [c for c in clips if c.split == "val"]
    train = [c for c in clips if c.split == "train"]
    log.info("%.2f hours to train on, %.2f held out", *(sum(c.duration for c in s) / 3600 for s in (train, held_out)))
    chosen = np.random.default_rng(0).permutation(len(held_out))[:60]
    trainer.train(train, [held_out[i] for i in chosen])


if __name__ == "__main__":
    main()
