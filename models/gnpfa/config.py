"""Configuration of GNPFA."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GNPFAConfig:
    """Sizes and training settings; the defaults stand for the paper's model, :meth:`edge` is what ships.

    The paper gives no sizes for the VAE ("we follow DreamFace"): 256 texels a side and five levels are our reading.

    Raises:
        ValueError: if the map cannot be halved often enough or a number is out of range.
    """

    # geometry maps
    height: int = 256
    width: int = 288

    # latent space and blendshapes
    latent_dim: int = 64
    shapes: int = 52

    # networks: channels from the finest level down; each level halves the map
    encoder_channels: tuple[int, ...] = (32, 64, 128, 256, 512)
    generator_channels: tuple[int, ...] = (64, 128, 256, 512, 512)
    mapping_width: int = 512
    encoder_sees_neutral: bool = False  # the paper's encoder reads the expression alone
    linear_basis: bool = False  # E_geo and G_geo start from the rig's linear model, see networks.py
    identity_code: int = 100  # principal axes that sum up a neutral (these six with linear_basis)
    lengths: int = 27  # distances in the neutral that are known beside them
    gates: int = 96  # ways in which people differ in showing an expression
    pairs: int = 63  # products of two readings of z
    folds: int = 56  # coordinates beside z that the products move
    turns: int = 48  # patterns over the face by which its build turns the directions of motion

    # loss weights: equations 1 and 2, then ours
    weight_recon: float = 1.0
    weight_latent: float = 1.0
    weight_shapes: float = 10.0  # weights are small numbers: 0.01 of jawOpen is 0.3 mm of mouth
    weight_kl: float = 3e-4
    latent_noise: float = 0.05  # noise on z when it is mapped back to weights

    # training
    batch: int = 32
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        levels = len(self.generator_channels)
        if len(self.encoder_channels) != levels:
            raise ValueError(f"encoder has {len(self.encoder_channels)} levels, generator {levels}: expected as many")
        if self.height % 2**levels or self.width % 2**levels:
            raise ValueError(f"a map of {self.height} x {self.width} cannot be halved {levels} times")
        if min(self.latent_dim, self.shapes, self.batch) < 1 or self.learning_rate <= 0:
            raise ValueError("latent_dim, shapes, batch and learning_rate must be positive")
        if self.latent_noise < 0:
            raise ValueError(f"latent_noise is a standard deviation, got {self.latent_noise}")

    @property
    def base(self) -> tuple[int, int]:
        """Rows and columns of the coarsest level."""
        scale = 2 ** len(self.generator_channels)
        return self.height // scale, self.width // scale

    @classmethod
    def edge(cls) -> GNPFAConfig:
        """3.8 M parameters; decodes more than 500 frames/s on two CPU cores."""
        return cls(
            height=64, width=80, encoder_channels=(16, 24, 32, 48), generator_channels=(16, 24, 32, 48),
            mapping_width=128, encoder_sees_neutral=True, linear_basis=True, weight_recon=20.0, learning_rate=3e-4,
        )  # fmt: skip


CONFIGS = {"paper": GNPFAConfig, "edge": GNPFAConfig.edge}
