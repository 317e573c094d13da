"""SLCP: simple likelihood, complex posterior: four points of a normal, and five parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributions import Independent, Uniform

from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.slcp_posterior import HALF, POINTS, SLCPPosterior


class SLCP(Problem):
    """theta uniform on [−3, 3]⁵; x = 4 points of a plane normal that theta describes.

    A likelihood that fits on one line can have a posterior that no single hump resembles. The
    standard deviations are θ3² and θ4², so the signs of both are lost, which makes four modes of
    equal mass, mirror images of one another; four points say little about a spread or a
    correlation, so each mode is wide, skewed and cut off by the prior's walls. A method that
    settles on one mode, or fills the space between them, is caught here at once.

    mean (θ1, θ2), sds θ3² and θ4², correlation tanh θ5. The data are the 4 points, (N, F) = (4, 2),
    whose order means nothing; benchmarks elsewhere hand over the same 8 numbers in one row. N is
    fixed, so that no summary network is needed (by default the points are put in a row), while one
    for sets can use their symmetry.

    Source: Papamakarios, Sterratt & Murray (2019), arXiv 1805.07226, section 5.1; as parametrised
    in Lueckmann et al. (2021), arXiv 2101.04653, T.3.

    Example:
        >>> problem = SLCP()
        >>> theta, x = problem.sample(3, seed=0)
        >>> x.shape, problem.posterior(x[0]).sample((5,), seed=1).shape
        (torch.Size([3, 4, 2]), torch.Size([5, 5]))
    """

    data_kind = "set"
    theta_names = ("mean 1", "mean 2", "root sd 1", "root sd 2", "artanh corr.")
    x_names = ("x 1", "x 2")

    def __init__(self) -> None:
        box = torch.full((5,), HALF)
        super().__init__(
            Independent(Uniform(-box, box), 1), self._simulator, n_obs=POINTS, name="slcp"
        )

    def _simulator(self, theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        mean, sd = theta[:, None, :2], theta[:, None, 2:4] ** 2
        eps = torch.randn(len(theta), n_obs, 2, device=theta.device)
        correlation = torch.tanh(theta[:, 4:])
        rest = 1 / torch.cosh(theta[:, 4:])  # √(1 − tanh²)
        second = correlation * eps[..., 0] + rest * eps[..., 1]
        return mean + sd * torch.stack([eps[..., 0], second], -1)

    def posterior(self, x_obs: torch.Tensor) -> SLCPPosterior:
        """The exact posterior given x_obs (4, 2).

        Raises:
            ValueError: the points are too far apart for any theta in the prior's support.
        """
        return SLCPPosterior(one_data_set(x_obs, features=2, n_obs=POINTS))

    def config(self) -> dict[str, Any]:
        return {}
