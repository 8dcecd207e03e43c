"""The denoiser G(X_t, t, A, P) of Media2Face (section 4.1, equation 4): a transformer decoder that predicts X_0.

Self-attention runs over the frames; style-aware cross-attention runs over the concatenation [A, P] of the audio
features (one token a frame) and the style embedding (a few tokens).

What differs from the paper:

* Every frame has its own noise time t, so that frames already fixed (the past of a stream, keyframes) enter clean with
  t = 0 in the same pass. The paper's case is all times equal.
* Positions are rotary, and the attention to audio is biased to the frame's own time with one slope a head
  (as ALiBi does), so that a few thousand steps suffice to find the alignment.
* Speech enters through the encoder's phone head (:class:`PhoneBottleneck`), unless the encoder has none.
* With ``config.hold``, every frame is told the last given state before it, and the head pose is predicted as what
  differs from going on as heads do (:meth:`Denoiser.foresee`): a stream's head then joins on to its past.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .config import DenoiserConfig


def sinusoid(t: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding of noise times: (...,) to (..., width)."""
    half = width // 2
    rates = torch.exp(-math.log(10_000.0) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t.float().unsqueeze(-1) * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on (B, H, T, C) with tables (T, C/2)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Attention(nn.Module):
    """Multi-head attention with an additive bias (H, Tq, Tk) or none."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor | None, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        batch, frames, width = x.shape
        q = self.query(x).view(batch, frames, self.heads, -1).transpose(1, 2)
        k, v = self.key_value(memory).chunk(2, dim=-1)
        k = k.reshape(batch, -1, self.heads, width // self.heads).transpose(1, 2)
        v = v.reshape(batch, -1, self.heads, width // self.heads).transpose(1, 2)
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        logits = q @ k.transpose(-1, -2) * (1.0 / math.sqrt(width // self.heads))
        if bias is not None:
            logits = logits + bias
        mixed = logits.softmax(dim=-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, frames, width))


class Block(nn.Module):
    """One decoder layer: self-attention, style-aware cross-attention, feed-forward; pre-norm."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        width = config.width
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.self_attention = Attention(width, config.heads)
        self.cross_attention = Attention(width, config.heads)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, config.feed_forward), nn.GELU(), nn.Linear(config.feed_forward, width)
        )

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        h = self.norms[0](x)
        x = x + self.self_attention(h, h, None, rotary)
        x = x + self.cross_attention(self.norms[1](x), memory, bias, None)
        return x + self.feed_forward(self.norms[2](x))


