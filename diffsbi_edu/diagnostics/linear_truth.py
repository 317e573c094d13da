"""What is known exactly about a linear Gaussian problem and a linear summary of its data.

All in the latent space, where the prior is z ~ N(0, I): the laws of z given x and of z given s,
their ideal denoisers, and how much of what x says about z a summary s = W x + b has kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.problems import LinearGaussian
from diffsbi_edu.runtime import Seed

AFFINE_TOLERANCE = 1e-4  # of a summary's sd: far above float32 rounding, far below a bend


@dataclass(frozen=True)
class GaussianGiven:
    """z | x ~ N(gain x, covariance), and what becomes of it under noise: y = z + r·eps.

    Args:
        gain: (Dz, F), float64.
        covariance: C (Dz, Dz), the same for every x, float64.

    Example:
        >>> law = GaussianGiven(torch.zeros(1, 1).double(), torch.eye(1).double())
        >>> y, r = torch.ones(1, 1).double(), torch.ones(1, 1).double()
        >>> law.denoise(y, r, torch.zeros(1, 1).double())
        tensor([[0.5000]], dtype=torch.float64)
    """

    gain: torch.Tensor
    covariance: torch.Tensor

    @property
    def spectrum(self) -> tuple[torch.Tensor, torch.Tensor]:
        """C = U diag(c) Uᵀ as (c, U); rounding may not make a variance negative."""
        c, u = torch.linalg.eigh(self.covariance)
        return c.clamp_min(0), u

    def denoise(self, y: torch.Tensor, ratio: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """E[z | y, x] = m + C (C + r²)⁻¹ (y − m), for y (B, Dz), r (B, 1) and x (B, F)."""
        c, u = self.spectrum
        mean = x @ self.gain.T
        shrink = c / (c + ratio**2)
        return mean + (((y - mean) @ u) * shrink) @ u.T

    def squared_error(self, ratio: torch.Tensor) -> torch.Tensor:
        """E‖z − E[z | y, x]‖² = Σ c r² / (c + r²), for r (..., 1): shape (...)."""
        c, _ = self.spectrum
        return (c * ratio**2 / (c + ratio**2)).sum(-1)

    def log_det(self, ratio: float) -> float:
        """log det(C + r²)."""
        c, _ = self.spectrum
        return float((c + ratio**2).log().sum())

    def draw(self, x: torch.Tensor, zeta: torch.Tensor, ratio: float) -> torch.Tensor:
        """y = z + r·eps given x, made from standard normal zeta (B, Dz)."""
        c, u = self.spectrum
        return x @ self.gain.T + (zeta * (c + ratio**2).sqrt()) @ u.T

    def whiten(self, z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The zeta from which `draw` makes z, at r = 0."""
        c, u = self.spectrum
        return ((z - x @ self.gain.T) @ u) / c.sqrt()


@dataclass(frozen=True)
class Points:
    """Joint draws to average over, in float64.

    Attributes:
        x: data (B, F).
        z: latents (B, Dz), behind those data.
        zeta: (B, Dz), standard normal and independent of x: z by the exact posterior's own scale.
        normal: (B, Dz + F), standard normal, of which all the others are linear functions.
    """

    x: torch.Tensor
    z: torch.Tensor
    zeta: torch.Tensor
    normal: torch.Tensor


