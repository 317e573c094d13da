"""Devices and randomness: seeds give the same numbers, and nobody else's are touched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from references import normal_problem, small_model
from torch import distributions as d
from torch import nn

from diffsbi_edu import ConditionalDiffusion, Problem, fit, problems
from diffsbi_edu.runtime import (
    _dropout,
    _rand_like,
    _randn_like,
    fresh_seed,
    make_generator,
    randomness_from,
    resolve_device,
)


@pytest.fixture
def global_states_untouched() -> Iterator[None]:
    """Fails the test if it moves torch's or NumPy's global random state."""
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    before = torch.get_rng_state().clone(), np.random.get_state()  # noqa: NPY002
    yield
    assert torch.equal(before[0], torch.get_rng_state())
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(before[1], after, strict=True))


OPERATIONS: dict[str, Callable[[], torch.Tensor]] = {
    "rand": lambda: torch.rand(3),
    "randn": lambda: torch.randn(3),
    "randn float64": lambda: torch.randn(3, dtype=torch.float64),
    "rand_like": lambda: torch.rand_like(torch.zeros(3)),
    "randn_like": lambda: torch.randn_like(torch.zeros(3)),
    "randint": lambda: torch.randint(1000, (3,)),
    "randint low": lambda: torch.randint(-1000, 1000, (3,)),
    "randint_like": lambda: torch.randint_like(torch.zeros(3), 1000),
    "randint_like low": lambda: torch.randint_like(torch.zeros(3), -1000, 1000),
    "randperm": lambda: torch.randperm(50),
    "normal": lambda: torch.normal(torch.zeros(3), torch.ones(3)),
    "normal mean": lambda: torch.normal(torch.zeros(3), 1.0),
    "normal sd": lambda: torch.normal(0.0, torch.ones(3)),
    "normal size": lambda: torch.normal(0.0, 1.0, (3,)),
    "bernoulli": lambda: torch.bernoulli(torch.full((64,), 0.5)),
    "multinomial": lambda: torch.multinomial(torch.ones(50), 3),
    "poisson": lambda: torch.poisson(torch.full((3,), 1e4)),
    "binomial": lambda: torch.binomial(torch.full((3,), 1e4), torch.full((3,), 0.5)),
    "normal_": lambda: torch.empty(3).normal_(),
    "uniform_": lambda: torch.empty(3).uniform_(),
    "exponential_": lambda: torch.empty(3).exponential_(),
    "cauchy_": lambda: torch.empty(3).cauchy_(),
    "log_normal_": lambda: torch.empty(3).log_normal_(),
    "geometric_": lambda: torch.empty(3).geometric_(1e-3),
    "random_": lambda: torch.empty(3).random_(),
    "dropout": lambda: F.dropout(torch.ones(64)),
    "native_dropout": lambda: torch.native_dropout(torch.ones(64), 0.5, True)[0],
    "alpha_dropout": lambda: F.alpha_dropout(torch.ones(64), training=True),
    "rrelu": lambda: F.rrelu(-torch.ones(64), training=True),
    "gumbel_softmax": lambda: F.gumbel_softmax(torch.zeros(3)),
    "trunc_normal_": lambda: nn.init.trunc_normal_(torch.empty(3)),
    "Linear": lambda: nn.Linear(3, 3).weight.detach(),
    "attention dropout": lambda: F.scaled_dot_product_attention(
        *torch.ones(3, 1, 1, 64, 4).unbind(), dropout_p=0.5
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.usefixtures("global_states_untouched")
def test_every_random_operation_is_seeded(name: str) -> None:
    draws = []
    for seed in (0, 0, 1):
        with randomness_from(make_generator(seed)):
            draws.append(OPERATIONS[name]())
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


PRIORS: dict[str, d.Distribution] = {
    "Normal": d.Normal(torch.zeros(3), 1.0),
    "Uniform": d.Uniform(torch.zeros(3), 1.0),
    "Gamma": d.Gamma(torch.full((3,), 2.0), 1.0),
    "InverseGamma": d.InverseGamma(torch.full((3,), 2.0), torch.ones(3)),
    "Beta": d.Beta(torch.full((3,), 2.0), 3.0),
    "LogNormal": d.LogNormal(torch.zeros(3), 1.0),
    "StudentT": d.StudentT(torch.full((3,), 3.0)),
    "Laplace": d.Laplace(torch.zeros(3), 1.0),
    "Cauchy": d.Cauchy(torch.zeros(3), 1.0),
    "HalfNormal": d.HalfNormal(torch.ones(3)),
    "Exponential": d.Exponential(torch.ones(3)),
    "Gumbel": d.Gumbel(torch.zeros(3), 1.0),
    "Weibull": d.Weibull(torch.ones(3), torch.ones(3)),
    "Pareto": d.Pareto(torch.ones(3), torch.full((3,), 3.0)),
    "Kumaraswamy": d.Kumaraswamy(torch.full((3,), 2.0), torch.full((3,), 2.0)),
    "VonMises": d.VonMises(torch.zeros(3), torch.ones(3)),
    "Chi2": d.Chi2(torch.full((3,), 4.0)),
    "Poisson": d.Poisson(torch.full((3,), 1e3)),
    "NegativeBinomial": d.NegativeBinomial(torch.full((3,), 1e3), 0.5),
    "MultivariateNormal": d.MultivariateNormal(torch.zeros(3), torch.eye(3)),
    "LowRank": d.LowRankMultivariateNormal(torch.zeros(3), torch.ones(3, 1), torch.ones(3)),
    "Dirichlet": d.Dirichlet(torch.ones(3)),
    "Mixture": d.MixtureSameFamily(
        d.Categorical(torch.ones(2)),
        d.Independent(d.Normal(torch.tensor([[-9.0] * 3, [9.0] * 3]), 1.0), 1),
    ),
    "Transformed": d.TransformedDistribution(
        d.Normal(torch.zeros(3), 1.0), [d.TanhTransform(), d.AffineTransform(1.0, 2.0)]
    ),
}


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.usefixtures("global_states_untouched")
def test_priors_of_torch_are_seeded(name: str) -> None:
    prior = PRIORS[name]
    prior = d.Independent(prior, 1) if prior.batch_shape else prior
    problem = Problem(prior, lambda theta: theta)
    first, second = (problem.sample_prior(50, seed=3, device="cpu") for _ in range(2))
    assert first.shape == (50, 3)
    assert torch.equal(first, second)
    assert not torch.equal(first, problem.sample_prior(50, seed=4, device="cpu"))


def with_generator(theta: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return theta + torch.randn(theta.shape, generator=generator)


def with_rng(theta: torch.Tensor, rng: np.random.Generator) -> np.ndarray:
    return theta.numpy() + rng.normal(size=tuple(theta.shape))


def with_torch(theta: torch.Tensor) -> torch.Tensor:
    return d.Normal(theta, 1.0).sample() + torch.randn_like(theta)


@pytest.mark.parametrize("simulator", [with_generator, with_rng, with_torch])
@pytest.mark.usefixtures("global_states_untouched")
def test_simulators_are_seeded(simulator: Callable[..., object]) -> None:
    problem = Problem(normal_problem().prior, simulator)
    theta, x = problem.sample(20, seed=0, device="cpu")
    again = problem.sample(20, seed=0, device="cpu")
    assert torch.equal(theta, again[0])
    assert torch.equal(x, again[1])
    other = problem.simulate(theta, seed=1)
    assert not torch.equal(x, other)
    assert torch.equal(other, problem.simulate(theta, seed=1))
    assert other.std() > 0.5  # noise was added at all


class Noisy(nn.Module):
    """An encoder with a Dropout, which draws from torch's global state by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(2, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("encoder", [None, Noisy])
