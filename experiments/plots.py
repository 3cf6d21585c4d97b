"""Figures as PNG files; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flame.errors import missing_extra


@contextmanager
def figure(
    path: str | Path, *, size: tuple[float, float] = (6.0, 4.0), panels: int = 1, columns: int | None = None
) -> Iterator[list[Any]]:
    """Axes to draw on, side by side or in rows of `columns`; the file is written at the end.

    Raises:
        MissingExtraError: without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib", "plot", "figures") from error
    canvas = FigureCanvasAgg(Figure(figsize=size, layout="constrained"))
    across = columns or panels
    axes = canvas.figure.subplots(-(-panels // across), across, squeeze=False).flatten()
    for unused in axes[panels:]:
        unused.set_axis_off()
    yield list(axes[:panels])
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    canvas.figure.savefig(path, dpi=150)