class LinearTruth:
    """The exact laws behind a model of a `LinearGaussian` problem with a linear summary.

    z | x is the posterior; z | s follows from the joint normal law of z and s = W x + b:

        E[z | s] = K (s − b),  K = Cov(z, s) Var(s)⁻¹,  Var(z | s) = I − K Cov(s, z)

    Args:
        model: a diffusion model whose encoder, at this moment, is an affine map of x.

    Raises:
        TypeError: not a `ConditionalDiffusion`, or a problem other than `LinearGaussian`, whose
            posterior and summaries have no such closed form.
        ValueError: the summary is not an affine function of x.
    """

    def __init__(self, model: ConditionalDiffusion) -> None:
        if not isinstance(model, ConditionalDiffusion):
            raise TypeError(f"the bound is about a ConditionalDiffusion, got {type(model)}.")
        problem = model.problem
        if not isinstance(problem, LinearGaussian):
            raise TypeError(
                f"{problem.name!r} does not have the Gaussian posterior in closed form that the "
                "bound is computed from; use problems.LinearGaussian."
            )
        self.model, self.problem = model, problem
        factor = torch.linalg.cholesky(problem.prior_covariance.double())  # theta = factor z
        a = problem.matrix.double() @ factor
        noise = problem.noise_sd**2 * torch.eye(len(a), dtype=torch.float64)
        self.x_covariance = a @ a.T + noise
        inverse = factor.inverse()
        given_x = inverse @ problem.posterior_covariance @ inverse.T
        self.given_x = GaussianGiven(inverse @ problem.gain, given_x)
        self.weights = w = affine_map(model)
        with_s = a.T @ w.T  # Cov(z, s), since Cov(z, x) = aᵀ
        k = with_s @ torch.linalg.pinv(w @ self.x_covariance @ w.T, hermitian=True)
        given_s = torch.eye(len(factor)).double() - k @ with_s.T
        self.given_s = GaussianGiven(k @ w, 0.5 * (given_s + given_s.T))

    def information(self, ratio: float = 0.0) -> float:
        """Nats of information about y = z + r·eps that are in x and no longer in s.

        E_x KL(p(y | x) ‖ p(y | s)) = ½ log det(Var(z | s) + r²) − ½ log det(Var(z | x) + r²); at
        r = 0 the conditional mutual information I(theta; x | s).
        """
        return 0.5 * (self.given_s.log_det(ratio) - self.given_x.log_det(ratio))

    def total_information(self) -> float:
        """I(theta; x) in nats: what the data say about theta at all."""
        return -0.5 * self.given_x.log_det(0.0)

    def points(self, n: int, seed: Seed) -> Points:
        """n joint draws, simulated.

        Raises:
            ValueError: too few for `less_noise`.
        """
        least = least_rows(2 * self.problem.dim + len(self.x_covariance))
        if n < least:
            raise ValueError(
                f"n_sims must be at least {least} for {self.problem.dim} parameters and "
                f"{len(self.x_covariance)} features, got {n}."
            )
        theta, x = self.problem.sample(n, seed=seed, device=self.model.device)
        z, x = self.model.to_latent(theta).cpu().double(), x[:, 0].cpu().double()
        zeta = self.given_x.whiten(z, x)
        upper = torch.linalg.cholesky(self.x_covariance)
        nu = torch.linalg.solve_triangular(upper, x.T, upper=False).T
        return Points(x, z, zeta, torch.cat([nu, zeta], -1))


def affine_map(model: ConditionalDiffusion) -> torch.Tensor:
    """W (S, F) of the model's summary s = W x + b, in the user's units of x.

    Raises:
        ValueError: the summary bends.
    """
    features = model.features
    _, x = model.problem.sample(8 * (features + 1), seed=0, device=model.device)
    with torch.no_grad():
        s = model.summarise(x).cpu().double()
    rows = torch.cat([torch.ones(len(x), 1).double(), x[:, 0].cpu().double()], -1)
    solution = torch.linalg.lstsq(rows, s).solution
    off = (s - rows @ solution).abs().max()
    if not off <= AFFINE_TOLERANCE * max(1e-6, float(s.std(0).max())):
        raise ValueError(
            "the encoder is not an affine function of x, so p(theta | s) has no closed form; use "
            "nn.Sequential(nn.Flatten(), nn.Linear(F, S)), or encoder=None."
        )
    return solution[1:].T.contiguous()


def least_rows(d: int) -> int:
    """Rows that `less_noise` needs for d random numbers: twice as many as coefficients."""
    return 2 * (1 + d + d * (d + 1) // 2)


def less_noise(values: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """values (n, k) without the noise that quadratics of u = normal (n, d) explain: (n, k).

    The u_i, u_i u_j and u_i² − 1 have mean 0, so the fit of a regression on them can be taken off
    without changing the mean (control variates). Squared errors of nearly affine denoisers are
    nearly quadratic in all that is random: almost no noise is left.

    Example:
        >>> u = torch.randn(500, 1, generator=torch.Generator().manual_seed(0)).double()
        >>> bool((less_noise(3 + u**2, u) - 4).abs().max() < 1e-9)
        True
    """
    n, d = normal.shape
    i, j = torch.triu_indices(d, d)
    products = normal[:, i] * normal[:, j] - (i == j).double()
    rows = torch.cat([torch.ones(n, 1).double(), normal, products], -1)
    fit = torch.linalg.lstsq(rows, values.double(), driver="gels").solution
    left = values - rows @ fit
    return fit[0] + left * (n / (n - rows.shape[1])) ** 0.5  # as many as if none had been fitted
