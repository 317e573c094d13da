"""Submissions from plain folders, Moodle and Canvas; and putting a submission in order."""

from __future__ import annotations

import copy
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from classroom import NAME, solved
from hypothesis import given, settings
from hypothesis import strategies as st
from problem_sets import SOURCE

from diffsbi_edu.course.assemble import assemble, stated_id
from diffsbi_edu.course.collect import collect
from diffsbi_edu.course.folders import Course, CourseError, checked_id
from diffsbi_edu.course.grading import read_submission
from diffsbi_edu.course.students import Student


@pytest.fixture
def course(tmp_path: Path) -> Course:
    (tmp_path / "assignments" / "source" / NAME).mkdir(parents=True)
    return Course.at(tmp_path / "assignments")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "download"
    path.mkdir()
    return path


def put(folder: Path, name: str, content: str = "x") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def got(course: Course) -> dict[str, str]:
    return {s: course.submitted(s, NAME).read_text() for s in course.students(NAME)}


def test_plain(course: Course, folder: Path) -> None:
    put(folder, "ada.ipynb", "a")
    put(folder, f"bob/{NAME}.ipynb", "b")
    put(folder, f"cy_{NAME}.ipynb", "c")
    put(folder, "di-2.ipynb", "d2")  # not a second version of di's
    put(folder, "di-1.ipynb", "d1")
    put(folder, f"ev/{NAME}/{NAME}.ipynb", "e")
    put(folder, "notes.txt")
    put(folder, "ada/.ipynb_checkpoints/old.ipynb", "old")
    collect(course, NAME, folder)
    expected = {"ada": "a", "bob": "b", "cy": "c", "di-1": "d1", "di-2": "d2", "ev": "e"}
    assert got(course) == expected


def test_moodle_and_canvas_with_a_roster(course: Course, folder: Path) -> None:
    (course.root / "roster.csv").write_text(
        "id,name,canvas\nal12,Ada Lovelace,\nbb34,Babbage,babbagecharles\n", encoding="utf-8-sig"
    )
    put(folder, f"Ada Lovelace_1234567_assignsubmission_file_/{NAME}.ipynb", "a")
    put(folder, f"babbagecharles_98765_1_{NAME}.ipynb", "first")
    put(folder, f"babbagecharles_LATE_98765_2_{NAME}-2.ipynb", "third")
    put(folder, f"babbagecharles_98765_3_{NAME}-1.ipynb", "second")
    put(folder, f"stranger_11_22_{NAME}.ipynb", "s")
    result = collect(course, NAME, folder)
    assert got(course) == {"al12": "a", "bb34": "third"}
    notes = " ".join(result.notes)
    assert "marked as late" in notes
    assert "'stranger' is not in roster.csv" in notes
    assert "several files" in notes


def test_zip_files_cannot_reach_out(course: Course, folder: Path) -> None:
    with zipfile.ZipFile(folder / "ada.zip", "w") as archive:
        archive.writestr(f"../../{NAME}.ipynb", "a")
        archive.writestr("__MACOSX/._x.ipynb", "junk")
    with zipfile.ZipFile(folder / "everybody.zip", "w") as archive:
        archive.writestr(f"Bob Ross_12_assignsubmission_file_/{NAME}.ipynb", "b")
    put(folder, "broken.zip", "not a zip file")
    (folder / "link.ipynb").symlink_to("/etc/passwd")
    result = collect(course, NAME, folder)
    assert got(course) == {"ada": "a", "bobross": "b"}
    assert any("broken.zip" in note for note in result.notes)
    assert not (folder.parent / f"{NAME}.ipynb").exists()


def test_collect_errors(course: Course, folder: Path) -> None:
    with pytest.raises(CourseError, match="not a folder"):
        collect(course, NAME, folder / "absent")
    with pytest.raises(CourseError, match="no submission"):
        collect(course, NAME, folder)
    put(folder, "ada.ipynb")
    for text, words in {
        "name\nAda": "needs a column 'id'",
        "id,name\na,Ada\nb,ada": "could be a or b",
        "id\n../x": "cannot be a student's id",
    }.items():
        (course.root / "roster.csv").write_text(text)
        with pytest.raises(CourseError, match=words):
            collect(course, NAME, folder)


@pytest.mark.parametrize("student", ["", "..", "a/b", ".hidden", "instructor", "a b", "x" * 200])
def test_ids_that_cannot_be_folders(student: str) -> None:
    with pytest.raises(CourseError, match="cannot be a student's id"):
        checked_id(student)


# --------------------------------------------------------------------------- putting in order


def named(notebook: Any) -> list[str]:
    found = (c.metadata.get("nbgrader", {}).get("grade_id") for c in notebook.cells)
    return [name for name in found if name]


@pytest.fixture(scope="module")
def built() -> Any:
    return nbformat.read(SOURCE / NAME / f"{NAME}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def released(built: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Close enough to nbgrader's release for what is tested here."""
    notebook = copy.deepcopy(built)
    for cell in notebook.cells:
        meta = cell.metadata.get("nbgrader", {})
        if meta.get("solution"):
            cell.source = "raise NotImplementedError"
        elif meta.get("grade"):
            cell.source = cell.source.partition("### BEGIN HIDDEN TESTS")[0]
    path = tmp_path_factory.mktemp("released") / "release" / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)
    return path


