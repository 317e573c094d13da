"""One function a figure: takes tensors, returns a `Picture` (a matplotlib `Figure`).

No function calls `plt.show`, touches pyplot's current figure, or changes global settings. All
accept `figure=` or `ax=`, to draw on top of what is there, and use the same colours for the same
things.
"""

from diffsbi_edu.plots.base import EXACT, LEARNED, NOISE, PRIOR, SERIES, TRUTH, Picture
from diffsbi_edu.plots.posterior import corner, joint, scatter_pair
from diffsbi_edu.plots.process import arrows, grid_points, marginals, schedules, trajectories
from diffsbi_edu.plots.progress import loss_curve, tradeoff

__all__ = [
    "joint",
    "corner",
    "scatter_pair",
    "marginals",
    "arrows",
    "grid_points",
    "trajectories",
    "schedules",
    "loss_curve",
    "tradeoff",
    "Picture",
    "LEARNED",
    "EXACT",
    "PRIOR",
    "NOISE",
    "TRUTH",
    "SERIES",
]
