"""What a summary network is told has units of its own, set once from a model's pilot data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

import diffsbi_edu as ds
from diffsbi_edu.encoders import (
    GRU,
    BiLSTM,
    DeepSets,
    Encoder,
    SequenceTransformer,
    SetTransformer,
    Statistics,
    TemporalConv,
)
from diffsbi_edu.encoders.pooling import PilotUnits
from diffsbi_edu.estimator import PILOT_SIMULATIONS

S = 12
SETS: dict[str, Callable[..., Encoder]] = {
    "DeepSets": partial(DeepSets, 4, S, width=16),
    "SetTransformer": partial(SetTransformer, 4, S, width=16, heads=2, inducing=4),
    "Statistics": partial(Statistics, 4),
}
SEQUENCES: dict[str, Callable[..., Encoder]] = {
    "BiLSTM": partial(BiLSTM, 1, S, width=12),
    "GRU": partial(GRU, 1, S, width=12),
    "TemporalConv": partial(TemporalConv, 1, S, width=12),
    "SequenceTransformer": partial(SequenceTransformer, 1, S, width=16, heads=2, patch=4),
}


def told(name: str) -> tuple[ds.ConditionalDiffusion, torch.Tensor]:
    """A model of NIW or AR(1) data of 100 observations, and what its encoder tells of others."""
    if name in SETS:
        problem: ds.Problem = ds.problems.NormalInverseWishart(n_obs=100)
        encoder, places = SETS[name](seed=0), 14  # 4 means, 4 log sds, 6 below a diagonal
    else:
        problem, encoder, places = ds.problems.AR1(n_obs=100), SEQUENCES[name](seed=0), 2
    model = ds.ConditionalDiffusion(problem, encoder=encoder, width=16, depth=1, device="cpu")
    model.standardise(seed=0)
    _, x = problem.sample(PILOT_SIMULATIONS, seed=1, device="cpu")
    with torch.no_grad():
        return model, model.summarise(x)[:, : min(places, S // 2) if name != "Statistics" else 14]


@pytest.mark.parametrize("name", [*SETS, *SEQUENCES])
def test_what_is_told_has_size_one(name: str) -> None:
    _, s = told(name)
    # Standard errors of mean and sd of 2,048 + 2,048 numbers, not all of them normal.
    assert (s.mean(0).abs() < 0.15).all()
    assert ((s.std(0) - 1).abs() < 0.3).all()


def test_units_are_taken_once() -> None:
    """A trained encoder in a second model still means the same by its numbers."""
    model, _ = told("DeepSets")
    before = {k: v.clone() for k, v in model.encoder.state_dict().items()}
    other = ds.problems.NormalInverseWishart(n_obs=20)
    ds.ConditionalDiffusion(other, encoder=model.encoder, device="cpu").standardise(seed=5)
    for key, value in model.encoder.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_units_travel_with_the_file(tmp_path: Path) -> None:
    model, _ = told("BiLSTM")
    model.save(tmp_path / "model.safetensors")
    again = ds.load(tmp_path / "model.safetensors", device="cpu")
    _, x = model.problem.sample(5, seed=2, device="cpu")
    assert torch.equal(again.summarise(x), model.summarise(x))


def test_what_never_varies_stays_as_it_is() -> None:
    units = PilotUnits(3)
    values = torch.tensor([[1.0, 0.5, 0.0], [3.0, 0.5, 0.0]])
    units.fit(values)
    assert torch.equal(units(values), torch.tensor([[-1.0, 0.5, 0.0], [1.0, 0.5, 0.0]]))
    units.fit(values * 7)
    assert torch.equal(units.mean, torch.tensor([2.0, 0.0, 0.0]))


def test_what_is_many_units_away_is_brought_near() -> None:
    units = PilotUnits(1)
    units.fit(torch.tensor([[0.0], [2.0]]) * 1e-3 + 5.0)
    far = units(torch.tensor([[5.001], [5.011], [6.0]]))[:, 0]
    torch.testing.assert_close(far[:2], torch.tensor([0.0, 10.0]), atol=5e-3, rtol=0)
    assert 10 < far[2] < 60  # 999 units, were it linear


def test_statistics_of_your_own_are_left_alone() -> None:
    problem = ds.problems.NormalGamma(n_obs=20)
    encoder = Statistics(1, statistics=lambda x: 100 * x.mean(1))
    model = ds.ConditionalDiffusion(problem, encoder=encoder, width=16, depth=1, device="cpu")
    model.standardise(seed=0)
    _, x = problem.sample(5, seed=1, device="cpu")
    torch.testing.assert_close(model.summarise(x), 100 * model.standardise_x(x).mean(1))
