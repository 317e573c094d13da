"""Training: one generator that notebooks, dashboards, tests and benchmarks all drive.

`train` yields a `TrainState` after every optimiser step; `fit` runs it with a progress bar. The
loop needs only the model's `loss` and `loss_given`: it knows neither diffusion nor flow.

The model you hold contains the running average of the weights (EMA) and can be sampled from at any
moment; the loop moves a private copy. The copy's weights, gradients and optimiser state each live
in one flat vector, so that clipping, Adam and averaging are a few operations each and not hundreds.
"""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from tqdm.auto import tqdm

from diffsbi_edu.data import BAR_SECONDS, FixedData, Simulations, Summaries
from diffsbi_edu.errors import unknown_name
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.run import Knobs, TrainingRun, TrainState
from diffsbi_edu.runtime import Seed, resolve_device

OPTIMISERS = "adam", "muon"


class History(list[TrainState]):
    """The `TrainState`s of a run, in order, and whether the run was interrupted."""

    interrupted = False

    @property
    def steps(self) -> list[int]:
        """Step numbers, counted from 1."""
        return [state.step for state in self]

    @property
    def losses(self) -> list[float]:
        """Training losses, one a step."""
        return self._read("loss_tensor")

    @property
    def grad_norms(self) -> list[float]:
        """Gradient norms before clipping, one a step."""
        return self._read("grad_norm_tensor")

    @property
    def val_losses(self) -> list[tuple[int, float]]:
        """(step, held-out loss) wherever it was computed."""
        return [(s.step, s.val_loss) for s in self if s.val_loss is not None]

    def _read(self, name: str) -> list[float]:
        if not self:
            return []
        # One transfer from the device for the whole history, not one a step.
        values: list[float] = torch.stack([getattr(s, name) for s in self]).cpu().tolist()
        return values


