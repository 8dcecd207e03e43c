"""The speech encoder as two ONNX graphs, and the proof that they compute what the network computes.

    python -m media2face.onnx_export.speech --run RUN --out models/weights

`speech_frontend`: audio (1, n) -> frames (1, T, C), T = (n - 400) // 320 + 1; a frame depends on its 400 samples only.
`speech_context`: frames (1, n, C) with the caches of everything before -> hidden (1, n, C), phone_logits (1, n, 42) and
the caches moved on: an exact recurrence, so the result does not depend on how the frames are cut.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from media2face.data.phones import PHONES
from media2face.models.speech_encoder.config import RECEPTIVE_FIELD, STRIDE, SpeechEncoderConfig
from media2face.models.speech_encoder.network import SpeechEncoder
from media2face.onnx_export.metadata import write_model
from media2face.runtime.speech import SpeechEncoder as RuntimeEncoder

log = logging.getLogger(__name__)


class Frontend(nn.Module):
    """Audio (1, n) -> frames (1, T, C)."""

    def __init__(self, model: SpeechEncoder):
        super().__init__()
        self.wav2vec2 = model.wav2vec2

    def forward(self, audio: Tensor) -> Tensor:
        return self.wav2vec2.frames(audio)


class Context(nn.Module):
    """One step of the causal transformer, with the phone head."""

    def __init__(self, model: SpeechEncoder):
        super().__init__()
        self.encoder, self.phone_head = model.wav2vec2.encoder, model.phone_head

    def forward(self, frames: Tensor, position_past: Tensor, past: Tensor, seen: Tensor):
        hidden, position_next, past_next = self.encoder.step(frames, position_past, past, seen)
        return hidden, self.phone_head(hidden), position_next, past_next


def plain_weights(model: SpeechEncoder) -> SpeechEncoder:
    """Fold the weight norm of the positional convolution into a plain weight (the export cannot trace it)."""
    conv = model.wav2vec2.encoder.pos_conv_embed.conv
    if hasattr(conv, "parametrizations"):
        nn.utils.parametrize.remove_parametrizations(conv, "weight")
    return model.eval()


def load_run(run: str | Path) -> tuple[SpeechEncoder, dict]:
    """The averaged weights of a training run, ready for inference, and the run's record.

    Raises:
        FileNotFoundError: if the folder holds no run.
    """
    run = Path(run)
    if not (run / "encoder.safetensors").exists():
        raise FileNotFoundError(f"expected encoder.safetensors and config.json in {run}: run training.train_speech")
    record = json.loads((run / "config.json").read_text())
    model = SpeechEncoder(SpeechEncoderConfig.from_dict(record["config"]))
    model.load_state_dict(load_file(run / "encoder.safetensors"))
    return plain_weights(model), record


def _to_onnx(module: nn.Module, inputs: tuple, names: list[str], outputs: list[str], dynamic: dict) -> onnx.ModelProto:
    buffer = io.BytesIO()
    torch.onnx.export(
        module,
        inputs,
        buffer,
        input_names=names,
        output_names=outputs,
        dynamic_axes=dynamic,
        opset_version=17,
        dynamo=False,
    )
    return onnx.load_from_string(buffer.getvalue())


@torch.no_grad()
def export(model: SpeechEncoder, folder: str | Path, **fields) -> tuple[Path, Path]:
    """Write both graphs to `folder`; `fields` go into their records. Returns their paths.

    The front end stays float32 (a filterbank in half precision would hide what is soft behind what is loud); the
    transformer's weights are rounded to float16, in `model` too.
    """
    c = model.config
    plain_weights(model)
    for part in (model.wav2vec2.encoder, model.phone_head):
        for weight in part.state_dict().values():  # the network keeps what the file keeps
            if weight.is_floating_point() and weight.numel() >= 256:
                weight.copy_(weight.half().float())
    dynamic = {"audio": {1: "samples"}, "frames": {1: "frames"}}
    frontend = _to_onnx(Frontend(model).eval(), (torch.randn(1, 4000),), ["audio"], ["frames"], dynamic)
    shared = {"dim": c.hidden_size, "sample_rate": 16_000, "stride": STRIDE, **fields}
    front = write_model(frontend, "speech_frontend", folder, fp16=False, receptive_field=RECEPTIVE_FIELD, **shared)
    front_meta = json.loads(onnx.load(str(front), load_external_data=False).metadata_props[0].value)
    position = torch.zeros(1, c.position_kernel - 1, c.hidden_size)
    past = torch.zeros(c.layers, 2, c.heads, c.window - 1, c.hidden_size // c.heads)
    context = _to_onnx(
        Context(model).eval(),
        (torch.randn(1, 5, c.hidden_size), position, past, torch.tensor(7)),
        ["frames", "position_past", "past", "seen"],
        ["hidden", "phone_logits", "position_next", "past_next"],
        {"frames": {1: "n"}, "hidden": {1: "n"}, "phone_logits": {1: "n"}},
    )
    back = write_model(
        context,
        "speech_context",
        folder,
        delay=c.delay,
        phones=list(PHONES),
        position_past=list(position.shape),
        past=list(past.shape),
        requires={"speech_frontend": front_meta["fingerprint"]},
        **shared,
    )
    return front, back


@torch.no_grad()
def parity(model: SpeechEncoder, folder: str | Path, seconds: float = 3.0, seed: int = 0) -> float:
    """Largest difference of the features between the exported graphs, run as a stream, and the whole network."""
    rng = np.random.default_rng(seed)
    swell = 0.06 + 0.04 * np.sin(np.arange(int(16_000 * seconds)) / 900)
    audio = (rng.standard_normal(len(swell)) * swell).astype(np.float32)
    stream = RuntimeEncoder(folder, providers="cpu").stream()
    stream.accept_waveform(audio)
    _, features = stream.read()
    whole = model(torch.from_numpy(audio)[None])[0][0, model.config.delay :].numpy()
    return float(np.abs(whole[: len(features)] - features).max())


def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of training.train_speech")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "models" / "weights")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    model, record = load_run(options.run)
    front, back = export(model, options.out, steps=record["steps"])
    log.info("%s, %s; largest difference to the network %.2e", front, back, parity(model, options.out))


if __name__ == "__main__":
    main()
