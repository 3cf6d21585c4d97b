"""One run of Lightning's trainer for a stated time; killed and started again, it goes on from the last minute."""

from __future__ import annotations

import logging
import platform
import warnings
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from hypernet.timed import TimedModule


def fit_for_minutes(module: TimedModule, work: Path, *, progress: bool, **options: Any) -> None:
    """Train the module's generator in place; `work/last.ckpt` is at most a minute old.

    Args:
        work: folder of the log and the resume file.
        options: further arguments of Lightning's trainer.
    """
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger

    from hypernet.module import SiblingCheckpointIO

    quiet_lightning()
    last = work / "last.ckpt"
    if last.is_file():
        state = torch.load(last, weights_only=True, map_location="cpu")
        module.on_load_checkpoint(state)
        if module.progress >= 1:  # the run is over already
            module.load_state_dict(state["state_dict"])
            return
    minute = timedelta(minutes=1)
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=-1,
        accumulate_grad_batches=module.batches_per_step,
        gradient_clip_val=1.0,
        log_every_n_steps=20,
        callbacks=[ModelCheckpoint(work, "last", train_time_interval=minute, enable_version_counter=False)],
        # A folder per start: Lightning deletes the log it finds, and with it the curve before a kill.
        logger=CSVLogger(work, name="", version=f"log-{len(list(work.glob('log-*'))) + 1}"),
        plugins=[SiblingCheckpointIO()],
        enable_progress_bar=progress,
        enable_model_summary=False,
        **options,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one process reads the stream: Lightning's advice on workers does not fit
        trainer.fit(module, ckpt_path=last if last.is_file() else None, weights_only=True)
        trainer.save_checkpoint(last)


def run_story(module: TimedModule, command: str, *, kept: bool) -> dict[str, Any]:
    """What a checkpoint says of a run.

    Args:
        kept: the weights from before the run were better and are what stays.
    """
    return {
        "command": command,
        "minutes": round(module.seconds / 60, 1),
        "updates": module.n_steps,
        "skipped": module.n_skipped,
        "weights_kept": "those before the run" if kept else "those after the run",
        "hardware": hardware(),
    }


def quiet_lightning() -> None:
    """Errors only: Lightning tells of devices and tips at every start."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def hardware() -> str:
    """What seconds were measured on, without the machine's name."""
    return f"{torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}"
