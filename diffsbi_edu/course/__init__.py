"""For courses: exercise checks, data of each student's own, and problem sets from release to marks.

What a page or a problem set needs is here by name. Release, collection and grading need the extra
`course` (nbgrader) and are commands: `python -m diffsbi_edu.course`.
"""

from diffsbi_edu.course import checks
from diffsbi_edu.course.students import Student
from diffsbi_edu.course.verdicts import function, must, number, tensor

__all__ = ["Student", "checks", "function", "must", "number", "tensor"]
