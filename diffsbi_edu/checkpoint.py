"""Files of tensors with a JSON header: safetensors, written atomically, checked when read.

No pickle: opening a stranger's file can fail, but cannot run code. A SHA-256 digest of header and
tensors tells a file that was cut short or edited from a whole one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from diffsbi_edu.errors import CheckpointError

FORMAT = "diffsbi_edu"
VERSION = 1


def write(path: str | Path, tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    """Write tensors and header to `path`, or leave what was there untouched.

    The bytes go to a temporary file in the same folder, which replaces `path` only once it is
    complete and on disk.

    Raises:
        OSError: the folder does not exist, or the disk is full; an older file stays intact.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot save to {path}: the folder {path.parent} does not exist.")
    # Copies, since safetensors refuses tied weights, which share memory.
    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
    text = json.dumps({"format": FORMAT, "version": VERSION, **header}, sort_keys=True)
    data = to_bytes(tensors, {"header": text, "digest": _digest(text, tensors)})
    # Not a file of `tempfile`, which nobody but its owner could read: models are for sharing.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def read(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and header of a file that `write` made.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: truncated, edited, made by another program, or by a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}.")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            # Copies, since safetensors maps the file into memory, and it may be replaced.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} is not a readable checkpoint ({error}); it may be truncated or another kind "
            "of file. Save the model again, or copy the file again."
        ) from None
    if "header" not in metadata or "digest" not in metadata:
        raise CheckpointError(f"{path} is a safetensors file, but not one that diffsbi_edu wrote.")
    text = metadata["header"]
    if metadata["digest"] != _digest(text, tensors):
        raise CheckpointError(
            f"{path} was edited or damaged after it was written (its digest does not match); "
            "save the model again."
        )
    header: dict[str, Any] = json.loads(text)
    if header.get("format") != FORMAT or header.get("version", 0) > VERSION:
        raise CheckpointError(
            f"{path} has format {header.get('format')!r}, version {header.get('version')!r}; this "
            f"release reads {FORMAT!r} up to version {VERSION}. Upgrade diffsbi_edu."
        )
    return tensors, header


def _digest(text: str, tensors: dict[str, torch.Tensor]) -> str:
    sha = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        # A copy: one number, expanded, has a stride of 0, which cannot be read as bytes.
        whole = tensor.reshape(-1).clone(memory_format=torch.contiguous_format)
        sha.update(whole.view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
