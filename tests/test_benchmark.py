"""The benchmark suite: its plan, one run, its results on disk, its report, and a cluster."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from diffsbi_edu import ConditionalDiffusion, problems
from diffsbi_edu.benchmark import (
    BUDGETS,
    CASES,
    SUITE_METHODS,
    Budget,
    Report,
    plan,
    read_results,
    run_suite,
)
from diffsbi_edu.benchmark.__main__ import main
from diffsbi_edu.benchmark.cases import paces
from diffsbi_edu.benchmark.comparison import Comparison, compare, spread
from diffsbi_edu.benchmark.pace import measure_pace
from diffsbi_edu.benchmark.results import COLUMNS, REPEATABLE, write_results
from diffsbi_edu.benchmark.rows import in_parallel
from diffsbi_edu.benchmark.run_case import Run, marginal_ks, run_case, trained
from diffsbi_edu.errors import SimulationError, TrainingDiverged
from diffsbi_edu.plots import study
from diffsbi_edu.schedules import LogNormal

TINY = Budget("tiny", steps=20, n_sims=100, n_samples=10, observations=1, draws=50)
NAMES = ["gaussian_2d", "two_moons"]
PAPERS = 13


def tiny(names: list[str] = NAMES, methods: tuple[str, ...] = ("diffusion", "maf")) -> list[Run]:
    return plan(names, methods, seeds=2, budget=TINY)


def repeatable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{column: row[column] for column in REPEATABLE} for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows of an uninterrupted suite."""
    path = tmp_path_factory.mktemp("suite") / "results.csv"
    rows = run_suite(tiny(), path, workers=1, device="cpu", progress=False)
    assert repeatable(read_results(path)) == repeatable(sorted(rows, key=in_file))
    return rows


def in_file(row: dict[str, Any]) -> tuple[int, int, int]:
    places = [*CASES, *SUITE_METHODS]
    return places.index(row["problem"]), places.index(row["method"]), row["seed"]


# ------------------------------------------------------------------------------------- the plan


def test_the_suite_has_every_problem_of_the_paper() -> None:
    assert sum(case.in_paper for case in CASES.values()) == PAPERS
    assert set(CASES) <= set(problems.available())


@pytest.mark.parametrize("name", CASES)
def test_every_case_can_be_learnt(name: str) -> None:
    case = CASES[name]
    problem = case.build_problem()
    theta, x = problem.sample(4, seed=0, device="cpu")
    encoder = case.build_encoder(x.shape[-1], seed=0)
    model = SUITE_METHODS["diffusion"].build(problem, encoder=encoder, seed=0, device="cpu")
    assert math.isfinite(model.loss(theta, x).item())
    assert (encoder is None) == (x.shape[1] == 1)  # many observations want a summary


def test_methods_with_the_papers_settings_read_series_as_the_paper_does() -> None:
    case = CASES["stochastic_volatility"]
    problem = case.build_problem()
    for name, method in SUITE_METHODS.items():
        encoder = method.model(case, problem, 0, "cpu").encoder
        wanted = ("BiLSTM", 256) if name.endswith("_paper") else ("SequenceTransformer", 64)
        assert (type(encoder).__name__, encoder.out_features) == wanted, name


def test_noise_levels_are_a_case_s_own_for_our_diffusion_alone() -> None:
    case = replace(CASES["two_moons"], levels=(-3.0, 1.25))
    problem = case.build_problem()
    default = ConditionalDiffusion(problem, device="cpu").schedule
    ours = SUITE_METHODS["diffusion"].model(case, problem, 0, "cpu").schedule
    assert ours == replace(default, training=LogNormal(-3.0, 1.25))
    usual = replace(case, levels=None)
    assert SUITE_METHODS["diffusion"].model(usual, problem, 0, "cpu").schedule == default
    papers = SUITE_METHODS["diffusion_paper"]
    assert (
        papers.model(case, problem, 0, "cpu").schedule
        == papers.model(usual, problem, 0, "cpu").schedule
    )


