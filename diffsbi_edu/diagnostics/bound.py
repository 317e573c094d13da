"""The KL bound that justifies the joint loss, with numbers: what it is, what it is made of.

Train encoder and denoiser together on one squared error: why should the posterior become right?
Because that error, suitably weighted, bounds the Kullback–Leibler divergence from above. In
y = z + r·eps, with D_p = E[z | y, x] the exact denoiser and D_q the model's, which sees s(x),

    E_x KL(p(theta | x) ‖ q(theta | s)) ≤ start + ∫ r⁻³ E‖D_p − D_q‖² dr                    (1)

    start = E_x KL(p(y | x) ‖ N(D_q(0, r_max), r_max²))  at r = r_max

Over λ = ln r the weight is r⁻². Since D_p is the mean of z given (y, x), E‖z − D_q‖² is E‖z − D_p‖²
+ E‖D_p − D_q‖²: the integral is the weighted *denoising loss*, which needs no D_p, minus a constant
that no training can change. And with D_s = E[z | y, s], the best denoiser that sees only s,

    E‖D_p − D_q‖² = E‖D_p − D_s‖² (lost by the summary) + E‖D_s − D_q‖² (error of the decoder)

because D_s is the mean of D_p given (y, s). The first part integrates to I(theta; x | s), which no
decoder can win back. Encoder and decoder thus share one objective.

**SDE and ODE.** (1) bounds the law of the reverse *SDE*, by Girsanov's theorem. The density that
`log_prob` measures is that of the probability-flow *ODE*. If D_q is the denoiser of one law at all
r, the two agree and (1) is an equality, but for the start. A network's D_q is only nearly so, and
no theorem puts the ODE's KL below (1): early in training it can lie above by a per cent, and one
can construct a D_q for which it is far above (tests/test_bound.py does both). So both are reported:
`kl`, the ODE's, measured; and `sde`, what the theorem is about, from the SDE's linearised moments
(exact where D_q is affine in y; see linearised.py).

Both sides are of the law at r_min, where samplers end: E_x KL(p(y | x) ‖ q(y | x)) at r = r_min.

Source: Song, Durkan, Murray & Ermon (2021), arXiv 2101.09258, theorem 1 (bound) and 2 (equality);
Chen, Bansal & Scott (2024), arXiv 2410.19105, section 3 (conditional on a summary network).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure

from diffsbi_edu import plots
from diffsbi_edu.diagnostics.linear_truth import LinearTruth, Points, less_noise
from diffsbi_edu.diagnostics.linearised import gaussian_kl, linearised_law
from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.likelihood import flow_log_prob
from diffsbi_edu.runtime import Seed, fresh_seed, make_generator


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error, in nats."""

    value: float
    error: float

    @classmethod
    def of(cls, values: torch.Tensor) -> Estimate:
        """From independent values (n,)."""
        return cls(float(values.mean()), float(values.std()) / math.sqrt(len(values)))

    def __sub__(self, other: Estimate) -> Estimate:
        """The difference, with the error of independent estimates."""
        return Estimate(self.value - other.value, math.hypot(self.error, other.error))


