"""WitchsHat: a needle-sharp spike on a wide flat brim, the classic trap for samplers and flows."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import Independent, Uniform

from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.posterior import ExactPosterior
from diffsbi_edu.problems.truncated import BoxNormals

LOW, HIGH = 0.1, 0.9


class WitchsHat(Problem):
    """Prior uniform on [0.1, 0.9]^d; x is theta plus narrow noise, or, now and then, pure noise.

    With probability 1 − brim, x = theta + width · eps with eps ~ N(0, I); otherwise x is uniform on
    the unit cube and says nothing about theta. The posterior has two parts in closed form: a
    *spike*, the normal N(x, width² I) cut off at the prior's box, and a *brim*, the prior itself.
    Their weights are (1 − brim) · (the normal's mass inside the box) and brim · 0.8^d. For x well
    inside the box nearly everything is spike; a few widths outside it, everything is brim.

    Args:
        dim: d, the number of parameters.
        width: sd of the noise about theta, in theta's units.
        brim: probability that x is pure noise, strictly between 0 and 1.

    Raises:
        ValueError: dim below 1, width not positive, or brim not strictly between 0 and 1.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4; the hat goes back to Matthews
    (1993), who showed on it that a Gibbs sampler can miss a spike for ever.

    Note:
        Data outside the unit cube have (all but) zero probability: the brim does not reach there,
        and the spike only by an accident of 5 sds or more (at the default width). The posterior
        given here keeps the brim's likelihood constant beyond the cube, which makes it continuous
        in x: out there it is the brim.

    Example:
        >>> import torch
        >>> problem = WitchsHat(dim=5)
        >>> exact = problem.posterior(torch.full((1, 5), 0.5))
        >>> round(exact.brim_mass, 3), exact.sample((4,), seed=0).shape
        (0.017, torch.Size([4, 5]))
    """

    def __init__(self, dim: int = 5, width: float = 0.02, brim: float = 0.05) -> None:
        if not isinstance(dim, int) or dim < 1:
            raise ValueError(f"dim, the number of parameters, must be an int ≥ 1, got {dim!r}.")
        if not 0 < width < math.inf:
            raise ValueError(f"width, the sd of the spike, must be positive, got {width}.")
        if not 0 < brim < 1:
            raise ValueError(
                f"brim must be strictly between 0 and 1, got {brim}: at 0 the hat has no brim (the "
                "posterior is one truncated normal), at 1 no spike (the data say nothing)."
            )
        self.width, self.brim = float(width), float(brim)
        low, high = torch.full((dim,), LOW), torch.full((dim,), HIGH)
        self.x_names = tuple(f"x {i + 1}" for i in range(dim))
        super().__init__(Independent(Uniform(low, high), 1), self._simulator, name="witchs_hat")

    def _simulator(self, theta: torch.Tensor) -> torch.Tensor:
        near = theta + self.width * torch.randn_like(theta)
        on_brim = torch.rand(len(theta), 1, device=theta.device) < self.brim
        return torch.where(on_brim, torch.rand_like(theta), near)

    def posterior(self, x_obs: torch.Tensor) -> WitchsHatPosterior:
        """The exact posterior given one observation x_obs (1, d)."""
        x = one_data_set(x_obs, features=self.dim, n_obs=1)
        return WitchsHatPosterior(x[0], self.width, self.brim)

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "width": self.width, "brim": self.brim}


class WitchsHatPosterior(ExactPosterior):
    """A truncated normal spike about x, plus the uniform brim, with closed-form weights."""

    def __init__(self, x: torch.Tensor, width: float, brim: float) -> None:
        self._spike = BoxNormals(x, (width,), LOW, HIGH)
        log_spike = math.log1p(-brim) + float(self._spike.log_mass[0])
        log_brim = math.log(brim) + len(x) * math.log(HIGH - LOW)
        self._log_parts = torch.tensor([math.log1p(-brim), math.log(brim)], dtype=torch.float64)
        logs = torch.tensor([log_spike, log_brim], dtype=torch.float64)
        self._log_z = torch.logsumexp(logs, 0)
        #: posterior probability that theta comes from the brim (that x is pure noise).
        self.brim_mass = float((logs[1] - self._log_z).exp())

    def _draw(self, n: int) -> torch.Tensor:
        dim = len(self._spike.centre)
        brim = LOW + (HIGH - LOW) * torch.rand(n, dim, dtype=torch.float64)
        on_brim = torch.rand(n, 1) < self.brim_mass
        if bool(on_brim.all()):  # the spike's mass may have underflowed: nothing to draw there
            return brim
        return torch.where(on_brim, brim, self._spike.draw(torch.zeros(n, dtype=torch.long)))

    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        theta = theta.double().cpu()
        log_spike = self._spike.log_normals(theta)[..., 0]
        parts = torch.stack([log_spike, torch.zeros_like(log_spike)], -1) + self._log_parts
        log_density = torch.logsumexp(parts, -1) - self._log_z
        return log_density.masked_fill(self._spike.outside(theta), -math.inf).float()