@pytest.mark.parametrize(
    ("name", "method", "pairs", "draws", "optimiser"),
    [
        ("two_moons", "diffusion", 512, 2, "muon"),
        ("slcp", "diffusion", 512, 2, "muon"),
        ("two_moons", "nsf", 512, 1, "muon"),
        ("two_moons", "maf", 512, 1, "adam"),  # its steps are short
        ("two_moons", "diffusion_paper", 128, 1, "adam"),
        ("g_and_k", "diffusion", 256, 4, "muon"),  # a summary is shared by four
        ("g_and_k", "maf", 256, 1, "muon"),
        ("g_and_k", "coupling_paper", 128, 1, "adam"),
    ],
)
def test_what_a_step_is_made_of(
    name: str, method: str, pairs: int, draws: int, optimiser: str
) -> None:
    case, how = CASES[name], SUITE_METHODS[method]
    chosen = how.arguments(case)
    assert (chosen["batch_size"], chosen["optimiser"]) == (pairs, optimiser)
    model = how.model(case, case.build_problem(), 0, "cpu")
    assert (model.noise_draws if isinstance(model, ConditionalDiffusion) else 1) == draws
    # One method's own settings win, as in the studies of benchmarks/.
    varied = replace(how, training={"optimiser": "adam", "lr": 1e-4}, alone={"lr": 1e-5})
    assert varied.arguments(case) == {"batch_size": pairs, "optimiser": "adam", "lr": 1e-4}


def test_the_decoder_alone_takes_more_and_smaller_steps() -> None:
    """A diffusion's pairs noised twice each, whatever it was with the summary network."""
    case = replace(CASES["g_and_k"], noise_draws=6)
    model, states, seconds = trained(case, SUITE_METHODS["diffusion"], 2, (40, 3), 0)
    assert isinstance(model, ConditionalDiffusion)
    assert model.noise_draws == 2
    assert [state.step for state in states] == [1, 2, 3]
    assert seconds > states[-1].seconds  # both trainings count
    assert SUITE_METHODS["diffusion"].finishing(CASES["two_moons"]) is None
    assert SUITE_METHODS["diffusion"].finishing(case) == {"batch_size": 512, "optimiser": "muon"}
    flow = {"batch_size": 256, "optimiser": "muon", "lr": 3e-3}
    assert SUITE_METHODS["maf"].finishing(case) == SUITE_METHODS["nsf"].finishing(case) == flow


@pytest.mark.parametrize("method", SUITE_METHODS)
def test_every_method_runs(method: str) -> None:
    row = run_case(Run("two_moons", method, 0, 5, TINY))
    assert row["status"] == "ok", row["reason"]
    assert row["parameters"] > 1000
    for column in ("sbc_ks", "c2st", "tarp_area", "train_seconds", "sample_seconds"):
        assert math.isfinite(row[column]), column


def test_a_budget_in_seconds_is_a_number_of_steps() -> None:
    case, ms = CASES["two_moons"], paces()["two_moons", "diffusion"].step
    budget = Budget("mine", seconds=6.0)
    assert budget.steps_of(case, "diffusion") == round(6000 / ms)
    twice = replace(budget, encoder_share=2.0)
    assert twice.steps_of(case, "diffusion") == round(6000 / ms)  # no encoder
    sets = CASES["normal_gamma"]
    long, twice = replace(budget, seconds=60.0), replace(twice, seconds=60.0)  # whole steps
    ratio = twice.steps_of(sets, "diffusion") / long.steps_of(sets, "diffusion")
    assert abs(ratio - 2) < 0.01
    assert BUDGETS["paper"].steps_of(sets, "diffusion") == sets.steps


def test_every_pair_has_a_pace() -> None:
    missing = {(p, m) for p in CASES for m in SUITE_METHODS} - set(paces())
    assert not missing