@pytest.mark.usefixtures("global_states_untouched")
def test_the_whole_road_leaves_the_global_state_alone(encoder: type[nn.Module] | None) -> None:
    made = []
    for _ in range(2):
        with randomness_from(make_generator(5)):
            network = encoder() if encoder else None
        model = small_model(problems.Gaussian2D(), encoder=network)
        losses = fit(model, steps=3, seed=1, progress=False).losses
        x = torch.tensor([[0.3, -0.2]])
        samples = [model.sample(x, 20, seed=2, sampler=name) for name in ("heun", "euler_maruyama")]
        log_q = model.log_prob(samples[0], x, divergence="hutchinson", steps=2)
        exact = model.problem.posterior(x).sample((5,), seed=3)
        made.append([torch.tensor(losses), *samples, log_q, exact])
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True))


def test_another_seed_gives_other_numbers() -> None:
    x = torch.zeros(1, 2)
    weights = [
        small_model(seed=s).denoiser.network.enter_z.weight.detach() for s in (0, 1, None, None)
    ]
    assert len({float(w.sum()) for w in weights}) == 4
    model = small_model()
    draws = [model.sample(x, 3, seed=s) for s in (0, 1, None, None)]
    assert len({float(t.sum()) for t in draws}) == 4
    losses = [fit(small_model(), steps=1, seed=s, progress=False).losses[0] for s in (0, 1)]
    assert losses[0] != losses[1]