class PhoneBottleneck(nn.Module):
    """Speech features through the encoder's own phone head: what strangers' voices share.

    A network that reads 192 hidden channels learns the voices it was trained on; phone posteriors carry over to
    voices it never heard. The encoder's linear phone head is copied in and stays frozen. A few free projections, often
    hidden in training, carry prosody.
    """

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        self.phone_head = nn.Linear(config.audio_dim, config.phones).requires_grad_(False)
        self.prosody = nn.Linear(config.audio_dim, config.prosody_dim)
        self.out = nn.Linear(config.phones + config.prosody_dim, config.width)

    def forward(self, audio: Tensor) -> Tensor:
        logits = self.phone_head(audio)
        prosody = torch.tanh(self.prosody(audio))
        if self.training:
            shape = (audio.shape[0], 1, 1)
            # other voices, other certainty, and errors that last about as long as a phone
            logits = logits * torch.empty(shape, device=audio.device).uniform_(0.6, 1.2)
            errors = torch.randn(audio.shape[0], self.config.phones, audio.shape[1] // 3 + 2, device=audio.device)
            errors = nn.functional.interpolate(errors, size=audio.shape[1], mode="linear").transpose(1, 2)
            logits = logits + torch.rand(shape, device=audio.device) * self.config.disturb_phones * errors
            prosody = prosody * (torch.rand(shape, device=audio.device) >= self.config.drop_prosody)
        certain = logits.log_softmax(dim=-1).clamp(min=-8.0) / 4.0 + 1.0
        return self.out(torch.cat([certain, prosody], dim=-1))


HEAD_UNIT = 0.02
"""Size of the head's departures from that, in standard deviations of the pose."""


def last_given(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each frame, the last frame up to it that was given (t = 0).

    Args:
        x: (B, T, D) states.
        t: (B, T) noise times.

    Returns:
        its state and, if the frame before was given too, the step from there, (B, T, D), zeros where there is none; and
        how many frames ago it was, (B, T), 0 where there is none.
    """
    place = torch.arange(x.shape[1], device=x.device)
    until = place.unsqueeze(0) <= place.unsqueeze(1)
    given = t == 0
    last = torch.where(given.unsqueeze(1) & until, place, -1).amax(dim=-1)
    before = torch.where((last > 0) & given.gather(1, (last - 1).clamp(min=0)), last - 1, last)
    held, earlier = ((i.unsqueeze(-1) == place).to(x.dtype) @ x for i in (last, before))
    return held, held - earlier, torch.where(last < 0, 0, place - last)


class Denoiser(nn.Module):
    """Predicts the clean head motion X_0 from a noisy one.

    Shapes: B windows, T frames, D = ``config.state_dim``.
    """

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.state_in = nn.Linear(config.state_dim, width)
        self.time_in = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        if config.phones:
            self.audio_in = PhoneBottleneck(config)
        else:
            self.audio_in = nn.Sequential(nn.LayerNorm(config.audio_dim), nn.Linear(config.audio_dim, width))
        self.style_in = nn.Linear(config.style_dim, config.style_tokens * width)
        self.null_audio = nn.Parameter(torch.zeros(width))
        self.null_style = nn.Parameter(torch.zeros(config.style_tokens, width))
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(width)
        self.state_out = nn.Linear(width, config.state_dim)
        if config.hold:
            self.hold_in = nn.Linear(2 * config.state_dim, width)
            nn.init.zeros_(self.hold_in.weight)
            nn.init.zeros_(self.state_out.weight[config.latent_dim :])
            nn.init.zeros_(self.state_out.bias[config.latent_dim :])
            self.register_buffer("ahead", torch.zeros(config.max_frames, 2, config.pose_dim))
            self.foresee(torch.tensor([[1.0], [0.0]]).expand(2, config.pose_dim))
        nn.init.normal_(self.null_audio, std=0.02)
        nn.init.normal_(self.null_style, std=0.02)

        channels = width // config.heads
        rates = 10_000.0 ** (-torch.arange(0, channels, 2) / channels)
        angles = torch.arange(config.max_frames).unsqueeze(-1) * rates
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        # one slope a head, from "this frame only" to "all of the window"
        slopes = 4.0 * 0.25 ** torch.arange(config.heads, dtype=torch.float32)
        self.register_buffer("slopes", slopes, persistent=False)

    def forward(
        self, x: Tensor, t: Tensor, audio: Tensor, style: Tensor, has_audio: Tensor, has_style: Tensor
    ) -> Tensor:
        """One evaluation of equation 4.

        Args:
            x: (B, T, D) noisy states, standardised.
            t: (B, T) noise time of each frame, 0 (clean) to ``train_steps``.
            audio: (B, T, A) speech features at frame times.
            style: (B, P) style embedding.
            has_audio: (B,) 1 to hear the audio, 0 to mask it (second random mask).
            has_style: (B,) 1 to follow the style, 0 to mask it (first random mask).

        Returns:
            (B, T, D) the predicted clean states.
        """
        batch, frames = x.shape[0], x.shape[1]
        heard = has_audio.view(-1, 1, 1)
        styled = (has_style * has_audio).view(-1, 1, 1)
        a = heard * self.audio_in(audio) + (1.0 - heard) * self.null_audio
        p = self.style_in(style).view(batch, self.config.style_tokens, -1)
        p = styled * p + (1.0 - styled) * self.null_style
        memory = torch.cat([a, p], dim=1)

        place = torch.arange(frames, device=x.device, dtype=torch.float32)
        distance = (place.unsqueeze(0) - place.unsqueeze(1)).abs()
        bias = -self.slopes.view(-1, 1, 1) * distance
        bias = torch.nn.functional.pad(bias, (0, self.config.style_tokens))
        rotary = (self.cos[:frames], self.sin[:frames])

        h = self.state_in(x) + self.time_in(sinusoid(t, self.config.width))
        if self.config.hold:
            held, step, ago = last_given(x, t)
            h = h + self.hold_in(torch.cat([held, step], dim=-1))
        for block in self.blocks:
            h = block(h, memory, bias, rotary)
        out = self.state_out(self.norm(h))
        if self.config.hold:
            z = self.config.latent_dim
            lean, coast = self.ahead[ago].unbind(dim=2)
            ahead = held[..., z:] + lean * held[..., z:] + coast * step[..., z:]
            out = torch.cat([out[..., :z], ahead + HEAD_UNIT * out[..., z:]], dim=-1)
        return out

    def foresee(self, dynamics: Tensor) -> None:
        """How the pose goes on by itself: each channel of a frame is ``dynamics[0]`` of the frame before and
        ``dynamics[1]`` of the one before that, (2, pose_dim).

        Kept for every later frame as two shares, of the last given pose and of its step, that are added to the pose.
        """
        dynamics = dynamics.double()
        rows = [torch.stack([torch.ones_like(dynamics[0]), torch.zeros_like(dynamics[0])]), dynamics]
        while len(rows) < self.config.max_frames:
            rows.append(dynamics[0] * rows[-1] + dynamics[1] * rows[-2])
        now, then = torch.stack(rows).unbind(dim=1)
        self.ahead.copy_(torch.stack([now + then - 1.0, -then], dim=1))

    def load_from(self, other: Denoiser) -> None:
        """Take over the parameters of a network of the same sizes; one without ``hold`` leaves the new parts as made,
        and how the pose goes on stays as it is.

        Raises:
            RuntimeError: if sizes differ.
        """
        state = other.state_dict()
        if self.config.hold:
            state["ahead"] = self.ahead
        if self.config.hold and not other.config.hold:
            own, z = self.state_dict(), self.config.latent_dim
            state |= {k: v for k, v in own.items() if k.startswith("hold_in.")}
            for key in ("state_out.weight", "state_out.bias"):
                state[key] = torch.cat([state[key][:z], own[key][z:]])
        self.load_state_dict(state)
