"""Sizes of the speech encoder: `edge` is what ships, `paper` has the shape of wav2vec2-base."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

STRIDE = 320  # samples between two features: 50 Hz at 16 kHz
RECEPTIVE_FIELD = 400  # samples of audio under one convolutional feature


@dataclass(frozen=True)
class SpeechEncoderConfig:
    """Architecture of `CausalWav2Vec2`.

    Raises:
        ValueError: for sizes that do not fit each other, saying which.
    """

    # convolutional front end: width, kernel and stride of each layer, together 400 samples wide every 320
    conv_dim: tuple[int, ...] = (64, 256, 192)
    conv_kernel: tuple[int, ...] = (240, 3, 1)
    conv_stride: tuple[int, ...] = (80, 4, 1)
    filterbank: bool = True  # the first layer begins as a log-mel filterbank; False: as in wav2vec 2.0
    # transformer
    hidden_size: int = 192
    layers: int = 5
    heads: int = 4
    feed_forward: int = 768
    dropout: float = 0.05
    # streaming
    position_kernel: int = 16  # frames of the left-padded positional convolution
    position_groups: int = 16
    window: int = 64  # frames that attention sees, the present one included
    delay: int = 4  # frames of look-ahead: the hidden state at j + delay is feature j
    # heads that only training and evaluation read
    phones: int = 42
    prosody: int = 3  # loudness, pitch, voicing

    def __post_init__(self) -> None:
        for name in ("conv_dim", "conv_kernel", "conv_stride"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not len(self.conv_dim) == len(self.conv_kernel) == len(self.conv_stride):
            raise ValueError(
                f"conv_dim, conv_kernel, conv_stride must be of one length: "
                f"{self.conv_dim}, {self.conv_kernel}, {self.conv_stride}"
            )
        field, stride = 1, 1
        for width, step in zip(self.conv_kernel, self.conv_stride, strict=True):
            field, stride = field + (width - 1) * stride, stride * step
        if (field, stride) != (RECEPTIVE_FIELD, STRIDE):
            raise ValueError(
                f"the front end must see {RECEPTIVE_FIELD} samples every {STRIDE}, but these kernels and strides "
                f"see {field} every {stride}"
            )
        if self.hidden_size % self.heads or self.hidden_size % self.position_groups:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads} "
                f"and of position_groups {self.position_groups}"
            )
        if self.window < 2 or self.position_kernel < 2:
            raise ValueError(f"window and position_kernel must be >= 2, got {self.window}, {self.position_kernel}")
        if self.delay < 0 or not 0 <= self.dropout < 1:
            raise ValueError(f"delay must be >= 0 and dropout in [0, 1), got {self.delay}, {self.dropout}")

    @classmethod
    def edge(cls) -> SpeechEncoderConfig:
        """The shipped size: 2.5 M parameters."""
        return cls()

    @classmethod
    def paper(cls) -> SpeechEncoderConfig:
        """The shape of wav2vec2-base, which Media2Face conditions on: 12 layers of 768, 95 M parameters."""
        return cls(
            conv_dim=(512,) * 7,
            conv_kernel=(10, 3, 3, 3, 3, 2, 2),  # wav2vec 2.0, section 4.2
            conv_stride=(5, 2, 2, 2, 2, 2, 2),
            filterbank=False,
            hidden_size=768,
            layers=12,
            heads=12,
            feed_forward=3072,
            dropout=0.1,
            position_kernel=128,
        )

    @classmethod
    def from_dict(cls, values: dict) -> SpeechEncoderConfig:
        """Back from `to_dict`; unknown keys are refused with ValueError."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"unknown fields of SpeechEncoderConfig: {sorted(unknown)}")
        return cls(**values)

    def to_dict(self) -> dict:
        return asdict(self)
