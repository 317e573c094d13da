"""Files: whole or refused, old ones kept when writing fails, nothing executed when reading."""

from __future__ import annotations

import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import box_problem, normal_problem, small_model
from safetensors.torch import save_file
from torch import nn

import diffsbi_edu as ds
from diffsbi_edu import CheckpointError, checkpoint, problems, train

TENSORS = {
    "weights": torch.arange(6.0).reshape(2, 3),
    "step": torch.tensor(3),
    "flag": torch.tensor(True),
    "empty": torch.zeros(0, 2),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "half": torch.ones(2, dtype=torch.bfloat16),
}
HEADER = {"kind": "test", "nested": {"a": [1, 2.5, None, "ü"]}}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "file.safetensors"
    checkpoint.write(path, TENSORS, HEADER)
    return path


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    small_model(problems.TwoMoons()).save(path)
    return path


def test_round_trip(saved: Path) -> None:
    tensors, header = checkpoint.read(saved)
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype
    assert header | HEADER == header
    assert os.listdir(saved.parent) == [saved.name]


def test_tensors_of_any_layout(tmp_path: Path) -> None:
    """One number expanded (stride 0), a transpose, a slice: what counts is the values."""
    path = tmp_path / "layouts.safetensors"
    square = torch.arange(6.0).reshape(2, 3)
    tensors = {
        "expanded": torch.tensor(3.0).expand(1),
        "repeated": torch.tensor([2.0]).expand(4),
        "transposed": square.T,
        "sliced": square[:, ::2],
        "scalar": torch.tensor(1),
        "empty": torch.empty(0),
    }
    checkpoint.write(path, tensors, {"kind": "layouts"})
    found, _ = checkpoint.read(path)
    assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in tensors.items()}


@pytest.mark.parametrize("name", sorted(problems.available()))
def test_a_model_of_every_built_in_problem_can_be_saved(name: str, tmp_path: Path) -> None:
    problem = problems.get(name)
    _, x = problem.sample(2, seed=0, device="cpu")
    encoder = None if problem.fixed_n_obs else ds.encoders.DeepSets(x.shape[-1], 4, width=8, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a set's encoder for a sequence
        model = ds.ConditionalDiffusion(problem, encoder, width=8, depth=1, device="cpu", seed=0)
        model.standardise(seed=0)
        model.save(tmp_path / "model.safetensors")
        again = ds.load(tmp_path / "model.safetensors", device="cpu")
    draws = [m.sample(x[0], 3, seed=1) for m in (model, again)]
    assert torch.equal(*draws)


def test_any_safetensors_reader_can_open_it(saved: Path) -> None:
    """The format by hand: 8 bytes of length, JSON, then the numbers."""
    raw = saved.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    index = json.loads(raw[8 : 8 + length])
    start, end = index["weights"]["data_offsets"]
    numbers = np.frombuffer(raw[8 + length :][start:end], dtype="<f4")
    assert numbers.tolist() == [0, 1, 2, 3, 4, 5]
    assert json.loads(index["__metadata__"]["header"])["kind"] == "test"


def test_what_was_read_does_not_change_with_the_file(saved: Path) -> None:
    tensors, _ = checkpoint.read(saved)
    checkpoint.write(saved, {k: torch.zeros_like(v) for k, v in TENSORS.items()}, HEADER)
    raw = bytearray(saved.read_bytes())
    raw[-24:] = b"\xff" * 24
    saved.write_bytes(raw)
    assert torch.equal(tensors["weights"], TENSORS["weights"])


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    path = tmp_path / "shared.safetensors"
    old = os.umask(0o022)
    try:
        checkpoint.write(path, TENSORS, HEADER)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


# -------------------------------------------------------------------------------- damaged files


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, 0.3, 0.5, 0.9, -1])
def test_truncated_files_are_refused(model_file: Path, keep: float) -> None:
    raw = model_file.read_bytes()
    size = int(keep * len(raw)) if isinstance(keep, float) else keep
    model_file.write_bytes(raw[:size])
    with pytest.raises(CheckpointError, match=r"not a readable checkpoint.*truncated.*again"):
        ds.load(model_file)


