"""DirichletLaplace: a hundred means, most of them nearly zero, each seen once through noise."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch.distributions import Distribution
from torch.distributions import constraints as c

from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.draws import TabledGamma, exponential
from diffsbi_edu.problems.shrinkage import ShrinkagePosterior

CONCENTRATION = 1 / math.sqrt(20)
SIGMA_SHAPE = 100.0  # and rate, of sigma²'s inverse gamma prior


class DirichletLaplace(Problem):
    """theta = (mu_1, …, mu_n, tau, sigma): many means, the scale they share, and the noise.

    In high dimension a prior has to say that most effects are nothing: this one puts a sharp peak
    with heavy tails on each mean, and lets all of them compete for one total, tau. The posterior
    shrinks small observations all the way to zero and leaves large ones alone, so its marginals are
    spikes, shoulders and nearly normal humps side by side, depending on x. For a network it is the
    hardest kind of target: 102 dimensions, many orders of magnitude in each, and one observation of
    every mean.

    With n = 100 and a = 1/√20: tau ~ Gamma(n·a, scale 2); delta ~ Dirichlet(a, …, a); lambda_i ~
    Exp(1); mu_i ~ N(0, (tau · delta_i · lambda_i)²); sigma² ~ InvGamma(100, rate 100), so that
    sigma is 1 ± 0.05; x_i ~ N(mu_i, sigma²), all in the units of x.

    Args:
        means: n, the number of means; theta has two entries more.

    Raises:
        ValueError: means below 1.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105; the prior is Bhattacharya, Pati, Pillai &
    Dunson's (2015), Journal of the American Statistical Association 110.

    Note:
        The joint densities of prior and posterior would need the law of a sum given its hundred
        parts; neither has a `log_prob`. Exact draws there are: see `ShrinkagePosterior`.

    Example:
        >>> problem = DirichletLaplace()
        >>> theta, x = problem.sample(3, seed=0)
        >>> x.shape, problem.posterior(x[0]).sample((4,), seed=1).shape
        (torch.Size([3, 1, 100]), torch.Size([4, 102]))
    """

    def __init__(self, means: int = 100) -> None:
        if not isinstance(means, int) or means < 1:
            raise ValueError(f"means, how many there are, must be an int ≥ 1, got {means!r}.")
        self.theta_names = (*(f"mu {i + 1}" for i in range(means)), "tau", "sigma")
        self.x_names = tuple(f"x {i + 1}" for i in range(means))
        prior = DirichletLaplacePrior(torch.full((means,), CONCENTRATION))
        super().__init__(prior, self._simulator, name="dirichlet_laplace")

    def _simulator(self, theta: torch.Tensor) -> torch.Tensor:
        means, sigma = theta[:, :-2], theta[:, -1:]
        return torch.addcmul(means, sigma, torch.randn_like(means))

    def posterior(self, x_obs: torch.Tensor) -> ShrinkagePosterior:
        """The exact posterior given x_obs (1, n): draws, no density."""
        x = one_data_set(x_obs, features=self.dim - 2, n_obs=1)
        return ShrinkagePosterior(x[0], CONCENTRATION, SIGMA_SHAPE)

    def config(self) -> dict[str, Any]:
        return {"means": self.dim - 2}


class DirichletLaplacePrior(Distribution):
    """The law of (mu, tau, sigma), by way of psi_i = tau · delta_i.

    The pieces of a Gamma(n·a, 2) total in Dirichlet(a, …, a) shares are independent Gamma(a, 2), so
    they are drawn first, and tau is their sum.

    Args:
        concentration: a, once for each mean, (n,).
    """

    arg_constraints: ClassVar[dict[str, c.Constraint]] = {}

    def __init__(self, concentration: torch.Tensor) -> None:
        self.concentration = concentration
        super().__init__(event_shape=torch.Size([len(concentration) + 2]), validate_args=False)

    @property
    def support(self) -> Any:
        """Real means; tau and sigma are positive."""
        pieces = [c.real] * len(self.concentration) + [c.positive] * 2
        return c.independent(c.stack(pieces, -1), 1)

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Draws (*sample_shape, n + 2)."""
        shape = torch.Size(sample_shape)
        half = torch.full_like(self.concentration, 0.5)
        psi = TabledGamma(self.concentration, half).sample(shape)
        tau = psi.sum(-1, keepdim=True)
        means = psi.mul_(exponential(psi)).mul_(torch.randn_like(psi))
        of_sigma = self.concentration.new_tensor(SIGMA_SHAPE)
        sigma = TabledGamma(of_sigma, of_sigma).sample((*shape, 1)).rsqrt()
        return torch.cat([means, tau, sigma], -1)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Not available.

        Raises:
            NotImplementedError: always; the message says why.
        """
        raise NotImplementedError(
            "the Dirichlet–Laplace prior has no tractable density: given the means, tau is a sum "
            "of as many unknown scales. Draw from it with sample()."
        )