def train(
    model: Estimator,
    steps: int = 3000,
    *,
    batch_size: int = 512,
    lr: float = 6e-3,
    warmup: int = 100,
    decay: bool = True,
    optimiser: str = "adam",
    clip: float = 1.0,
    ema: float = 0.99,
    knobs: Knobs | None = None,
    data: tuple[torch.Tensor, torch.Tensor] | None = None,
    validation_fraction: float = 0.1,
    patience: int | None = 10,
    summaries: int | None = None,
    seed: Seed = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    resume: bool = False,
) -> Iterator[TrainState]:
    """Train `model`; yields a `TrainState` after every step, the model usable at each.

    Adam (or Muon), with a linear warm-up and a cosine decay of the learning rate to 0, clipped
    gradients and averaged weights. Data are simulated afresh at every step, or drawn from a fixed
    set.

    Args:
        model: the estimator; trained in place.
        steps: optimiser steps.
        batch_size, lr, clip, ema: see `Knobs`; pass `knobs` instead to change them on the way.
        warmup: steps over which the learning rate rises, at most a tenth of `steps`.
        decay: whether the learning rate falls to 0 along a cosine.
        optimiser: "adam"; or "muon", which moves weight matrices by `Muon` and the rest by Adam. A
            step teaches more, but takes 3 to 8 ms of a core longer: it pays where steps are dear,
            with a summary network over many observations or with batches of a thousand rows.
        data: a fixed budget (theta (M, D), x (M, N, F) or (M, F)) instead of the simulator. A share
            `validation_fraction` is held out; training stops once the held-out loss has not
            improved for `patience` epochs (None: never), and the best weights are kept.
        summaries: train the decoder alone, the summary network as it is, on stored summaries of so
            many fresh simulations (the first step makes them all). After training both together,
            which is what a summary network learns by, a decoder that lags behind catches up, at a
            fraction of the time a step.
        seed: of simulations, noise and shuffling; same seed, same machine, same numbers.
        device: where to train; None for where the model is.
        checkpoint: file to save to every `checkpoint_every` steps and when the loop is left.
        resume: go on from `checkpoint` if it exists, exactly as if never interrupted (with other
            `Knobs` than before it warns, and goes on with the new ones).

    Raises:
        ValueError: impossible settings, an unknown optimiser.
        SimulationError: the simulator, or `data`, is unusable (NaN, infinite, wrong shapes).
        TrainingDiverged: the loss became NaN or infinite; the model keeps its last good weights.
        CheckpointError: `resume` from a file of another model or other settings.

    Example:
        >>> from diffsbi_edu import ConditionalDiffusion, problems
        >>> problem = problems.TwoMoons()
        >>> model = ConditionalDiffusion(problem, width=32, depth=1, device="cpu", seed=0)
        >>> for state in train(model, steps=3, seed=0):
        ...     print(state.step)
        1
        2
        3
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}.")
    if checkpoint_every < 1:
        raise ValueError(f"checkpoint_every must be at least 1, got {checkpoint_every}.")
    if warmup < 0:
        raise ValueError(f"warmup must be at least 0 steps, got {warmup}.")
    if optimiser not in OPTIMISERS:
        raise unknown_name("optimiser", optimiser, OPTIMISERS)
    if resume and checkpoint is None:
        raise ValueError("resume=True needs checkpoint=…, the file to go on from.")
    knobs = knobs or Knobs(lr=lr, batch_size=batch_size, clip=clip, ema=ema)
    knobs.check()
    if device is not None:
        model.to(resolve_device(device))
    source: Simulations
    if summaries is not None and data is not None:
        raise ValueError("give either data or summaries: summaries are of fresh simulations.")
    if summaries is not None:
        source = Summaries(model, summaries)
    elif data is not None:
        source = FixedData(
            model.problem, data, model.device, model.features, validation_fraction, patience
        )
    else:
        source = Simulations(model.problem, model.device)
    plan: dict[str, Any] = {"steps": steps, "warmup": min(warmup, steps // 10), "decay": decay}
    if optimiser != "adam":  # left out, so that older checkpoints are still of the same run
        plan["optimiser"] = optimiser
    run = TrainingRun(model, source, knobs, plan, seed)
    if resume and Path(str(checkpoint)).is_file():
        run.restore(str(checkpoint))
    return _Steps(run, checkpoint, checkpoint_every)


def fit(model: Estimator, steps: int = 3000, *, progress: bool = True, **settings: Any) -> History:
    """Run `train` to its end under a progress bar and return its `History`.

    Ctrl-C (or a notebook's stop button) ends training early, with a warning, and loses nothing: the
    step under way is finished, the history so far is returned with ``interrupted = True``, and the
    model, and the checkpoint if there is one, hold all that was learnt. A second Ctrl-C does not
    wait for the step. Stored summaries (`summaries=…`) are made first, under a bar of their own,
    and Ctrl-C then ends that at once.

    Args:
        model, steps, **settings: see `train`.
        progress: whether to show the bar.

    Raises: see `train`.
    """
    history = History()
    states = train(model, steps, **settings)
    assert isinstance(states, _Steps)
    bar = tqdm(total=steps, disable=not progress, unit="step", mininterval=BAR_SECONDS)
    try:
        states.prepare(progress)  # no step is under way: Ctrl-C need not wait
        with _interrupt_between_steps() as asked:
            for state in states:
                history.append(state)
                bar.update(state.step - bar.n)
                if progress and state.step % 100 == 0:
                    bar.set_postfix(loss=f"{state.loss:.4f}", refresh=False)
                if asked.is_set():
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        history.interrupted = True
        warnings.warn(
            f"training was interrupted after {len(history)} of {steps} steps; the model keeps what "
            "it has learnt.",
            stacklevel=2,
        )
    finally:
        states.close()
        bar.close()
    return history


@contextmanager
def _interrupt_between_steps() -> Iterator[threading.Event]:
    """Within, a first Ctrl-C only sets the event; a second one interrupts at once, as usual.

    A step moves weights, optimiser and generator one after another. Interrupted in the middle they
    no longer belong together, and could not be saved.
    """
    asked = threading.Event()
    usual = signal.getsignal(signal.SIGINT)
    # Only the main thread may set handlers; and where Ctrl-C is ignored, it stays ignored.
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield asked
        return

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, usual)


def budget(*, cpu: int, gpu: int, device: str | torch.device = "auto") -> int:
    """A number of training steps to suit the machine: `gpu` where one is found, else `cpu`.

    Example:
        >>> budget(cpu=2000, gpu=20_000, device="cpu")
        2000
    """
    return cpu if resolve_device(device).type == "cpu" else gpu


class _Steps(Iterator[TrainState]):
    """What `train` returns: the states of a run, one a step."""

    def __init__(self, run: TrainingRun, path: str | Path | None, every: int) -> None:
        self.run, self._states = run, _loop(run, path, every)

    def prepare(self, progress: bool) -> None:
        """Make what the first step would make, with a bar."""
        start = time.perf_counter()
        self.run.source.prepare(progress)
        self.run.seconds += time.perf_counter() - start

    def __next__(self) -> TrainState:
        return next(self._states)

    def close(self) -> None:
        """Leave the loop, and save the run if it has a file."""
        self._states.close()


def _loop(
    run: TrainingRun, path: str | Path | None, every: int
) -> Generator[TrainState, None, None]:
    """Advance until done; what ends the loop at a `yield` finds the run whole and saves it."""
    saved = run.step
    try:
        while run.step < run.plan["steps"] and not run.source.exhausted:
            state = run.advance()
            if path is not None and run.step % every == 0:
                run.save(path)
                saved = run.step
            try:
                yield state
            except GeneratorExit:
                if path is not None and saved != run.step:
                    run.save(path)
                raise
        if path is not None and saved != run.step:
            run.save(path)
    finally:
        run.source.keep_best(run.model)
