"""The benchmark's problems with their summary networks, and the methods that learn them.

What the suite runs and what the `Gallery` shows: so a problem is learnt with the same network and
the same settings wherever it is learnt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from diffsbi_edu import encoders, problems
from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.flow import ConditionalFlow
from diffsbi_edu.problems import Problem
from diffsbi_edu.schedules import EDM, LogNormal

GROUPS = ("no encoder", "independent data", "sequences", "wider field")
PAPER_SUMMARY = 256  # length of the paper's summaries
# A step of a decoder that learns alone, its summary network at rest; and how often a diffusion's
# pairs are noised: with no summary to share, more pairs say more than more noise in each.
ALONE_PAIRS, ALONE_DRAWS = 256, 2


@dataclass(frozen=True)
class Case:
    """A problem of the suite, and how its data are summarised.

    Attributes:
        problem: its snake-case name.
        group: one of `GROUPS`.
        encoder: name of a summary network; None for the data themselves.
        settings: the network's, beyond its sizes.
        summary: length of the learnt summary.
        paper_encoder, paper_settings: of methods with the paper's settings, if not the same; their
            summaries are 256 long.
        batch_size: pairs a training step.
        noise_draws, linear_path: of a diffusion with our settings, see there.
        levels: mean and sd of ln r, r the noise levels that such a diffusion is trained on; None
            for the default. The narrower posteriors are, beside the prior, the lower the levels
            that decide on their shape.
        finishes: whether the decoder goes on learning alone at the end, on stored summaries: where
            these cost far more than its own steps.
        steps: training steps of the paper's public code, at batches of 128.
        in_paper: whether it is one of the paper's thirteen benchmark problems.
    """

    problem: str
    group: str
    encoder: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    summary: int = 32
    paper_encoder: str | None = None
    paper_settings: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 512
    noise_draws: int = 2
    linear_path: bool = False
    levels: tuple[float, float] | None = None
    finishes: bool = False
    steps: int = 4_000
    in_paper: bool = True

    def build_problem(self) -> Problem:
        """The problem, with its default sizes."""
        return problems.get(self.problem)

    def build_encoder(self, features: int, seed: int, *, paper: bool = False) -> nn.Module | None:
        """A fresh summary network for data of F features, ours or the `paper`'s."""
        if self.encoder is None:
            return None
        name, settings = self.encoder, self.settings
        if paper and self.paper_encoder is not None:
            name, settings = self.paper_encoder, self.paper_settings
        make = getattr(encoders, name)
        length = PAPER_SUMMARY if paper else self.summary
        network: nn.Module = make(features, length, seed=seed, **settings)
        return network


def _cases() -> dict[str, Case]:
    sets = partial(
        Case, group="independent data", encoder="DeepSets", batch_size=256, noise_draws=4,
        steps=10_000, finishes=True,
    )  # fmt: skip
    # In the time of a BiLSTM's step a transformer over patches makes three to five.
    series = partial(
        Case, group="sequences", encoder="SequenceTransformer", summary=64, batch_size=128,
        noise_draws=8, steps=10_000, finishes=True, paper_encoder="BiLSTM",
        paper_settings={"stride": 8},
    )  # fmt: skip
    path = {"stretches": 32}  # for noise about an oscillation
    other = partial(Case, group="wider field", in_paper=False)
    return {
        case.problem: case
        for case in (
            Case("witchs_hat", "no encoder"),
            Case("socks", "no encoder"),
            Case("species_sampling", "no encoder"),
            Case("dirichlet_multinomial", "no encoder"),
            Case("poisson_gamma", "no encoder"),
            # The paper shows these two without counting them among its benchmarks.
            Case("sum_of_cosines", "no encoder", steps=200_000, in_paper=False),
            Case("dirichlet_laplace", "no encoder", in_paper=False),
            sets("g_and_k"),
            sets("normal_gamma"),
            # Posteriors of a tenth and of a third of the prior's width.
            sets("normal_inverse_wishart", summary=64, levels=(-2.7, 1.5)),
            series("lotka_volterra", settings=path, levels=(-2.3, 1.4)),
            series("markov_switching"),
            series("stochastic_volatility"),
            series("fractional_brownian_motion", settings=path),
            # Eighty parameters, of which what is told says nearly all.
            series(
                "minnesota_var", settings={"width": 32, "depth": 1}, summary=256, linear_path=True
            ),
            other("gaussian_2d"),
            other("two_moons"),
            other("gaussian_mixture_2d"),
            # Four observations of a normal law: a set, whose order means nothing. Where they lie
            # close together, the posterior is hundreds of times narrower than the prior.
            other("slcp", encoder="DeepSets", levels=(-2.5, 2.0)),
            other("linear_gaussian"),
        )
    }


