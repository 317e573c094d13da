"""Product: a prior of independent pieces of different families."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch.distributions import Distribution, Independent, biject_to
from torch.distributions import constraints as c


class Product(Distribution):
    """Independent pieces side by side: p(theta) = p_1(theta's first columns) p_2(the next) …

    Each piece keeps its own map to the latent space, so that a uniform piece next to a normal one
    still becomes exactly N(0, 1).

    Args:
        factors: distributions of numbers (event shape ()) or vectors (event shape (d,)).
        columns: for each factor, which columns of theta are its; None: one factor after another.

    Raises:
        TypeError: a factor is no torch distribution.
        ValueError: a factor has a batch shape or no number or vector as its event; `columns` do
            not name each column once.

    Example:
        >>> from torch.distributions import Normal, Uniform
        >>> prior = Product([Normal(0.0, 1.0), Uniform(0.0, 2.0)])
        >>> prior.event_shape, prior.sample((3,)).shape
        (torch.Size([2]), torch.Size([3, 2]))
    """

    arg_constraints: ClassVar[dict[str, c.Constraint]] = {}

    def __init__(
        self, factors: Sequence[Distribution], columns: Sequence[Sequence[int]] | None = None
    ) -> None:
        self.factors = tuple(_vector(factor) for factor in factors)
        sizes = [int(factor.event_shape[0]) for factor in self.factors]
        if columns is None:
            ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
            columns = [range(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        self.columns = tuple(tuple(own) for own in columns)
        order = [column for own in self.columns for column in own]
        if [len(own) for own in self.columns] != sizes or sorted(order) != list(range(sum(sizes))):
            raise ValueError(
                f"columns must name each of the {sum(sizes)} columns once, {sizes} of them for the "
                f"factors in turn, got {self.columns}."
            )
        self._position = torch.tensor(order).argsort()
        super().__init__(event_shape=torch.Size([len(order)]), validate_args=False)

    @property
    def support(self) -> Any:
        """Where every piece lies in the support of its factor."""
        return _Supports(self)

    def pieces(self, theta: torch.Tensor) -> list[torch.Tensor]:
        """theta (..., D) taken apart: each factor's columns."""
        return [torch.stack([theta[..., i] for i in own], -1) for own in self.columns]

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Draws (*sample_shape, D)."""
        draws = [factor.sample(torch.Size(sample_shape)) for factor in self.factors]
        return torch.cat(draws, -1)[..., self._position]

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log density at theta (..., D): shape (...), −inf outside the support."""
        inside = self.support.check(value)
        total = torch.zeros_like(value[..., 0])
        for factor, piece in zip(self.factors, self.pieces(value), strict=True):
            # A factor may refuse values outside its support: show it one inside in their place.
            to_support = biject_to(factor.support)
            within = to_support(piece.new_zeros(to_support.inverse_shape(piece.shape)))
            total = total + factor.log_prob(torch.where(inside[..., None], piece, within))
        return total.masked_fill(~inside, -torch.inf)


class _Supports(c.Constraint):
    """theta such that each factor's columns satisfy its own constraint."""

    event_dim = 1

    def __init__(self, product: Product) -> None:
        self._product = product

    def check(self, value: torch.Tensor) -> torch.Tensor:
        pairs = zip(self._product.factors, self._product.pieces(value), strict=True)
        checks = [factor.support.check(piece) for factor, piece in pairs]  # type: ignore[union-attr]
        return torch.stack(checks).all(0)


def _vector(factor: Any) -> Distribution:
    if not isinstance(factor, Distribution):
        raise TypeError(f"factors must be torch.distributions.Distribution, got {type(factor)}.")
    if factor.batch_shape != () or len(factor.event_shape) > 1:
        raise ValueError(
            f"a factor must have batch shape () and event shape () or (d,), got {factor}; wrap "
            "independent numbers in torch.distributions.Independent(factor, 1)."
        )
    return factor if factor.event_shape else Independent(factor.expand((1,)), 1)
