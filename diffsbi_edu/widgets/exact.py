"""What a dashboard compares with: the exact posterior of one observation, where it is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffsbi_edu.denoiser import IdealDenoiser
from diffsbi_edu.errors import NoExactPosterior
from diffsbi_edu.problems import GaussianPosterior, Problem
from diffsbi_edu.transforms import ToLatent, Unbounded, Whiten

DRAWS = 2000


@dataclass(frozen=True, eq=False)
class Target:
    """One observation and the exact answer to it.

    Args:
        x_obs: the observation (N, F).
        theta: exact posterior draws (n, D), None where none can be had.
        denoiser: the ideal denoiser of the posterior in latent space, None likewise.
        z_mean, z_sd: of the exact posterior in latent space (Dz,); the prior's where it is unknown.
        why_not: what to tell the user where `theta` is None.
    """

    x_obs: torch.Tensor
    theta: torch.Tensor | None
    denoiser: IdealDenoiser | None
    z_mean: torch.Tensor
    z_sd: torch.Tensor
    why_not: str = ""

    def grid(self, level: float, side: int = 13) -> torch.Tensor:
        """Points (side², Dz) over the noised posterior at r = level, in the first two coordinates.

        Any further coordinates stay at the posterior's mean: a slice.
        """
        reach = 2.0 * (self.z_sd**2 + level**2).sqrt()
        line = torch.linspace(-1, 1, side)
        points = self.z_mean.repeat(side**2, 1)
        points[:, 0] += reach[0] * line.repeat(side)
        if points.shape[1] > 1:
            points[:, 1] += reach[1] * line.repeat_interleave(side)
        return points

    def displacement(self, points: torch.Tensor, level: float) -> torch.Tensor | None:
        """E[z | y] − y = r²·score of the exact posterior at y = points (k, Dz); None if unknown."""
        return None if self.denoiser is None else self.denoiser(points, level) - points


def exact_target(
    problem: Problem, x_obs: torch.Tensor, to_latent: ToLatent, draws: int = DRAWS
) -> Target:
    """The target for x_obs (N, F); never raises for a posterior that is unknown or empty.

    Args:
        problem: prior, simulator, exact posterior if there is one.
        x_obs: the observation (N, F).
        to_latent: the map whose latent space the ideal denoiser works in.
        draws: posterior draws; the ideal denoiser is made of them unless it has a closed form.

    Example:
        >>> from diffsbi_edu.problems import Gaussian2D
        >>> problem = Gaussian2D()
        >>> target = exact_target(problem, torch.zeros(1, 2), ToLatent(problem.prior))
        >>> target.theta.shape
        torch.Size([2000, 2])
    """
    try:
        posterior = problem.posterior(x_obs)
        theta = posterior.sample((draws,), seed=0)
    except (NoExactPosterior, ValueError) as error:
        dim = to_latent.latent_dim
        return Target(x_obs, None, None, torch.zeros(dim), torch.ones(dim), str(error))
    with torch.no_grad():
        z = to_latent(theta.to(_device(to_latent))).cpu()
    if isinstance(posterior, GaussianPosterior) and _is_affine(to_latent):
        denoiser = _gaussian_denoiser(posterior, to_latent)
    else:
        denoiser = IdealDenoiser(z)
    return Target(x_obs, theta, denoiser, z.mean(0), z.std(0))


def latent_map(problem: Problem) -> ToLatent:
    """theta → z for a problem without a model: fitted to prior draws, as a model's own is."""
    to_latent = ToLatent(problem.prior)
    to_latent.fit(problem.sample_prior(2048, seed=0, device="cpu"))
    return to_latent


def _is_affine(to_latent: ToLatent) -> bool:
    bent = bool(to_latent.standardise.heavy.any())
    return isinstance(to_latent.prior, Whiten | Unbounded) and not bent


def _device(to_latent: ToLatent) -> torch.device:
    return to_latent.standardise.mean.device


def _gaussian_denoiser(posterior: GaussianPosterior, to_latent: ToLatent) -> IdealDenoiser:
    """Exact for every noise level, where draws would only be exact above their spacing.

    z = A theta + b, read off the images of the origin and of the unit vectors.
    """
    mean = posterior.mean.float()
    corners = torch.cat([torch.zeros(1, len(mean)), torch.eye(len(mean)), mean[None]])
    z = to_latent(corners.to(_device(to_latent))).detach().cpu()
    matrix = (z[1:-1] - z[0]).T
    return IdealDenoiser.gaussian(z[-1], matrix @ posterior.covariance.float() @ matrix.T)
