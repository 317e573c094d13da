"""The exact posterior of `Socks`: sums over whole numbers, and a quadrature over what is shared."""

from __future__ import annotations

import functools
import math

import torch
from torch.distributions import Beta

from diffsbi_edu.problems.dequantised import log_pmf, nearest_count
from diffsbi_edu.problems.posterior import ExactPosterior
from diffsbi_edu.problems.tables import draw_cells, draw_one_each

MEAN, SD = 30.0, 15.0  # of the number of socks
PROPORTIONS, WEIGHTS = ((30.0, 4.0), (50.0, 50.0)), (0.75, 0.25)  # of those in pairs
NODES = 2048  # of the proportion's quadrature
MORE = 300  # socks beyond x that are still thought of; the prior has less than e^−30 beyond
AT_ONCE = 256  # rows of a large table


class SocksPosterior(ExactPosterior):
    """p(proportion | x) Π p(total_i | proportion, x_i), the first over a grid.

    Given the proportion in pairs the dryers are independent, and each total has a posterior over
    whole numbers, a finite sum. The proportion's marginal posterior is its prior times the product
    of these sums. It enters only through floor(total · proportion / 2), so the integrand is made of
    steps; sums over 2,048 midpoints put fewer than 1 in 100 dryers one pair off, to either side.

    Args:
        x: numbers drawn, (D,), whole and at least 1.

    Raises:
        ValueError: an entry is below 1.
    """

    def __init__(self, x: torch.Tensor) -> None:
        if (x < 1).any():
            raise ValueError(
                f"x_obs must be at least 1 (an empty dryer gives 1, see Socks), got {x.tolist()}."
            )
        self._x = [int(value) for value in x.tolist()]
        self._nodes, log_prior = proportions()
        logs = log_prior + sum(_log_evidence(k) for k in self._x)
        self._log_z = torch.logsumexp(logs, 0)
        self._log_mass = logs - self._log_z

    def proportion(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The marginal posterior of the proportion in pairs: points (n,), and its density there."""
        return self._nodes, self._log_mass.exp() * NODES

    def _draw(self, n: int) -> torch.Tensor:
        p = self._nodes[draw_cells(self._log_mass, n)]
        columns = []
        for k in self._x:
            joint = _joint(k)
            totals = torch.arange(len(joint))
            parts = [
                draw_one_each(joint[totals, _pairs(totals, some[:, None])])
                for some in p.split(AT_ONCE)
            ]
            columns.append(torch.cat(parts))
        whole = torch.stack(columns, 1).double()
        return whole + torch.rand_like(whole) - 0.5

    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        theta = theta.double().cpu()
        rows = theta.reshape(-1, theta.shape[-1])
        parts = [self._log_joint(nearest_count(some)) for some in rows.split(AT_ONCE)]
        log_density = torch.cat(parts).reshape(theta.shape[:-1]) - self._log_z
        return log_density.masked_fill((theta < -0.5).any(-1), -math.inf).float()

    def _log_joint(self, totals: torch.Tensor) -> torch.Tensor:
        """log p(totals, x) for totals (B, D): (B,)."""
        logs = proportions()[1].expand(len(totals), -1)
        for k, total in zip(self._x, totals.T, strict=True):
            joint = _joint(k)
            count = total.clamp(0, len(joint) - 1).long()[:, None]
            values = joint[count, _pairs(count, self._nodes)].log()
            logs = logs + values.masked_fill(total[:, None] >= len(joint), -math.inf)
        return torch.logsumexp(logs, -1)


def _pairs(total: torch.Tensor, proportion: torch.Tensor) -> torch.Tensor:
    return torch.floor(total * proportion / 2).long()


@functools.cache
def proportions() -> tuple[torch.Tensor, torch.Tensor]:
    """Midpoints (NODES,) of [0, 1] and the log prior mass of the proportion at each."""
    nodes = (torch.arange(NODES, dtype=torch.float64) + 0.5) / NODES
    logs = [
        math.log(weight) + Beta(*torch.tensor(ab, dtype=torch.float64)).log_prob(nodes)
        for weight, ab in zip(WEIGHTS, PROPORTIONS, strict=True)
    ]
    return nodes, torch.logsumexp(torch.stack(logs), 0) - math.log(NODES)


@functools.lru_cache(maxsize=256)
def _joint(k: int) -> torch.Tensor:
    """p(total, x = k | pairs) for total = 0 … k + 300 and pairs up to half: a table of both."""
    largest = k + MORE
    total = torch.arange(largest + 1, dtype=torch.float64)
    mean, sd = (torch.tensor(value, dtype=torch.float64) for value in (MEAN, SD))
    prior = log_pmf(total, mean, sd).exp()
    return prior[:, None] * match_probability(k, largest)


@functools.lru_cache(maxsize=256)
def _log_evidence(k: int) -> torch.Tensor:
    """log p(x = k | proportion) at every node, the total summed out."""
    joint = _joint(k)
    totals = torch.arange(len(joint))[:, None]
    return joint[totals, _pairs(totals, proportions()[0])].sum(0).log()


def match_probability(k: int, largest: int) -> torch.Tensor:
    """P(x = k) for totals n = 0 … largest (rows) and m = 0 … largest // 2 pairs (columns).

    The first k − 1 socks hold j halves of j different pairs and k − 1 − j singles, in C(m, j) 2^j
    C(n − 2m, k − 1 − j) of C(n, k − 1) ways, and the k-th is one of the j partners among the
    n − k + 1 that are left. All terms are positive: no digits are lost. Entries with 2m > n are 0.
    """
    n = torch.arange(largest + 1, dtype=torch.float64)[:, None]
    m = torch.arange(largest // 2 + 1, dtype=torch.float64)
    singles = n - 2 * m
    total = torch.zeros_like(singles)
    for j in range(1, k):
        logs = _log_choose(m, j) + j * math.log(2) + _log_choose(singles, k - 1 - j)
        logs = logs - _log_choose(n, k - 1) + math.log(j) - (n - k + 1).clamp_min(1).log()
        total = total + logs.exp().masked_fill(n < k, 0.0)
    no_pair = (m == 0) & (n == k - 1)
    return torch.where(no_pair, 1.0, total).masked_fill(singles < 0, 0.0)


def _log_choose(n: torch.Tensor, k: int) -> torch.Tensor:
    """log C(n, k), −inf where k > n; an n that is negative counts as too small."""
    inside = n >= k
    n = torch.where(inside, n, float(k))
    log_ways = torch.lgamma(n + 1) - math.lgamma(k + 1) - torch.lgamma(n - k + 1)
    return log_ways.masked_fill(~inside, -math.inf)
