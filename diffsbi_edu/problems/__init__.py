"""Problems: prior, simulator, and the exact posterior where there is one."""

from __future__ import annotations

import re

from diffsbi_edu.errors import unknown_name
from diffsbi_edu.problems.base import Problem
from diffsbi_edu.problems.brownian import FractionalBrownianMotion
from diffsbi_edu.problems.cosines import SumOfCosines
from diffsbi_edu.problems.counts import DirichletMultinomial
from diffsbi_edu.problems.dirichlet_laplace import DirichletLaplace
from diffsbi_edu.problems.gandk import GAndK
from diffsbi_edu.problems.gaussian import Gaussian2D
from diffsbi_edu.problems.linear import LinearGaussian
from diffsbi_edu.problems.lotka_volterra import LotkaVolterra
from diffsbi_edu.problems.mixture import GaussianMixture2D
from diffsbi_edu.problems.normal import NormalGamma
from diffsbi_edu.problems.poisson import PoissonGamma
from diffsbi_edu.problems.posterior import ExactPosterior, GaussianPosterior
from diffsbi_edu.problems.product import Product
from diffsbi_edu.problems.sequences import AR1, StochasticVolatility
from diffsbi_edu.problems.slcp import SLCP
from diffsbi_edu.problems.socks import Socks
from diffsbi_edu.problems.species import SpeciesSampling
from diffsbi_edu.problems.stories import story
from diffsbi_edu.problems.switching import MarkovSwitching
from diffsbi_edu.problems.two_moons import TwoMoons
from diffsbi_edu.problems.var import MinnesotaVAR
from diffsbi_edu.problems.wishart import NormalInverseWishart
from diffsbi_edu.problems.witchs_hat import WitchsHat

__all__ = [
    "AR1",
    "DirichletLaplace",
    "DirichletMultinomial",
    "ExactPosterior",
    "FractionalBrownianMotion",
    "GAndK",
    "Gaussian2D",
    "GaussianMixture2D",
    "GaussianPosterior",
    "LinearGaussian",
    "LotkaVolterra",
    "MarkovSwitching",
    "MinnesotaVAR",
    "NormalGamma",
    "NormalInverseWishart",
    "PoissonGamma",
    "Problem",
    "Product",
    "SLCP",
    "Socks",
    "SpeciesSampling",
    "StochasticVolatility",
    "SumOfCosines",
    "TwoMoons",
    "WitchsHat",
    "available",
    "get",
    "story",
]

_BUILT_IN: tuple[type[Problem], ...] = (
    Gaussian2D,
    TwoMoons,
    GaussianMixture2D,
    WitchsHat,
    SumOfCosines,
    DirichletMultinomial,
    PoissonGamma,
    SpeciesSampling,
    Socks,
    DirichletLaplace,
    SLCP,
    NormalGamma,
    NormalInverseWishart,
    GAndK,
    AR1,
    StochasticVolatility,
    LinearGaussian,
    LotkaVolterra,
    MarkovSwitching,
    FractionalBrownianMotion,
    MinnesotaVAR,
)


def snake_case(name: str) -> str:
    """``GaussianMixture2D`` → ``gaussian_mixture_2d``, ``GAndK`` → ``g_and_k``."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return name.lower()


def available() -> dict[str, type[Problem]]:
    """The built-in problems by snake-case name."""
    return {snake_case(problem.__name__): problem for problem in _BUILT_IN}


def get(name: str, **settings: object) -> Problem:
    """A built-in problem by its snake-case name.

    Raises:
        ValueError: no such problem; the message lists those there are.

    Example:
        >>> get("two_moons")
        TwoMoons(name='two_moons', dim=2, n_obs=None)
    """
    known = available()
    if name not in known:
        raise unknown_name("problem", name, known)
    return known[name](**settings)  # type: ignore[arg-type]