def test_a_pace_is_measured() -> None:
    assert 0.1 < measure_pace("two_moons", "diffusion", steps=5).step < 1000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"problems": ["two_moon"]}, "unknown problem 'two_moon'; did you mean 'two_moons'"),
        ({"methods": ["nfs"]}, "unknown method 'nfs'; did you mean 'nsf'"),
        ({"budget": "labtop"}, "unknown budget 'labtop'; did you mean 'laptop'"),
        ({"seeds": 0}, "seeds, how many to run, must be at least 1"),
    ],
)
def test_a_misspelt_plan_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plan(**arguments)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"steps": 5, "seconds": 1.0},
        {"seconds": 0.0},
        {"steps": -1},
        {"steps": 5, "n_sims": 99},
        {"steps": 5, "draws": 1},
    ],
)
def test_an_impossible_budget_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget("bad", **settings)


def test_a_pair_without_a_pace_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffsbi_edu.benchmark.cases.paces", dict)
    with pytest.raises(
        ValueError, match=r"no pace is known of 'nsf' on 'two_moons'.*benchmark pace"
    ):
        plan(["two_moons"], ["nsf"])


# --------------------------------------------------------------------------------------- one run


def test_a_run_gives_the_same_numbers_again(whole: list[dict[str, Any]]) -> None:
    threads = torch.get_num_threads()
    again = run_case(tiny()[0])
    assert repeatable([again]) == repeatable(whole[:1])
    assert torch.get_num_threads() == threads


def test_another_seed_gives_others(whole: list[dict[str, Any]]) -> None:
    first, other = (next(r for r in whole if r["seed"] == seed) for seed in (0, 1))
    assert first["last_loss"] != other["last_loss"]


