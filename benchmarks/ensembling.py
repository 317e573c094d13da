"""Would training many seeds at once, as one batched network, be faster than one after another?

    python benchmarks/ensembling.py

The stability study runs its trials in parallel processes, one core each. The alternative is to
stack the weights of K networks and let `torch.func.vmap` make one batched operation of K small
ones. Here both do the same training steps of the diffusion model's network (width 128 x 3, batch
512), in turns, on one thread as the study's processes are, and then on all.
"""

from __future__ import annotations

import copy
import statistics
import time

import torch
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from diffsbi_edu.denoiser import ResidualNetwork

BATCH, STEPS, REPEATS = 512, 20, 5


def networks(count: int) -> list[ResidualNetwork]:
    return [ResidualNetwork(5, 5, width=128, depth=3) for _ in range(count)]


def data(count: int) -> list[torch.Tensor]:
    shapes = ((count, BATCH, 5), (count, BATCH, 1), (count, BATCH, 5), (count, BATCH, 5))
    return [torch.randn(shape) for shape in shapes]


def one_by_one(count: int) -> float:
    """Seconds a step of a network, each with its own optimiser."""
    models = networks(count)
    optimisers = [torch.optim.Adam(m.parameters(), lr=1e-3, fused=True) for m in models]
    z, level, s, target = data(count)
    start = time.perf_counter()
    for _ in range(STEPS):
        for i, (model, optimiser) in enumerate(zip(models, optimisers, strict=True)):
            optimiser.zero_grad()
            torch.nn.functional.mse_loss(model(z[i], level[i], s[i]), target[i]).backward()
            optimiser.step()
    return (time.perf_counter() - start) / (STEPS * count)


def at_once(count: int) -> float:
    """The same for a stack of networks and one optimiser."""
    models = networks(count)
    skeleton = copy.deepcopy(models[0])
    weights, buffers = stack_module_state(models)
    optimiser = torch.optim.Adam(list(weights.values()), lr=1e-3, fused=True)

    def loss(w, b, z, level, s, target):
        return torch.nn.functional.mse_loss(
            functional_call(skeleton, (w, b), (z, level, s)), target
        )

    step = vmap(grad_and_value(loss))
    batch = data(count)
    start = time.perf_counter()
    for _ in range(STEPS):
        gradients, _ = step({k: w.detach() for k, w in weights.items()}, buffers, *batch)
        for name, weight in weights.items():
            weight.grad = gradients[name]
        optimiser.step()
    return (time.perf_counter() - start) / (STEPS * count)


def main() -> None:
    torch.manual_seed(0)
    for threads in dict.fromkeys((1, torch.get_num_threads())):
        torch.set_num_threads(threads)
        for count in (1, 4, 16):
            one_by_one(count), at_once(count)  # warm up
            pairs = [(one_by_one(count), at_once(count)) for _ in range(REPEATS)]
            single, stacked = (1000 * statistics.median(column) for column in zip(*pairs))
            print(
                f"{threads} thread(s), {count:2d} networks: {single:.2f} ms a step one by one, "
                f"{stacked:.2f} ms at once: {single / stacked:.2f} times as fast",
                flush=True,
            )


if __name__ == "__main__":
    main()
