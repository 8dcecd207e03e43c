"""Sizes of the speech encoder: `edge` is what ships, `paper` has the shape of wav2vec2-base."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

STRIDE = 320  # samples between two features: 50 Hz at 16 kHz
RECEPTIVE_FIELD = 400  # samples of audio under one convolutional feature
CONV_KERNEL = (10, 3, 3, 3, 3, 2, 2)  # wav2vec 2.0, section 4.2
CONV_STRIDE = (5, 2, 2, 2, 2, 2, 2)


@dataclass(frozen=True)
class SpeechEncoderConfig:
    """Architecture of `CausalWav2Vec2`.

    Raises:
        ValueError: for sizes that do not fit each other, saying which.
    """

    # convolutional front end (one width per layer; kernels and strides are those of wav2vec 2.0)
    conv_dim: tuple[int, ...] = (32, 48, 64, 96, 128, 160, 192)
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
    mels: int = 64  # per 10 ms; two frames per feature

    def __post_init__(self) -> None:
        object.__setattr__(self, "conv_dim", tuple(self.conv_dim))
        if len(self.conv_dim) != len(CONV_KERNEL):
            raise ValueError(f"conv_dim needs {len(CONV_KERNEL)} widths, got {len(self.conv_dim)}")
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
            conv_dim=(512,) * 7, hidden_size=768, layers=12, heads=12, feed_forward=3072, position_kernel=128, dropout=0.1
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
