"""Takes snapshots of a model as it trains, and develops them into pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.problems import Problem
from diffsbi_edu.widgets.exact import Target, exact_target
from diffsbi_edu.widgets.frames import TrainingPicture
from diffsbi_edu.widgets.snapshots import Snapshot


@dataclass
class View:
    """What the user has chosen to look at.

    Args:
        x_obs: the observation (N, F).
        sampler, solver_steps: how the learned posterior is sampled.
        level: noise-to-signal ratio r at which scores are shown.
        replay: index into the history; None for live.
    """

    x_obs: torch.Tensor
    sampler: str = "dpm_solver_2m"
    solver_steps: int = 10
    level: float = 0.3
    replay: int | None = None


class Camera:
    """Snapshots and pictures for one problem.

    Args:
        problem: what is learnt.
        view: read afresh for every snapshot.

    Example:
        >>> from diffsbi_edu.problems import Gaussian2D
        >>> problem = Gaussian2D()
        >>> camera = Camera(problem, View(torch.zeros(1, 2)))
        >>> model = ConditionalDiffusion(problem, width=16, depth=1, device="cpu", seed=0)
        >>> camera.take(model, step=0, n=50).theta.shape
        torch.Size([50, 2])
    """

    def __init__(self, problem: Problem, view: View) -> None:
        self.problem, self.view = problem, view
        self._target: Target | None = None
        self._exact: tuple[torch.Tensor, torch.Tensor | None] | None = None
        self._exact_of: tuple[Target, float] | None = None
        self._picture: TrainingPicture | None = None

    def forget(self) -> None:
        """The observation or the model's latent space is another one now."""
        self._target = None

    def new_film(self) -> None:
        """Begin with a fresh picture: axis limits of an earlier run are forgotten."""
        self._picture = None
        self.forget()

    def take(self, model: ConditionalDiffusion, step: int, n: int) -> Snapshot:
        """A snapshot of the model's posterior (n draws) and scores at this moment."""
        view = self.view
        # A fixed seed: the same noise in every frame, so that points move and do not flicker.
        theta = model.sample(
            view.x_obs, n, seed=0, sampler=view.sampler, steps=view.solver_steps
        ).cpu()
        if self._target is None:
            self._target = exact_target(self.problem, view.x_obs, model.to_latent)
        target, level = self._target, view.level
        if self._exact is None or self._exact_of != (target, level):
            points = target.grid(level)
            self._exact = (points, target.displacement(points, level))
            self._exact_of = (target, level)
        points, exact = self._exact
        learned = model.denoise(points, level, view.x_obs).cpu() - points
        return Snapshot(step, target, theta, points, level, learned, exact)

    def develop(
        self, snapshot: Snapshot, losses: Sequence[float], norms: Sequence[float], goal: int
    ) -> bytes:
        """The picture of a snapshot as PNG; see `TrainingPicture.show`."""
        if self._picture is None:
            self._picture = TrainingPicture(self.problem)
        self._picture.show(snapshot, losses, norms, goal)
        return self._picture.canvas.png()

    def image(self) -> Image.Image:
        """The picture last developed, in full colour."""
        assert self._picture is not None, "develop() comes first"
        return self._picture.canvas.image()
