"""A published Wav2Vec2 as ONNX, for a graph and a generator that hear with it.

    python -m media2face.onnx_export.hub_speech --model facebook/wav2vec2-base-960h --out FOLDER
    python -m media2face.onnx_export.hub_speech --model ~/my_wav2vec2 --out FOLDER --left 2 --hop 0.1 --lookahead 0.2

`speech_hub`: audio (B, n) -> features (B, T, D), T = (n - 400) // 320 + 1; the audio's normalisation is inside. The
record names the checkpoint, the window it is to be run with, and a fingerprint of both. FOLDER becomes a weights
folder: what it lacks is copied from the shipped one, so that ``--weights FOLDER`` finds everything.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import torch

from media2face.models.speech_encoder.config import RECEPTIVE_FIELD, STRIDE
from media2face.models.speech_encoder.hub import SAMPLE_RATE, HubSpeech, Window, load_hub
from media2face.onnx_export.metadata import complete_folder, fingerprint, write_model
from media2face.runtime.speech_window import MODEL, WindowedSpeechEncoder

log = logging.getLogger(__name__)

PARITY = 1e-4
"""Largest allowed difference of the features from torch's on the same windows."""


@torch.no_grad()
def export(model: HubSpeech, name: str, folder: str | Path, window: Window | None = None) -> Path:
    """Write ``<folder>/speech_hub.onnx``; ``name`` is recorded as the checkpoint's."""
    window = window or Window()
    buffer = io.BytesIO()
    torch.onnx.export(
        model.eval(), (torch.randn(2, 8000),), buffer, input_names=["audio"], output_names=["features"],
        dynamic_axes={"audio": {0: "batch", 1: "samples"}, "features": {0: "batch", 1: "frames"}}, opset_version=17,
        dynamo=False,
    )  # fmt: skip
    proto = onnx.load_from_string(buffer.getvalue())
    identity = f"{fingerprint(proto)} {model.normalise} {sorted(asdict(window).items())}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return write_model(
        proto, MODEL, folder, fp16=False, fingerprint=digest, checkpoint=name,
        dim=model.wav2vec2.config.hidden_size, sample_rate=SAMPLE_RATE, stride=STRIDE, receptive_field=RECEPTIVE_FIELD,
        normalise=model.normalise, window=asdict(window),
    )  # fmt: skip


@torch.no_grad()
def windows_of(model: HubSpeech, audio: np.ndarray, window: Window, features: int) -> np.ndarray:
    """The features 0 ... features - 1 as torch gives them over the same windows, (features, D)."""
    parts = []
    for first in range(0, features, window.hop):
        begin = max(0, first - window.left)
        end = STRIDE * (first + window.hop - 1 + window.lookahead) + RECEPTIVE_FIELD
        made = model(torch.from_numpy(audio[None, STRIDE * begin : end]))[0].numpy()
        parts.append(made[first - begin : first - begin + window.hop])
    return np.concatenate(parts)[:features]


def parity(model: HubSpeech, folder: str | Path, seconds: float = 3.0, seed: int = 0) -> float:
    """Largest difference of the streamed features from torch's on the same windows, over swelling noise."""
    encoder = WindowedSpeechEncoder(folder, providers="cpu")
    rng = np.random.default_rng(seed)
    audio = rng.standard_normal(int(SAMPLE_RATE * seconds)) * (
        0.06 + 0.04 * np.sin(np.arange(SAMPLE_RATE * seconds) / 900)
    )
    stream = encoder.stream()
    stream.accept_waveform(audio.astype(np.float32))
    _, features = stream.read()
    window = Window(encoder.left, encoder.hop, encoder.lookahead)
    return float(np.abs(features - windows_of(model, audio.astype(np.float32), window, len(features))).max())


def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="hub id, or a folder with config.json and model.safetensors")
    parser.add_argument("--out", type=Path, required=True, help="the weights folder to make or to add to")
    parser.add_argument("--left", type=float, default=2.0, help="past that a feature sees, s (default: 2)")
    parser.add_argument("--hop", type=float, default=0.1, help="how often the network runs, s (default: 0.1)")
    parser.add_argument(
        "--lookahead", type=float, default=0.2, help="future that a feature waits for, s (default: 0.2)"
    )
    parser.add_argument(
        "--normalise", action=argparse.BooleanOptionalAction, help="default: as the checkpoint's preprocessor says"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        window = Window(*(round(value * 50) for value in (options.left, options.hop, options.lookahead)))
        model = load_hub(options.model, options.normalise)
    except (FileNotFoundError, ValueError) as error:
        parser.exit(2, f"hub_speech: error: {error}\n")
    path = export(model, str(options.model), options.out, window)
    worst = parity(model, options.out)
    if not worst <= PARITY:
        path.unlink()
        parser.exit(1, f"hub_speech: error: ONNX Runtime differs from torch by {worst:.1e}, allowed {PARITY:.0e}\n")
    complete_folder(options.out)
    encoder = WindowedSpeechEncoder(options.out, providers="cpu")
    log.info("%s (%.0f MB), fingerprint %s; largest difference from torch %.1e; a feature waits up to %.0f ms", path,
             path.stat().st_size / 1e6, encoder.fingerprint, worst, 1000 * encoder.lookahead_s)  # fmt: skip


if __name__ == "__main__":
    main()
