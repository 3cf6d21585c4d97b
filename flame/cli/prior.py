"""`flame prior`: a look at the synthetic tables on which the generator for unseen tables is pre-trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flame.cli.options import Json
from flame.cli.output import show, table
from flame.errors import DataError, missing_extra

if TYPE_CHECKING:
    import numpy as np

    from hypernet.prior import TableBatch


def prior(
    plot: Annotated[Path | None, typer.Option(help="Picture to write, such as prior.png.")] = None,
    n: Annotated[int, typer.Option("--n", min=1, max=60, help="Number of tables.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Other seeds show other tables.")] = 0,
    as_json: Json = False,
) -> None:
    """Sample synthetic tables and say, or draw, what they look like.

    Example: flame prior --n 12 --plot prior.png
    """
    from hypernet.prior import PriorConfig, TablePrior

    stream = TablePrior(PriorConfig(), seed=seed, n_tasks=1)
    batches = [stream.batch(step) for step in range(n)]
    if plot is not None:
        draw(batches, plot)
    rows = [summary(batch) for batch in batches]
    if as_json:
        show({"seed": seed, "tables": rows} | ({"saved_to": str(plot)} if plot else {}), as_json)
    else:
        # Eighty characters are enough for these.
        table([{k: v for k, v in row.items() if k not in ("support", "relevant")} for row in rows])


def summary(batch: TableBatch) -> dict[str, Any]:
    """One row of the printed table, for the first table of a batch."""
    y = batch.y[0]
    classes = int(batch.n_classes[0])
    return {
        "family": batch.family[0],
        "rows": batch.x.shape[1],
        "support": batch.n_support,
        "columns": batch.x.shape[2],
        "relevant": int(batch.relevant[0].sum()),
        "categorical": round(float(batch.categorical[0].float().mean()), 2),
        "missing": round(float(batch.x[0].isnan().float().mean()), 3),
        "classes": classes or "number",
        "majority": round(float(y.long().bincount().max()) / len(y), 2) if classes else None,
    }


def draw(batches: list[TableBatch], place: Path) -> None:
    """A picture with one scatter per table: its two most telling columns, coloured by class or number.

    Raises:
        MissingExtraError: if matplotlib is not installed.
        DataError: if the picture cannot be written there.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib", "plot", "pictures of tables") from error
    wide = min(3, len(batches))
    high = -(-len(batches) // wide)
    figure = Figure(figsize=(3.6 * wide, 3.2 * high), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, batch in zip(figure.subplots(high, wide, squeeze=False).flat, batches, strict=False):
        first, second = telling_columns(batch)
        x, y = batch.x[0].numpy(), batch.y[0].numpy()
        classes = int(batch.n_classes[0])
        colours = (
            {"cmap": "tab10", "vmin": -0.5, "vmax": 9.5} if classes else {"cmap": "viridis", "vmin": -2, "vmax": 2}
        )
        axes.scatter(_axis(batch, first), _axis(batch, second), c=y, s=6, **colours)
        kind = f"{classes} classes" if classes else "a number"
        axes.set_title(f"{batch.family[0]}: {len(y)} rows, {x.shape[1]} columns, {kind}", fontsize=8)
        axes.set(xlabel=f"column {first}", ylabel="(spread at random)" if second is None else f"column {second}")
        axes.tick_params(labelsize=6)
    for axes in figure.axes[len(batches) :]:
        axes.set_axis_off()
    try:
        figure.savefig(place, dpi=120)
    except (OSError, ValueError) as error:
        raise DataError(f"expected a picture that can be written, such as prior.png, however: {error}") from error


def telling_columns(batch: TableBatch) -> tuple[int, int | None]:
    """The two relevant columns on whose quantile bins the target depends most; None if there is but one."""
    import numpy as np

    x, y = batch.x[0].numpy(), batch.y[0].numpy()
    wanted = np.eye(10)[y.astype(int)] if batch.n_classes[0] else y[:, None]
    gains = {int(j): _gain(x[:, j], wanted) for j in batch.relevant[0].nonzero()[:, 0]}
    best = sorted(gains, key=lambda j: -gains[j])
    return best[0], best[1] if len(best) > 1 else None


def _gain(column: np.ndarray, wanted: np.ndarray) -> float:
    import numpy as np

    known = ~np.isnan(column)
    if not known.any():
        return 0.0
    bins = np.searchsorted(np.quantile(column[known], np.linspace(0.1, 0.9, 9)), column)
    means = [wanted[bins == i].mean(0) * (bins == i).mean() ** 0.5 for i in np.unique(bins)]
    return float(np.square(means).sum() - np.square(wanted.mean(0)).sum())


def _axis(batch: TableBatch, j: int | None) -> np.ndarray:
    """A column to draw: codes moved a little, so that rows of one category do not hide each other."""
    import numpy as np

    noise = np.random.default_rng(0 if j is None else j + 1).uniform(-0.3, 0.3, batch.x.shape[1])
    if j is None:
        return noise
    column = batch.x[0, :, j].numpy()
    return column + noise if batch.categorical[0, j] else column