#: Problem → case, in the order of the report.
CASES = _cases()


@dataclass(frozen=True)
class Method:
    """A way to learn a posterior.

    Attributes:
        build: (problem, encoder=…, seed=…, device=…) → an untrained model.
        training: arguments of `train`, beyond steps, batch size and seed.
        optimiser: where steps are cheap, unless `training` says otherwise. Where they are dear,
            with a summary network, all methods with our settings take Muon.
        alone: those in which the training of the decoder alone, at the end, differs.
        passes: over its stored pairs that this makes at least and at most. A diffusion sees each
            pair with new noise every time; a flow sees the same again, and learns it by heart.
        sampling: arguments of the model's `sample`.
        batch_size: if not the case's own.
        decoder: whether it takes the case's `noise_draws`, `linear_path` and `levels`.
        paper: whether it takes the paper's summary networks.
        title: what the report calls it.
    """

    build: Callable[..., Estimator]
    title: str
    training: Mapping[str, Any] = field(default_factory=dict)
    optimiser: str = "muon"
    alone: Mapping[str, Any] = field(default_factory=lambda: {"lr": 3e-3})
    passes: tuple[float, float] = (5.0, 10.0)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | None = None
    decoder: bool = False
    paper: bool = False

    def model(self, case: Case, problem: Problem, seed: int, device: str) -> Estimator:
        """An untrained model of a case's problem."""
        _, trial = problem.sample(2, seed=0, device="cpu")
        encoder = case.build_encoder(trial.shape[-1], seed, paper=self.paper)
        settings: dict[str, Any] = {}
        if self.decoder:
            settings = {"noise_draws": case.noise_draws, "linear_path": case.linear_path}
            if case.levels is not None:
                settings["schedule"] = EDM(training=LogNormal(*case.levels))
        return self.build(problem, encoder=encoder, seed=seed, device=device, **settings)

    def arguments(self, case: Case) -> dict[str, Any]:
        """Arguments of `train`, beyond steps and seed."""
        optimiser = "muon" if case.finishes and not self.paper else self.optimiser
        batch_size = self.batch_size or case.batch_size
        return {"batch_size": batch_size, "optimiser": optimiser, **self.training}

    def finishing(self, case: Case) -> dict[str, Any] | None:
        """Arguments of `train` for the decoder's steps alone; None where there are none."""
        if not case.finishes or self.paper:
            return None
        return {"batch_size": ALONE_PAIRS, "optimiser": "muon", **self.training, **self.alone}

    def prepare_finish(self, model: Estimator) -> None:
        """Set a model up for its decoder's steps alone."""
        if isinstance(model, ConditionalDiffusion):
            model.noise_draws = ALONE_DRAWS


# The paper's public code: Adam at 1e-3 with cosine decay, batches of 128, no averaged weights; EDM
# as for images; 18 steps of Heun. Its decoder is a perceptron of four layers; two of our residual
# blocks, of two layers each, are nearest to it.
_PAPER: dict[str, Any] = {"lr": 1e-3, "ema": 0.0, "optimiser": "adam"}
_IMAGES = EDM(0.002, 80.0, training=LogNormal(-1.2, 1.2))

#: Name → method. "_paper" are those with the paper's settings.
METHODS: dict[str, Method] = {
    # With the same calls of the network as the default solver, draws nearer to the model's own law.
    "diffusion": Method(
        partial(ConditionalDiffusion, zoom=True),
        "diffusion",
        alone={"batch_size": 512},
        passes=(7.5, math.inf),
        sampling={"sampler": "dpm_solver_3m"},
        decoder=True,
    ),
    "nsf": Method(partial(ConditionalFlow, flow="nsf"), "spline flow (NSF)"),
    # A step takes it so little time that Adam, who makes more of them, is as good or better.
    "maf": Method(
        partial(ConditionalFlow, flow="maf"), "autoregressive flow (MAF)", optimiser="adam"
    ),
    "coupling": Method(partial(ConditionalFlow, flow="coupling", clamp=2.0), "coupling flow"),
    "diffusion_paper": Method(
        partial(ConditionalDiffusion, width=256, depth=2, sigma_data=0.5, schedule=_IMAGES),
        "diffusion, paper's settings",
        _PAPER,
        sampling={"sampler": "heun", "steps": 18},
        batch_size=128,
        paper=True,
    ),
    "coupling_paper": Method(
        partial(ConditionalFlow, flow="coupling"),
        "coupling flow, paper's settings",
        _PAPER,
        batch_size=128,
        paper=True,
    ),
}
