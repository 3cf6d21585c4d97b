"""What a user holds: a plain module with its preprocessing, and the story of how it came to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from flame.columns import plain, shorten
from flame.errors import DataError
from flame.finetune import run_module
from flame.inputs import Preprocessor
from flame.metadata import Metadata
from flame.route import Route

if TYPE_CHECKING:
    from flame.evaluation import Evaluation
    from flame.evaluation.verification import Verification
    from flame.export import ParityReport
    from flame.taskspec import TaskSpec

REGRESSIONS = ("tabular_reg", "seq_reg")
"""Task types whose models predict a number."""


@dataclass(frozen=True, eq=False)
class GeneratedModel:
    """A model whose weights a hypernetwork wrote. It never needs the hypernetwork again.

    Nothing changes in place: `finetune` returns a new model.
    """

    module: nn.Module
    """The network itself, an ordinary torch module."""
    preprocessor: Preprocessor
    """Rows, texts or pairs of texts to numbers; fitted in pre-training or on the support rows, never on query rows."""
    labels: tuple[Any, ...]
    """Label values in the order of the outputs; none for a regression."""
    target: str
    """Name of the predicted column."""
    requirement: str
    """The sentence the weights were written from."""
    metadata: Metadata
    """What was written: task type, dimensions, scale, architecture."""
    route: Route
    """Which checkpoint and head wrote it, and why."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds of every stage of the generation."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Version, checkpoint hash, writer of the requirement, fine-tuning."""

    def predict_proba(self, data: Any) -> np.ndarray:
        """Probabilities of the classes, in the order of `labels`.

        Args:
            data: whatever `generate_model` accepts; the model's columns are found by name, others are ignored. Texts
                may come as a list of strings, pairs of texts as a list of pairs, one picture alone. Broken files of a
                folder are left out with a warning.

        Shape:
            -> (n, k) float32

        Raises:
            DataError: if a column the model reads is missing, or the model predicts a number.
        """
        if self.is_regression:
            raise DataError(f"the model predicts the number {self.target!r}, which has no probabilities; call predict")
        return self._probabilities(self.preprocessor.read(data))

    def predict(self, data: Any) -> np.ndarray:
        """The most likely label of every row, or the predicted number.

        Shape:
            -> (n,) of the user's own label values, or float64
        """
        if self.is_regression:
            return self._outputs(self.preprocessor.read(data))[:, 0].numpy().astype("float64")
        return _as_array(self.labels)[self.predict_proba(data).argmax(1)]

    def evaluate(self, data: Any, *, target: str | None = None, n_resamples: int = 1000, seed: int = 0) -> Evaluation:
        """Score the model on labelled rows, which it should not have been written from.

        Classes: accuracy, balanced accuracy, macro F1, AUC, log-loss, Matthews' correlation, top-k of many classes and
        the calibration error. Numbers: R², root mean squared and mean absolute error, RMSLE where nothing is negative,
        Pearson and Spearman. The result maps names to scores; with it come bootstrap intervals, what always guessing
        the majority or the mean of these rows gives, and tables of errors; `print` it, or write `save_html`.

        Args:
            n_resamples: of the bootstrap; fewer are taken of many rows, 0 leaves the intervals out.

        Raises:
            DataError: if the labels are missing or hold a value the model does not know.
        """
        from flame.evaluation import evaluate_classes, evaluate_numbers

        features, y = self.labelled(data, target)
        if self.is_regression:
            predicted = self._outputs(features)[:, 0].numpy().astype("float64")
            return evaluate_numbers(predicted, y, target=self.target, n_resamples=n_resamples, seed=seed)
        p = self._probabilities(features)
        return evaluate_classes(p, y, self.labels, target=self.target, n_resamples=n_resamples, seed=seed)

    def verify(self, data: Any, spec: TaskSpec, *, target: str | None = None) -> Verification:
        """Measure the model against what was asked for.

        Scores on these rows, parameters, operations, latency, throughput, bytes on disk, seconds of generation; each
        limit of the request beside what was measured here. Grades: P meets everything, W runs and misses something (or
        something cannot be measured here, such as memory), F does not run. A limit on latency holds for 95 % of the
        calls of `predict` with one row.

        Args:
            data: labelled rows that the model was not written from.
            spec: what `flame.understand` read, or `TaskSpec.from_json`.

        Raises:
            DataError: if the labels are missing or hold a value the model does not know.
        """
        from flame.evaluation.verification import verify_model

        return verify_model(self, data, spec, target=target)

    def finetune(
        self,
        data: Any,
        *,
        epochs: int | None = None,
        method: str | None = None,
        seconds: float | None = None,
        target: str | None = None,
        learning_rate: float | None = None,
        patience: int = 10,
        work: str | Path | None = None,
        progress: bool | None = None,
        seed: int = 0,
    ) -> GeneratedModel:
        """Train the weights further on labelled rows (the paper's FLAME-F) and return the new model.

        A seventh of the rows is held out; the epoch with the lowest loss on it is kept, and if none is better than
        the model as it is, the weights stay as they are and `provenance["finetune"]` says so.

        Args:
            epochs: passes over the rows; 1 if not given, or, with `seconds`, as many as fit.
            method: `full` (all weights, of pictures all but the normalisations; usual, but not there for texts), `lora`
                (low-rank adapters; of a text model its own adapter and head, as its base stays as it is; not there for
                pictures) or `head` (the last layer).
            seconds: for all of it, from reading the rows to the new model; loading the trainer, which takes a fresh
                process some seconds, is not counted. Where time is short, fewer rows are looked at after an epoch.
            learning_rate: 0.002 for tables, 0.001 for texts and 0.0001 for pictures if not given.
            patience: epochs without a lower loss on the held-out rows after which training ends.
            work: folder for a resume file; called again with the same arguments after a kill, training goes on from its
                last finished epoch.
            progress: show a bar; on a terminal if not given.

        Raises:
            DataError: if there are fewer than 2 labelled rows or a label is not one of `labels`.
            ConfigError: if a value is out of range, there is no such method for the model, or `work` holds another run.
        """
        from flame.finetune import finetune_model

        return finetune_model(
            self,
            data,
            epochs=epochs,
            method=method,
            seconds=seconds,
            target=target,
            learning_rate=learning_rate,
            patience=patience,
            work=work,
            progress=progress,
            seed=seed,
        )

    def save(self, folder: str | Path, *, merged: bool = False) -> Path:
        """Write the model as a folder: `flame.json`, weights as safetensors, `README.md`. No pickle.

        Of a text model only adapter and head are written, in a form that PEFT loads; the base model is named with its
        hash. A network for pictures is written whole, under torchvision's names. An older model in that folder is
        replaced in one step; nothing is lost if writing fails.

        Args:
            merged: write a plain transformers folder instead, base model included, for
                `pipeline("text-classification", folder)`; text models only, and not all of them.

        Raises:
            CheckpointError: if the folder cannot be written or holds something else.
            ConfigError: if `merged` is asked for and transformers has no form for this model.
        """
        from flame.saving import save_model, save_whole

        return save_whole(self, folder) if merged else save_model(self, folder)

    def with_scores(self, evaluation: Evaluation) -> GeneratedModel:
        """The same model with these scores in its provenance, and so on the card that `save` writes."""
        from flame.card import scores_for_card

        return replace(self, provenance={**self.provenance, "evaluation": scores_for_card(evaluation)})

    def push_to_hub(
        self, repo_id: str, *, private: bool = True, token: str | None = None, message: str | None = None
    ) -> str:
        """Upload what `save` writes to a model hub, and return its address.

        Args:
            repo_id: `owner/name`; it is created if it is not there.
            private: of a new repository: seen by its owner only.
            token: of the hub; the stored one if not given.
            message: of the commit.

        Raises:
            CheckpointError: if the hub cannot be reached or refuses; the message says what to do.
        """
        from flame.hub import push_model

        return push_model(self, repo_id, private=private, token=token, message=message)

    @classmethod
    def from_pretrained(
        cls,
        repo_or_folder: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        base_model: str | None = None,
    ) -> GeneratedModel:
        """A saved model from a folder or, by its name `owner/name`, from a model hub.

        No pickle is read and no code of the repository is run.

        Args:
            revision: branch, tag or commit at the hub.
            base_model: where the base of a text model is, if not where it was.

        Raises:
            CheckpointError: if there is none, or it is truncated, changed or foreign.
        """
        from flame.hub import fetch_model
        from flame.saving import load_model

        folder = Path(repo_or_folder)
        if not folder.is_dir():
            folder = fetch_model(str(repo_or_folder), revision=revision, token=token)
        return load_model(folder, base_model=base_model)

    def export(self, path: str | Path, *, format: str | None = None, rows: Any = None) -> ParityReport:
        """Write the model for another engine: .pt2, .onnx, .int8.onnx, OpenVINO or ncnn; run there and compared.

        Args:
            path: file to write; a card of the preprocessing and a report of the comparison stand beside it.
            format: where the suffix does not say.
            rows: compared on these; made-up rows if not given.

        Raises:
            ExportError: if the export disagrees with the model; nothing of it stays.
            MissingExtraError: if a package of that format is not installed.
        """
        from flame.export import export_model

        return export_model(self, path, format=format, rows=rows)

    def labelled(self, data: Any, target: str | None = None) -> tuple[pd.DataFrame, np.ndarray]:
        """Inputs and labels of labelled rows, as the model counts them.

        Shape:
            -> n rows, (n,) int64 places in `labels`, or float64

        Raises:
            DataError: if the labels are missing or hold a value the model does not know.
        """
        features, labels, name = self.preprocessor.read_labelled(data, target=target, known=self.target)
        if self.is_regression:
            return features, _numbers(labels, name)
        index = {str(plain(v)): i for i, v in enumerate(self.labels)}
        unknown = sorted({str(plain(v)) for v in labels} - set(index))
        if unknown:
            shown = ", ".join(map(shorten, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            raise DataError(f"column {name!r} holds {shown}; the model knows the labels {list(self.labels)!r}")
        return features, np.array([index[str(plain(v))] for v in labels], dtype=np.int64)

    def n_parameters(self) -> int:
        """Numbers in the network, its base model included."""
        return sum(p.numel() for p in self.module.parameters())

    @property
    def is_regression(self) -> bool:
        """Whether the model predicts a number."""
        return self.metadata.task in REGRESSIONS

    def noted(self, *notes: str) -> GeneratedModel:
        """The same model with further notes on its route."""
        return replace(self, route=replace(self.route, notes=(*self.route.notes, *notes)))

    def __repr__(self) -> str:
        size = f"{self.n_parameters():,} parameters"
        kind = "a number" if self.is_regression else f"{len(self.labels)} classes"
        return f"GeneratedModel({self.metadata.arch}, {self.route.task!r}, {kind}, {size})"

    def _outputs(self, rows: pd.DataFrame) -> torch.Tensor:
        x = self.preprocessor.encode(rows)
        outputs = run_module(self.module.eval(), x)
        return outputs if len(x) else torch.zeros(0, self.metadata.out_dim)

    def _probabilities(self, rows: pd.DataFrame) -> np.ndarray:
        return self._outputs(rows).softmax(-1).numpy()


def _numbers(labels: Sequence[Any], name: str) -> np.ndarray:
    """Labels as finite numbers.

    Raises:
        DataError: names the first ones that are none.
    """
    numbers = pd.to_numeric(pd.Series(labels, dtype=object), errors="coerce").to_numpy(dtype="float64")
    bad = ~np.isfinite(numbers)
    if bad.any():
        shown = ", ".join(shorten(labels[i]) for i in np.flatnonzero(bad)[:5])
        raise DataError(f"column {name!r} holds {shown}; the model predicts numbers, so finite numbers are needed")
    return numbers


def _as_array(labels: Sequence[Any]) -> np.ndarray:
    """Labels of one type other than text become an array of that type, all others stay objects."""
    kinds = {type(v) for v in labels}
    fits = len(kinds) == 1 and str not in kinds and not (int in kinds and max(map(abs, labels)) >= 2**63)
    return np.array(labels, dtype=None if fits else object)
