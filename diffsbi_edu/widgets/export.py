"""Files from a dashboard: written whole or not at all, into the folder the notebook runs in."""

from __future__ import annotations

import base64
import csv
import io
import os
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

import torch
from PIL import Image


def write_file(path: Path, content: bytes) -> Path:
    """Write `content` to `path` atomically.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; an older file stays.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def gif_bytes(frames: Sequence[Image.Image], milliseconds: int = 120) -> bytes:
    """An endless GIF of frames of equal size; the last one stays for two seconds.

    Raises:
        ValueError: no frames.
    """
    if not frames:
        raise ValueError("there are no frames to write yet: train first.")
    # One palette for all, from the last and fullest frame: colours must not flicker.
    palette = frames[-1].quantize(64, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    flat = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    times = [milliseconds] * (len(flat) - 1) + [2000]
    file = io.BytesIO()
    flat[0].save(file, "GIF", save_all=True, append_images=flat[1:], duration=times, loop=0)
    return file.getvalue()


def csv_bytes(samples: torch.Tensor, names: Sequence[str]) -> bytes:
    """Samples (n, D) as CSV with a header line of the parameters' names.

    Example:
        >>> csv_bytes(torch.tensor([[0.5, 1.0]]), ["mean", "sd"]).decode().split()
        ['mean,sd', '0.5,1.0']
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(samples.tolist())
    return text.getvalue().encode()


def download_link(name: str, content: bytes, kind: str) -> str:
    """An HTML link that saves `content` from the browser, wherever the kernel runs."""
    data = base64.b64encode(content).decode()
    return f'<a download="{escape(name)}" href="data:{kind};base64,{data}">download it</a>'
