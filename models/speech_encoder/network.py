"""Causal Wav2Vec2 (Baevski et al. 2020, wav2vec 2.0) with a fixed look-ahead, as a `transformers` model.

Differs from the published encoder so that it can run live: layer norm in every convolution instead of a group norm over
the clip; a left-padded positional convolution; attention over the last `window` frames only, with a learned bias per
head and distance (the short convolution alone says little about distance). Look-ahead is an output delay: the hidden
state at frame j + delay is the feature of frame j. In the edge configuration the first convolution begins as a log-mel
filterbank and goes on learning (as Zeghidour et al. 2018 begin theirs): seven plain convolutions learn from three hours
of speech too slowly. A linear head gives phones, for training and evaluation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Wav2Vec2Config, Wav2Vec2Model
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.wav2vec2.modeling_wav2vec2 import (
    Wav2Vec2EncoderStableLayerNorm,
    Wav2Vec2PositionalConvEmbedding,
)

from .config import SpeechEncoderConfig


def hub_config(config: SpeechEncoderConfig) -> Wav2Vec2Config:
    """The `transformers` configuration of these sizes."""
    return Wav2Vec2Config(
        vocab_size=config.phones,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.feed_forward,
        hidden_dropout=config.dropout,
        activation_dropout=0.0,
        attention_dropout=0.0,
        feat_proj_dropout=0.0,
        layerdrop=0.0,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_dim=config.conv_dim,
        conv_kernel=config.conv_kernel,
        conv_stride=config.conv_stride,
        conv_bias=True,
        num_conv_pos_embeddings=config.position_kernel,
        num_conv_pos_embedding_groups=config.position_groups,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
    )


class FilterbankLayer(nn.Module):
    """Audio (B, 1, n) -> log energies (B, bands, T): a learned convolution in quadrature, power, bands, logarithm.

    Begins as a Hann-windowed Fourier transform and triangular mel bands; all of it is trained.
    """

    def __init__(self, bands: int, width: int, stride: int):
        super().__init__()
        bins = width // 2 + 1
        n = torch.arange(width, dtype=torch.float64)
        angle = 2 * math.pi * torch.arange(bins, dtype=torch.float64)[:, None] * n / width
        wave = torch.cat([angle.cos(), angle.sin()]) * torch.hann_window(width, dtype=torch.float64)
        self.conv = nn.Conv1d(1, 2 * bins, width, stride, bias=False)
        self.conv.weight.data.copy_(wave[:, None].float())
        hertz = torch.linspace(0, 8000, bins)
        top = 2595 * math.log10(1 + 8000 / 700)
        edges = 700 * (10 ** (torch.linspace(0, top, bands + 2) / 2595) - 1)
        # bands narrower than a bin are widened to one, so that none is empty
        low = torch.minimum(edges[:-2], edges[1:-1] - hertz[1])
        high = torch.maximum(edges[2:], edges[1:-1] + hertz[1])
        rise = (hertz[None] - low[:, None]) / (edges[1:-1] - low)[:, None]
        fall = (high[:, None] - hertz[None]) / (high - edges[1:-1])[:, None]
        bank = torch.minimum(rise, fall).clamp(min=0)
        self.bank = nn.Parameter(bank / bank.sum(1, keepdim=True))

    def forward(self, audio: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):  # eight bits of mantissa would bury what is soft
            real, imaginary = self.conv(audio.float()).chunk(2, dim=1)
            energy = functional.linear((real.square() + imaginary.square()).transpose(1, 2), self.bank.abs())
            return (0.25 * torch.log(energy + 1e-6) + 1.0).transpose(1, 2)


class CausalPositionalConv(Wav2Vec2PositionalConvEmbedding):
    """Positional convolution that sees the present frame and the `kernel - 1` before it."""

    def __init__(self, config: Wav2Vec2Config):
        super().__init__(config)
        self.kernel = config.num_conv_pos_embeddings
        self.conv.padding = (0,)

    def forward(self, hidden: Tensor, past: Tensor | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C); `past` (B, kernel - 1, C) are the frames before, zeros at the start of speech."""
        if past is None:
            past = hidden.new_zeros(hidden.shape[0], self.kernel - 1, hidden.shape[2])
        padded = torch.cat([past, hidden], dim=1).transpose(1, 2)
        return self.activation(self.conv(padded)).transpose(1, 2)


