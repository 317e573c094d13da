"""GaussianMixture2D: one mean, two unlike widths; wide tails around a sharp peak."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import Independent, Uniform

from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.posterior import ExactPosterior
from diffsbi_edu.problems.truncated import BoxNormals


class GaussianMixture2D(Problem):
    """Uniform prior on [−10, 10]²; x ~ ½ N(theta, I) + ½ N(theta, 0.1² I).

    Within the prior's box the posterior is the same mixture turned round: truncated normals of both
    widths about x, weighted by the mass that each keeps inside the box.

    Args:
        half_width: the prior is uniform on [−half_width, half_width]², in theta's units.
        widths: sds of the wide and the narrow component, in theta's units.

    Raises:
        ValueError: a width or the half width is not positive.

    Source: Sisson et al. (2007), as parametrised in Lueckmann et al. (2021), arXiv 2101.04653, T.7.

    Example:
        >>> import torch
        >>> exact = GaussianMixture2D().posterior(torch.tensor([[9.9, 0.0]]))
        >>> bool((exact.sample((1000,), seed=0) <= 10).all())
        True
    """

    theta_names = ("theta 1", "theta 2")
    x_names = ("x 1", "x 2")

    def __init__(self, half_width: float = 10.0, widths: tuple[float, float] = (1.0, 0.1)) -> None:
        if half_width <= 0 or min(widths) <= 0:
            raise ValueError(
                f"half_width and widths must be positive, got {half_width} and {widths}."
            )
        self.half_width, self.widths = float(half_width), (float(widths[0]), float(widths[1]))
        box = torch.full((2,), self.half_width)
        super().__init__(
            Independent(Uniform(-box, box), 1), self._simulator, name="gaussian_mixture_2d"
        )

    def _simulator(self, theta: torch.Tensor) -> torch.Tensor:
        wide = torch.rand(len(theta), 1, device=theta.device) < 0.5
        return theta + torch.where(wide, *self.widths) * torch.randn_like(theta)

    def posterior(self, x_obs: torch.Tensor) -> MixturePosterior:
        """The exact posterior given one observation x_obs (1, 2)."""
        x = one_data_set(x_obs, features=2, n_obs=1)
        return MixturePosterior(x[0], self.half_width, self.widths)

    def config(self) -> dict[str, Any]:
        return {"half_width": self.half_width, "widths": list(self.widths)}


class MixturePosterior(ExactPosterior):
    """A mixture of two truncated normals about x, with closed-form weights."""

    def __init__(self, x: torch.Tensor, half_width: float, widths: tuple[float, float]) -> None:
        self._normals = BoxNormals(x, widths, -half_width, half_width)
        self._log_mass = self._normals.log_mass
        if not self._log_mass.isfinite().any():
            raise ValueError(
                f"x_obs = {x.tolist()} is too improbable: too far from the prior's box."
            )

    def _draw(self, n: int) -> torch.Tensor:
        weights = torch.softmax(self._log_mass, 0)
        return self._normals.draw(torch.multinomial(weights, n, replacement=True))

    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        theta = theta.double().cpu()
        log_density = torch.logsumexp(self._normals.log_normals(theta), -1)
        log_density = log_density - torch.logsumexp(self._log_mass, 0)
        return log_density.masked_fill(self._normals.outside(theta), -math.inf).float()
