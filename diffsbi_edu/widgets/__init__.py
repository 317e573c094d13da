"""Dashboards: `LiveTraining`, `ScheduleExplorer`, `StabilityRace`, `CalibrationLab`."""

from diffsbi_edu.widgets.calibration_lab import CalibrationLab
from diffsbi_edu.widgets.live_training import LiveTraining
from diffsbi_edu.widgets.schedule_explorer import ScheduleExplorer
from diffsbi_edu.widgets.stability_race import StabilityRace

__all__ = ["CalibrationLab", "LiveTraining", "ScheduleExplorer", "StabilityRace"]
