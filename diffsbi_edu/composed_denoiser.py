"""The denoiser of N observations, composed of the denoisers given one observation each."""

from __future__ import annotations

import torch
from torch import nn

from diffsbi_edu.noised_prior import NoisedPrior, normal_nodes
from diffsbi_edu.runtime import make_generator
from diffsbi_edu.samplers import get_sampler

ROWS_AT_ONCE = 2**16  # rows through the network at a time: bounds memory, not results
NODES = 128  # latents that the covariance of one single-observation posterior is taken from


class ComposedDenoiser:
    """denoise(y (n, B, Dz), r) → (n, B, Dz), for a sampler; see `Compositional` for the equations.

    Args:
        denoiser: of the single-observation model.
        s: summaries of the observations (B, N, S).
        prior: the noised prior.
        reach: (Dz,), bounds of a credible guess of z.
        method: "gauss", "jacobian" or "naive".
        narrowest: smallest sd believed of a single-observation posterior, in latent units.
        grid: noise levels that the draws behind "gauss" are made on.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        s: torch.Tensor,
        prior: NoisedPrior,
        *,
        reach: torch.Tensor,
        method: str,
        narrowest: float,
        grid: torch.Tensor,
    ) -> None:
        self._denoiser, self._s, self._prior = denoiser, s, prior
        self._reach, self._method, self._narrowest = reach, method, narrowest
        self._eye = torch.eye(len(reach), dtype=torch.float64, device=s.device)
        self._floor = float(torch.linalg.eigvalsh(prior.precision.double())[0])
        if method == "gauss" and s.shape[1] > 1:
            self._single_precisions = self._from_draws(grid.to(s.device))

    def __call__(self, y: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
        n_obs = self._s.shape[1]
        if n_obs == 1:  # nothing to compose
            return self._guess(y, ratio, self._s[:, 0])
        r2 = ratio.double() ** 2
        # Sums in float64, and of D − y: at small r, N terms of size r⁻² nearly cancel.
        if self._method == "jacobian":
            d_0, c_0 = self._prior.with_covariance(y.double(), ratio)
            # Far outside of the prior one node has all the weight, and C_0 would be singular.
            least = float(1 / (1 / self._narrowest**2 + 1 / r2))
            total = (1 - n_obs) * inverse(c_0.double(), least)
        else:
            d_0 = self._prior(y.double(), ratio)
            total = (1 - n_obs) * (self._prior.precision.double() + self._eye / r2)
        pull = (1 - n_obs) * (d_0 - y)
        if self._method != "naive":
            pull = (total @ (d_0 - y)[..., None])[..., 0]
        for first, last in spans(n_obs, max(1, ROWS_AT_ONCE // y[..., 0].numel())):
            rows, s = y[..., None, :], self._s[:, first:last]
            if self._method == "naive":
                pull = pull + (self._guess(rows, ratio, s) - rows).double().sum(-2)
                continue
            if self._method == "gauss":
                guess = self._guess(rows, ratio, s)
                precision = self._single_precisions[:, first:last] + self._eye / r2
            else:
                guess, precision = self._with_precision(rows, ratio, s)
            total = total + precision.sum(-3)
            pull = pull + torch.einsum("...ide,...ie->...d", precision, (guess - rows).double())
        if self._method == "naive":
            z_hat = y + pull.to(y)
        else:
            z_hat = y + (inverse(total, self._floor + 1 / float(r2)) @ pull[..., None])[..., 0].to(
                y
            )
        return torch.clamp(z_hat, -self._reach, self._reach)

    def _guess(self, y: torch.Tensor, ratio: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """E[z | y, x_i], of shape (n, B, i, Dz); kept within reach, as in the model's sampling."""
        guess: torch.Tensor = self._denoiser(y, ratio, s)
        return torch.clamp(guess, -self._reach, self._reach)

    def _with_precision(
        self, y: torch.Tensor, ratio: torch.Tensor, s: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, and C_i⁻¹ (n, B, i, Dz, Dz) by one forward-mode derivative a dimension."""
        columns = []
        for axis in self._eye.to(y):
            derived = torch.func.jvp(
                lambda rows: self._denoiser(rows, ratio, s),
                (y,),
                (axis.expand_as(y).contiguous(),),
            )
            guess, column = derived[0], derived[1]
            columns.append(column)
        jacobian = torch.stack(columns, -1).double()
        values, vectors = torch.linalg.eigh(0.5 * (jacobian + jacobian.mT))
        # Of a normal posterior of sd d the Jacobian is d²/(d² + r²).
        r2, d2 = ratio.double() ** 2, self._narrowest**2
        values = 1 / (r2 * values.clamp_min(d2 / (d2 + r2)))
        guess = torch.clamp(guess, -self._reach, self._reach)
        return guess, (vectors * values[..., None, :]) @ vectors.mT

    def _from_draws(self, grid: torch.Tensor) -> torch.Tensor:
        """S_i⁻¹ (B, N, Dz, Dz), from draws of z given each x_i.

        All start from the same even noise of covariance exactly I: nothing random, and if the
        posterior is normal, the solver's map is linear and the covariance has no sampling error.
        """
        dim = self._eye.shape[0]
        noise = normal_nodes(max(NODES, 4 * dim), dim).to(grid.device)
        rows = self._s.reshape(-1, self._s.shape[-1])
        found = []
        for s in rows.split(max(1, ROWS_AT_ONCE // len(noise))):

            def denoise(y: torch.Tensor, r: torch.Tensor, s: torch.Tensor = s) -> torch.Tensor:
                return self._guess(y, r, s)

            y = denoise(torch.zeros(1, len(s), dim).to(s), grid[0]) + grid[0] * noise[:, None]
            *_, last = get_sampler("dpm_solver_2m")(denoise, grid, make_generator(0), y)
            z = last.y.double() - last.y.double().mean(0)
            found.append(torch.einsum("kid,kie->ide", z, z) / len(z))
        precision = inverse(torch.cat(found), self._narrowest**2)
        return precision.reshape(*self._s.shape[:2], dim, dim)


def inverse(total: torch.Tensor, floor: float) -> torch.Tensor:
    """The inverse of symmetric matrices (..., Dz, Dz), eigenvalues raised to `floor` first."""
    values, vectors = torch.linalg.eigh(0.5 * (total + total.mT))
    return (vectors / values.clamp_min(floor)[..., None, :]) @ vectors.mT


def spans(n: int, size: int) -> list[tuple[int, int]]:
    """(first, end) of consecutive pieces of 0 … n − 1, at most `size` long."""
    return [(first, min(first + size, n)) for first in range(0, n, size)]