def test_a_generator_is_moved_on_and_an_int_is_not() -> None:
    generator = make_generator(0)
    assert make_generator(generator) is generator
    problem = problems.TwoMoons()
    first, second = (problem.sample(5, seed=generator, device="cpu")[0] for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first, problem.sample(5, seed=make_generator(0), device="cpu")[0])
    assert fresh_seed(make_generator(0)) == fresh_seed(make_generator(0))
    assert torch.equal(
        torch.rand(3, generator=make_generator(np.int64(5))),
        torch.rand(3, generator=make_generator(5)),
    )


def test_threads_do_not_disturb_one_another() -> None:
    problem = problems.GaussianMixture2D()
    model = small_model(problem)
    x = torch.tensor([[1.0, 2.0]])

    def work(seed: int) -> list[torch.Tensor]:
        found = []
        for k in range(10):
            found += problem.sample(100, seed=seed + k, device="cpu")
            found.append(model.sample(x, 10, seed=seed + k, steps=3))
        return found

    alone = {seed: work(seed) for seed in (0, 1000, 2000)}
    together: dict[int, list[torch.Tensor]] = {}
    noise = threading.Event()

    def draw_globally() -> None:
        while not noise.is_set():
            torch.randn(10)

    def store(seed: int) -> None:
        together[seed] = work(seed)

    threads = [threading.Thread(target=store, args=(seed,)) for seed in alone]
    meddler = threading.Thread(target=draw_globally)
    for thread in (meddler, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    noise.set()
    meddler.join()
    for seed, expected in alone.items():
        assert all(torch.equal(a, b) for a, b in zip(expected, together[seed], strict=True))


def test_an_explicit_generator_wins() -> None:
    mine = make_generator(9)
    with randomness_from(make_generator(0)):
        drawn = torch.rand(3, generator=mine)
    assert torch.equal(drawn, torch.rand(3, generator=make_generator(9)))


@pytest.mark.statistical
def test_stand_ins_for_operations_without_a_generator() -> None:
    """Those that older releases and GPUs need have the laws of what they stand for."""
    ones = torch.ones(100_000)
    values, mask = _dropout(make_generator(0), ones, 0.3, True)
    assert abs(float(mask.float().mean()) - 0.7) < 5 * (0.21 / 1e5) ** 0.5
    assert torch.allclose(values[mask], torch.tensor(1 / 0.7))
    assert (values[~mask] == 0).all()
    assert torch.equal(_dropout(make_generator(0), ones, 0.3, False)[0], ones)
    assert float(_dropout(make_generator(0), ones, 1.0, True)[0].abs().max()) == 0
    uniform, normal = _rand_like(make_generator(0), ones), _randn_like(make_generator(0), ones)
    assert 0 <= float(uniform.min()) < 1e-3
    assert abs(float(uniform.mean()) - 0.5) < 5 * (1 / 12 / 1e5) ** 0.5
    assert abs(float(normal.std()) - 1) < 5 * (0.5 / 1e5) ** 0.5
    assert _randn_like(make_generator(0), ones, dtype=torch.float64).dtype == torch.float64


def test_dropout_has_gradients_under_a_seed() -> None:
    weight = torch.ones(64, requires_grad=True)
    with randomness_from(make_generator(0)):
        out, mask = torch.native_dropout(weight, 0.5, True)
    out.sum().backward()
    assert torch.equal(weight.grad, 2 * mask.float())


def test_devices() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device(torch.device("cpu")).type == "cpu"
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto").type == expected
    assert ConditionalDiffusion(normal_problem(), width=4, depth=1).device.type == expected
