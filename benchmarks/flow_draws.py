"""Draws from an autoregressive flow: ours, coordinate by coordinate, against zuko's own inverse.

    python benchmarks/flow_draws.py

Flows with random weights (time does not depend on them), five transforms of 64 units as in the
suite, three data sets; both inverses in turn, the best of some rounds each; one core. Beside it,
how far the two are apart, at most.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import zuko

from diffsbi_edu.flow_inverse import noise_to_latent


def timed(work: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    start = time.perf_counter()
    with torch.no_grad():
        draws = work()
    return time.perf_counter() - start, draws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dims", nargs="+", type=int, default=[2, 5, 10, 14, 80, 100])
    parser.add_argument("--draws", type=int, default=300, help="for each of three data sets")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.manual_seed(0)
    for kind in ("NSF", "MAF"):
        for dim in options.dims:
            sizes = {"features": dim, "context": 32, "hidden_features": (64, 64)}
            flow = getattr(zuko.flows, kind)(**sizes, transforms=5)
            s = torch.randn(3, 32, generator=generator)
            noise = torch.randn(options.draws, 3, dim, generator=generator)
            seconds: dict[str, list[float]] = {"zuko": [], "ours": []}
            for _ in range(options.rounds):
                took, theirs = timed(lambda: flow(s).transform.inv(noise))  # noqa: B023
                seconds["zuko"].append(took)
                took, ours = timed(lambda: noise_to_latent(flow, s, noise))  # noqa: B023
                seconds["ours"].append(took)
            a, b = min(seconds["zuko"]), min(seconds["ours"])
            print(
                f"{kind} {dim:4d} coordinates: zuko {a:7.3f} s, ours {b:6.3f} s, {a / b:5.1f} ×; "
                f"apart by at most {(ours - theirs).abs().max():.0e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