@dataclass(frozen=True)
class KLBound:
    """Both sides of the bound, and its parts. All in nats, averaged over x.

    Attributes:
        integral: ∫ r⁻² E‖D_p − D_q‖² d ln r, from the two denoisers.
        from_loss: the same from the weighted denoising loss, minus its constant.
        information: the integral's part lost by the summary, from the two denoisers.
        decoder: its part due to the decoder.
        start: KL at r_max between the exact noised posterior and the sampler's start.
        exact_information: `information` by log-determinants.
        kl: E_x KL(p ‖ q) of the probability-flow ODE's law, measured; NaN if not asked for.
        sde: E_x KL(p ‖ q) of the reverse SDE's law, its moments linearised; likewise.
        ratios: r in the middle of each slice of ln r (levels,).
        information_density, decoder_density: the parts' integrands over ln r (levels,).
    """

    integral: Estimate
    from_loss: Estimate
    information: Estimate
    decoder: Estimate
    start: Estimate
    exact_information: float
    kl: Estimate
    sde: Estimate
    ratios: torch.Tensor
    information_density: torch.Tensor
    decoder_density: torch.Tensor

    @property
    def bound(self) -> Estimate:
        """The right-hand side of (1): start + integral."""
        error = math.hypot(self.start.error, self.integral.error)
        return Estimate(self.start.value + self.integral.value, error)

    @property
    def gap(self) -> Estimate:
        """bound − kl, of the ODE: 0 (but for the start) if D_q is one distribution's denoiser."""
        return self.bound - self.kl

    @property
    def sde_gap(self) -> Estimate:
        """bound − sde: never negative, by the theorem, where D_q is affine in y."""
        return self.bound - self.sde

    def summary(self) -> dict[str, Any]:
        """Plain numbers."""
        names = ("bound", "kl", "sde", "gap", "sde_gap", "integral", "from_loss", "information")
        found: dict[str, Any] = {}
        for name in (*names, "decoder", "start"):
            estimate: Estimate = getattr(self, name)
            found |= {name: estimate.value, f"{name}_error": estimate.error}
        return found | {"exact_information": self.exact_information}

    def plot(self, **settings: Any) -> Figure:
        """The two parts of the integrand over ln r: see `plots.bound_parts`."""
        return plots.bound_parts(
            self.ratios, self.information_density, self.decoder_density, **settings
        )


def kl_bound(
    model: ConditionalDiffusion,
    n_sims: int = 2000,
    levels: int = 64,
    *,
    kl: bool = True,
    ode_steps: int = 32,
    seed: Seed = 0,
) -> KLBound:
    """The bound (1), its parts, and the KL divergences beside it; see the module's text.

    The integral over ln r is by stratified sampling: each simulation visits one level in each of
    `levels` slices, shifted by its own uniform number (unbiased, whatever the integrand). Control
    variates then take off the noise of z, x and eps (`linear_truth.less_noise`).

    Args:
        model: of a `problems.LinearGaussian`, with an affine encoder (or none), trained or not.
        n_sims: simulations to average over.
        levels: slices of ln r between the schedule's sigma_min and sigma_max.
        kl: whether to find the KL divergences as well, which takes most of the time.
        ode_steps: Runge–Kutta steps of the density, and of the moments.
        seed: of simulations, noise and levels: the same for every model that is to be compared.

    Raises:
        TypeError, ValueError: see `linear_truth.LinearTruth`; too few simulations or levels.

    Example:
        >>> from diffsbi_edu import problems
        >>> problem = problems.LinearGaussian(dim=2)
        >>> model = ConditionalDiffusion(problem, width=16, depth=1, device="cpu", seed=0)
        >>> found = kl_bound(model, n_sims=200, seed=0)  # untrained, q is the prior
        >>> round(found.bound.value, 1), round(found.kl.value, 1)
        (1.5, 1.5)
    """
    if levels < 2:
        raise ValueError(f"levels must be at least 2, got {levels}.")
    if ode_steps < 1:
        raise ValueError(f"ode_steps must be at least 1, got {ode_steps}.")
    generator = make_generator(seed)
    truth = LinearTruth(model)
    points = truth.points(n_sims, fresh_seed(generator))  # independent of the noise below
    s = _summaries(model, points)
    low, high = math.log(model.schedule.sigma_min), math.log(model.schedule.sigma_max)
    cell = (high - low) / levels
    shift = torch.rand(n_sims, 1, generator=generator, dtype=torch.float64)
    slices = []
    for i in range(levels):
        ratio = (low + (i + shift) * cell).exp()
        eps = torch.randn(points.z.shape, generator=generator, dtype=torch.float64)
        y = points.z + ratio * eps
        exact = truth.given_x.denoise(y, ratio, points.x)  # D_p
        best = truth.given_s.denoise(y, ratio, points.x)  # D_s
        learned = _denoise(model, y, ratio, s)  # D_q
        differences = torch.stack(
            [exact - learned, points.z - learned, exact - best, best - learned], 1
        )
        squared = differences.square().sum(-1)  # (n_sims, 4)
        squared[:, 1] -= truth.given_x.squared_error(ratio)
        slices.append(less_noise(squared / ratio**2, torch.cat([points.normal, eps], -1)))
    integral, from_loss, lost, decoder = (
        Estimate.of(cell * column) for column in torch.stack(slices).sum(0).T
    )
    density = torch.stack(slices).mean(1)  # (levels, 4)
    ends = model.schedule.sigma_min, model.schedule.sigma_max
    unknown = Estimate(math.nan, math.nan)
    return KLBound(
        integral=integral,
        from_loss=from_loss,
        information=lost,
        decoder=decoder,
        start=_start(model, truth, points, s),
        exact_information=truth.information(ends[0]) - truth.information(ends[1]),
        kl=_ode_kl(model, truth, points, s, ode_steps) if kl else unknown,
        sde=_sde_kl(model, truth, points, s, ode_steps) if kl else unknown,
        ratios=(low + (torch.arange(levels) + 0.5) * cell).exp(),
        information_density=density[:, 2],
        decoder_density=density[:, 3],
    )


