"""Dashboards for notebooks: `LiveTraining` and `ScheduleExplorer`."""

from diffsbi_edu.widgets.live_training import LiveTraining
from diffsbi_edu.widgets.schedule_explorer import ScheduleExplorer

__all__ = ["LiveTraining", "ScheduleExplorer"]