def test_every_single_flipped_byte_is_noticed(saved: Path) -> None:
    """Wherever it is: length, names, shapes, header, digest or numbers."""
    raw = saved.read_bytes()
    unnoticed = []
    for at in range(len(raw)):
        for flip in (0x01, 0x20, 0x80):
            bad = bytearray(raw)
            bad[at] ^= flip
            saved.write_bytes(bad)
            try:
                tensors, header = checkpoint.read(saved)
            except CheckpointError:
                continue
            # Nothing has changed its meaning: only the byte of True, which may be 1 or 33.
            assert all(torch.equal(tensors[k], v) for k, v in TENSORS.items()), (at, flip)
            assert header | HEADER == header
            unnoticed.append(at)
    assert len(set(unnoticed)) <= 1


@settings(derandomize=True, deadline=None, max_examples=60)
@given(cut=st.integers(0, 10**9), junk=st.binary(min_size=1, max_size=50))
def test_spliced_files_are_refused(cut: int, junk: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.safetensors"
        checkpoint.write(path, TENSORS, HEADER)
        raw = path.read_bytes()
        at = cut % len(raw)
        path.write_bytes(raw[:at] + junk + raw[at:])
        with pytest.raises(CheckpointError):
            checkpoint.read(path)


def test_an_edited_tensor_and_an_edited_header(model_file: Path) -> None:
    raw = bytearray(model_file.read_bytes())
    raw[-5] ^= 1
    model_file.write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"edited or damaged.*digest"):
        ds.load(model_file)
    small_model(problems.TwoMoons()).save(model_file)
    text = model_file.read_bytes().replace(b"two_moons", b"two_spoon")
    model_file.write_bytes(text)
    with pytest.raises(CheckpointError, match=r"edited or damaged.*digest"):
        ds.load(model_file)


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(3)}, str(path))
    with pytest.raises(CheckpointError, match="not one that diffsbi_edu wrote"):
        ds.load(path)
    torch.save({"a": torch.ones(3)}, path)
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        ds.load(path)
    path.write_text("hello, this is not a checkpoint at all")
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        ds.load(path)


