"""Published Wav2Vec2 checkpoints (Baevski et al. 2020), by hub id or folder, as an encoder that runs over windows.

A published Wav2Vec2 is not causal: its positional convolution sees 64 frames ahead, its attention the whole clip, and
in the `base` models a group norm and the audio's normalisation do, too. It runs live over a sliding window
(:class:`Window`): a few features at a time, each read inside a window of bounded past and future.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedConfig, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from .config import RECEPTIVE_FIELD, STRIDE

log = logging.getLogger(__name__)

SAMPLE_RATE = 16_000
MAX_PARAMETERS = 450_000_000
"""An ONNX file holds at most 2 GB; more float32 weights than this do not fit."""
_EPSILON = 1e-7  # of the feature extractor's normalisation, transformers


@dataclass(frozen=True)
class Window:
    """What a feature sees, in features of 20 ms. Features depend on it, so it is part of an encoder's fingerprint.

    Raises:
        ValueError: if a length is out of range; the message names it.
    """

    left: int = 100  # past before a block: 2 s
    hop: int = 5  # features of one block, which one pass gives: 0.1 s
    lookahead: int = 10  # future after a block: 0.2 s

    def __post_init__(self) -> None:
        for name, low, high in (("left", 1, 1500), ("hop", 1, 100), ("lookahead", 0, 250)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie within {low} and {high} features, got {getattr(self, name)}")


class HubSpeech(nn.Module):
    """A published encoder with the normalisation that it was trained with.

    Args:
        wav2vec2: the network.
        normalise: whether audio is brought to zero mean and unit variance (of the window) first, as the checkpoint's
            preprocessor says.
    """

    def __init__(self, wav2vec2: Wav2Vec2Model, normalise: bool) -> None:
        super().__init__()
        self.wav2vec2, self.normalise = plain_positions(wav2vec2), normalise

    def forward(self, audio: Tensor) -> Tensor:
        """Windows (B, n) at 16 kHz -> last hidden states (B, T, D), T = (n - 400) // 320 + 1."""
        if self.normalise:
            centred = audio - audio.mean(dim=-1, keepdim=True)
            audio = centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + _EPSILON)
        return self.wav2vec2(audio).last_hidden_state


def plain_positions(wav2vec2: Wav2Vec2Model) -> Wav2Vec2Model:
    """Fold the weight norm of the positional convolution into a plain weight (an export cannot trace it)."""
    conv = wav2vec2.encoder.pos_conv_embed.conv
    if hasattr(conv, "parametrizations"):
        nn.utils.parametrize.remove_parametrizations(conv, "weight")
    return wav2vec2.eval()


def load_hub(name: str | Path, normalise: bool | None = None) -> HubSpeech:
    """A checkpoint by hub id (``facebook/wav2vec2-base-960h``) or folder.

    Args:
        name: hub id, or a folder with ``config.json`` and ``model.safetensors``.
        normalise: None: as the checkpoint's preprocessor says (yes, with a warning, where it has none).

    Raises:
        FileNotFoundError: if neither a folder nor the hub has it, or the hub cannot be reached.
        ValueError: if it is no Wav2Vec2, for another sampling rate or feature rate, in pickle only, incomplete, or too
            large for one ONNX file.
    """
    name = _place(name)
    config = _config(name)
    if normalise is None:
        normalise = _preprocessor(name)
    try:
        model, found = Wav2Vec2Model.from_pretrained(
            name, config=config, use_safetensors=True, output_loading_info=True, attn_implementation="eager",
            dtype=torch.float32,
        )  # fmt: skip
    except OSError as error:
        if _unreachable(error):
            raise FileNotFoundError(_no_hub(name, error)) from error
        raise ValueError(
            f"{name} has no weights in safetensors ({_line(error)}): pickled checkpoints are refused, since loading "
            "one runs its code. Convert one that you trust: Wav2Vec2Model.from_pretrained(...).save_pretrained(FOLDER)"
        ) from error
    except Exception as error:  # safetensors and torch raise several classes of their own for a damaged file
        raise ValueError(f"the weights of {name} cannot be read ({_line(error)}): fetch them again") from error
    missing = sorted(set(found["missing_keys"]) - {"masked_spec_embed"})
    if missing or found["mismatched_keys"]:
        wrong = missing or sorted(str(key[0]) for key in found["mismatched_keys"])
        raise ValueError(f"{name} lacks weights of its own configuration, such as {wrong[0]}: fetch it again")
    return HubSpeech(model, normalise)


def _place(name: str | Path) -> str:
    text = str(name).strip()
    folder = Path(text).expanduser()
    if text and folder.is_dir():
        return str(folder)
    if isinstance(name, Path) or text.startswith(("/", ".", "~")) or text.count("/") > 1 or not text:
        raise FileNotFoundError(f"expected a folder with config.json and model.safetensors at {text!r}, found none")
    return text


def _config(name: str) -> PreTrainedConfig:
    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        if Path(name).is_dir():
            raise ValueError(f"{name} has no readable config.json of a Wav2Vec2 ({_line(error)})") from error
        raise FileNotFoundError(_no_hub(name, error)) from error
    if config.model_type != "wav2vec2":
        raise ValueError(f"{name} is a {config.model_type!r}, expected a 'wav2vec2' checkpoint")
    field, stride = 1, 1
    for width, step in zip(config.conv_kernel, config.conv_stride, strict=True):
        field, stride = field + (width - 1) * stride, stride * step
    if (field, stride) != (RECEPTIVE_FIELD, STRIDE) or config.add_adapter:
        adapter = " with an adapter behind it" if config.add_adapter else ""
        raise ValueError(
            f"{name} sees {field} samples every {stride}{adapter}; expected {RECEPTIVE_FIELD} every {STRIDE}, 50 "
            "features a second"
        )
    with torch.device("meta"):
        count = sum(p.numel() for p in Wav2Vec2Model(config).parameters())
    if count > MAX_PARAMETERS:
        raise ValueError(
            f"{name} has {count / 1e6:.0f} M parameters: one ONNX file of at most 2 GB holds "
            f"{MAX_PARAMETERS / 1e6:.0f} M in float32; take a base or large model"
        )
    return config


def _preprocessor(name: str) -> bool:
    try:
        extractor = Wav2Vec2FeatureExtractor.from_pretrained(name)
    except OSError as error:
        if _unreachable(error):
            raise FileNotFoundError(_no_hub(name, error)) from error
        log.warning("%s has no preprocessor_config.json: taken as 16 kHz, each window normalised", name)
        return True
    if extractor.sampling_rate != SAMPLE_RATE:
        raise ValueError(f"{name} was trained at {extractor.sampling_rate} Hz, expected {SAMPLE_RATE} Hz")
    return bool(extractor.do_normalize)


def _chain(error: BaseException | None) -> list[BaseException]:
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links


def _unreachable(error: BaseException) -> bool:
    return any(type(e).__name__ in ("LocalEntryNotFoundError", "OfflineModeIsEnabled") for e in _chain(error))


def _no_hub(name: str, error: BaseException) -> str:
    if _unreachable(error):
        return (
            f"the hub could not be reached for {name!r}, and no copy is in its cache: connect to a network, or fetch "
            f"it on another machine ('hf download {name} --local-dir FOLDER') and give that folder"
        )
    return f"neither a folder nor a hub model {name!r} was found ({_line(error)}): check the name"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
