"""The KL bound during training, for summaries trained jointly, frozen at random, or pre-trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn

from diffsbi_edu import plots
from diffsbi_edu.diagnostics.bound import KLBound, kl_bound
from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.errors import unknown_name
from diffsbi_edu.problems import LinearGaussian
from diffsbi_edu.runtime import Seed, make_generator, randomness_from
from diffsbi_edu.training import train

SUMMARIES = ("joint", "random", "pre-trained")
REGRESSION_SIMULATIONS = 20_000


@dataclass(frozen=True)
class BoundHistory:
    """The bound at chosen steps of a training run.

    Attributes:
        steps: optimiser steps made, 0 for the untrained model.
        bounds: what was found at each.
    """

    steps: tuple[int, ...]
    bounds: tuple[KLBound, ...]

    def columns(self) -> dict[str, list[float]]:
        """step, bound, kl, sde, information (exact), decoder, gap, sde_gap: equal lengths."""
        return {
            "step": [float(step) for step in self.steps],
            "bound": [b.bound.value for b in self.bounds],
            "kl": [b.kl.value for b in self.bounds],
            "sde": [b.sde.value for b in self.bounds],
            "information": [b.exact_information for b in self.bounds],
            "decoder": [b.decoder.value for b in self.bounds],
            "gap": [b.gap.value for b in self.bounds],
            "sde_gap": [b.sde_gap.value for b in self.bounds],
        }

    def summary(self) -> dict[str, Any]:
        """The last step's numbers, and the smallest gaps of all steps, in nats."""
        columns = self.columns()
        smallest = {f"smallest_{name}": min(columns[name]) for name in ("gap", "sde_gap")}
        return {"step": self.steps[-1], **self.bounds[-1].summary(), **smallest}

    def plot(self, name: str = "", **settings: Any) -> Figure:
        """Bound, measured KL and information lost against steps: see `plots.bound_history`."""
        return plots.bound_history({name: self.columns()}, **settings)


def follow_bound(
    model: ConditionalDiffusion,
    steps: int,
    at: Sequence[int],
    *,
    n_sims: int = 2000,
    levels: int = 64,
    bound_seed: Seed = 0,
    **training: Any,
) -> BoundHistory:
    """Train a model and compute the bound, its parts and the measured KL at the steps `at`.

    Drives `training.train` and changes nothing about it: the model moves as it would alone.

    Args:
        model: see `bound.kl_bound`.
        steps: of training.
        at: steps to look at, from 0 (before training) to `steps`.
        n_sims, levels: see `bound.kl_bound`.
        bound_seed: of the bound's simulations, the same at every look.
        **training: settings of `training.train`, such as seed and batch_size.

    Raises:
        ValueError: `at` is empty, or has a step that is not made.
        TypeError, ValueError: see `bound.kl_bound` and `training.train`.

    Example:
        >>> problem = LinearGaussian(dim=2, features=3)
        >>> model = linear_summary_model(problem, 2, width=16, depth=1, device="cpu")
        >>> follow_bound(model, 20, at=(0, 20), n_sims=200, seed=0).steps
        (0, 20)
    """
    looks = sorted(set(at))
    if not looks or looks[0] < 0 or looks[-1] > steps:
        raise ValueError(f"at must hold steps from 0 to {steps}, got {list(at)}.")
    if not isinstance(bound_seed, int):
        raise ValueError("bound_seed must be a number, to look at the same simulations each time.")
    found: dict[int, KLBound] = {}

    def look(step: int) -> None:
        if step in looks:
            found[step] = kl_bound(model, n_sims, levels, seed=bound_seed)

    look(0)
    for state in train(model, steps, **training):
        look(state.step)
    return BoundHistory(tuple(found), tuple(found.values()))


def compare_histories(histories: Mapping[str, BoundHistory], **settings: Any) -> Figure:
    """Several histories side by side, on one vertical axis: see `plots.bound_history`."""
    return plots.bound_history({k: h.columns() for k, h in histories.items()}, **settings)


def linear_summary_model(
    problem: LinearGaussian,
    out_features: int,
    summary: str = "joint",
    *,
    seed: int = 0,
    **settings: Any,
) -> ConditionalDiffusion:
    """A diffusion model with a linear summary s (B, S) = W x + b of one of three kinds.

    - "joint": W is trained along with the decoder, on one loss (the paper).
    - "random": W stays as it was initialised; only the decoder is trained.
    - "pre-trained": W is the best linear regression of theta on S summaries, and then frozen. Least
      squares of theta on x gives the posterior mean; its S leading principal directions, in theta's
      own units, are what a regression through a bottleneck of width S converges to.

    Args:
        problem: a `LinearGaussian`.
        out_features: S.
        summary: one of `SUMMARIES`.
        seed: of the weights, and of the regression's simulations.
        **settings: of `ConditionalDiffusion`.

    Raises:
        ValueError: an unknown kind; S below 1, or above D for a regression, which has no more
            directions than there are parameters.

    Example:
        >>> model = linear_summary_model(LinearGaussian(2, 5), 2, "random", device="cpu")
        >>> [p.requires_grad for p in model.encoder.parameters()]
        [False, False]
    """
    if summary not in SUMMARIES:
        raise unknown_name("summary", summary, SUMMARIES)
    most = problem.dim if summary == "pre-trained" else out_features
    if not isinstance(out_features, int) or not 1 <= out_features <= most:
        raise ValueError(
            f"out_features must be a whole number of at least 1 (and at most D = {problem.dim} for "
            f"a regression), got {out_features!r}."
        )
    with randomness_from(make_generator(seed)):
        linear = nn.Linear(len(problem.matrix), out_features)
    encoder = nn.Sequential(nn.Flatten(), linear)
    model = ConditionalDiffusion(problem, encoder, seed=seed, **settings).standardise(seed=seed)
    if summary != "joint":
        encoder.requires_grad_(False)
    if summary == "pre-trained":
        _regress(model, linear, seed)
    return model


def _regress(model: ConditionalDiffusion, linear: nn.Linear, seed: int) -> None:
    """Set the layer to the S leading directions of the regression of theta on x."""
    theta, x = model.problem.sample(REGRESSION_SIMULATIONS, seed=seed, device=model.device)
    u = model.standardise_x(x)[:, 0].double()
    fit = torch.linalg.lstsq(u, theta.double()).solution  # (F, D)
    _, size, directions = torch.linalg.svd(u @ fit, full_matrices=False)
    sds = size[: linear.out_features] / len(u) ** 0.5
    with torch.no_grad():
        linear.weight.copy_((fit @ directions[: linear.out_features].T / sds).T)
        linear.bias.zero_()