class Bomb:
    """Unpickling this would leave a trace."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps(Bomb(str(trace))))
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        ds.load(path)
    assert not trace.exists()


def test_a_newer_version_asks_for_an_upgrade(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "VERSION", 2)
    checkpoint.write(saved, TENSORS, HEADER)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"version 2.*up to version 1.*Upgrade"):
        checkpoint.read(saved)


def test_no_file_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*none"):
        ds.load(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        ds.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"folder .*missing does not exist"):
        small_model().save(tmp_path / "missing" / "model.safetensors")


# --------------------------------------------------------------------------- files of other models


def load_with(model_file: Path, **settings: object) -> None:
    ds.load(model_file, device="cpu", **settings)  # type: ignore[arg-type]


def test_another_model_is_told_apart(tmp_path: Path, data: tuple) -> None:
    path = tmp_path / "run.safetensors"
    for _ in train(small_model(width=16), 6, batch_size=8, seed=0, checkpoint=path):
        pass
    with pytest.raises(CheckpointError, match=r"another run: settings was .*16.* now .*32"):
        train(small_model(width=32), 6, checkpoint=path, resume=True)
    with pytest.raises(CheckpointError, match="another run: encoder"):
        train(small_model(encoder=Mean(), width=16), 6, checkpoint=path, resume=True)
    with pytest.raises(CheckpointError, match=r"another run: plan was .*6.* now .*7"):
        train(small_model(), 7, checkpoint=path, resume=True)
    with pytest.raises(CheckpointError, match=r"another run: settings .*Cosine"):
        train(small_model(schedule="Cosine"), 6, checkpoint=path, resume=True)
    with pytest.raises(CheckpointError, match="another run: problem"):
        train(small_model(normal_problem(3)), 6, checkpoint=path, resume=True)
    with pytest.raises(CheckpointError, match="another run: source"):
        train(small_model(), 6, checkpoint=path, resume=True, data=data)
    with pytest.raises(CheckpointError, match=r"'training run', not a model.*resume=True"):
        ds.load(path)
    model_path = tmp_path / "model.safetensors"
    small_model().save(model_path)
    with pytest.raises(CheckpointError, match="'model', not a training run"):
        train(small_model(), 6, checkpoint=model_path, resume=True)


class Mean(nn.Module):
    def __init__(self, out: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(2, out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.mean(1))  # type: ignore[no-any-return]


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor]:
    return normal_problem().sample(50, seed=0, device="cpu")


def test_other_data_are_told_apart(tmp_path: Path, data: tuple) -> None:
    path = tmp_path / "run.safetensors"
    for _ in train(small_model(), 6, batch_size=8, seed=0, checkpoint=path, data=data):
        pass
    other = (data[0], data[1] + 1e-3)
    with pytest.raises(CheckpointError, match="another run: source"):
        train(small_model(), 6, checkpoint=path, resume=True, data=other)


def test_another_prior_encoder_or_size_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    small_model(box_problem(half=1.0), encoder=Mean()).save(path)
    with pytest.raises(CheckpointError, match=r"another prior.*high is \[1.0, 1.0\].*2.0"):
        ds.load(path, problem=box_problem(half=2.0), encoder=Mean())
    with pytest.raises(
        CheckpointError, match=r"another model: to_latent.prior.factor is absent in the file"
    ):
        ds.load(path, problem=normal_problem(2), encoder=Mean())
    with pytest.raises(CheckpointError, match=r"D = 2 parameters.*has 3"):
        ds.load(path, problem=box_problem(dim=3), encoder=Mean())
    with pytest.raises(CheckpointError, match=r"another model: .*\(16, 34\).*\(16, 36\)"):
        ds.load(path, problem=box_problem(), encoder=Mean(4))


def test_an_unknown_estimator_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    described = small_model().describe() | {"estimator": "Crystal"}
    checkpoint.write(path, {}, {"kind": "model", **described})
    with pytest.raises(CheckpointError, match="unknown estimator 'Crystal'"):
        ds.load(path)


# ---------------------------------------------------------------------------------- a full disk

FULL = """
    import errno, os, resource, signal, sys, torch
    sys.path.insert(0, {tests!r})
    from references import small_model
    from diffsbi_edu import problems
    path = {path!r}
    model = small_model(problems.TwoMoons(), width=64)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        model.save(path)
    except OSError as error:
        print(error.errno == errno.EFBIG, os.listdir(os.path.dirname(path)))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX resource limits")
def test_a_full_disk_leaves_the_old_file_and_no_litter(model_file: Path) -> None:
    """A real failure of the operating system's write, in a process of its own."""
    before = model_file.read_bytes()
    code = textwrap.dedent(FULL.format(path=str(model_file), tests=str(Path(__file__).parent)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.stdout.strip() == f"True {[model_file.name]}", done.stderr
    assert model_file.read_bytes() == before
    ds.load(model_file, device="cpu")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_late_failure_leaves_the_old_file_and_no_litter(
    model_file: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = model_file.read_bytes()

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        small_model(problems.TwoMoons(), width=64).save(model_file)
    monkeypatch.undo()
    assert model_file.read_bytes() == before
    assert os.listdir(model_file.parent) == [model_file.name]


def test_an_interrupted_save_leaves_no_litter(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        small_model(problems.TwoMoons()).save(model_file)
    assert os.listdir(model_file.parent) == [model_file.name]


def test_training_goes_on_or_fails_clearly_when_it_cannot_save(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        list(
            train(
                small_model(),
                4,
                batch_size=8,
                checkpoint=tmp_path / "no" / "run",
                checkpoint_every=2,
            )
        )
