"""Other questions on texts that are there already: only the description says which one is asked.

A few dozen tasks let a generator learn one adapter that serves them all. Derived questions make the sentence matter:
the same rows are asked for their subject, their opinion, where they come from and how they are written, and where the
answers are "yes" and "no", nothing but the description tells what they mean.

Shape letters: n = rows, t = tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from flame.text.encoding import TextEncoder
from flame.text.tasks import TextTask
from hypernet.adapters.stream import AdapterTask
from requirements_prompts.questions import FORMS, LISTED, NO_YES, OPINIONS, SOURCES, SUBJECT, WHERE_FROM

MOST_OF_ONE = 500
"""Rows that a task gives to the pool in which texts of many tasks are asked the same."""
N_SUBSETS, SUBSET = 60, (2, 6)
"""Subsets of the labels of a task with many, and how many labels such a subset has."""
LEAST = 8
"""Rows that every answer needs."""


@dataclass(frozen=True)
class Question:
    """What is asked of the rows of a task, or of the pool."""

    name: str
    descriptions: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    """Words for every answer."""
    y: Tensor
    """(n,) index of the answer; -1: the row is not asked."""


def derived_tasks(
    tasks: Sequence[TextTask], rows: Sequence[AdapterTask], encoder: TextEncoder, *, part: float, seed: int = 0
) -> list[AdapterTask]:
    """Derived questions on the rows of training tasks, which they share and do not copy.

    Args:
        rows: of the same tasks, with their shares of the batches.
        part: of all batches, those that ask a derived question; every family of questions gets as many.
    """
    draws = torch.Generator().manual_seed(seed)
    by_name = {task.name: (task, made) for task, made in zip(tasks, rows, strict=True)}
    many = [(task, made) for task, made in by_name.values() if len(task.labels) > 6]
    families = [(made, _subjects(task, made)) for task, made in many]
    families += [(made, _subsets(task, made, draws)) for task, made in many]
    sources = [by_name[name] for name in SOURCES if name in by_name]
    if len(sources) > 1:
        pool = _pool(sources)
        families += [(pool, _sources(sources)), (pool, _opinions(pool))]
        families += [(pool, _forms(pool, encoder))] if len(pool.inputs) > 1 else []  # features hold no words
    found = [(made, [q for q in asked if _enough(q)]) for made, asked in families]
    found = [(made, asked) for made, asked in found if asked]
    total = sum(made.share for made in rows) * part / (1 - part)
    return [
        _as_task(made, question, encoder, total / len(found) / len(asked))
        for made, asked in found
        for question in asked
    ]


def _as_task(made: AdapterTask, question: Question, encoder: TextEncoder, share: float) -> AdapterTask:
    return AdapterTask(
        name=question.name,
        share=share,
        descriptions=encoder.embed(question.descriptions),
        words=tuple(encoder.embed(words) for words in question.words),
        y=question.y,
        lengths=made.lengths,
        inputs=made.inputs,
    )


def _enough(question: Question) -> bool:
    return all(int((question.y == i).sum()) >= LEAST for i in range(len(question.words)))


def _subjects(task: TextTask, made: AdapterTask) -> list[Question]:
    """One label against all others; the answers are yes and no, or say it again."""
    found = []
    for i, words in enumerate(task.words):
        told = tuple(text.format(one=word) for text in SUBJECT for word in words)
        answers = NO_YES if i % 2 else (("something else",), words)
        found.append(Question(f"{task.name}: {words[0]}", told, answers, (made.y == i).long()))
    return found


def _subsets(task: TextTask, made: AdapterTask, draws: torch.Generator) -> list[Question]:
    """Some of the labels, which the description lists."""
    found = []
    for i in range(N_SUBSETS):
        k = int(torch.randint(SUBSET[0], SUBSET[1] + 1, (), generator=draws))
        chosen = torch.randperm(len(task.words), generator=draws)[:k].tolist()
        words = tuple(task.words[j] for j in chosen)
        listed = ", ".join(w[0] for w in words[:-1]) + f" or {words[-1][0]}"
        y = torch.full_like(made.y, -1)
        for place, j in enumerate(chosen):
            y[made.y == j] = place
        found.append(Question(f"{task.name}: subset {i}", tuple(t.format(all=listed) for t in LISTED), words, y))
    return found


def _pool(sources: Sequence[tuple[TextTask, AdapterTask]]) -> AdapterTask:
    """Rows of several tasks as one; its `y` is the sentiment where it is known, else -1."""
    t = max(made.inputs[0].shape[1] for _, made in sources)
    parts = [[pad(values[:MOST_OF_ONE], (0, t - values.shape[1])) for values in made.inputs] for _, made in sources]
    moods = [made.y[:MOST_OF_ONE] if task.kind == "sentiment" else -torch.ones_like(made.y[:MOST_OF_ONE])
             for task, made in sources]  # fmt: skip
    inputs = tuple(torch.cat(values) for values in zip(*parts, strict=True))
    lengths = torch.cat([made.lengths[:MOST_OF_ONE] for _, made in sources])
    first = sources[0][1]
    return AdapterTask("pool", 1.0, first.descriptions, (), torch.cat(moods), lengths, inputs)


def _sources(sources: Sequence[tuple[TextTask, AdapterTask]]) -> list[Question]:
    """Where a text comes from, among all of them and one against the others."""
    sizes = [min(MOST_OF_ONE, len(made.y)) for _, made in sources]
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    words = tuple((SOURCES[task.name],) for task, _ in sources)
    found = [Question("pool: source", WHERE_FROM, words, y)]
    for i, (word,) in enumerate(words):
        told = (f"Is the text {word}?", f"Find {word}.", f"Tell {word} from any other text.")
        found.append(Question(f"pool: {word}", told, NO_YES, (y == i).long()))
    return found


def _opinions(pool: AdapterTask) -> list[Question]:
    """The same reviews asked from both sides."""
    known = pool.y >= 0
    return [
        Question(f"pool: {told[0]}", told, NO_YES, torch.where(known, (pool.y == yes).long(), -1))
        for told, yes in OPINIONS
    ]


def _forms(pool: AdapterTask, encoder: TextEncoder) -> list[Question]:
    """How a text is written, told from its tokens."""
    ids = pool.inputs[0]
    found = []
    for told, signs in FORMS:
        wanted = torch.tensor(encoder.tokenizer.convert_tokens_to_ids(list(signs)))
        found.append(Question(f"pool: {told[0]}", told, NO_YES, torch.isin(ids, wanted).any(1).long()))
    return found
