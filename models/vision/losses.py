"""Losses of the vision encoders (Media2Face, section 3.2, equation 3 and its twin).

Geometry is compared in two ways: every picture through the frozen M' and the rig's linear shapes, which costs a matrix
product (:class:`ShapeDistance`), and a few a step through the frozen G_geo and the renderer.
"""

from __future__ import annotations

from torch import Tensor, nn


class ShapeDistance(nn.Module):
    """How far faces (B, 52) lie apart on the rig's mean identity, mm: weighted rms over vertices.

    Args:
        moves: (52, V, 3) mm per unit of weight.
        importance: (V,) weight of each vertex.
    """

    def __init__(self, moves: Tensor, importance: Tensor) -> None:
        super().__init__()
        flat = (moves * (importance / importance.mean()).sqrt()[:, None]).flatten(1).double()
        self.register_buffer("metric", (flat @ flat.T / moves.shape[1]).float())

    def forward(self, made: Tensor, true: Tensor, valid: Tensor) -> Tensor:
        """(B,) mm, smooth at zero; ``valid`` (B, 52) is 0 where a label says nothing."""
        apart = (made - true) * valid
        return ((apart @ self.metric * apart).sum(1).clamp_min(0) + 1e-3).sqrt()


def point_loss(made: Tensor, true: Tensor, known: Tensor) -> Tensor:
    """Mean absolute distance of landmarks (B, 68, 2) over the pictures with ``known`` (B,) ones."""
    apart = (made - true).abs().mean((1, 2))
    return (apart * known).sum() / known.sum().clamp_min(1)


def pose_losses(made: Tensor, rotation: Tensor, true: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parts ``rotation`` (squared chordal distance), ``place`` (smooth L1) and ``face`` (cross-entropy).

    Args:
        made: (B, 10) outputs of E_pose. rotation: (B, 3, 3) made of them.
        true: ``rotation`` (B, 3, 3), ``place`` (B, 3), ``face`` (B,): 1 a face, 0 none, -1 unknown.
    """
    seen, known = true["face"] == 1, true["face"] >= 0
    count = seen.sum().clamp_min(1)
    angle = ((rotation - true["rotation"]) ** 2).sum((1, 2))
    # the chord grows with the angle; its root weighs small errors as much as large ones
    turned = ((angle + 1e-4).sqrt() * seen).sum() / count
    place = nn.functional.smooth_l1_loss(made[:, 6:9], true["place"], reduction="none", beta=0.02).sum(1)
    logit = nn.functional.binary_cross_entropy_with_logits(made[:, 9], true["face"].clamp_min(0), reduction="none")
    return {
        "rotation": turned,
        "place": (place * seen).sum() / count,
        "face": (logit * known).sum() / known.sum().clamp_min(1),
    }