def test_a_good_submission_has_no_findings(built: Any, released: Path) -> None:
    submission = solved(released, "ada")
    result = assemble(built, nbformat.read(released, as_version=4), submission, "ada")
    assert result.findings == []
    assert named(result.notebook) == named(built)
    nbformat.validate(result.notebook)
    hidden = [c for c in result.notebook.cells if "### BEGIN HIDDEN TESTS" in c.source]
    assert len(hidden) == len([c for c in built.cells if "### BEGIN HIDDEN TESTS" in c.source])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_shuffling_ends_in_the_same_notebook(
    built: Any, released: Path, data: st.DataObject
) -> None:
    """Named cells in any order, some lost, some twice, some edited: the frame is the source's."""
    submission = solved(released, "ada")
    order = data.draw(st.permutations(range(len(submission.cells))))
    lost = data.draw(st.sets(st.sampled_from(range(len(submission.cells))), max_size=10))
    twice = data.draw(st.lists(st.sampled_from(range(len(submission.cells))), max_size=5))
    edited = data.draw(st.sets(st.sampled_from(range(len(submission.cells))), max_size=5))
    shuffled = copy.deepcopy(submission)
    shuffled.cells = []
    for i in [*(i for i in order if i not in lost), *twice]:
        cell = copy.deepcopy(submission.cells[i])
        if i in edited:
            cell.source = "### BEGIN SOLUTION\n" + cell.source
        shuffled.cells.append(cell)
    result = assemble(built, nbformat.read(released, as_version=4), shuffled, "ada")
    assert named(result.notebook) == named(built)
    nbformat.validate(result.notebook)
    theirs = {c.metadata.nbgrader.grade_id: c for c in result.notebook.cells if named_cell(c)}
    for cell in built.cells:
        if named_cell(cell) and not cell.metadata.nbgrader.solution:
            assert theirs[cell.metadata.nbgrader.grade_id].source == cell.source
    assert not any("### BEGIN SOLUTION" in c.source for c in result.notebook.cells)
    present = {c.metadata.nbgrader.grade_id for c in shuffled.cells if named_cell(c)}
    put_back = [f for f in result.findings if "was put back" in f]
    assert len(put_back) == len(set(named(built)) - present)


def named_cell(cell: Any) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("grade_id"))


def test_a_second_answer_counts_if_the_first_is_empty(built: Any, released: Path) -> None:
    empty = nbformat.read(released, as_version=4)
    submission = solved(released, "ada")
    submission.cells = [*copy.deepcopy(empty).cells, *submission.cells]
    result = assemble(built, empty, submission, "ada")
    answers = {
        c.metadata.nbgrader.grade_id: c.source for c in result.notebook.cells if named_cell(c)
    }
    assert "NotImplementedError" not in answers["ex2"]
    assert any("there twice" in finding for finding in result.findings)


def test_the_id_is_read_but_not_believed(built: Any, released: Path) -> None:
    empty = nbformat.read(released, as_version=4)
    result = assemble(built, empty, solved(released, "bob"), "ada")
    assert any("says 'bob'" in finding for finding in result.findings)
    assert assemble(built, empty, empty, "ada").findings == []  # nobody's id yet
    for source, expected in {
        'STUDENT = "ada "': "ada",
        "STUDENT = input()": None,
        "STUDENT = (": None,
        "x = 1": None,
        "STUDENT = 17": "17",
    }.items():
        assert stated_id(nbformat.v4.new_code_cell(source)) == expected


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"cells": 3}', b'{"cells": [{}], "nbformat": 4}', b"null"],
)
def test_unreadable_notebooks(raw: bytes) -> None:
    notebook, findings = read_submission(raw, 1.0)
    assert notebook is None
    assert "could not be read" in findings[0]


def test_notebooks_that_are_too_large() -> None:
    notebook, findings = read_submission(b"x" * 2**20, 0.5)
    assert notebook is None
    assert "larger than 0.5 MB" in findings[0]


# ------------------------------------------------------------------------- numbers of one's own


def test_numbers_are_a_students_own() -> None:
    ada, bob = Student("ada", course="a"), Student("bob", course="a")
    assert ada.seed("x") == Student("ada", course="a").seed("x")
    seeds = [s.seed(k) for s in (ada, bob, Student("ada", course="b")) for k in ("x", "y")]
    assert len(set(seeds)) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)
    # the separator keeps ("a", "bc") from ("ab", "c")
    assert Student("bc", course="a").seed("x") != Student("c", course="ab").seed("x")
    assert sorted(ada.shuffled("x", "ABCDE")) == list("ABCDE")
    numbers = ada.uniform("x", -1, 1, (100,))
    assert numbers.min() >= -1
    assert numbers.max() <= 1
    assert bool(((numbers * 100).round() / 100 == numbers).all())
    for wrong in ("", "  ", None, 3):
        with pytest.raises(ValueError, match="student id"):
            Student(wrong)  # type: ignore[arg-type]


def test_shuffles_and_choices_are_even() -> None:
    """1,000 students: each order of three as often as another (chi-square, 5 df, p > 0.001)."""
    counts: dict[str, int] = {}
    for i in range(1000):
        order = "".join(Student(f"s{i}").shuffled("who", "abc"))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert sum((n - 1000 / 6) ** 2 / (1000 / 6) for n in counts.values()) < 20.5