def _summaries(model: ConditionalDiffusion, points: Points) -> torch.Tensor:
    with torch.no_grad():
        return model.summarise(points.x[:, None].float().to(model.device))


def _denoise(
    model: ConditionalDiffusion, y: torch.Tensor, ratio: torch.Tensor, s: torch.Tensor
) -> torch.Tensor:
    """The model's D_q at y (B, Dz), r (B, 1), s (B, S), in float64 on the CPU."""
    with torch.no_grad():
        guess: torch.Tensor = model.denoiser(y.to(s), ratio.to(s), s)
    return guess.cpu().double()


def _start(
    model: ConditionalDiffusion, truth: LinearTruth, points: Points, s: torch.Tensor
) -> Estimate:
    """E_x KL(N(m, C + R²) ‖ N(D_q(0, R), R²)) at R = sigma_max, where samplers start."""
    top = model.schedule.sigma_max
    ratio = torch.full((len(s), 1), top, dtype=torch.float64)
    centre = _denoise(model, torch.zeros_like(points.z), ratio, s)
    c, _ = truth.given_x.spectrum
    shape = 0.5 * (c / top**2 - torch.log1p(c / top**2)).sum()
    off = (points.x @ truth.given_x.gain.T - centre).square().sum(-1) / (2 * top**2)
    return Estimate.of(less_noise((shape + off)[:, None], points.normal)[:, 0])


def _ode_kl(
    model: ConditionalDiffusion, truth: LinearTruth, points: Points, s: torch.Tensor, steps: int
) -> Estimate:
    """E_x KL(p ‖ q) at r_min: E[log p(y | x) − log q(y | s)] over y from p, q by the ODE."""
    low, high = model.schedule.sigma_min, model.schedule.sigma_max
    y = truth.given_x.draw(points.x, points.zeta, low)
    log_p = -0.5 * (points.zeta.square().sum(-1) + truth.given_x.log_det(low))
    log_p = log_p - 0.5 * y.shape[-1] * math.log(2 * math.pi)
    log_q = flow_log_prob(
        lambda at, ratio: model.denoiser(at, ratio, s), y.to(s), low, high, steps=steps
    )
    values = log_p - log_q.cpu().double()
    return Estimate.of(less_noise(values[:, None], points.normal)[:, 0])


def _sde_kl(
    model: ConditionalDiffusion, truth: LinearTruth, points: Points, s: torch.Tensor, steps: int
) -> Estimate:
    """The same for the reverse SDE, q a normal law with its linearised moments."""
    low, high = model.schedule.sigma_min, model.schedule.sigma_max
    mean = points.x @ truth.given_x.gain.T
    noised = truth.given_x.covariance + low**2 * torch.eye(mean.shape[-1])
    law = linearised_law(
        lambda at, r: model.denoiser(at, r, s), mean.to(s), low, high, sde=True, steps=steps
    )
    values = gaussian_kl((mean, noised.expand(len(mean), -1, -1)), law)
    return Estimate.of(less_noise(values[:, None], points.normal)[:, 0])
