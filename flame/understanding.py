"""From words (and data) to a checked `TaskSpec`; where the words do not do, questions back instead of a guess.

>>> spec = understand("Classify wines from a table of 13 measurements, at most 5k parameters, on a CPU.")
>>> spec.intent, spec.task, spec.inputs.modality, str(spec.constraints[0]), spec.deployment.device
('build', 'classification', 'table', 'parameters <= 5 k', 'cpu')
>>> understand("I need a model.").questions[0]
'What should the model do: sort into classes, predict a number, find things in pictures, or something else?'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flame.errors import MetadataError, RouteError
from flame.spec_report import report
from flame.taskspec import BUILDABLE, TaskSpec
from requirements_prompts.understanding.limits import read_limits
from requirements_prompts.understanding.request import Understanding, read_device_of, read_request, read_task_of
from requirements_prompts.words import MAX_CHARS

__all__ = ["ask_back", "report", "require_buildable", "understand"]

_ASK_TASK = "What should the model do: sort into classes, predict a number, find things in pictures, or something else?"
_QUESTIONS = {
    "not_a_request": "This does not read like a request for a model. What should a model predict, find or produce?",
    "no_task": _ASK_TASK,
    "no_target": "What exactly should be predicted or recognised? Name the classes, the objects or the quantity.",
    "two_devices": "You name both CPU and GPU. On which of them does the model have to run?",
}
_ORDERS = {
    "classification": "Classify",
    "detection": "Detect",
    "segmentation": "Segment",
    "keypoints": "Locate the keypoints of",
    "forecasting": "Forecast",
    "clustering": "Cluster",
    "ranking": "Rank",
    "translation": "Translate",
    "summarization": "Summarise",
    "generation": "Generate",
    "anomaly_detection": "Detect anomalies in",
}
"""How an answer to "what exactly?" becomes a request again."""


def understand(text: str, data: Any = None, *, target: str | None = None) -> TaskSpec:
    """Read a request offline, with plain rules; about two milliseconds without data.

    Args:
        text: the request in the user's words; only the first 4000 characters are read.
        data: rows, as `flame.read_data` accepts them, or a batch it returned. Facts of the data outrank the words.
        target: the column to predict.

    Returns:
        A specification. Where the request is none, contradicts itself or says too little, its `intent` is "unclear" and
        its `questions` say what to ask.

    Raises:
        MetadataError: if `text` is no string.
        DataError: if the data cannot be read.
    """
    if not isinstance(text, str):
        raise MetadataError(f"a request in words is expected, however: {type(text).__name__}; give a str")
    return _understand(text, data, target, {})


def ask_back(
    spec: TaskSpec, ask: Callable[[str], str], *, data: Any = None, target: str | None = None, rounds: int = 5
) -> TaskSpec:
    """Ask the questions of a specification one after the other, and read the request again with each answer.

    Args:
        spec: what was understood so far.
        ask: takes a question and returns the answer (`input`, `typer.prompt`); an empty answer ends the asking.
        data: as for `understand`.
        target: as for `understand`.
        rounds: how often to ask at most.

    >>> answers = iter(["a CPU"])
    >>> ask_back(understand("Detect cars in photos on CPU only, it must use the GPU."), lambda _: next(answers)).intent
    'build'
    """
    text, settled = spec.text, dict[str, Any]()
    for _ in range(rounds):
        seen = read_request(text)
        problem = next((p for p in seen.problems if _question(p, seen) in spec.questions and p not in settled), None)
        if problem is None:
            break
        answer = ask(_question(problem, seen)).strip()
        if not answer:
            break
        text = _answered(text, problem, answer, settled)
        spec = _understand(text, data, target, settled)
    return spec


def require_buildable(spec: TaskSpec) -> None:
    """Refuse a specification that no model can be generated from.

    Raises:
        MetadataError: if it is a question for advice, or questions are open; they stand in the message.
        RouteError: if this library cannot build the task from the modality.
    """
    if spec.intent != "build":
        asked = " ".join(spec.questions) or "it asks for advice; say what a model should do"
        raise MetadataError(f"a specification with intent 'build' is expected, however: {spec.intent!r}; {asked}")
    if not spec.buildable:
        known = ", ".join(f"{task} of {modality}s" for task, modality in sorted(BUILDABLE, key=str))
        said = f"{spec.task} of {spec.inputs.modality or 'an unknown input'}"
        raise RouteError(f"this version builds {known}, however: {said}")


def _answered(text: str, problem: str, answer: str, settled: dict[str, Any]) -> str:
    """The text with an answer in it; what a text cannot say (which of two) goes to `settled`, by problem."""
    seen, (code, _, name) = read_request(text), problem.partition(":")
    if code == "not_a_request":
        return answer
    if code == "two_devices" and (device := read_device_of(answer)):
        settled[problem] = {"device": device}
    elif code == "two_tasks" and (task := read_task_of(answer)) in seen.two_tasks:
        settled[problem] = {"task": task}
    elif code in ("impossible", "empty_range"):
        limits = [c for c in read_limits(f"{name.replace('_', ' ')} {answer}") if (c.name or c.kind) == name]
        if limits:
            settled[problem] = {"limit": (name, limits)}
    elif code == "no_target" and read_request(answer).problems:
        return f"{_ORDERS.get(seen.task or '', 'Predict')} {answer.rstrip('.')}. {text}"
    elif code in ("no_task", "no_target"):
        return f"{answer.rstrip('.')}. {text}"
    return text


def _understand(text: str, data: Any, target: str | None, settled: dict[str, Any]) -> TaskSpec:
    seen = read_request(text)
    spec = _spec_of(seen, text, settled)
    if data is None:
        return spec
    from flame.spec_data import with_data  # pandas is imported only where there are rows

    return with_data(spec, data, target, questions_of=lambda known: _questions(seen, {*settled, *known}))


def _spec_of(seen: Understanding, text: str, settled: dict[str, Any]) -> TaskSpec:
    chosen = {k: v for answer in settled.values() for k, v in answer.items()}
    limits = list(seen.limits)
    for answer in settled.values():
        if "limit" in answer:
            name, better = answer["limit"]
            limits = [c for c in limits if (c.name or c.kind) != name] + better
    task, device = chosen.get("task", seen.task), chosen.get("device", seen.device)
    questions = _questions(seen, set(settled))
    known = {"task": task, "target": seen.objects or seen.datasets, "modality": seen.modality}
    missing = [name for name, value in known.items() if not value]
    settles = seen.intent == "unclear" and not questions
    return TaskSpec.model_validate(
        {
            "intent": "build" if settles else seen.intent,
            "task": task,
            "domain": seen.domain,
            "inputs": {
                "modality": seen.modality,
                "kind": seen.kind,
                "datasets": seen.datasets,
                "objects": seen.objects,
            },
            "constraints": [vars(limit) for limit in limits],
            "model_family": seen.family,
            "deployment": {"device": device, "engine": seen.engine},
            "user_knowledge": seen.knowledge,
            "missing": missing,
            "questions": questions,
            "confidence": _confidence(seen, len(missing), bool(questions)),
            "notes": [f"only the first {MAX_CHARS} characters were read"] if seen.truncated else [],
            "text": text.strip()[:MAX_CHARS],
        }
    )


def _questions(seen: Understanding, settled: set[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_question(p, seen) for p in seen.problems if p not in settled))


def _question(problem: str, seen: Understanding) -> str:
    code, _, name = problem.partition(":")
    if code == "two_tasks":
        first, second = (t.replace("_", " ") for t in seen.two_tasks)
        return f"You ask for {first} and for {second}, which are two models. Which of them comes first?"
    if code == "impossible":
        limit = next(c for c in seen.limits if (c.name or c.kind) == name)
        said = f"{limit.value:g}" + (f" {limit.unit}" if limit.unit else "")
        bounds = "between 0 and 1 (or 100 %)" if limit.kind == "metric" else "above 0"
        return f"{name.replace('_', ' ')} can only be {bounds}, however: {said}. Which value do you need?"
    if code == "empty_range":
        return f"No value of {name.replace('_', ' ')} is within the bounds you give. Which bound holds?"
    return _QUESTIONS[code]


def _confidence(seen: Understanding, n_missing: int, open_questions: bool) -> float:
    """How sure the reading is: high where nothing is missing, guessed or at odds."""
    if open_questions:
        return 0.9 if seen.problems == ("not_a_request",) else 0.3
    return round(max(0.95 - 0.15 * n_missing - 0.2 * seen.weak_task, 0.1), 2)
