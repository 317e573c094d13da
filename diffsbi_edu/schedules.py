"""Noise schedules: how clean latents become noise, z_noisy = alpha·z + sigma·eps.

Two ideas keep this file short. First, all that matters statistically is the noise-to-signal ratio
r = sigma / alpha (log-SNR is −2 ln r): dividing z_noisy by alpha turns every schedule into the same
process z + r·eps. A schedule is thus a clock, t ∈ [0, 1] → r, plus a choice of units, alpha(r).
Second, a schedule has two jobs, named by when they are called: `training_ratios` draws the noise
levels to train on, and `solver_grid` lists those a sampler visits. They are set independently.

Sources: Kingma et al. (2021), arXiv 2107.00630 (log-SNR); Karras et al. (2022), arXiv 2206.00364,
table 1 (design space); Song et al. (2021), arXiv 2011.13456 (VP and VE); Liu et al. (2022),
arXiv 2209.03003 (rectified flow).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import torch

from diffsbi_edu.errors import unknown_name
from diffsbi_edu.levels import (
    Grid,
    Karras,
    LogNormal,
    Training,
    UniformLogSNR,
    UniformSteps,
    UniformTime,
)

__all__ = [
    "EDM",
    "SCHEDULES",
    "Cosine",
    "Karras",
    "LogNormal",
    "NoiseSchedule",
    "RectifiedFlow",
    "UniformLogSNR",
    "UniformSteps",
    "UniformTime",
    "VariancePreserving",
    "as_schedule",
    "from_config",
]


@dataclass(frozen=True)
class NoiseSchedule(ABC):
    """A clock t → r = sigma/alpha, the units alpha(r), and its two jobs.

    Args:
        sigma_min, sigma_max: smallest and largest noise-to-signal ratio r = sigma/alpha visited
            (for EDM, where alpha = 1, simply sigma), in units of a latent of variance 1.
        training: distribution of noise levels in training (`LogNormal` or `UniformTime`).
        grid: spacing of the sampler's noise levels (`Karras`, `UniformLogSNR` or `UniformSteps`).

    Raises:
        ValueError: not 0 < sigma_min < sigma_max < ∞.
    """

    sigma_min: float = 0.001
    sigma_max: float = 20.0
    training: Training = LogNormal()
    grid: Grid = UniformLogSNR()

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise ValueError(
                "a schedule needs 0 < sigma_min < sigma_max < infinity, got "
                f"sigma_min = {self.sigma_min} and sigma_max = {self.sigma_max}."
            )

    @abstractmethod
    def ratio(self, t: torch.Tensor) -> torch.Tensor:
        """The clock: t in [0, 1] → r = sigma/alpha, increasing."""

    @abstractmethod
    def time(self, ratio: torch.Tensor) -> torch.Tensor:
        """The clock read backwards: r → t."""

    @abstractmethod
    def signal(self, ratio: torch.Tensor) -> torch.Tensor:
        """The units: alpha at noise-to-signal ratio r."""

    def scales(self, ratio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(alpha, sigma) at noise-to-signal ratio r, same shape as r."""
        alpha = self.signal(ratio)
        return alpha, ratio * alpha

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        """Signal scale at time t."""
        return self.signal(self.ratio(t))

    def sigma(self, t: torch.Tensor) -> torch.Tensor:
        """Noise level at time t."""
        return self.scales(self.ratio(t))[1]

    def log_snr(self, t: torch.Tensor) -> torch.Tensor:
        """log(alpha²/sigma²) at time t."""
        return -2 * self.ratio(t).log()

    def time_limits(self) -> tuple[float, float]:
        """The times at which r is sigma_min and sigma_max."""
        limits = torch.tensor([self.sigma_min, self.sigma_max], dtype=torch.float64)
        first, last = self.time(limits).tolist()
        return first, last

    def training_ratios(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """n noise levels r (n, 1) to train on, on the generator's device.

        Drawn by stratified sampling, one u in each interval of length 1/n, in order: each level's
        distribution is that of `training`, and the batch covers it evenly, which takes noise out of
        the gradient at no cost (Kingma et al. 2021, appendix I.1).
        """
        device = generator.device
        u = torch.rand(n, generator=generator, device=device)
        u = (u + torch.arange(n, device=device)) / n
        return self.training.log_ratio(u.clamp(1e-6, 1 - 1e-6), self).exp()[:, None]

    def training_density(self, log_ratio: torch.Tensor) -> torch.Tensor:
        """Density over ln r of the noise levels trained on."""
        return self.training.density(log_ratio, self)

    def solver_grid(self, steps: int) -> torch.Tensor:
        """The r's a sampler visits: (steps + 1,) from sigma_max down to sigma_min, then 0.

        Raises:
            ValueError: fewer than 1 step.
        """
        if steps < 1:
            raise ValueError(f"a solver needs at least 1 step, got {steps}.")
        fraction = torch.linspace(0, 1, steps, dtype=torch.float64)
        ratios = self.grid.ratios(fraction, self)
        return torch.cat([ratios, ratios.new_zeros(1)]).float()

    def config(self) -> dict[str, Any]:
        """JSON-able settings; `from_config` is the inverse."""
        settings = asdict(self) | {
            "training": [type(self.training).__name__, asdict(self.training)],
            "grid": [type(self.grid).__name__, asdict(self.grid)],
        }
        return {"name": type(self).__name__, **settings}


@dataclass(frozen=True)
class EDM(NoiseSchedule):
    """Variance exploding: alpha = 1, sigma = r, on a geometric clock (Karras et al. 2022).

    Example:
        >>> schedule = EDM(sigma_min=0.01, sigma_max=10.0, grid=UniformLogSNR())
        >>> [round(r, 4) for r in schedule.solver_grid(4).tolist()]
        [10.0, 1.0, 0.1, 0.01, 0.0]
    """

    def ratio(self, t: torch.Tensor) -> torch.Tensor:
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t

    def time(self, ratio: torch.Tensor) -> torch.Tensor:
        return torch.log(ratio / self.sigma_min) / math.log(self.sigma_max / self.sigma_min)

    def signal(self, ratio: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(ratio)


@dataclass(frozen=True)
class VariancePreserving(NoiseSchedule):
    """alpha² + sigma² = 1 with a linear noise rate beta(t) (Song et al. 2021, equation 33).

    alpha(t) = exp(−½ beta_min t − ¼ (beta_max − beta_min) t²).

    Raises:
        ValueError: not 0 < beta_min < beta_max.

    Example:
        >>> vp = VariancePreserving()
        >>> t = torch.tensor([0.5])
        >>> round(float(vp.alpha(t) ** 2 + vp.sigma(t) ** 2), 4)
        1.0
    """

    training: Training = UniformTime()
    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.beta_min < self.beta_max:
            raise ValueError(
                f"needs 0 < beta_min < beta_max, got {self.beta_min} and {self.beta_max}."
            )

    def ratio(self, t: torch.Tensor) -> torch.Tensor:
        integral = self.beta_min * t + 0.5 * (self.beta_max - self.beta_min) * t**2
        return torch.expm1(integral).sqrt()

    def time(self, ratio: torch.Tensor) -> torch.Tensor:
        integral, slope = torch.log1p(ratio**2), self.beta_max - self.beta_min
        # The positive root of the quadratic, written so that small integrals do not cancel.
        return 2 * integral / (self.beta_min + (self.beta_min**2 + 2 * slope * integral).sqrt())

    def signal(self, ratio: torch.Tensor) -> torch.Tensor:
        return (1 + ratio**2).rsqrt()


@dataclass(frozen=True)
class Cosine(NoiseSchedule):
    """Variance preserving with alpha = cos(πt/2), sigma = sin(πt/2).

    Source: Nichol & Dhariwal (2021), arXiv 2102.09672, without their offset; Kingma et al. (2021).

    Example:
        >>> Cosine().ratio(torch.tensor(0.5)).round(decimals=4)
        tensor(1.)
    """

    training: Training = UniformTime()

    def ratio(self, t: torch.Tensor) -> torch.Tensor:
        return torch.tan(0.5 * math.pi * t)

    def time(self, ratio: torch.Tensor) -> torch.Tensor:
        return torch.atan(ratio) / (0.5 * math.pi)

    def signal(self, ratio: torch.Tensor) -> torch.Tensor:
        return (1 + ratio**2).rsqrt()


@dataclass(frozen=True)
class RectifiedFlow(NoiseSchedule):
    """A straight path from data to noise: alpha = 1 − t, sigma = t (Liu et al. 2022).

    Example:
        >>> flow = RectifiedFlow()
        >>> flow.alpha(torch.tensor(0.25)), flow.sigma(torch.tensor(0.25))
        (tensor(0.7500), tensor(0.2500))
    """

    training: Training = UniformTime()

    def ratio(self, t: torch.Tensor) -> torch.Tensor:
        return t / (1 - t)

    def time(self, ratio: torch.Tensor) -> torch.Tensor:
        return ratio / (1 + ratio)

    def signal(self, ratio: torch.Tensor) -> torch.Tensor:
        return 1 / (1 + ratio)


SCHEDULES: dict[str, type[NoiseSchedule]] = {
    "EDM": EDM,
    "VariancePreserving": VariancePreserving,
    "Cosine": Cosine,
    "RectifiedFlow": RectifiedFlow,
}
_PARTS: dict[str, Any] = {
    part.__name__: part for part in (LogNormal, UniformTime, Karras, UniformLogSNR, UniformSteps)
}


def from_config(config: dict[str, Any]) -> NoiseSchedule:
    """The schedule that `NoiseSchedule.config` described.

    Raises:
        ValueError: an unknown schedule, training distribution or grid.

    Example:
        >>> from_config(Cosine().config()) == Cosine()
        True
    """
    settings = dict(config)
    name = settings.pop("name")
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    for job in ("training", "grid"):
        part, arguments = settings[job]
        if part not in _PARTS:
            raise unknown_name(job, part, _PARTS)
        settings[job] = _PARTS[part](**arguments)
    return SCHEDULES[name](**settings)


def as_schedule(schedule: NoiseSchedule | str) -> NoiseSchedule:
    """A schedule, or the default one of that name.

    Raises:
        ValueError: an unknown name; the message lists the valid ones.
        TypeError: neither a schedule nor a name.
    """
    if isinstance(schedule, NoiseSchedule):
        return schedule
    if not isinstance(schedule, str):
        raise TypeError(f"schedule must be a NoiseSchedule or its name, got {schedule!r}.")
    if schedule not in SCHEDULES:
        raise unknown_name("schedule", schedule, SCHEDULES)
    return SCHEDULES[schedule]()
