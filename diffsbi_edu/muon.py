"""Muon: an optimiser for weight matrices, which learns more in a step.

Adam measures every weight's gradient by itself. Muon takes a layer's gradient as the matrix it is
and, of the update, makes every singular value about one: directions that the data seldom excite are
learnt as fast as the loudest. Vectors, and matrices that touch the data or the parameters (fewer
than `NARROW` rows or columns), stay with Adam.

Sources: K. Jordan et al. (2024), "Muon: An optimizer for hidden layers in neural networks", with
the Newton–Schulz coefficients given there; the size of an update, J. Liu et al. (2025), arXiv
2502.16982, Sec. 2.2. `torch.optim.Muon` multiplies in bfloat16, one matrix at a time, which takes
fourteen times as long on a CPU that has to emulate it (see benchmarks/RESULTS.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F

NARROW = 16
# What is taken for zero, in a matrix of norm 1 and in a running mean of gradients. Of a unit that
# has fallen silent the mean decays for ever, and a CPU takes up to fifty times as long for products
# of numbers too small for their format.
NEGLIGIBLE, VANISHED = 1e-12, 1e-30
MOMENTUM = 0.95
NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315
#: Root mean square of an update, at a learning rate of one: what is usual for Adam's.
UPDATE_RMS = 0.2


def orthogonalised(g: torch.Tensor, iterations: int = 5) -> torch.Tensor:
    """Matrices with the singular vectors of g, and all singular values within about 0.7 and 1.2.

    Five iterations of a quintic polynomial in g, which needs products only: far faster than a
    singular value decomposition. Those below about a hundredth of g's Frobenius norm stay smaller.

    Args:
        g: (B, R, C) matrices.
        iterations: of the polynomial.

    Returns:
        (B, R, C).

    Example:
        >>> g = torch.tensor([[[3.0, 0.0], [0.0, -0.5]]])
        >>> s = torch.linalg.svdvals(orthogonalised(g))
        >>> bool((s > 0.65).all() and (s < 1.25).all())
        True
    """
    a, b, c = NEWTON_SCHULZ
    tall = g.shape[1] > g.shape[2]
    x = g.mT if tall else g
    x = F.hardshrink(x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7), NEGLIGIBLE)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def matrices_first(
    parameters: Iterable[nn.Parameter],
) -> tuple[list[nn.Parameter], list[tuple[int, int, int]]]:
    """The parameters in another order: Muon's matrices, by shape, and then all others.

    Returns:
        the parameters; and (count, rows, columns) of each group of matrices, in that order.
    """
    groups: dict[tuple[int, int], list[nn.Parameter]] = {}
    others = []
    for p in parameters:
        if p.ndim == 2 and min(p.shape) >= NARROW:
            groups.setdefault((p.shape[0], p.shape[1]), []).append(p)
        else:
            others.append(p)
    shapes = [(len(group), *shape) for shape, group in groups.items()]
    return [p for group in groups.values() for p in group] + others, shapes


class Muon:
    """Moves matrices that lie one after another in a flat vector, those of one shape at once.

    Args:
        weights, gradient: flat vectors with the matrices at their start, moved and read in place.
        shapes: (count, rows, columns) of each group of matrices.

    Attributes:
        momentum: running mean of the gradient at the matrices; all that is remembered.
    """

    def __init__(
        self, weights: torch.Tensor, gradient: torch.Tensor, shapes: list[tuple[int, int, int]]
    ) -> None:
        sizes = [math.prod(shape) for shape in shapes]
        length = sum(sizes)
        self._weights, self._gradient = weights[:length], gradient[:length]
        self._shapes, self._sizes = shapes, sizes
        self.momentum = torch.zeros_like(self._gradient)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move every matrix by an update of root mean square 0.2 · lr, as Adam's would about be."""
        self.momentum.lerp_(self._gradient, 1 - MOMENTUM)
        self.momentum.copy_(F.hardshrink(self.momentum, VANISHED))
        ahead = self._gradient.lerp(self.momentum, MOMENTUM)  # Nesterov's look ahead
        parts = zip(self._weights.split(self._sizes), ahead.split(self._sizes), self._shapes)
        for weights, update, shape in parts:
            # A matrix of orthonormal rows (or columns) has a mean square of 1 / max(R, C).
            size = UPDATE_RMS * math.sqrt(max(shape[1:]))
            weights.view(shape).sub_(orthogonalised(update.view(shape)), alpha=lr * size)
