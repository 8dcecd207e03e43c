"""Configuration of the Media2Face denoiser."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes and training settings; the defaults are the paper's (section 5.1), :meth:`edge` is what ships.

    Raises:
        ValueError: if sizes do not fit together or a probability leaves [0, 1].
    """

    # state: [expression latent z, head pose theta]
    latent_dim: int = 64
    pose_dim: int = 6  # rotation vector (rad) and translation (m), both standardised

    # conditions
    audio_dim: int = 192
    style_dim: int = 128
    phones: int = 42  # > 0: the network hears the encoder's phone posteriors ...
    prosody_dim: int = 8  # ... and so many projections of the features; 0 phones: the features themselves
    drop_prosody: float = 0.5
    disturb_phones: float = 4.5  # largest deviation of the noise on phone logits in training, see the README
    hold: bool = False  # the network is told the last given state, and the head goes on from it (the student)
    style_tokens: int = 4  # one embedding spread over a few tokens, so that it is heard beside 200 audio tokens

    # transformer decoder
    layers: int = 8
    heads: int = 4
    width: int = 512
    feed_forward: int = 2048
    max_frames: int = 512

    # diffusion
    train_steps: int = 500
    window: int = 200

    # random masks of section 4.1
    drop_style: float = 0.2
    drop_all: float = 0.1

    # loss weights of equation 8, and our terms on the decoded lips
    weight_simple: float = 1.0
    weight_velocity: float = 1.0
    weight_smooth: float = 0.01
    weight_lips: float = 0.5
    weight_closure: float = 2.0

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"width {self.width} must give each of {self.heads} heads an even number of channels")
        for name in ("drop_style", "drop_all", "drop_prosody"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a probability, got {getattr(self, name)}")
        if self.phones < 0 or self.prosody_dim < 1:
            raise ValueError(f"phones must be >= 0 and prosody_dim >= 1, got {self.phones} and {self.prosody_dim}")
        if self.disturb_phones < 0:
            raise ValueError(f"disturb_phones must be >= 0, got {self.disturb_phones}")
        if not 8 <= self.window <= self.max_frames:
            raise ValueError(f"window must lie within 8 and max_frames={self.max_frames}, got {self.window}")

    @property
    def state_dim(self) -> int:
        """Size of one frame's state x = [z, theta]."""
        return self.latent_dim + self.pose_dim

    @classmethod
    def edge(cls) -> DenoiserConfig:
        """2.6 M parameters: four steps of a 36-frame window fit into a 67 ms hop on one CPU core."""
        return cls(layers=4, width=192, feed_forward=768, window=96, max_frames=256)


CONFIGS = {"paper": DenoiserConfig, "edge": DenoiserConfig.edge}
