"""Bad input: each mistake gets an error that says what was wrong, what was expected, what to do.

Files that are damaged or belong to another model are in test_checkpoint.py; a full disk, too.
Ctrl-C and NaN losses are in test_training.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from references import box_problem, normal_problem, small_model
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, Uniform

import diffsbi_edu as ds
from diffsbi_edu import ConditionalDiffusion, Problem, SimulationError, fit, problems, train
from diffsbi_edu.denoiser import Denoiser, ResidualNetwork
from diffsbi_edu.encoders import Identity
from diffsbi_edu.runtime import make_generator, resolve_device
from diffsbi_edu.samplers import SAMPLERS, get_sampler
from diffsbi_edu.schedules import (
    EDM,
    SCHEDULES,
    Cosine,
    Karras,
    LogNormal,
    RectifiedFlow,
    VariancePreserving,
    as_schedule,
)

PRIOR = box_problem().prior


# ----------------------------------------------------------------------------------- simulators


def nan_where_positive(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda theta: torch.where(theta > 0.5, value, theta)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_simulator_returning_nan_or_inf(value: float) -> None:
    problem = Problem(PRIOR, nan_where_positive(value))
    with pytest.raises(
        SimulationError,
        match=r"simulator returned x with NaN or infinite.* of 100 rows.*theta = \[",
    ) as error:
        problem.sample(100, seed=0, device="cpu")
    assert "clip, transform, or shrink the prior" in str(error.value)
    row = eval(str(error.value).split("theta = ")[1].split("]")[0] + "]")
    assert max(row) > 0.5  # the example is one that fails
    x = problem.sample(100, seed=0, device="cpu", check_finite=False)[1]
    assert not x.isfinite().all()


def test_large_finite_numbers_are_no_failure() -> None:
    """Their sum is infinite, or infinity less infinity, and they are not."""
    huge = torch.finfo(torch.float32).max
    for signs in (1.0, torch.tensor([1.0, -1.0])):
        problem = Problem(PRIOR, lambda theta, signs=signs: torch.full_like(theta, huge) * signs)
        assert problem.sample(100, seed=0, device="cpu")[1].abs().min() == huge

    def one_in_a_million(theta: torch.Tensor) -> torch.Tensor:
        x = torch.full((len(theta), 1000, 2), huge)
        x[500, 3, 1] = -math.inf
        return x

    with pytest.raises(SimulationError, match="in 1 of 1000 rows"):
        Problem(PRIOR, one_in_a_million).sample(1000, seed=0, device="cpu")


def test_simulator_returning_nan_during_training() -> None:
    calls = []

    def simulator(theta: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return theta * (math.nan if len(calls) > 8 else 1.0)

    model = small_model(Problem(PRIOR, simulator))
    with pytest.raises(SimulationError, match="NaN or infinite"):
        fit(model, 100, batch_size=8, seed=0, progress=False)
    assert all(v.isfinite().all() for v in model.state_dict().values())


@pytest.mark.parametrize(
    ("simulator", "message"),
    [
        (lambda theta: theta.tolist(), r"torch tensor or a NumPy array.*got <class 'list'>.*stack"),
        (lambda theta: list(theta), r"got <class 'list'>.*torch.stack or numpy.stack"),
        (lambda theta: None, "got <class 'NoneType'>"),
        (lambda theta: (theta, theta), "got <class 'tuple'>"),
        (
            lambda theta: np.array([None] * len(theta)),
            "NumPy array of numbers, got an array of object",
        ),
        (lambda theta: np.array(["a"] * len(theta)), "of numbers, got an array of <U1"),
        (lambda theta: theta[:-1], r"B = 5, as many rows as theta \(5, 2\); got \(4, 2\)"),
        (lambda theta: theta[0], r"B = 5.*got \(2,\)"),
        (lambda theta: theta.T, r"B = 5.*got \(2, 5\)"),
        (lambda theta: theta.sum(), r"B = 5.*got \(\)"),
        (lambda theta: theta[:, None, None, :], r"\(B, N, F\) or \(B, F\).*got \(5, 1, 1, 2\)"),
        (lambda theta: theta[:, :0], r"got \(5, 0\)"),
        (lambda theta: theta.to(torch.complex64), "real numbers, got torch.complex64"),
    ],
)
def test_simulator_of_the_wrong_kind(simulator: Callable[..., object], message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        Problem(PRIOR, simulator).sample(5, seed=0, device="cpu")
    with pytest.raises(SimulationError):  # noticed before any training
        ConditionalDiffusion(Problem(PRIOR, simulator), device="cpu")


def test_prior_returning_nan() -> None:
    class Broken(MultivariateNormal):
        def rsample(self, shape: torch.Size = torch.Size([])) -> torch.Tensor:  # noqa: B008
            return super().rsample(shape) * math.nan

    prior = Broken(torch.zeros(2), torch.eye(2))
    with pytest.raises(SimulationError, match="the prior returned theta with NaN"):
        Problem(prior, lambda theta: theta).sample(5, device="cpu")


# --------------------------------------------------------------------------------------- priors


@pytest.mark.parametrize(
    "prior",
    [
        Normal(0.0, 1.0),
        Normal(torch.zeros(3), 1.0),
        Uniform(torch.zeros(2), torch.ones(2)),
        MultivariateNormal(torch.zeros(4, 2), torch.eye(2)),
        Independent(Normal(torch.zeros(2, 3), 1.0), 2),
    ],
)
def test_prior_without_an_event_dimension(prior: torch.distributions.Distribution) -> None:
    with pytest.raises(
        ValueError, match=r"batch shape \(\) and event shape \(D,\), got batch"
    ) as e:
        Problem(prior, lambda theta: theta)
    assert str(tuple(prior.batch_shape)) in str(e.value)
    assert "torch.distributions.Independent(prior, 1)" in str(e.value)


def test_things_that_are_no_prior_simulator_or_problem() -> None:
    from scipy import stats

    with pytest.raises(TypeError, match=r"prior must be a torch.distributions.Distribution, got"):
        Problem(stats.norm(), lambda theta: theta)
    with pytest.raises(TypeError, match=r"simulator must be callable, got <class 'torch.Tensor'>"):
        Problem(PRIOR, torch.zeros(3))
    with pytest.raises(TypeError, match=r"problem must be a diffsbi_edu.Problem, got"):
        ConditionalDiffusion(PRIOR)


@pytest.mark.parametrize("n_obs", [0, -1, 2.5, "ten", (0, 5), (5, 2), (1, 2, 3), (1,), (1.0, 2)])
def test_impossible_n_obs(n_obs: object) -> None:
    with pytest.raises(ValueError, match=r"n_obs must be an int ≥ 1 or a range \(low, high\), got"):
        Problem(PRIOR, lambda theta, n: theta, n_obs=n_obs)


# ---------------------------------------------------------------------------------------- x_obs


@pytest.fixture(scope="module")
def model() -> ConditionalDiffusion:
    return small_model(problems.Gaussian2D(3))


BAD_X = [
    (torch.zeros(3, 5), ValueError, r"F = 2 features.*got \(3, 5\)"),
    (torch.zeros(4, 3, 1), ValueError, r"F = 2 features.*got \(4, 3, 1\)"),
    (torch.zeros(2, 3, 3, 2), ValueError, r"\(N, F\) or \(B, N, F\), got \(2, 3, 3, 2\)"),
    (torch.tensor(1.0), ValueError, r"\(N, F\) or \(B, N, F\), got \(\)"),
    (torch.zeros(0, 2), ValueError, "at least one observation"),
    (torch.zeros(0, 3, 2), ValueError, "at least one observation"),
    (
        torch.zeros(3, 2, dtype=torch.int64),
        TypeError,
        r"floating point, got torch.int64.*\.float\(\)",
    ),
    (torch.zeros(3, 2, dtype=torch.bool), TypeError, "floating point, got torch.bool"),
    (torch.zeros(3, 2, dtype=torch.complex64), TypeError, "floating point, got torch.complex64"),
    (np.zeros((3, 2), dtype=int), TypeError, "floating point, got torch.int64"),
    ([[0.0, 0.0]] * 3, TypeError, "torch tensor or a NumPy array, got <class 'list'>"),
    (None, TypeError, "torch tensor or a NumPy array, got <class 'NoneType'>"),
    (np.array([["a", "b"]] * 3), TypeError, "torch tensor or a NumPy array"),
    (torch.tensor([[math.nan, 0.0]] * 3), ValueError, "NaN or infinite entries; drop or repair"),
    (torch.tensor([[math.inf, 0.0]] * 3), ValueError, "NaN or infinite entries"),
    (torch.zeros(2, 2), ValueError, r"built for N = 3 observations and got N = 2.*encoder"),
]


@pytest.mark.parametrize(("x", "error", "message"), BAD_X)
def test_bad_x_obs(model: ConditionalDiffusion, x: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        model.sample(x, 5)  # type: ignore[arg-type]
    with pytest.raises(error, match=message):
        model.log_prob(torch.zeros(5, 2), x)  # type: ignore[arg-type]
    with pytest.raises(error, match=message):
        model.score(torch.zeros(5, 2), 0.5, x)  # type: ignore[arg-type]
    with pytest.raises(error, match=message):
        next(model.trajectory(x, 5))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["gaussian_2d", "two_moons", "gaussian_mixture_2d"])
def test_bad_x_obs_of_exact_posteriors(name: str) -> None:
    problem = problems.get(name)
    for x, error in (
        (torch.zeros(1, 3), ValueError),
        (torch.zeros(1, 2, dtype=torch.int32), TypeError),
        (torch.tensor([[math.nan, 0.0]]), ValueError),
        ([0.0, 0.0], TypeError),
    ):
        with pytest.raises(error, match="x_obs"):
            problem.posterior(x)
    with pytest.raises(ValueError, match=r"one data set x_obs \(N, F\), got a batch \(3, 1, 2\)"):
        problem.posterior(torch.zeros(3, 1, 2))
    if name != "gaussian_2d":
        with pytest.raises(ValueError, match=r"N = 1.*got N = 2"):
            problem.posterior(torch.zeros(2, 2))


def test_impossible_observations() -> None:
    with pytest.raises(
        ValueError, match=r"no theta in the prior's support can produce x_obs = \[9"
    ):
        problems.TwoMoons().posterior(torch.tensor([[9.0, 0.0]])).sample((3,))
    with pytest.raises(ValueError, match="too improbable"):
        problems.GaussianMixture2D().posterior(torch.tensor([[90.0, 0.0]])).sample((3,))


# ----------------------------------------------------------------------------- numbers of samples


@pytest.mark.parametrize("n", [0, -1, -100])
def test_n_below_one(model: ConditionalDiffusion, n: int) -> None:
    x = torch.zeros(3, 2)
    with pytest.raises(
        ValueError, match=f"n, the number of posterior samples, .*at least 1, got {n}"
    ):
        model.sample(x, n)
    with pytest.raises(ValueError, match=f"at least 1, got {n}"):
        next(model.trajectory(x, n))
    for draw in (model.problem.sample, model.problem.sample_prior):
        with pytest.raises(ValueError, match=f"n must be at least 1, got {n}"):
            draw(n)
    with pytest.raises(ValueError, match="positive entries"):
        model.problem.posterior(x).sample((n,))


@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps(model: ConditionalDiffusion, steps: int) -> None:
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=f"at least 1 step, got {steps}"):
        model.sample(x, 5, steps=steps)
    with pytest.raises(ValueError, match=f"at least 1 step, got {steps}"):
        EDM().solver_grid(steps)
    with pytest.raises(ValueError, match=f"steps must be at least 1, got {steps}"):
        model.log_prob(torch.zeros(1, 2), x, steps=steps)
    with pytest.raises(ValueError, match=f"steps must be at least 1, got {steps}"):
        train(model, steps)
    with pytest.raises(ValueError, match=f"steps must be at least 1, got {steps}"):
        fit(model, steps, progress=False)


# ---------------------------------------------------------------------------------------- names


def names_all(error: pytest.ExceptionInfo[BaseException], names: object) -> bool:
    return all(repr(name) in str(error.value) for name in names)  # type: ignore[attr-defined]


def test_unknown_schedule(model: ConditionalDiffusion) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: small_model(schedule="Cosin"),
        lambda: model.sample(torch.zeros(3, 2), 5, schedule="Cosin"),
        lambda: as_schedule("Cosin"),
    ]
    for attempt in attempts:
        with pytest.raises(
            ValueError, match="unknown schedule 'Cosin'; did you mean 'Cosine'"
        ) as e:
            attempt()
        assert names_all(e, SCHEDULES)
    for wrong in (3, EDM, object()):
        with pytest.raises(TypeError, match="schedule must be a NoiseSchedule or its name, got"):
            small_model(schedule=wrong)


def test_unknown_sampler(model: ConditionalDiffusion) -> None:
    for attempt in (
        lambda: model.sample(torch.zeros(3, 2), 5, sampler="huen"),
        lambda: model.trajectory(torch.zeros(3, 2), 5, sampler="huen"),
        lambda: get_sampler("huen"),
    ):
        with pytest.raises(
            ValueError, match="unknown sampler 'huen'; did you mean 'heun'"
        ) as error:
            attempt()
        assert names_all(error, SAMPLERS)


@pytest.mark.parametrize("device", ["gpu", "cdua", "", "cpu:x", "meta", "xla", 3.5])
def test_unknown_device(device: object) -> None:
    for attempt in (
        lambda: resolve_device(device),  # type: ignore[arg-type]
        lambda: ConditionalDiffusion(normal_problem(), device=device),  # type: ignore[arg-type]
        lambda: problems.TwoMoons().sample(3, device=device),  # type: ignore[arg-type]
        lambda: train(small_model(), 3, device=device),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match="unknown device") as error:
            attempt()
        assert names_all(error, ["auto", "cpu", "cuda", "mps"])


def test_cuda_asked_for_and_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for attempt in (
        lambda: resolve_device("cuda"),
        lambda: ConditionalDiffusion(normal_problem(), device="cuda"),
        lambda: problems.TwoMoons().sample(3, device="cuda:1"),
        lambda: train(small_model(), 3, device="cuda"),
    ):
        with pytest.raises(
            ValueError, match=r"device 'cuda.*no CUDA GPU; use device='auto' or 'cpu'"
        ):
            attempt()
    assert resolve_device("auto").type == "cpu"


def test_a_gpu_of_too_high_a_number_or_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=r"'cuda:2'.*only 2 CUDA GPUs \(counted from 0\)"):
        resolve_device("cuda:2")
    assert str(resolve_device("cuda:1")) == "cuda:1"
    assert resolve_device("auto").type == "cuda"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="'mps' was asked for"):
        resolve_device("mps")


def test_other_unknown_names(model: ConditionalDiffusion) -> None:
    with pytest.raises(ValueError, match="unknown prediction 'noise'") as error:
        small_model(prediction="noise")
    assert names_all(error, ["eps", "v", "z", "F"])
    with pytest.raises(
        ValueError, match="unknown problem 'two_moon'; did you mean 'two_moons'"
    ) as error:
        problems.get("two_moon")
    assert names_all(error, problems.available())
    with pytest.raises(ValueError, match="'auto', 'exact' or 'hutchinson', got 'trace'"):
        model.log_prob(torch.zeros(1, 2), torch.zeros(3, 2), divergence="trace")


# ------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("kind", [EDM, VariancePreserving, Cosine, RectifiedFlow])
@pytest.mark.parametrize(
    ("low", "high"),
    [(1.0, 0.1), (1.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (0.1, math.inf), (math.nan, 1.0)],
)
def test_impossible_noise_levels(kind: type[EDM], low: float, high: float) -> None:
    message = f"0 < sigma_min < sigma_max < infinity, got sigma_min = {low} and sigma_max = {high}"
    with pytest.raises(ValueError, match=message):
        kind(sigma_min=low, sigma_max=high)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogNormal(sd=0.0), "sd of ln r must be positive, got 0.0"),
        (lambda: Karras(rho=-1.0), "rho must be positive, got -1.0"),
        (
            lambda: VariancePreserving(beta_min=2.0, beta_max=1.0),
            "0 < beta_min < beta_max, got 2.0 and",
        ),
        (lambda: VariancePreserving(beta_min=0.0), "0 < beta_min < beta_max, got 0.0"),
        (lambda: small_model(width=0), "width and depth must be at least 1, got 0 and 1"),
        (lambda: ResidualNetwork(2, 2, depth=0), "width and depth must be at least 1"),
        (lambda: small_model(sigma_data=0.0), "sigma_data must be positive, got 0.0"),
        (lambda: Denoiser(nn.Identity(), sigma_data=math.nan), "sigma_data must be positive"),
        (lambda: problems.Gaussian2D(prior_sd=0.0), "prior sd must be positive"),
        (lambda: problems.Gaussian2D(noise_correlation=1.0), r"noise correlation inside \(−1, 1\)"),
        (lambda: problems.GaussianMixture2D(widths=(1.0, 0.0)), "widths must be positive"),
        (lambda: problems.GaussianMixture2D(half_width=-1.0), "half_width and widths must be"),
        (
            lambda: train(small_model(), 3, lr=0.0),
            "lr, the learning rate, must be positive, got 0.0",
        ),
        (lambda: train(small_model(), 3, lr=math.inf), "lr, the learning rate, must be positive"),
        (lambda: train(small_model(), 3, batch_size=0), "batch_size must be at least 1, got 0"),
        (lambda: train(small_model(), 3, clip=-1.0), "clip, the largest gradient norm, must be"),
        (lambda: train(small_model(), 3, ema=1.0), r"ema must be in \[0, 1\), got 1.0"),
        (lambda: train(small_model(), 3, warmup=-1), "warmup must be at least 0 steps, got -1"),
        (
            lambda: train(small_model(), 3, checkpoint_every=0),
            "checkpoint_every must be at least 1",
        ),
        (lambda: train(small_model(), 3, resume=True), "resume=True needs checkpoint="),
    ],
)
def test_impossible_settings(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("seed", [1.5, "1", True, [1]])
def test_seeds_of_the_wrong_kind(seed: object) -> None:
    with pytest.raises(TypeError, match=r"seed must be an int, a torch.Generator or None, got"):
        make_generator(seed)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------- theta and data


def test_bad_theta(model: ConditionalDiffusion) -> None:
    x = torch.zeros(3, 2)
    for bad in ([[0.0, 0.0]], torch.zeros(1, 2, dtype=torch.int64), None):
        with pytest.raises(TypeError, match="theta must be a floating-point torch tensor"):
            model.log_prob(bad, x)  # type: ignore[arg-type]
    for bad in (torch.zeros(5, 3), torch.tensor(0.0)):
        with pytest.raises(ValueError, match="theta must have D = 2 entries in its last axis, got"):
            model.log_prob(bad, x)
    with pytest.raises(
        ValueError, match=r"batch of 4 data sets theta must be \(..., 4, D\), got \(5, 2\)"
    ):
        model.log_prob(torch.zeros(5, 2), torch.zeros(4, 3, 2))


@pytest.mark.parametrize(
    ("theta", "x", "error", "message"),
    [
        (torch.zeros(50, 3), torch.zeros(50, 2), SimulationError, r"theta \(M, 2\).*got \(50, 3\)"),
        (
            torch.zeros(50, 2),
            torch.zeros(49, 2),
            SimulationError,
            r"equal M, got \(50, 2\) and \(49, 1",
        ),
        (torch.zeros(50), torch.zeros(50, 2), SimulationError, "theta"),
        (torch.zeros(50, 2), torch.zeros(50), SimulationError, r"\(M, N, F\) or \(M, F\)"),
        (
            torch.zeros(50, 2),
            torch.zeros(50, 3),
            SimulationError,
            r"F = 2 features.*got \(50, 1, 3\)",
        ),
        (torch.zeros(50, 2) * math.nan, torch.zeros(50, 2), SimulationError, "NaN or infinite"),
        (
            torch.zeros(50, 2),
            torch.zeros(50, 2) / 0,
            SimulationError,
            "NaN or infinite values in 50",
        ),
        (torch.zeros(1, 2), torch.zeros(1, 2), ValueError, "1 pairs are too few to hold out 1"),
    ],
)
def test_bad_fixed_data(theta: torch.Tensor, x: torch.Tensor, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        train(small_model(), 3, data=(theta, x))


def test_bad_settings_for_fixed_data() -> None:
    data = normal_problem().sample(20, device="cpu")
    with pytest.raises(ValueError, match=r"validation_fraction must be in \[0, 1\), got 1.0"):
        train(small_model(), 3, data=data, validation_fraction=1.0)
    with pytest.raises(ValueError, match="patience must be at least 1 epoch or None, got 0"):
        train(small_model(), 3, data=data, patience=0)


# ------------------------------------------------------------------------------------- encoders


class Returns(nn.Module):
    def __init__(self, what: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.what = what

    def forward(self, x: torch.Tensor) -> object:
        return self.what(x)


def test_bad_encoders() -> None:
    for what in (lambda x: x, lambda x: x.mean(), lambda x: x[0], lambda x: (x, x)):
        with pytest.raises(
            ValueError, match=r"encoder must map x \(B, N, F\) .*to s \(B, S\), got"
        ):
            small_model(encoder=Returns(what))
    with pytest.raises(ValueError, match=r"n_obs = \(1, 5\).*pass encoder="):
        small_model(problems.Gaussian2D((1, 5)))
    with pytest.raises(ValueError, match="has 6 outputs, got out_features = 4"):
        Identity(2, 4, n_obs=3)


def test_weights_that_cannot_be_trained() -> None:
    model = small_model()
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="no trainable weights"):
        train(model, 3)
    mixed = small_model()
    mixed.denoiser.double()
    with pytest.raises(ValueError, match="one dtype and device"):
        train(small_model(encoder=nn.Sequential(nn.Flatten(), Doubled())), 3)


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.weight).float()


def test_errors_are_what_callers_expect() -> None:
    assert issubclass(ds.SimulationError, ValueError)
    assert issubclass(ds.CheckpointError, ValueError)
    assert issubclass(ds.TrainingDiverged, RuntimeError)
    assert issubclass(ds.NoExactPosterior, NotImplementedError)
