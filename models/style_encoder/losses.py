"""What the style encoder learns: CLIP's contrastive loss with many positives, and the geometry of the space.

The contrastive loss (InfoNCE, Radford et al. 2021; many positives as in SupCon, Khosla et al. 2020) tells styles apart
but leaves distances free. A generator reads distances: a slight smile must lie between rest and a broad one. So the
cosine of two embeddings is also drawn to that of their labels, laid out by :func:`target_directions`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# (valence, arousal) of the styles in [-1, 1], in the order of data.styles.STYLES: our own estimates on Russell's plane.
_PLANE = (
    (0.0, 0.0), (0.9, 0.3), (-0.8, -0.4), (-0.7, 0.8), (0.1, 0.9), (-0.7, 0.7), (-0.8, 0.2), (-0.5, -0.1), (0.7, 0.9),
    (0.5, -0.8), (-0.2, -0.9), (-0.3, 0.2), (0.1, -0.4), (0.8, 0.5), (-0.4, -0.8),
)  # fmt: skip


def target_directions(labels: Tensor, kinship: float = 0.35) -> Tensor:
    """Unit vectors (B, 17) whose cosines the embeddings are to have, from labels (B, 15) that sum to one.

    Each style has an axis of its own plus a share ``kinship`` of the valence-arousal plane, so that happy and excited
    lie closer than happy and angry; neutral is one axis, and a weak style lies on the way from it.
    """
    plane = F.normalize(labels.new_tensor(_PLANE), dim=-1)
    styles = torch.eye(len(_PLANE), device=labels.device, dtype=labels.dtype)
    basis = torch.cat([styles * (1 - kinship) ** 0.5, plane * kinship**0.5], dim=-1)
    basis[0] = F.one_hot(torch.tensor(0), basis.shape[1]).to(basis)
    return F.normalize(labels @ basis, dim=-1)


def contrastive_loss(a: Tensor, b: Tensor, cosines: Tensor, scale: Tensor, exclude_self: bool = False) -> Tensor:
    """InfoNCE over unit embeddings a (N, D), b (M, D), every pair weighted by how alike its labels are.

    Args:
        cosines: (N, M) target cosines; a pair counts as positive from 0.9 on.
        scale: inverse temperature.
        exclude_self: leave out the diagonal (a text against itself).
    """
    logits = scale * a @ b.T
    weights = ((cosines - 0.9) / 0.1).clamp(0, 1)
    if exclude_self:
        own = torch.eye(len(a), dtype=torch.bool, device=a.device)
        logits, weights = logits.masked_fill(own, -1e4), weights.masked_fill(own, 0)
    used = weights.sum(1) > 0
    weights = weights[used] / weights[used].sum(1, keepdim=True)
    return -(weights * F.log_softmax(logits[used], dim=1)).sum(1).mean()


def geometry_loss(a: Tensor, b: Tensor, cosines: Tensor) -> Tensor:
    """Mean squared difference between the cosines of a (N, D), b (M, D) and those of their labels (N, M)."""
    return (a @ b.T - cosines).square().mean()
