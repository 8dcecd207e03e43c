"""Described, ranged parameters."""

from __future__ import annotations

from dataclasses import dataclass

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from media2face.runtime.precision import PRECISIONS


@dataclass(frozen=True)
class Param:
    """A parameter: ``low`` and ``high`` bound numbers, ``choices`` texts; ``fixed`` ones are read in configure only."""

    name: str
    default: str | float | bool
    text: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    fixed: bool = True

    def declare(self, node: Node) -> None:
        """Declare it on ``node``; ROS refuses values of another type or out of range."""
        about = self.text + (f"; one of {', '.join(self.choices)}" if self.choices else "")
        if self.fixed:
            about += "; takes effect at the next configure"
        descriptor = ParameterDescriptor(description=about)
        if self.low is not None and isinstance(self.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(self.low), to_value=float(self.high))
            ]
        elif self.low is not None:
            descriptor.integer_range = [IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)]
        node.declare_parameter(self.name, self.default, descriptor)


AUTOSTART = Param("autostart", True, "configure and activate without being told")
PROVIDER = Param("provider", "auto", "what runs the networks", choices=("auto", "cpu", "cuda", "tensorrt"))
WEIGHTS = Param("weights", "", "folder of the weights; empty: those that ship")
PRECISION = Param(
    "precision", "fp32", "which of the folder's weights run; others than fp32 are made by onnx_export.variants",
    choices=PRECISIONS,
)  # fmt: skip
PRESENTATION_DELAY = Param(
    "presentation_delay", 0.28, "from capture to presentation, s; the same for every node of an avatar", 0.0, 5.0
)
