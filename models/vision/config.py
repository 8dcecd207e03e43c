"""Configuration of the vision encoders."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of one image encoder.

    ``channels`` and ``blocks`` run from the first level down; each level halves the picture by a strided convolution
    and adds as many residual blocks. ``hidden`` are the widths of the layers before the outputs. ``points`` landmarks
    are found on the way (0 or 68).

    Raises:
        ValueError: if the picture cannot be halved often enough or a number is out of range.
    """

    size: int = 256
    channels: tuple[int, ...] = (32, 64, 128, 256, 512)
    blocks: tuple[int, ...] = (0, 0, 0, 0, 0)
    hidden: tuple[int, ...] = ()
    points: int = 0
    refine: int = 0

    def __post_init__(self) -> None:
        if len(self.blocks) != len(self.channels):
            raise ValueError(f"expected {len(self.channels)} numbers of blocks, got {len(self.blocks)}")
        if self.size < 16 or self.size % 2 ** len(self.channels):
            raise ValueError(f"a picture of {self.size} pixels cannot be halved {len(self.channels)} times")
        if min(self.channels + self.hidden) < 1 or min(*self.blocks, self.refine) < 0:
            raise ValueError("channels and hidden must be positive, blocks and refine not negative")
        if self.points not in (0, 68) or (self.points and len(self.channels) < 3):
            raise ValueError(f"expected 0 or 68 points and, with them, three levels or more, got {self.points}")


@dataclass(frozen=True)
class VisionConfig:
    """Both encoders, the locator and their training. The defaults stand for the paper's models: the architecture of
    its geometry encoder at our reading of its size; :meth:`edge` is what ships."""

    expression: EncoderConfig = field(default_factory=EncoderConfig)
    pose: EncoderConfig = field(default_factory=EncoderConfig)
    locator_channels: tuple[int, ...] = (16, 32, 64)
    latent_dim: int = 64

    # loss weights
    weight_skin: float = 2.0  # mm, mean distance over the skin, through M' and the rig's linear shapes
    weight_vertices: float = 0.5  # mm, the same squared, lips and lids weighted, and its root
    weight_maps: float = 1.0  # mm, through M' and G_geo (the paper's geometry loss), on ``rendered`` pictures a step
    weight_image: float = 10.0  # display values, through the differentiable renderer (equation 3 and its twin)
    weight_latent: float = 2.0
    weight_rotation: float = 20.0
    weight_place: float = 5.0
    weight_face: float = 0.5
    weight_points: float = 60.0  # sides of the crop: landmarks in the picture

    # training
    batch: int = 32
    grid_share: float = 0.15  # of each batch: real frames
    rendered: int = 4  # pictures that go through G_geo and the renderer
    render_every: int = 16  # steps
    render_size: int = 48
    learning_rate: float = 7e-4

    def __post_init__(self) -> None:
        if not 0 <= self.grid_share < 1:
            raise ValueError(f"grid_share is a share of the batch, got {self.grid_share}")
        if not 0 <= self.rendered <= self.batch or self.render_every < 1 or self.batch < 2:
            raise ValueError("expected 0 <= rendered <= batch, render_every >= 1 and batch >= 2")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")

    @classmethod
    def edge(cls) -> VisionConfig:
        """3.0 M parameters; both encoders in a few milliseconds on one CPU core."""
        return cls(
            expression=EncoderConfig(96, (24, 48, 96, 160), (0, 2, 1, 1), (192, 192), 68, 2),
            pose=EncoderConfig(64, (16, 32, 64, 128), (0, 0, 1, 1), (128, 96), 68),
        )


CONFIGS = {"paper": VisionConfig, "edge": VisionConfig.edge}
