"""One data set, more or less of it, in this order or that."""

from __future__ import annotations

import torch

from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import fresh_seed, make_generator

MOST_VISITED = 12  # orders that are remembered


class OrderedData:
    """The observed data x (N, F) of a simulated theta, which may be permuted and cut short.

    Of a set or a sequence the first N of one long data set are shown, so that a larger N adds
    observations to those that were there. Other problems simulate anew for every N.

    Args:
        problem: prior and simulator.
        n: N; None where the simulator decides.
        most: the largest N that will be asked for.
        seed: of theta, the data and the permutations.

    Attributes:
        theta: what the data were simulated from, (1, D).
        x: the data in their present order, (N, F); one assignment, so that any thread may read it.
        original: the data in their original order, (N, F).
        order: which of the original observations stands where, (N,).
        label: what to call the order.

    Example:
        >>> from diffsbi_edu.problems import NormalGamma
        >>> data = OrderedData(NormalGamma(), 4, most=10, seed=0)
        >>> data.reverse()
        >>> data.label, torch.equal(data.x, data.original.flip(0)), data.visited.shape
        ('reversed', True, torch.Size([2, 4, 1]))
        >>> data.resize(6)
        >>> data.label, torch.equal(data.x[:4], data.visited[0, :4])
        ('original order', True)
    """

    def __init__(self, problem: Problem, n: int | None, most: int | None, seed: int) -> None:
        self._problem, self.n, self._most = problem, n, most
        self._generator = make_generator(seed)
        self._nested = n is not None and problem.data_kind in ("set", "sequence")
        self.new()

    @property
    def visited(self) -> torch.Tensor:
        """The data in every order since the original one, which is the first: (k, N, F)."""
        return torch.stack([self.original[order] for order in self._orders])

    def new(self) -> None:
        """Another theta, and data from it."""
        self.theta = self._problem.sample_prior(1, seed=self._generator, device="cpu")
        self._seed = fresh_seed(self._generator)
        self._long = self._simulated(self._most) if self._nested else None
        self.resize(self.n)

    def resize(self, n: int | None) -> None:
        """Another N, in the original order."""
        self.n = n
        self.original = self._simulated(n) if self._long is None else self._long[:n]
        self.restore()

    def shuffle(self) -> None:
        """A random permutation."""
        self._reorder(torch.randperm(len(self.order), generator=self._generator), "shuffled")

    def reverse(self) -> None:
        """The present order backwards."""
        label = {"original order": "reversed", "reversed": "original order"}
        self._reorder(self.order.flip(0), label.get(self.label, self.label))

    def restore(self) -> None:
        """The original order again."""
        self.order, self.label = torch.arange(len(self.original)), "original order"
        self._orders = [self.order]
        self.x = self.original

    def _reorder(self, order: torch.Tensor, label: str) -> None:
        self.order, self.label = order, label
        first, *rest = self._orders
        self._orders = [first, *rest[-MOST_VISITED:], order]
        self.x = self.original[order]

    def _simulated(self, n: int | None) -> torch.Tensor:
        return self._problem.simulate(self.theta, seed=self._seed, n_obs=n)[0]
