"""One room of the `Gallery`: a problem, a data set of it, what is exact, and their picture."""

from __future__ import annotations

import io
from collections.abc import Mapping

import torch

from diffsbi_edu import plots
from diffsbi_edu.cases import CASES
from diffsbi_edu.diagnostics.sbc import SBCResult, compare_ranks
from diffsbi_edu.errors import NoExactPosterior
from diffsbi_edu.plots.base import DPI

MANY = 1000  # posterior draws in a picture at rest
OTHERS = 400  # data sets in grey behind one that is a point or a number


class Room:
    """A problem of the benchmark, a data set, and the exact posterior where there is one.

    Args:
        name: of the problem.
        seed: of the data.
        pair: the two parameters on show; None for the first two.

    Example:
        >>> room = Room("two_moons", seed=0)
        >>> room.x.shape, room.pair, room.exact.shape
        (torch.Size([1, 2]), (0, 1), torch.Size([1000, 2]))
    """

    def __init__(self, name: str, seed: int, pair: tuple[int, int] | None = None) -> None:
        self.name, self.seed = name, seed
        self.problem = CASES[name].build_problem()
        theta, x = self.problem.sample(1, seed=seed, device="cpu")
        self.theta, self.x = theta[0], x[0]
        self.pair = (0, min(1, self.problem.dim - 1)) if pair is None else pair
        self._prior: torch.Tensor | None = None
        self._others: torch.Tensor | None = None
        self._exact: torch.Tensor | None = None
        self._why_not: str | None = None

    @property
    def exact(self) -> torch.Tensor | None:
        """Draws of the exact posterior (n, D), made when first asked for; None where unknown."""
        if self._why_not is None:
            try:
                draws = self.problem.posterior(self.x).sample((MANY,), seed=0)
                self._exact, self._why_not = draws.float(), ""
            except (NoExactPosterior, ValueError) as error:
                self._why_not = str(error)
        return self._exact

    @property
    def why_not(self) -> str:
        """Why there is no exact posterior; empty if there is one, or none was asked for yet."""
        return self._why_not or ""

    def draw(
        self,
        learned: Mapping[str, torch.Tensor],
        ranks: Mapping[str, SBCResult],
        missing: str,
    ) -> bytes:
        """The picture, as PNG.

        Args:
            learned: method → draws (n, D) of its posterior.
            ranks: method → its SBC.
            missing: what the SBC panel says where there is none.
        """
        problem = self.problem
        if self._prior is None:
            self._prior = problem.sample_prior(4 * MANY, seed=1, device="cpu")
            if self.x.shape[0] == 1 and self.x.shape[1] <= 2:
                _, self._others = problem.sample(OTHERS, seed=1, device="cpu")
        figure = plots.overview(
            self.x, self._prior, learned, self.exact, truth=self.theta,
            ranks=compare_ranks(ranks) if ranks else None,
            pair=self.pair, theta_names=problem.theta_names, x_names=problem.x_names,
            kind=problem.data_kind, among=self._others, missing=missing,
        )  # fmt: skip
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=DPI)
        return file.getvalue()
