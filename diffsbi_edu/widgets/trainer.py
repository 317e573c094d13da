"""The training run behind a dashboard, without any widget: start, pause, stop, reset, one step.

Not safe between threads on purpose: only the dashboard's worker calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Generic, TypeVar

from diffsbi_edu.errors import SimulationError, TrainingDiverged
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.run import Knobs, TrainState
from diffsbi_edu.training import History, train

Model = TypeVar("Model", bound=Estimator)


class Phase(Enum):
    """What a run is doing; the value is what the dashboard says."""

    READY = "ready"
    TRAINING = "training"
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"


class Trainer(Generic[Model]):
    """A model, the `train` generator that moves it, and what has happened so far.

    Args:
        make_model: builds an untrained model; called again at every reset.
        steps: length of a run.
        knobs: read by the loop before every step; change them at any time.
        seed: of the training data and noise; the same after every reset.
        **settings: more arguments of `train`, such as data or decay.

    Example:
        >>> from diffsbi_edu import ConditionalDiffusion
        >>> from diffsbi_edu.problems import Gaussian2D
        >>> def make():
        ...     return ConditionalDiffusion(Gaussian2D(), width=16, depth=1, device="cpu", seed=0)
        >>> trainer = Trainer(make, steps=2, knobs=Knobs(), seed=0)
        >>> trainer.start()
        >>> while trainer.phase is Phase.TRAINING:
        ...     trainer.advance()
        >>> trainer.phase.value, trainer.step
        ('finished', 2)
    """

    def __init__(
        self,
        make_model: Callable[[], Model],
        steps: int,
        knobs: Knobs,
        seed: int,
        **settings: Any,
    ) -> None:
        self._make_model, self.run_steps, self.knobs, self.seed = make_model, steps, knobs, seed
        self._settings = settings
        self.model = make_model()
        self.phase = Phase.READY
        self.error: Exception | None = None
        self.history = History()
        self.losses: list[float] = []
        self.grad_norms: list[float] = []
        self.goal = steps
        self._states: Iterator[TrainState] | None = None
        self._runs = 0

    @property
    def step(self) -> int:
        """Steps made since the last reset, over all runs."""
        return len(self.history)

    @property
    def pairs_per_second(self) -> float:
        """Throughput of the training steps of this run, as the loop itself measures it."""
        return self.history[-1].pairs_per_second if self.history else 0.0

    def start(self, steps: int | None = None) -> None:
        """Begin a run of `steps`, or go on with a paused one.

        A run begun after another was stopped or finished goes on from what that one learnt, with a
        learning-rate plan of its own.
        """
        if self._states is None:
            length = steps or self.run_steps
            seed = self.seed + self._runs  # another run must not see the first one's data again
            self._states = train(self.model, length, knobs=self.knobs, seed=seed, **self._settings)
            self.goal = self.step + length
            self._runs += 1
        self.error = None
        self.phase = Phase.TRAINING

    def pause(self) -> None:
        """Hold the run; `start` goes on with it."""
        if self.phase is Phase.TRAINING:
            self.phase = Phase.PAUSED

    def stop(self) -> bool:
        """End the run; the model keeps what it has learnt. Returns whether there was one to end."""
        running = self._states is not None
        if running:
            self._end(Phase.STOPPED)
        return running

    def finish(self) -> None:
        """End the run as one that has done all it should."""
        self._end(Phase.FINISHED)

    def fail(self, error: Exception) -> None:
        """End the run because of an error, which is kept."""
        self.error = error
        self._end(Phase.FAILED)

    def reset(self) -> None:
        """Back to an untrained model with the same initial weights; the knobs stay."""
        self._end(Phase.READY)
        self.model, self.history, self._runs = self._make_model(), History(), 0
        self.losses, self.grad_norms, self.error = [], [], None
        self.goal = self.run_steps

    def advance(self) -> None:
        """One optimiser step; what goes wrong in it ends the run and is kept in `error`."""
        assert self._states is not None, "start() comes first"
        try:
            self.history.append(next(self._states))
        except StopIteration:
            self._end(Phase.FINISHED)
        except Exception as error:
            self.fail(error)
        else:
            if self.step >= self.goal:
                self._end(Phase.FINISHED)

    def read_curves(self) -> None:
        """Bring `losses` and `grad_norms` up to date, in one transfer from the device."""
        new = History(self.history[len(self.losses) :])
        self.losses += new.losses
        self.grad_norms += new.grad_norms

    def _end(self, phase: Phase) -> None:
        if self._states is not None:
            self._states.close()  # type: ignore[attr-defined]
            self._states = None
        self.phase = phase


def in_plain_words(error: BaseException) -> str:
    """What to tell the user about an error; our own messages already say what to do."""
    if isinstance(error, TrainingDiverged | SimulationError):
        return f"{error} Then press Reset."
    return f"{type(error).__name__}: {error}. Press Reset to begin again."
