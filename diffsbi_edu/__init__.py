"""diffsbi_edu: learn, try and trust conditional diffusion models for Bayesian inference.

    problem → simulate → train → sample → diagnose → plot

See ARCHITECTURE.md for the layout of the package, and `notebooks/00_start_here.ipynb` to begin.
"""

from diffsbi_edu import (
    benchmark,
    course,
    diagnostics,
    encoders,
    plots,
    problems,
    schedules,
    widgets,
)
from diffsbi_edu.compositional import Compositional
from diffsbi_edu.denoiser import IdealDenoiser
from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.errors import (
    CheckpointError,
    NoExactPosterior,
    SimulationError,
    TrainingDiverged,
)
from diffsbi_edu.flow import ConditionalFlow
from diffsbi_edu.loading import load
from diffsbi_edu.problems import Problem
from diffsbi_edu.run import Knobs, TrainState
from diffsbi_edu.training import History, budget, fit, train

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "Compositional",
    "ConditionalDiffusion",
    "ConditionalFlow",
    "History",
    "IdealDenoiser",
    "Knobs",
    "NoExactPosterior",
    "Problem",
    "SimulationError",
    "TrainState",
    "TrainingDiverged",
    "benchmark",
    "budget",
    "course",
    "diagnostics",
    "encoders",
    "fit",
    "load",
    "plots",
    "problems",
    "schedules",
    "train",
    "widgets",
]
