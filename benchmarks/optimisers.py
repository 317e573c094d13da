"""Muon against Adam, in the same time: the loss on held-out pairs.

    python benchmarks/optimisers.py --problems lotka_volterra --methods diffusion maf
    python benchmarks/optimisers.py --problems lotka_volterra --speed

Measures how long a step takes with either optimiser, gives both what the laptop budget's seconds
are worth, the decoder's finish included (by Adam or by Muon), and compares their losses on the same
fresh pairs: differences from Adam's, with their standard errors (see learning_rates.py for the
units). Without a summary network there is no finish; there a diffusion by Adam does better with
half as many pairs a step (`--adam-pairs 256`). `--speed` compares one move of all the model's
matrices, ours and by `torch.optim.Muon`, instead.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch
from learning_rates import compared, held_out

from diffsbi_edu.benchmark.cases import BUDGETS, CASES, METHODS, SHARES
from diffsbi_edu.benchmark.pace import measure_pace
from diffsbi_edu.benchmark.run_case import trained
from diffsbi_edu.muon import Muon, matrices_first


def speed(problem: str, method: str, repeats: int = 50) -> None:
    """Milliseconds that one move of a model's matrices takes, ours and torch's."""
    case = CASES[problem]
    model = METHODS[method].model(case, case.build_problem(), 0, "cpu")
    parameters, shapes = matrices_first(model.parameters())
    parameters = parameters[: sum(count for count, *_ in shapes)]
    weights = torch.cat([p.detach().reshape(-1) for p in parameters])
    gradient = torch.randn(weights.shape, generator=torch.Generator().manual_seed(0))
    for p, g in zip(parameters, gradient.split([p.numel() for p in parameters]), strict=True):
        p.grad = g.view_as(p)
    ours, theirs = Muon(weights, gradient, shapes), torch.optim.Muon(parameters, weight_decay=0.0)
    took = {"ours": 0.0, "torch": 0.0}
    for k in range(repeats + 5):
        start = time.process_time()
        ours.step(1e-3)
        middle = time.process_time()
        theirs.step()
        if k >= 5:
            took["ours"] += middle - start
            took["torch"] += time.process_time() - middle
    each = {name: 1000 * seconds / repeats for name, seconds in took.items()}
    ratio = each["torch"] / each["ours"]
    print(
        f"{problem} {method}: {len(parameters)} matrices, ours {each['ours']:.1f} ms, "
        f"torch.optim.Muon {each['torch']:.1f} ms ({ratio:.1f} ×)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=CASES, default=["lotka_volterra"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["diffusion"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--adam-pairs", type=int, help="pairs a step by Adam, if not the suite's")
    parser.add_argument("--speed", action="store_true", help="of Muon alone, ours and torch's")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.speed:
        for problem in options.problems:
            for name in options.methods:
                speed(problem, name)
        return
    budget = BUDGETS["laptop"]
    for problem in options.problems:
        for name in options.methods:
            case, method, first = CASES[problem], METHODS[name], None
            alone = method.finishing(case) is not None
            seconds = (budget.seconds or 0.0) * (budget.encoder_share if case.encoder else 1.0)
            seconds *= SHARES[0] if alone else 1.0
            for pair in (("adam", "adam"), ("muon", "adam"), ("muon", "muon"))[: 3 if alone else 2]:
                pairs = {}
                if options.adam_pairs and pair[0] == "adam":
                    pairs["batch_size"] = options.adam_pairs
                varied = replace(
                    method,
                    training={**method.training, **pairs, "optimiser": pair[0]},
                    alone={**method.alone, "optimiser": pair[1]},
                )
                pace = measure_pace(problem, varied)
                steps = round(1000 * seconds / pace.step)
                rest = varied.finishing(case)
                finish = rest and pace.finish(steps, rest["batch_size"], varied.passes)
                start = time.process_time()
                model, *_ = trained(case, varied, steps, finish, options.seed)
                took = time.process_time() - start
                loss = held_out(model)
                first = loss if first is None else first
                print(
                    f"{problem:26} {name:10} {' then '.join(pair[: 1 + alone]):15} "
                    f"{steps:5} steps {pace.step:5.1f} ms {finish or ''!s:15} "
                    f"{compared(loss, first)} ({took:.0f} s of the core)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
