"""A figure that is cheap to redraw: axes and everything still are drawn once and kept as pixels.

A frame restores those pixels and draws only the artists that move, which takes about 5 ms instead
of 60. Drawn with Agg, never through pyplot, whose global state is not safe between threads.
"""

from __future__ import annotations

import io
import threading
from typing import Any, TypeVar

from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

#: Colours that stay apart for colour-blind readers (Okabe & Ito 2008), on the figure's own white.
EXACT, LEARNED, MARK, GREY = "#d55e00", "#0072b2", "#000000", "#666666"
SMALL = 8

AnyArtist = TypeVar("AnyArtist", bound=Artist)


class Canvas:
    """A `Figure`, its still background and the artists that move on it.

    Args:
        size: width and height in inches; at 100 dots an inch.

    Example:
        >>> canvas = Canvas((2.0, 1.0))
        >>> axes = canvas.figure.subplots()
        >>> line = canvas.moving(*axes.plot([0, 1], [0, 1]))
        >>> canvas.image().size
        (200, 100)
    """

    def __init__(self, size: tuple[float, float]) -> None:
        self.figure = Figure(size, dpi=100, facecolor="white", layout="constrained")
        self._agg = FigureCanvasAgg(self.figure)
        self._moving: list[Artist] = []
        self._background: Any = None
        self._lock = threading.RLock()

    def moving(self, artist: AnyArtist) -> AnyArtist:
        """Register an artist that changes from frame to frame; returns it."""
        artist.set_animated(True)
        self._moving.append(artist)
        return artist

    def remove(self, artist: Artist) -> None:
        """Take an artist off the figure, moving or still; the next frame redraws everything."""
        artist.remove()
        self._moving = [other for other in self._moving if other is not artist]
        self.still_changed()

    def still_changed(self) -> None:
        """Say that limits, titles or other still parts changed: the next frame redraws them."""
        self._background = None

    def image(self) -> Image.Image:
        """The current frame, RGB."""
        with self._lock:
            if self._background is None:
                self._agg.draw()
                # The layout is settled by the first drawing; solving it again costs 50 ms.
                self.figure.set_layout_engine("none")
                self._background = self._agg.copy_from_bbox(self.figure.bbox)
            else:
                self._agg.restore_region(self._background)
            for artist in self._moving:
                if artist.axes is not None:
                    artist.axes.draw_artist(artist)
                else:
                    self.figure.draw_artist(artist)
            size = self._agg.get_width_height()
            return Image.frombuffer("RGBA", size, self._agg.buffer_rgba()).convert("RGB")

    def png(self) -> bytes:
        """The current frame as PNG: 128 colours and light compression, made for speed."""
        few = self.image().quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        return png_bytes(few)


def png_bytes(image: Image.Image) -> bytes:
    """An image as a PNG file's bytes."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
