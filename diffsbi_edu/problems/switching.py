"""MarkovSwitching: a factor model whose loading jumps between two regimes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch.distributions import (
    Beta,
    Distribution,
    Gamma,
    PowerTransform,
    Transform,
    TransformedDistribution,
    biject_to,
)
from torch.distributions import constraints as c

from diffsbi_edu.problems.base import Problem
from diffsbi_edu.problems.product import Product
from diffsbi_edu.runtime import nothing_random

ROOT_2 = math.sqrt(2)
LARGEST_STAY = 0.99  # no regime lasts for more than 100 steps on average


class MarkovSwitching(Problem):
    """theta = (beta 1, beta 2, noise sd, step sd, stay 1, stay 2): a factor with two regimes.

    Which regime rules at a time is never seen, and neither is the factor: the likelihood sums over
    2^N paths of the one and integrates over the other. Call regime 1 regime 2 and nothing changes
    in the data, so that the two have names only because **beta 1 ≥ beta 2, the larger loading
    first**; without that rule every posterior would have a mirror image. Where the two loadings are
    close, or a series never leaves its regime, the posterior falls back on the prior.

    A random walk w starts at 0 and takes steps N(0, step sd²), the first of them before the first
    observation. The regime stays as it is with probability stay 1 or stay 2, starting from its
    stationary law. The data are x_t = (w_t, beta w_t) + noise, with beta that of the regime at time
    t, and noise N(0, noise sd²) in both features. Prior: noise sd = Gamma(2, scale 2)^(−1/2), step
    sd = Gamma(4, scale 1)^(−1/2); given the noise sd, N(1, noise sd²) and N(−1, noise sd²), the
    larger of which is beta 1; stay 1 and stay 2 are 0.99 Beta(30, 2). These two are alike, so that
    sorting the loadings without them changes nothing.

    Args:
        n_obs: number of time steps N, or a range (low, high).

    Raises:
        ValueError: `n_obs` is impossible.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4; Hamilton (1989), Econometrica
    57, 357–384, for regimes that switch.

    Example:
        >>> theta, x = MarkovSwitching(n_obs=300).sample(3, seed=0)
        >>> theta.shape, x.shape, bool((theta[:, 0] >= theta[:, 1]).all())
        (torch.Size([3, 6]), torch.Size([3, 300, 2]), True)
    """

    data_kind = "sequence"
    theta_names = ("beta 1", "beta 2", "noise sd", "step sd", "stay 1", "stay 2")
    x_names = ("w", "beta w")

    def __init__(self, n_obs: int | tuple[int, int] = (200, 500)) -> None:
        self._config = {"n_obs": n_obs}
        step = TransformedDistribution(Gamma(4.0, 1.0), PowerTransform(torch.tensor(-0.5)))
        stay = Share(Beta(30.0, 2.0), LARGEST_STAY)
        prior = Product([SortedLoadings(Gamma(2.0, 0.5)), step, stay, stay])
        super().__init__(prior, self._simulator, n_obs=n_obs, name="markov_switching")

    def _simulator(self, theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        high, low, noise, step = theta.T[:4, :, None]
        first = self.regimes(theta, n_obs)
        walk = theta.new_empty(len(theta), n_obs).normal_().cumsum_(1).mul_(step)
        x = theta.new_empty(len(theta), n_obs, 2).normal_().mul_(noise[..., None])
        x[..., 0] += walk
        x[..., 1] += torch.where(first, high, low).mul_(walk)
        return x

    @staticmethod
    def regimes(theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        """Whether regime 1 rules, (B, N) booleans, for theta (B, 6); no loop over time.

        One uniform number u_t decides for either regime what comes next: from regime 1 it is 1 if
        u_t < stay 1, from regime 2 it is 1 if u_t < 1 − stay 2. Counting modulo 2, that makes a
        linear recurrence, r_t = b_t + a_t r_{t−1}: b_t is what follows regime 2, and a_t is 1 where
        regime 1 is followed by something else, so that the past counts. As in
        `sequences.linear_recurrence`, log2 N passes double how far back each step looks.
        """
        stay, back = theta[:, 4:5], 1 - theta[:, 5:6]
        u = torch.rand(len(theta), n_obs, device=theta.device, dtype=theta.dtype)
        with nothing_random():
            regime, weight = u < back, u < stay
            weight ^= regime
            # The first is drawn from the stationary law, and has no past.
            regime[:, 0], weight[:, 0] = u[:, 0] < (back / (1 - stay + back))[:, 0], False
            known = 1
            while known < n_obs:
                regime[:, known:] ^= weight[:, known:] & regime[:, :-known]
                weight[:, known:] = weight[:, known:] & weight[:, :-known]
                known *= 2
        return regime

    def config(self) -> dict[str, Any]:
        return dict(self._config)


class SortedLoadings(Distribution):
    """The law of (beta 1, beta 2, sd): N(1, sd²) and N(−1, sd²), sorted, with sd^(−2) ~ precision.

    Args:
        precision: the law of 1/sd², on the positive numbers.
    """

    arg_constraints: ClassVar[dict[str, c.Constraint]] = {}

    def __init__(self, precision: Distribution) -> None:
        self.precision = precision
        super().__init__(event_shape=torch.Size([3]), validate_args=False)

    @property
    def support(self) -> Any:
        """Real numbers beta 1 ≥ beta 2, and a positive sd."""
        return Sorted()

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Draws (*sample_shape, 3)."""
        sd: torch.Tensor = self.precision.sample(torch.Size(sample_shape)).rsqrt()
        one = 1 + sd * torch.randn_like(sd)
        other = -1 + sd * torch.randn_like(sd)
        return torch.stack([torch.maximum(one, other), torch.minimum(one, other), sd], -1)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log density at (..., 3): shape (...), −inf where unsorted or sd ≤ 0.

        Either of the two normals may have come out larger: the density is a sum of two terms.
        """
        outside = ~Sorted().check(value)
        safe = torch.where(outside[..., None], value.new_tensor([1.0, -1.0, 1.0]), value)
        first, second, sd = safe.unbind(-1)
        straight = (first - 1) ** 2 + (second + 1) ** 2
        crossed = (first + 1) ** 2 + (second - 1) ** 2
        log_betas = torch.logaddexp(-0.5 * straight / sd**2, -0.5 * crossed / sd**2)
        log_betas = log_betas - 2 * sd.log() - math.log(2 * math.pi)
        log_sd = self.precision.log_prob(sd**-2) + math.log(2) - 3 * sd.log()
        return (log_betas + log_sd).masked_fill(outside, -math.inf)


class Sorted(c.Constraint):
    """(beta 1, beta 2, sd) with beta 1 ≥ beta 2 and sd > 0."""

    event_dim = 1

    def check(self, value: torch.Tensor) -> torch.Tensor:
        sorted_ = (value[..., 0] >= value[..., 1]) & (value[..., 2] > 0)
        return sorted_ & torch.isfinite(value).all(-1)


class FromGap(Transform):
    """(beta 1, beta 2, sd) from u in R³, nearly N(0, 1) each under the prior of `SortedLoadings`.

    In units of sd, the sum of the loadings / √2 is exactly N(0, 1): that is u_1. Their difference
    / √2, the gap, is |N(√2/sd, 1)|, so that u_2 = softplus⁻¹(gap) − √2/sd, the softplus
    ln(1 + e^u) being positive, and all but u itself for large u. u_3 = ln sd.
    `transforms.prior_transform` finds this map through torch's registry `biject_to`.
    """

    domain, codomain, bijective = c.real_vector, Sorted(), True
    _smallest = 1e-7  # a gap, in sds; float32 rounds those of most loadings below it to 0

    def _call(self, u: torch.Tensor) -> torch.Tensor:
        total, shifted, log_sd = u.unbind(-1)
        sd = log_sd.exp()
        middle = sd * total / ROOT_2
        half = sd * torch.nn.functional.softplus(shifted + ROOT_2 / sd) / ROOT_2
        return torch.stack([middle + half, middle - half, sd], -1).nan_to_num()

    def _inverse(self, theta: torch.Tensor) -> torch.Tensor:
        first, second, sd = theta.unbind(-1)
        gap = ((first - second) / sd / ROOT_2).clamp_min(self._smallest)
        wide = gap + (-(-gap).expm1()).log() - ROOT_2 / sd
        return torch.stack([(first + second) / sd / ROOT_2, wide, sd.log()], -1)

    def log_abs_det_jacobian(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """log |det dtheta/du| = 3 ln sd + ln(1 − e^−gap): a rotation's determinant is 1."""
        first, second, sd = y.unbind(-1)
        gap = ((first - second) / sd / ROOT_2).clamp_min(self._smallest)
        return 3 * sd.log() + (-(-gap).expm1()).log()


@biject_to.register(Sorted)
def _from_gap(support: Sorted) -> FromGap:
    return FromGap()


class Share(Distribution):
    """scale · Beta: a probability between 0 and `scale`.

    Args:
        beta: the law on (0, 1), of batch shape () or (d,).
        scale: the largest value.
    """

    arg_constraints: ClassVar[dict[str, c.Constraint]] = {}

    def __init__(self, beta: Beta, scale: float) -> None:
        self.beta, self.scale = beta, scale
        super().__init__(beta.batch_shape, validate_args=False)

    @property
    def support(self) -> Any:
        """From 0 to `scale`."""
        return c.interval(0.0, self.scale)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Share:
        return Share(self.beta.expand(batch_shape), self.scale)

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Draws (*sample_shape, *batch_shape)."""
        draws: torch.Tensor = self.scale * self.beta.sample(torch.Size(sample_shape))
        return draws

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log density at value (..., *batch_shape), −inf outside of the support."""
        share = value / self.scale
        outside = (share <= 0) | (share >= 1)
        log_density = self.beta.log_prob(share.masked_fill(outside, 0.5)) - math.log(self.scale)
        return log_density.masked_fill(outside, -math.inf)
