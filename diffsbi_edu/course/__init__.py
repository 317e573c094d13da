"""For courses: checks that tell a student at once whether an exercise is right, and if not, why."""

from diffsbi_edu.course import checks

__all__ = ["checks"]