class CausalEncoder(Wav2Vec2EncoderStableLayerNorm):
    """Pre-norm transformer whose attention reaches `window` frames back, with a learned bias per head and distance."""

    def __init__(self, config: Wav2Vec2Config, window: int):
        super().__init__(config)
        self.window = window
        self.pos_conv_embed = CausalPositionalConv(config)
        # starts as a gentle slope, steeper from head to head, so that some heads begin local and some wide
        slopes = torch.tensor([2.0 ** (-1.5 * (h % 8)) for h in range(config.num_attention_heads)])
        self.distance_bias = nn.Parameter(-slopes[:, None] * torch.arange(window, dtype=torch.float32)[None, :])

    def attention_bias(self, queries: int, past: int, valid: Tensor | None = None) -> Tensor:
        """Additive bias (1, heads, queries, past + queries): -1e9 where a key may not be seen.

        `past` frames precede the queries; of these only the last `valid` (a scalar tensor) exist, all if None.
        """
        device = self.distance_bias.device
        query = torch.arange(queries, device=device)[:, None] + past
        key = torch.arange(past + queries, device=device)[None, :]
        distance = query - key
        allowed = (distance >= 0) & (distance < self.window)
        if valid is not None:
            allowed = allowed & (key >= past - valid)
        bias = self.distance_bias[:, distance.clamp(0, self.window - 1)]
        return torch.where(allowed[None], bias, torch.full_like(bias, -1e9))[None]

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs) -> BaseModelOutput:
        """(B, T, C) -> last_hidden_state (B, T, C), strictly causal. Clips of a batch are padded at their end only."""
        hidden = self.dropout(hidden_states + self.pos_conv_embed(hidden_states))
        bias = self.attention_bias(hidden.shape[1], 0)
        for layer in self.layers:
            hidden = layer(hidden, attention_mask=bias)
        return BaseModelOutput(last_hidden_state=self.layer_norm(hidden))

    def step(self, frames: Tensor, position_past: Tensor, past: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same transformer a few frames at a time.

        Args:
            frames: (1, n, C) new projected frames.
            position_past: (1, kernel - 1, C) projected frames before them, zeros at the start.
            past: (layers, 2, heads, window - 1, C / heads) keys and values of the frames before, zeros at the start.
            seen: int64 scalar, how many frames came before in all.

        Returns:
            hidden (1, n, C), and the two caches moved on by n frames.
        """
        hidden = frames + self.pos_conv_embed(frames, position_past)
        position_past = torch.cat([position_past, frames], dim=1)[:, -position_past.shape[1] :]
        reach = past.shape[3]
        bias = self.attention_bias(frames.shape[1], reach, valid=seen)
        moved = []
        for index, layer in enumerate(self.layers):
            attention = layer.attention
            normed = layer.layer_norm(hidden)

            def split(x: Tensor, heads: int = attention.num_heads, size: int = attention.head_dim) -> Tensor:
                return x.reshape(1, -1, heads, size).transpose(1, 2)  # (1, heads, n, size)

            query = split(attention.q_proj(normed)) * attention.scaling
            key = torch.cat([past[index, 0][None], split(attention.k_proj(normed))], dim=2)
            value = torch.cat([past[index, 1][None], split(attention.v_proj(normed))], dim=2)
            moved.append(torch.cat([key, value], dim=0)[:, :, -reach:])
            weights = functional.softmax(query @ key.transpose(2, 3) + bias, dim=-1)
            mixed = (weights @ value).transpose(1, 2).reshape(1, -1, hidden.shape[2])
            hidden = hidden + attention.out_proj(mixed)
            hidden = hidden + layer.feed_forward(layer.final_layer_norm(hidden))
        return self.layer_norm(hidden), position_past, torch.stack(moved)


class CausalWav2Vec2(Wav2Vec2Model):
    """`Wav2Vec2Model` with a causal encoder. `forward(input_values (B, n))` gives last_hidden_state (B, T, C)."""

    def __init__(self, config: SpeechEncoderConfig):
        super().__init__(hub_config(config))
        self.sizes = config
        self.encoder = CausalEncoder(self.config, config.window)
        self.post_init()
        if config.filterbank:
            first = FilterbankLayer(config.conv_dim[0], config.conv_kernel[0], config.conv_stride[0])
            self.feature_extractor.conv_layers[0] = first

    def frames(self, audio: Tensor) -> Tensor:
        """Audio (B, n) at 16 kHz -> projected convolutional features (B, T, C), T = (n - 400) // 320 + 1."""
        extracted = self.feature_extractor(audio).transpose(1, 2)
        return self.feature_projection(extracted)[0]


class SpeechEncoder(nn.Module):
    """The encoder with its phone head, and one for prosody that training alone reads: what head and brows follow is to
    be heard in the features too."""

    def __init__(self, config: SpeechEncoderConfig):
        super().__init__()
        self.config = config
        self.wav2vec2 = CausalWav2Vec2(config)
        self.phone_head = nn.Linear(config.hidden_size, config.phones)
        self.prosody_head = nn.Linear(config.hidden_size, config.prosody)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Audio (B, n) -> hidden (B, T, C) and phone logits (B, T, phones); both at t speak of frame t - delay."""
        hidden = self.wav2vec2.encoder(self.wav2vec2.frames(audio)).last_hidden_state
        return hidden, self.phone_head(hidden)
