"""What `EncoderLab` offers: summary networks, and data sets to see their summaries of."""

from __future__ import annotations

from typing import Any

import torch

from diffsbi_edu import encoders
from diffsbi_edu.encoders.statistics import series_statistics
from diffsbi_edu.problems import Problem
from diffsbi_edu.standardise import soft_clip

#: The summary networks on offer; the labels say what they assume of the order of the data.
ENCODERS = {
    "DeepSets": "DeepSets (set)",
    "SetTransformer": "SetTransformer (set)",
    "BiLSTM": "BiLSTM (sequence)",
    "GRU": "GRU (sequence)",
    "TemporalConv": "TemporalConv (sequence)",
    "SequenceTransformer": "SequenceTransformer (sequence)",
    "Statistics": "statistics by hand",
}
#: Colours of the cloud: label → column of `series_statistics`, None for N itself.
COLOURS = {"sample mean": 0, "log sd": 1, "lag-1 autocorrelation": 2, "N": None}
SUMMARY, WIDTH = 16, 32  # S, and units in a network's layers
DATA_SETS, SIZES = 320, 8  # in a cloud, and how many different N they have


def make_encoder(name: str, problem: Problem, features: int, seed: int) -> encoders.Encoder:
    """An untrained summary network, small enough to be trained on one core while one watches.

    Args:
        name: one of `ENCODERS`.
        problem: a sequence's statistics by hand are other ones than a set's.
        features: F.
        seed: of the weights.
    """
    if name == "Statistics":
        series = problem.data_kind == "sequence"
        return encoders.Statistics(features, statistics=_of_a_series if series else None)
    kind: Any = getattr(encoders, name)
    network: encoders.Encoder = kind(features, SUMMARY, width=WIDTH, seed=seed)
    return network


class Cloud:
    """Simulated data sets of all the sizes that a problem's models are trained on.

    Args:
        problem: prior and simulator.
        seed: of the data.

    Attributes:
        x: tensors (B, N, F), one for each N.

    Example:
        >>> from diffsbi_edu.problems import NormalGamma
        >>> cloud = Cloud(NormalGamma(n_obs=(5, 10)), seed=0)
        >>> [tuple(x.shape) for x in cloud.x[:2]], cloud.colours("N")[:1]
        ([(53, 5, 1), (53, 6, 1)], tensor([5.]))
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        ends = trained_range(problem)
        sizes: list[int | None] = [None]
        if ends is not None:
            low, high = ends
            shares = [i / (SIZES - 1) for i in range(SIZES)]
            sizes = [*sorted({round(low * (high / low) ** share) for share in shares})]
        each = DATA_SETS // len(sizes)
        self.x = [
            problem.sample(each, seed=seed + i + 1, n_obs=n, device="cpu")[1]
            for i, n in enumerate(sizes)
        ]

    def colours(self, name: str) -> torch.Tensor:
        """One of the statistics `COLOURS` of each data set's first feature, (M,)."""
        column = COLOURS[name]
        if column is None:
            return torch.cat([torch.full((len(x),), float(x.shape[1])) for x in self.x])
        return torch.cat([series_statistics(x[..., :1])[:, column] for x in self.x])


def trained_range(problem: Problem) -> tuple[int, int] | None:
    """The least and the largest N in training; None where the simulator decides."""
    n_obs = problem.n_obs
    return (n_obs, n_obs) if isinstance(n_obs, int) else n_obs


def _of_a_series(x: torch.Tensor) -> torch.Tensor:
    return series_statistics(soft_clip(x))
