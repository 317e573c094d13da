"""`Problem`: prior p(theta) and simulator p(x | theta), the two things inference starts from."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.distributions import Distribution

from diffsbi_edu.errors import NoExactPosterior, SimulationError
from diffsbi_edu.problems.parts import checked_n_obs, checked_output, moved
from diffsbi_edu.problems.posterior import ExactPosterior
from diffsbi_edu.runtime import Seed, fresh_seed, make_generator, randomness_from, resolve_device

Simulator = Callable[..., Any]
FEW_SIMULATIONS = 200  # after which the share of failures is taken at its word


class Problem:
    """A Bayesian inference problem: prior, simulator, number of observations.

    Args:
        prior: any torch distribution with event shape (D,).
        simulator: ``simulator(theta)`` with theta (B, D), returning data (B, N, F), or (B, F) for
            N = 1, as a torch tensor or a NumPy array. With `n_obs` it is called as
            ``simulator(theta, n_obs)``. It may also take a keyword ``generator`` (torch) or ``rng``
            (NumPy), which then carry the seed; torch's own random functions are seeded in any case,
            `numpy.random`'s global ones cannot be. With ``rng``, theta is always on the CPU.
        n_obs: None if the simulator fixes N itself; an int; or a range ``(low, high)`` (both
            included) from which every batch draws one N, uniformly on the logarithm.
        name: what plots and reports call it.
        max_failed: for a simulator that sometimes fails, returning NaN or infinite numbers: the
            share of failures that `sample` puts up with. It drops these rows, draws others in their
            place and counts them in `failures`; the prior is then, in effect, the prior *given that
            the simulation succeeds*. At 0 the first failure is an error.

    Attributes:
        failures: simulations that failed and simulations made, where `max_failed` is not 0.

    Raises:
        TypeError: the prior is no torch distribution, or the simulator cannot be called.
        ValueError: the prior has no event dimension, `n_obs` is impossible, or `max_failed` is not
            in [0, 1).

    Example:
        >>> import torch
        >>> from torch.distributions import Independent, Uniform
        >>> prior = Independent(Uniform(-torch.ones(2), torch.ones(2)), 1)
        >>> problem = Problem(prior, lambda theta: theta + 0.1 * torch.randn_like(theta))
        >>> theta, x = problem.sample(4, seed=0)
        >>> theta.shape, x.shape
        (torch.Size([4, 2]), torch.Size([4, 1, 2]))
    """

    #: Axis labels of theta, in the user's units; plots use them.
    theta_names: tuple[str, ...] = ()
    #: Axis labels of one observation's features.
    x_names: tuple[str, ...] = ()
    #: What the order of a data set's N observations means: "set" (nothing), "sequence" (time), or
    #: None (not said). An encoder that assumes otherwise earns a warning.
    data_kind: str | None = None

    def __init__(
        self,
        prior: Distribution,
        simulator: Simulator,
        *,
        n_obs: int | tuple[int, int] | None = None,
        name: str = "custom",
        max_failed: float = 0.0,
    ) -> None:
        if not isinstance(prior, Distribution):
            raise TypeError(f"prior must be a torch.distributions.Distribution, got {type(prior)}.")
        if prior.batch_shape != () or len(prior.event_shape) != 1:
            raise ValueError(
                f"prior must have batch shape () and event shape (D,), got batch shape "
                f"{tuple(prior.batch_shape)} and event shape {tuple(prior.event_shape)}; wrap "
                "independent parameters in torch.distributions.Independent(prior, 1)."
            )
        if not callable(simulator):
            raise TypeError(f"simulator must be callable, got {type(simulator)}.")
        self.prior = prior
        self.simulator = simulator
        self.n_obs = checked_n_obs(n_obs)
        self.name = name
        if not 0 <= max_failed < 1:
            raise ValueError(f"max_failed, a share, must be in [0, 1), got {max_failed}.")
        self.max_failed = max_failed
        self.failures = (0, 0)
        self.dim = int(prior.event_shape[0])
        self.theta_names = self.theta_names or tuple(f"theta {i + 1}" for i in range(self.dim))
        self._priors: dict[torch.device, Distribution] = {}
        try:
            self._takes = set(inspect.signature(simulator).parameters) & {"generator", "rng"}
        except (TypeError, ValueError):  # builtins have no signature
            self._takes = set()

    def prior_on(self, device: str | torch.device) -> Distribution:
        """The prior with its parameters on `device`, so that its draws are made there."""
        device = torch.device(device)
        if device not in self._priors:
            self._priors[device] = moved(self.prior, device)
        return self._priors[device]

    @property
    def fixed_n_obs(self) -> bool:
        """Whether every data set has the same number of observations."""
        return not isinstance(self.n_obs, tuple)

    def draw_n_obs(self, generator: torch.Generator) -> int | None:
        """A number of observations for one batch; None where the simulator decides."""
        if not isinstance(self.n_obs, tuple):
            return self.n_obs
        low, high = self.n_obs
        u = torch.rand((), generator=generator, device=generator.device).item()
        return min(high, int(low * ((high + 1) / low) ** u))

    def sample_prior(
        self, n: int, *, seed: Seed = None, device: str | torch.device = "auto"
    ) -> torch.Tensor:
        """`n` draws of theta, (n, D)."""
        if n <= 0:
            raise ValueError(f"n must be at least 1, got {n}.")
        device = resolve_device(device)
        with torch.no_grad(), randomness_from(make_generator(seed, device)):
            theta = self.prior_on(device).sample((n,))
        return theta.float()

    def simulate(
        self,
        theta: torch.Tensor,
        *,
        seed: Seed = None,
        n_obs: int | None = None,
        check_finite: bool = True,
    ) -> torch.Tensor:
        """Data for each row of theta (B, D): x of shape (B, N, F), on theta's device.

        Raises:
            SimulationError: the simulator returned a list, a wrong batch size or shape, or
                (unless `check_finite` is off) NaN or infinite values.
            ValueError: n_obs is below 1.
        """
        generator = make_generator(seed, theta.device)
        if n_obs is None and self.n_obs is not None:
            n_obs = self.draw_n_obs(generator)
        if n_obs is not None and n_obs < 1:
            raise ValueError(f"n_obs, the number of observations, must be at least 1, got {n_obs}.")
        kwargs: dict[str, Any] = {}
        if "generator" in self._takes:
            kwargs["generator"] = generator
        if "rng" in self._takes:
            kwargs["rng"] = np.random.default_rng(fresh_seed(generator))
        # A copy: a simulator that changes its argument in place must not change our theta. One that
        # asks for NumPy's rng computes with NumPy, which cannot read a GPU's memory.
        given = theta.to("cpu" if "rng" in self._takes else theta.device, copy=True)
        args = (given,) if n_obs is None else (given, n_obs)
        with torch.no_grad(), randomness_from(generator):
            x = self.simulator(*args, **kwargs)
        x = checked_output(x, theta)
        if check_finite:
            check_simulations(theta, x)
        return x

    def sample(
        self,
        n: int,
        *,
        seed: Seed = None,
        device: str | torch.device = "auto",
        n_obs: int | None = None,
        check_finite: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Joint draws: theta (n, D) from the prior and x (n, N, F) simulated from it.

        Raises:
            ValueError: n is not positive, or the device is unknown or absent.
            SimulationError: see `simulate`; or more than `max_failed` of the simulations failed.
        """
        generator = make_generator(seed, resolve_device(device))
        check_now = check_finite and not self.max_failed
        theta = self.sample_prior(n, seed=generator, device=generator.device)
        x = self.simulate(theta, seed=generator, n_obs=n_obs, check_finite=check_now)
        return self._failures_replaced(theta, x, generator) if self.max_failed else (theta, x)

    def _failures_replaced(
        self, theta: torch.Tensor, x: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """theta and x with other draws in place of the rows that are not finite."""
        bad, made = ~torch.isfinite(x).flatten(1).all(1), len(x)
        while True:
            failed = int(bad.sum())
            self.failures = (self.failures[0] + failed, self.failures[1] + made)
            # One failure in the first ten simulations is not yet a share of 10 %.
            if self.failures[0] > self.max_failed * max(self.failures[1], FEW_SIMULATIONS):
                raise SimulationError(
                    f"{self.failures[0]} of {self.failures[1]} simulations were NaN or infinite, "
                    f"more than max_failed = {self.max_failed:.1%}; the last for theta = "
                    f"{theta[bad][-1].tolist()}. Mend the simulator, shrink the prior, or raise "
                    "max_failed."
                )
            if not failed:
                return theta, x
            made = failed
            again = self.sample_prior(failed, seed=generator, device=theta.device)
            # Not over their theta: what fails there would fail again. Of the same N: one batch.
            n_obs = None if self.n_obs is None else x.shape[1]
            new = self.simulate(again, seed=generator, n_obs=n_obs, check_finite=False)
            theta, x = theta.clone(), x.clone()
            theta[bad], x[bad] = again, new
            bad = ~torch.isfinite(x).flatten(1).all(1)

    def posterior(self, x_obs: torch.Tensor) -> ExactPosterior:
        """The exact posterior given x_obs (N, F).

        Raises:
            NoExactPosterior: none is known for this problem.
        """
        raise NoExactPosterior(
            f"the problem {self.name!r} has no exact posterior; judge the model by "
            "simulation-based calibration instead, or override Problem.posterior if you know it."
        )

    def config(self) -> dict[str, Any] | None:
        """Arguments that rebuild a built-in problem (JSON-able); None for a custom one."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, dim={self.dim}, n_obs={self.n_obs})"


def check_simulations(theta: torch.Tensor, x: torch.Tensor) -> None:
    """Raise `SimulationError` if any of theta (B, D) or x (B, N, F) is NaN or infinite."""
    for what, values in (("the prior returned theta", theta), ("the simulator returned x", x)):
        # One NaN or infinite number makes the sum so: a twentieth of the work of looking at each.
        if torch.isfinite(values.sum()):
            continue
        bad = ~torch.isfinite(values).flatten(1).all(1)
        if not bad.any():  # finite numbers whose sum is not
            continue
        row = int(bad.nonzero()[0, 0])
        raise SimulationError(
            f"{what} with NaN or infinite values in {int(bad.sum())} of {len(values)} rows, for "
            f"example for theta = {theta[row].tolist()}; make the simulator finite over the whole "
            "prior (clip, transform, or shrink the prior)."
        )


def as_observation(x_obs: Any, features: int, device: torch.device) -> tuple[torch.Tensor, bool]:
    """x_obs as (B, N, F) float32, and whether the caller gave a batch.

    Raises:
        TypeError: not a floating-point tensor or array.
        ValueError: wrong number of dimensions or features, or NaN or infinite entries.
    """
    if isinstance(x_obs, np.ndarray) and x_obs.dtype.kind in "fiub":
        x_obs = torch.from_numpy(x_obs)
    if not isinstance(x_obs, torch.Tensor):
        raise TypeError(f"x_obs must be a torch tensor or a NumPy array, got {type(x_obs)}.")
    if not x_obs.is_floating_point():
        raise TypeError(f"x_obs must be floating point, got {x_obs.dtype}; use x_obs.float().")
    if x_obs.ndim == 1:
        x_obs = x_obs[None, :]
    if x_obs.ndim not in (2, 3):
        raise ValueError(f"x_obs must be (N, F) or (B, N, F), got {tuple(x_obs.shape)}.")
    if x_obs.shape[-1] != features or x_obs.numel() == 0:
        raise ValueError(
            f"x_obs must be (N, F) or (B, N, F) with F = {features} features and at least one "
            f"observation, got {tuple(x_obs.shape)}."
        )
    if not torch.isfinite(x_obs).all():
        raise ValueError("x_obs has NaN or infinite entries; drop or repair them first.")
    batched = x_obs.ndim == 3
    x_obs = x_obs.to(device, torch.float32)
    return (x_obs if batched else x_obs[None]), batched


def one_data_set(x_obs: Any, features: int, n_obs: int | None = None) -> torch.Tensor:
    """x_obs as (N, F) on the CPU, for an exact posterior; a batch of one is let through.

    Raises:
        TypeError, ValueError: see `as_observation`; a batch of several data sets, or another N.
    """
    x, _ = as_observation(x_obs, features, torch.device("cpu"))
    if len(x) != 1:
        raise ValueError(
            f"an exact posterior is for one data set x_obs (N, F), got a batch {tuple(x.shape)}; "
            "ask for one posterior after another: posterior(x_obs[0]), …"
        )
    if n_obs not in (None, x.shape[1]):
        raise ValueError(f"this problem has N = {n_obs} observation(s), got N = {x.shape[1]}.")
    return x[0]
