"""The yardstick: seconds for 1,000 training steps of a peer, so that times can be compared.

Machines differ and shared ones drift; a time only means something next to another from the same
run. Ours is zuko's neural spline flow on a two-parameter problem: NSF, conditional on 2 features, 5
transforms, hidden layers (64, 64), batch 512, Adam.

    python benchmarks/yardstick.py
"""

from __future__ import annotations

import argparse
import time

import torch
import zuko


def measure(steps: int = 1000, seed: int = 0) -> float:
    """Seconds for 1,000 steps, extrapolated from `steps`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        flow = zuko.flows.NSF(2, 2, transforms=5, hidden_features=(64, 64))
        optimiser = torch.optim.Adam(flow.parameters(), lr=1e-3)
        start = time.perf_counter()
        for _ in range(steps):
            theta = torch.randn(512, 2)
            x = theta + 0.5 * torch.randn(512, 2)
            loss = -flow(x).log_prob(theta).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return (time.perf_counter() - start) * 1000 / steps


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    print(f"yardstick: {measure(parser.parse_args().steps):.1f} s per 1,000 steps")
