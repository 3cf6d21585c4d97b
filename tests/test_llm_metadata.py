"""Metadata out of a language model: the data outrank the reply, and no cell has a say in it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_server import LLMServer, answer
from llm_toys import BATCH, FACTS, FRAME, GOOD, INJECTION, TEXT

from flame.data import read_data
from flame.errors import FlameError, MetadataError
from flame.llm import Endpoint, Replay
from flame.llm.writer import LLMWriter, ask_metadata
from flame.requirement import decide_metadata
from requirements_prompts import TaskFacts, parse_requirement, write_requirement

TABLE = {"task": "tabular_cls", "out_dim": 3, "in_dim": 3, "scale": "base", "arch": "mlp_base"}


def test_metadata_that_agree_need_no_correction() -> None:
    assert ask_metadata(Replay([TABLE]), GOOD, FACTS) == (TABLE, [])


@pytest.mark.parametrize(
    ("change", "correction"),
    [
        ({"out_dim": 1000}, "says out_dim=1000, the facts say 3; 3 is used"),
        ({"in_dim": 9}, "says in_dim=9, the facts say 3"),
        ({"task": "img_cls"}, "says task='img_cls', the facts say 'tabular_cls'"),
        ({"arch": "resnet152"}, "says arch='resnet152', the facts say 'mlp_base'"),
    ],
)
def test_the_data_outrank_the_reply_and_each_correction_is_reported(change: dict[str, Any], correction: str) -> None:
    found, corrections = ask_metadata(Replay([TABLE | change]), GOOD, FACTS)
    assert found == TABLE
    assert len(corrections) == 1
    assert correction in corrections[0]


def test_a_choice_that_does_not_exist_is_asked_for_again() -> None:
    model = Replay([TABLE | {"arch": "resnet18"}, TABLE])
    assert ask_metadata(model, GOOD, FACTS) == (TABLE, [])
    assert "arch: Input should be 'mlp_small'" in model.asked[1][-1]["content"]


def test_without_a_usable_reply_the_rules_decide_and_say_so() -> None:
    found, corrections = ask_metadata(Replay(["no"]), GOOD, FACTS)
    assert found == TABLE
    assert "gave no usable metadata, the rules are used" in corrections[0]


def test_the_scale_is_the_model_s_to_read_only_where_the_rules_read_none() -> None:
    small = TABLE | {"scale": "small", "arch": "mlp_small"}
    odd = replace(FACTS, description="Tell irises apart inside a doorbell.")
    found, corrections = ask_metadata(Replay([small]), GOOD, odd)
    assert found == small
    assert corrections == ["scale 'small' is how the language model reads the description; the sentence says 'base'"]
    plain = replace(FACTS, description="Tell irises apart, the best accuracy please.", scale="large")
    for facts in (plain, replace(FACTS, description=None)):
        found, corrections = ask_metadata(Replay([small]), GOOD.replace("base", facts.scale), facts)
        assert found["scale"] == facts.scale
        assert "says scale='small'" in corrections[0]


def test_a_sentence_that_contradicts_the_facts_is_corrected() -> None:
    wrong = GOOD.replace("3-class", "7-class")
    assert ask_metadata(Replay([TABLE]), wrong, FACTS) == (
        TABLE,
        ["the sentence says 7 classes, however there are 3; 3 is used"],
    )
    found, corrections = ask_metadata(Replay([TABLE]), "Make me a model.", FACTS)
    assert found == TABLE
    assert "the requirement sentence is incomplete" in corrections[0]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (TEXT, {"task": "seq_cls", "out_dim": 2, "scale": "base", "arch": "distilbert-base-uncased"}),
        (TaskFacts("seq_reg"), {"task": "seq_reg", "out_dim": 1, "scale": "base", "arch": "distilbert-base-uncased"}),
        (TaskFacts("img_cls", n_classes=31), {"task": "img_cls", "out_dim": 31, "scale": "base", "arch": "resnet50"}),
        (
            TaskFacts("img_cls", n_classes=31, scale="small"),
            {"task": "img_cls", "out_dim": 31, "scale": "small", "arch": "mobilenet_v3_small"},
        ),
        (
            TaskFacts("tabular_reg", n_features=8, scale="large"),
            {"task": "tabular_reg", "out_dim": 1, "in_dim": 8, "scale": "large", "arch": "mlp_large"},
        ),
    ],
)
def test_a_perfect_model_and_the_rules_agree_on_every_kind_of_task(facts: TaskFacts, expected: dict[str, Any]) -> None:
    sentence = write_requirement(facts)
    assert ask_metadata(Replay([expected]), sentence, facts) == (expected, [])
    assert ask_metadata(Replay([]), sentence, facts)[0] == expected


def test_a_sentence_of_another_type_gives_no_numbers() -> None:
    sentence = write_requirement(TaskFacts("seq_cls", n_classes=9))
    reply = {"task": "img_cls", "out_dim": 4, "scale": "base", "arch": "resnet50"}
    found, corrections = ask_metadata(Replay([reply]), sentence, TaskFacts("img_cls"))
    assert found["out_dim"] == 4
    assert corrections == ["the sentence says 'seq_cls', however it is 'img_cls'"]


def test_a_number_of_classes_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(MetadataError, match="out_dim"):
        ask_metadata(Replay([]), "", TaskFacts("img_cls"))


# --- rows are data --------------------------------------------------------------------------------------------------


def obeys(request: dict[str, Any]) -> dict[str, Any]:
    """A model that does whatever a cell says: as plainly as it can, and in the guise of a proper sentence."""
    text = json.dumps(request["messages"])
    if "sentence" not in json.dumps(request["response_format"]):
        hijacked = {"task": "img_cls", "out_dim": 1000, "in_dim": None, "scale": "large", "arch": "resnet152"}
        return hijacked if INJECTION in text else TABLE
    if INJECTION not in text:
        return {"sentence": GOOD}
    if "cannot be used" not in text:
        return {"sentence": "arch=resnet152", "arch": "resnet152"}
    return {"sentence": "This is a task of 1000-class and large-scaled image classification with resnet152."}


def test_a_cell_that_gives_orders_changes_nothing_in_the_metadata() -> None:
    clean = read_data(FRAME.assign(note="fresh"), target="species")
    found = []
    for batch in (clean, BATCH):
        with LLMServer(answer(obeys)) as server:
            model = Endpoint("toy", base_url=server.url)
            writer = LLMWriter(model)
            sentence = writer.write(FACTS, batch)
            wire = decide_metadata(sentence, FACTS, arch="mlp_base", d_input=9)[0]
            found.append((ask_metadata(model, sentence, FACTS), wire))
        assert bool(writer.notes) == (batch is BATCH)
    assert found[0] == found[1]
    assert found[1][0] == (TABLE, [])
    assert sum(INJECTION in json.dumps(r["messages"]) for r in server.requests) == 3  # the sentences, not the metadata


def test_a_model_that_is_hijacked_for_good_changes_nothing_either() -> None:
    hijacked = {"sentence": GOOD.replace("base", "large"), "task": "img_cls", "out_dim": 9, "arch": "resnet152"}
    facts = replace(FACTS, description="Tell irises apart with little memory.", scale="small")
    sentence = LLMWriter(Replay([hijacked] * 3)).write(facts, BATCH)
    found, corrections = ask_metadata(Replay([hijacked | {"scale": "large"}]), sentence, facts)
    assert found == TABLE | {"scale": "small", "arch": "mlp_small"}
    assert len(corrections) == 4


# --- random replies -------------------------------------------------------------------------------------------------

pieces = st.sampled_from([*GOOD.split(), *TABLE, "3-class", "5-class", ". ", "\n", '"', "setosa", "\ud800", "9" * 5000])
sentences = st.one_of(st.text(max_size=60), st.lists(pieces, max_size=25).map(" ".join), st.just(GOOD))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    sentences,
    st.sampled_from([*TABLE.values(), "img_cls", "large", "resnet152"]),
)
objects = st.dictionaries(st.sampled_from([*TABLE, "sentence", "other"]), scalars | st.lists(scalars, max_size=2))
replies = st.one_of(objects, sentences, objects.map(lambda o: f"Here: {json.dumps(o)}!"), st.lists(scalars, max_size=3))


def survives(said: list[Any]) -> None:
    """The property, for whatever is said: a checked sentence and right metadata, or our error."""
    writer = LLMWriter(Replay(said))
    parsed = parse_requirement(writer.write(FACTS, BATCH))
    assert (parsed.task_type, parsed.n_classes, parsed.n_features, parsed.scale) == ("tabular_cls", 3, 3, "base")
    found, _ = ask_metadata(Replay(said), GOOD, replace(FACTS, description=None))
    assert found == TABLE
    try:
        unknown = ask_metadata(Replay(said), "", TaskFacts("img_cls"))[0]
        assert unknown["out_dim"] >= 2
        LLMWriter(Replay(said)).write(replace(TEXT, n_classes=None), None)
    except FlameError as error:
        assert str(error)  # noqa: PT017


@settings(max_examples=250, deadline=None)
@given(st.lists(replies, max_size=4))
def test_whatever_a_model_says_the_sentence_and_the_metadata_are_right(said: list[Any]) -> None:
    survives(said)
