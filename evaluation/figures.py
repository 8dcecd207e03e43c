"""What ``media2face evaluate gnpfa`` measures: a number with its goal and baselines, and what its sections share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..runtime.decoder import FaceDecoder
from .gnpfa_faces import LinearFaces, TestFaces


@dataclass(frozen=True)
class Figure:
    """One measured number: ``goal`` is the largest allowed (smallest, with ``at_least``), ``beside`` the baselines."""

    name: str
    value: float
    unit: str
    meaning: str
    goal: float | None = None
    at_least: bool = False
    beside: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


@dataclass
class Context:
    """What the sections share."""

    data: Path
    decoder: FaceDecoder
    faces: TestFaces
    linear: LinearFaces