def test_marginal_distance_is_scipys() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(200, 3, generator=generator).round(decimals=1)  # with ties
    b = 0.3 + torch.randn(150, 3, generator=generator).round(decimals=1)
    peers = [ks_2samp(a[:, i].numpy(), b[:, i].numpy()).statistic for i in range(3)]
    assert marginal_ks(a, b) == pytest.approx(sum(peers) / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TrainingDiverged("the loss became NaN"), "diverged"),
        (SimulationError("7 of 512 simulations were NaN"), "failed"),
    ],
)
def test_a_run_that_goes_wrong_is_a_row(
    error: Exception, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr("diffsbi_edu.benchmark.run_case.train", breaks)
    row = run_case(tiny()[0])
    assert row["status"] == status
    assert str(error) in row["reason"]
    assert math.isnan(row["sbc_ks"])


# ------------------------------------------------------------------------------ results on disk


def test_nothing_is_run_twice(
    whole: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.csv"
    write_results(path, whole[:5])
    done: list[Run] = []

    def counted(run: Run, device: str) -> dict[str, Any]:
        done.append(run)
        return run_case(run, device)

    monkeypatch.setattr("diffsbi_edu.benchmark.suite.run_case", counted)
    rows = run_suite(tiny(), path, workers=1, device="cpu", progress=False)
    assert done == tiny()[5:]
    assert repeatable(rows) == repeatable(whole)
    assert run_suite(tiny(), path, workers=1, device="cpu", progress=False) == rows
    assert len(done) == len(whole) - 5


def test_a_failed_run_is_tried_again(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_results(path, [whole[0] | {"status": "failed", "reason": "no memory"}, *whole[1:]])
    rows = run_suite(tiny(), path, workers=1, device="cpu", progress=False)
    assert repeatable(rows) == repeatable(whole)


def test_other_steps_are_another_run(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_results(path, whole[:1])
    more = replace(tiny()[0], steps=25)
    assert run_suite([more], path, workers=1, device="cpu", progress=False)[0]["steps"] == 25
    assert len(read_results(path)) == 2


SUITE = """
import sys
sys.path.insert(0, {tests!r})
from test_benchmark import tiny
from diffsbi_edu.benchmark import run_suite
if __name__ == "__main__":
    run_suite(tiny(), {path!r}, workers=2, device="cpu", progress=False)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_any_time_it_goes_on_to_the_same_table(
    whole: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "results.csv"
    script = tmp_path / "suite.py"
    script.write_text(SUITE.format(tests=str(Path(__file__).parent), path=str(path)))
    seen = 0
    for least in (1, 3):  # killed soon after its first row, and later
        process = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            seen = len(read_results(path)) if path.exists() else 0
            if seen >= least:
                break
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert seen >= least
    kept = read_results(path)
    finished = {row["finished"] for row in kept}
    rows = run_suite(tiny(), path, workers=1, device="cpu", progress=False)
    assert repeatable(rows) == repeatable(whole)
    assert finished <= {row["finished"] for row in rows}  # rows that were there were not redone


BEATING = """
import os, sys, time
sys.path.insert(0, {folder!r})
from pathlib import Path
from diffsbi_edu.benchmark.rows import in_parallel

def beat(name):
    for i in range(600):
        Path({folder!r}, name).write_text(str(i))
        time.sleep(0.1)

if __name__ == "__main__":
    list(in_parallel(["a", "b"], beat, 2))
"""


@pytest.mark.timeout(120)
def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    script = tmp_path / "beating.py"
    script.write_text(BEATING.format(folder=str(tmp_path)))
    hearts = [tmp_path / name for name in "ab"]
    process = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
    try:
        until = time.monotonic() + 60
        while not all(heart.exists() for heart in hearts) and time.monotonic() < until:
            time.sleep(0.1)
        assert all(heart.exists() for heart in hearts)
        os.kill(process.pid, signal.SIGKILL)  # the parent alone
        process.wait()
        time.sleep(3)
        last = [heart.read_text() for heart in hearts]
        time.sleep(2)
        assert [heart.read_text() for heart in hearts] == last
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.timeout(120)
def test_a_worker_that_is_killed_is_no_riddle() -> None:
    with pytest.raises(ChildProcessError, match=r"memory ran out.*kept.*--workers 1"):
        list(in_parallel([signal.SIGKILL, signal.SIGKILL], signal.raise_signal, 2))


def test_results_of_another_version_are_not_mixed_in(
    whole: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "results.csv"
    write_results(path, [row | {"version": "0.0.7"} for row in whole[:2]])
    assert len(read_results(path)) == 2  # alone they can be read
    with pytest.raises(ValueError, match=r"would mix results of versions 0\.0\.7 and"):
        run_suite(tiny(), path, workers=1, device="cpu", progress=False)
    write_results(path, [whole[0] | {"version": "0.0.7"}, whole[1]])
    with pytest.raises(ValueError, match="would mix"):
        read_results(path)


def test_results_of_another_format_are_refused(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_results(path, whole[:1])
    text = path.read_text()
    path.write_text(text.replace("\n2,", "\n1,"))
    with pytest.raises(ValueError, match="format 1; this version reads and writes format 2"):
        read_results(path)
    path.write_text("problem,method\nwitchs_hat,nsf\n")
    with pytest.raises(ValueError, match="is not the table of a benchmark study"):
        read_results(path)
    path.write_text(text.replace(",ok,", ",ok,").replace(str(whole[0]["steps"]), "twenty", 1))
    with pytest.raises(ValueError, match="'twenty', which is no number"):
        read_results(path)


def test_a_full_disk_keeps_the_old_file(
    whole: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.csv"
    write_results(path, whole[:3])
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("csv.DictWriter.writerows", full)
    with pytest.raises(OSError, match="No space left"):
        run_suite(tiny(), path, workers=1, device="cpu", progress=False)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# ------------------------------------------------------------------------------------ a cluster


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_cluster_gives_the_same_rows_though_a_worker_dies(
    whole: list[dict[str, Any]], tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    path = tmp_path / "results.csv"
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        victim = next(iter(cluster.workers.values())).pid
        killed = []

        def kill_once(done: list[Any]) -> None:
            if not killed:
                os.kill(victim, signal.SIGKILL)
                killed.append(len(done))

        watched = Watched(path, kill_once)
        watched.start()
        rows = run_suite(
            tiny(), path, scheduler=cluster.scheduler_address, device="cpu", progress=False
        )
        watched.stop()
    assert killed
    assert killed[0] < len(rows)
    assert repeatable(rows) == repeatable(whole)


class Watched:
    """Calls `react` with the rows once there are any."""

    def __init__(self, path: Path, react: Any) -> None:
        import threading

        self._path, self._react, self._over = path, react, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            if self._path.exists():
                self._react(read_results(self._path))


def test_no_scheduler_at_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")

    def refused(*_: Any, **__: Any) -> Any:
        raise OSError("Timed out trying to connect to tcp://127.0.0.1:9 after 10 s")

    monkeypatch.setattr(distributed, "Client", refused)
    with pytest.raises(OSError, match="trying to connect"):
        run_suite(tiny(), tmp_path / "r.csv", scheduler="tcp://127.0.0.1:9", progress=False)


def test_without_dask_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "diffsbi-edu\[cluster\]"'):
        run_suite(tiny(), tmp_path / "r.csv", scheduler="tcp://127.0.0.1:9", progress=False)


# ------------------------------------------------------------------------------------ the report


def made_up(problem: str, method: str, ks: float, **other: Any) -> dict[str, Any]:
    numbers = dict.fromkeys(COLUMNS[1:], 0.5)
    text = {"status": "ok", "reason": "", "version": "0.1.0", "torch": "2", "machine": "m"}
    return {
        **numbers, **text, "problem": problem, "method": method, "seed": 0, "budget": "laptop",
        "device": "cpu", "n_sims": 1000, "n_samples": 100, "draws": 2000, "sbc_ks": ks, **other,
    }  # fmt: skip


def test_the_verdict_compares_with_the_best_flow() -> None:
    rows = [
        made_up("witchs_hat", "diffusion", 0.03), made_up("witchs_hat", "nsf", 0.04),
        made_up("socks", "diffusion", 0.03), made_up("socks", "nsf", 0.04),
        made_up("socks", "maf", 0.02),
        made_up("two_moons", "diffusion", 0.05), made_up("two_moons", "coupling", 0.06),
        made_up("slcp", "diffusion", 0.05), made_up("slcp", "coupling_paper", 0.01),
    ]  # fmt: skip
    found = compare(rows)
    assert {name: c.behind <= 0 for name, c in found.items()} == {
        "witchs_hat": True, "socks": False, "two_moons": True,
    }  # fmt: skip
    text = Report(rows).markdown()
    # By luck: one of two, one of three and one of two; of the paper's, one of two and one of three.
    assert "on 2 of 3 (1.3 if all methods were equally good)" in text
    assert "and on 1 of 2 (0.8 if all methods were equally good) of the paper's thirteen" in text
    assert found["socks"].behind == pytest.approx(0.01)


def test_the_noise_of_a_verdict_is_that_of_exact_ranks() -> None:
    """Two exact models, those of one seed judged by the same simulations: to 10 %."""
    rows = [
        made_up("slcp", method, 0.03, seed=seed, n_sims=200, n_samples=20)
        for method in ("diffusion", "maf") for seed in range(3)
    ]  # fmt: skip
    noise = compare(rows)["slcp"].noise  # 5 parameters
    rng, even = np.random.default_rng(0), np.arange(1, 22) / 21

    def mean_distance(truth: np.ndarray) -> float:
        """Of one seed, by 20 draws from the prior (what the data say makes no difference here)."""
        ranks = (rng.normal(size=(*truth.shape, 20)) < truth[..., None]).sum(-1)
        share = (ranks[..., None] <= np.arange(21)).mean(1)
        return float(np.abs(share - even).max(1).mean())

    differences = []
    for _ in range(800):  # their sd is right to 2.5 %
        truths = rng.normal(size=(3, 5, 200))
        differences.append(np.mean([mean_distance(t) - mean_distance(t) for t in truths]))
    assert noise == pytest.approx(np.std(differences), rel=0.1)


def test_a_verdict_is_of_the_seeds_that_both_have() -> None:
    """Seeds are judged by simulations of their own: a lucky one must not count for one side."""
    rows = [
        made_up("socks", "diffusion", 0.030, seed=0), made_up("socks", "diffusion", 0.010, seed=1),
        made_up("socks", "diffusion", math.nan, seed=2, status="diverged"),
        made_up("socks", "maf", 0.029, seed=0), made_up("socks", "maf", 0.013, seed=1),
        made_up("socks", "maf", 0.001, seed=2),
        made_up("socks", "nsf", 0.028, seed=0), made_up("socks", "coupling", 0.001, seed=3),
    ]  # fmt: skip
    best = compare(rows)["socks"]  # NSF, by its one seed; MAF is 0.001 behind
    assert (best.flow, best.seeds, best.rivals) == ("nsf", (0,), 2)
    assert best.behind == pytest.approx(0.002)
    alone = compare(rows, ["maf", "coupling"])["socks"]
    assert (alone.flow, alone.seeds, alone.rivals) == ("maf", (0, 1), 1)
    assert alone.ours == (0.030, 0.010)
    assert alone.theirs == (0.029, 0.013)
    assert alone.behind == pytest.approx(-0.001)
    assert alone.noise == pytest.approx(best.noise / 2**0.5)


def test_the_report_compares_seed_by_seed() -> None:
    rows = [
        made_up("socks", "diffusion", 0.030, seed=0), made_up("socks", "diffusion", 0.020, seed=1),
        made_up("socks", "maf", 0.032, seed=0), made_up("socks", "maf", 0.021, seed=1),
        made_up("socks", "nsf", 0.021, seed=0), made_up("socks", "nsf", 0.009, seed=1),
        made_up("slcp", "diffusion", 0.010), made_up("slcp", "maf", 0.090),
    ]  # fmt: skip
    text = Report(rows).markdown()
    assert "| socks | 0.0300 / 0.0200 | 0.0210 / 0.0090 (spline flow (NSF)) | +0.0100 | " in text
    assert "ahead on 1 (slcp) and behind on 1 (socks)." in text
    assert f"wanders by {2**0.5 / 1000:.4f}" in text  # +0.009 and +0.011
    assert (
        "Against the autoregressive flow (MAF) alone, on the paper's problems: at most its "
        "distance on 1 of 1, on average 0.0250 against 0.0265." in text
    )


def test_the_paper_s_settings_are_compared_among_themselves() -> None:
    """Beside ours, where both were run: neither hides the other."""
    rows = [
        made_up("socks", "diffusion", 0.010), made_up("socks", "maf", 0.020),
        made_up("socks", "diffusion_paper", 0.040), made_up("socks", "coupling_paper", 0.030),
    ]  # fmt: skip
    assert compare(rows)["socks"].flow == "maf"
    assert compare(rows, own="diffusion_paper")["socks"].behind == pytest.approx(0.01)
    assert not compare(rows[:2], own="diffusion_paper")
    with pytest.raises(ValueError, match="did you mean 'diffusion_paper'"):
        compare(rows, own="diffusion_papers")
    with pytest.raises(ValueError, match="unknown method 'mafs'; did you mean 'maf'"):
        compare(rows, ["mafs"])
    report = Report(rows)
    text = report.markdown()
    assert "| socks | 0.0100 | 0.0200 (autoregressive flow (MAF)) | -0.0100 | " in text
    assert "| socks | 0.0400 | 0.0300 (coupling flow, paper's settings) | +0.0100 | " in text
    assert "diffusion is at most that of the best flow on 1 of 1" in text
    assert "diffusion with the paper's settings is at most that of the best flow on 0 of 1" in text
    assert text.count("Against the autoregressive flow (MAF) alone") == 1  # not of the paper's
    assert "paper's settings alone, on the paper's problems: at most its distance on 0 of 1" in text
    assert "## Diffusion against the best flow: SBC distance" in text
    assert "## Diffusion, paper's settings against the best flow: SBC distance" in text
    assert {"differences", "differences_paper"} <= set(report.figures())
    alone = Report(rows[2:])
    assert "differences" not in alone.figures()
    assert "## Diffusion against" not in alone.markdown()


def test_differences_are_drawn_beside_their_noise() -> None:
    figure = study.differences({"slcp": [0.3, -0.1], "socks": [0.5]}, {"slcp": 0.2, "socks": 0.7})
    (ax,) = figure.axes
    diamonds = [line for line in ax.lines if line.get_marker() == "D"]
    assert [float(d.get_xdata()[0]) for d in diamonds] == pytest.approx([0.1, 0.5])
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert bars == [pytest.approx((-0.2, 0.2)), pytest.approx((-0.7, 0.7))]
    for gaps, bands in (({}, {}), ({"slcp": []}, {"slcp": 0.1}), ({"slcp": [0.1]}, {})):
        with pytest.raises(ValueError, match="a difference and a band"):
            study.differences(gaps, bands)


def test_spread_pools_by_degrees_of_freedom() -> None:
    def gaps(problem: str, *each: float) -> Comparison:
        n = len(each)
        return Comparison(problem, "diffusion", "maf", 1, tuple(range(n)), each, (0.0,) * n, 0.1)

    three, two, one = gaps("slcp", 1.0, 2.0, 3.0), gaps("socks", 0.0, 4.0), gaps("g_and_k", 9.0)
    assert spread({"slcp": three, "socks": two, "g_and_k": one}) == pytest.approx((10 / 3) ** 0.5)
    assert math.isnan(spread({"g_and_k": one}))


def test_the_report_holds_every_number(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    path = Report(whole).save(tmp_path)
    text, page = path.read_text(), (tmp_path / "report.html").read_text()
    mean = sum(r["sbc_ks"] for r in whole if in_file(r)[:2] == in_file(whole[0])[:2]) / 2
    assert f"{mean:.4f} ± " in text
    assert f"{mean:.4f} ± " in page
    for name in ("sbc", "differences"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    parser = Balanced()
    parser.feed(page)
    assert not parser.open
    assert page.count("<h2>") == text.count("\n## ")


class Balanced(HTMLParser):
    """Knows which elements are still open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            assert tag in ("html", "body"), tag


def test_a_contraction_without_meaning_is_not_printed() -> None:
    wild = made_up("dirichlet_laplace", "maf", 0.08, contraction=-17375.8)
    text = Report([made_up("dirichlet_laplace", "diffusion", 0.07), wild]).markdown()
    assert "17375" not in text
    assert "| < −1 |" in text


def test_a_report_of_failures_names_them() -> None:
    rows = [
        made_up("witchs_hat", "diffusion", 0.03),
        made_up("witchs_hat", "nsf", math.nan, status="diverged", reason="the loss became NaN"),
    ]
    text = Report(rows).markdown()
    assert "witchs_hat, nsf, seed 0: diverged (the loss became NaN)." in text
    assert compare(rows) == {}


@pytest.mark.parametrize("budgets", [[], ["quick", "laptop"]])
def test_a_report_needs_one_budget(budgets: list[str]) -> None:
    rows = [made_up("slcp", "nsf", 0.1, budget=name) for name in budgets]
    for made in (Report, compare):
        with pytest.raises(ValueError, match="runs of one budget"):
            made(rows)


# ------------------------------------------------------------------------------ the command line


def test_the_command_offers_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--problems", "wichs_hat"]) == 2
    assert "did you mean 'witchs_hat'" in capsys.readouterr().err


def test_the_command_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in (*CASES, *SUITE_METHODS, *BUDGETS))


def test_the_command_reports(
    whole: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path / "results.csv", whole)
    assert main(["report", str(tmp_path)]) == 0
    assert "| two_moons |" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "nowhere")]) == 2


def test_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(BUDGETS, "tiny", TINY)
    out = str(tmp_path)
    line = ["run", "--problems", "two_moons", "--methods", "maf", "--budget", "tiny"]
    assert main([*line, "--workers", "1", "--device", "cpu", "--out", out]) == 0
    assert (tmp_path / "report.md").exists()
    assert "1 of 1 runs" in capsys.readouterr().out
