"""Which row of the comparison a run is."""

from __future__ import annotations

from dataclasses import dataclass

SPACES = ("z", "weights", "vertices")
OBJECTIVES = ("diffusion", "regression")


@dataclass(frozen=True)
class BaselineConfig:
    """Space and objective of a baseline, and how much of the training clips it sees.

    Raises:
        ValueError: for an unknown space or objective, or a share outside (0, 1].
    """

    space: str = "z"  # "weights": 52 linear blendshapes through M'; "vertices": displacements of the measured points
    objective: str = "diffusion"  # "regression": the same network without noise, one pass a hop
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise ValueError(f"space must be one of {', '.join(SPACES)}, got {self.space!r}")
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, got {self.objective!r}")
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"share must lie above 0 and at most 1, got {self.share}")
