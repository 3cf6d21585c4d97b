"""Facts of words and data, the sentence they make, and the metadata that the facts correct."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from flame_fixtures import labelled, tiny_fixture, unlabelled  # noqa: F401

from flame import generate_model
from flame.data import DataBatch, read_data
from flame.errors import MetadataError
from flame.patterns import data_pattern
from flame.requirement import OfflineWriter, decide_metadata, gather_facts, notes_on
from requirements_prompts import TaskFacts, parse_requirement

SENTENCE = "This is a task of 3-class, 4-feature and base-scaled tabular classification to tell irises apart."
FACTS = TaskFacts("tabular_cls", n_classes=3, n_features=4)


def batch(**columns: list) -> DataBatch:
    return read_data(pd.DataFrame(columns))


class Fixed:
    """A writer that always says the same, and keeps what it was shown."""

    name = "fixed"
    notes = ()

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        self.shown: tuple[TaskFacts, DataBatch | None] | None = None

    def write(self, facts: TaskFacts, batch: DataBatch | None) -> str:
        self.shown = (facts, batch)
        return self.sentence


def test_labels_outrank_the_number_of_classes_in_the_words():
    facts = gather_facts("Sort into five kinds.", batch(x=[1, 2], y=["a", "b"]))
    assert (facts.n_classes, facts.n_features) == (2, 1)


def test_words_alone_give_classes_and_scale_and_no_features():
    facts = gather_facts("Sort into five kinds; it runs on a phone.", None)
    assert (facts.n_classes, facts.n_features, facts.scale) == (5, None, "small")


@pytest.mark.parametrize(
    ("words", "n"),
    [
        ("Is it a cat, a dog or a horse?", 3),
        ("Tell genuine from forged signatures.", 2),
        ("Decide between entailment, neutral and contradiction.", 3),
        ("Classify reviews and comments by topic.", None),
        ("Classify emails or letters by department.", None),
        ("Classify dogs, cats, horses and other animals in photos.", None),
        ("What kind of answer is wanted: a thing, a person, a place or a number?", None),  # "thing" is no class name
        ("Predict the price or the rent.", None),
    ],
)
def test_classes_that_words_name_as_alternatives_are_counted_and_lists_of_inputs_are_not(words, n):
    assert gather_facts(words, None).n_classes == n


def test_labels_outrank_classes_that_words_name():
    rows = batch(x=[1, 2, 3], y=["a", "b", "c"])
    assert gather_facts("Is it a cat or a dog?", rows).n_classes == 3


@pytest.mark.parametrize(
    ("words", "n"),
    [
        ("Predict the drag of a hull from six dimensionless numbers.", 6),
        ("Each row of the table is a biopsy with thirty numbers.", 30),
        ("Predict the price in a table with 2 numbers and 3 columns.", None),
        ("Predict the next 3 numbers in a table.", None),
    ],
)
def test_numbers_that_a_row_holds_are_its_columns(words, n):
    assert gather_facts(words, None).n_features == n


def test_neither_words_nor_data_leave_classes_unknown():
    assert gather_facts(None, batch(x=[1])).n_classes is None


def test_facts_hold_columns_and_target_but_never_a_label():
    facts = gather_facts(None, batch(x=[1, 2], y=["secret", "other"]))
    assert (facts.columns, facts.target) == (("x",), "y")
    assert "secret" not in str(facts)


@pytest.mark.parametrize(
    ("columns", "pattern"),
    [
        ({"a": [1.0]}, "numeric columns"),
        ({"a": ["u"], "b": [True]}, "categorical columns"),
        ({"a": [1, 2], "b": ["u", None]}, "1 numeric and 1 categorical columns with missing values"),
    ],
)
def test_pattern_tells_kinds_and_missing_values_of_the_inputs(columns, pattern):
    assert data_pattern(batch(**columns)) == pattern


def test_offline_writer_writes_the_facts_and_is_read_back():
    said = parse_requirement(OfflineWriter().write(replace(FACTS, description="Tell irises apart."), None))
    assert (said.n_classes, said.n_features, said.scale) == (3, 4, "base")


# --- metadata ---------------------------------------------------------------------------------------------------------


def decide(sentence: str, facts: TaskFacts = FACTS, arch: str = "mlp_base") -> tuple[dict, list[str]]:
    metadata, corrections = decide_metadata(sentence, facts, arch=arch, d_input=7)
    return metadata.model_dump(), corrections


def test_a_sentence_that_agrees_with_the_facts_needs_no_correction():
    assert decide(SENTENCE) == (
        {"task": "tabular_cls", "out_dim": 3, "in_dim": 4, "scale": "base", "arch": "mlp_base", "d_input": 7},
        [],
    )


def test_facts_correct_every_count_of_the_sentence_and_say_so():
    metadata, corrections = decide(SENTENCE.replace("3-class, 4-feature", "9-class, 8-feature"))
    assert (metadata["out_dim"], metadata["in_dim"]) == (3, 4)
    assert corrections == [
        "the sentence says 9 classes, however there are 3; 3 is used",
        "the sentence says 8 features, however there are 4; 4 is used",
    ]


def test_the_sentence_fills_in_what_the_facts_leave_open():
    assert decide(SENTENCE, TaskFacts("tabular_cls")) == decide(SENTENCE)


def test_a_sentence_that_is_none_is_reported_and_the_facts_are_used():
    metadata, corrections = decide("I cannot help with that.")
    assert metadata["out_dim"] == 3
    assert len(corrections) == 1
    assert corrections[0].startswith("the requirement sentence is incomplete")


def test_a_sentence_of_another_type_is_reported():
    metadata, corrections = decide("This is a task of 3-class and base-scaled text classification about irises.")
    assert metadata["task"] == "tabular_cls"
    assert "the sentence says 'seq_cls', however it is 'tabular_cls'" in corrections


def test_another_scale_than_the_checkpoints_is_reported():
    asked = replace(FACTS, scale="large", scale_asked=True)
    metadata, corrections = decide(SENTENCE.replace("base-scaled", "large-scaled"), asked)
    assert metadata["scale"] == "base"
    assert corrections == ["scale 'large' was asked for; the checkpoint writes 'mlp_base' only"]


def test_a_scale_that_nobody_asked_for_is_not_reported():
    metadata, corrections = decide(SENTENCE, arch="mlp_small")
    assert (metadata["scale"], corrections) == ("small", [])


@pytest.mark.parametrize(("key", "word"), [("out_dim", "classes"), ("in_dim", "features")])
def test_counts_that_nobody_knows_are_an_error(key, word):
    known = {"out_dim": {"n_features": 4}, "in_dim": {"n_classes": 3}}[key]
    with pytest.raises(MetadataError, match=f"metadata: {key} is unknown; .* how many {word}"):
        decide("no sentence", TaskFacts("tabular_cls", **known))


# --- in generation ----------------------------------------------------------------------------------------------------


def test_further_columns_other_spellings_and_labels_do_not_change_the_sentence(tiny):
    plain = generate_model(None, unlabelled(), checkpoint=tiny).requirement
    dressed = labelled().rename(columns={"petal_width": "PetalWidthCm", "class": "species"}).assign(id=1)
    assert generate_model(None, dressed, checkpoint=tiny).requirement == plain
    assert generate_model(None, dressed.assign(species=1, x="a"), checkpoint=tiny).requirement == plain


def test_the_users_words_stand_in_the_sentence(tiny):
    made = generate_model("Tell my three irises apart by petals.", unlabelled(), checkpoint=tiny)
    elements = "3-class, 4-feature and base-scaled tabular classification"
    assert made.requirement.startswith(f"This is a task of {elements} to tell my three irises apart by petals")


def test_a_writer_of_ones_own_is_used_and_named(tiny):
    writer = Fixed(SENTENCE)
    made = generate_model("Irises.", labelled(), checkpoint=tiny, writer=writer)
    assert made.requirement == SENTENCE
    assert made.provenance["requirement_writer"] == "fixed"


def test_a_writer_is_shown_only_what_the_model_reads(tiny):
    writer = Fixed(SENTENCE)
    generate_model("Irises.", labelled().assign(name="Ann", address="here"), checkpoint=tiny, writer=writer)
    assert writer.shown is not None
    facts, shown = writer.shown
    assert shown is not None
    assert list(shown.features.columns) == list(facts.columns) == list(unlabelled().columns)


def test_a_writer_that_talks_nonsense_changes_no_dimension_and_is_reported(tiny):
    made = generate_model("Irises.", labelled(), checkpoint=tiny, writer=Fixed("7-class 9-feature nonsense"))
    assert (made.metadata.out_dim, made.metadata.in_dim) == (3, 4)
    assert any("the requirement sentence is incomplete" in note for note in made.route.notes)
    assert made.predict_proba(unlabelled()).shape == (21, 3)


def test_notes_on_networks_that_are_not_taken_are_left_out_and_those_on_tables_kept():
    said = ("resnet50 is too large, so the scale is small: mobilenet_v3_small", "3 rows are left out")
    pictures = gather_facts("Tell cats from dogs in photos.", None)
    pictures = replace(pictures, notes=said)
    assert notes_on(pictures, "mobilenet_v2") == said[1:]
    assert notes_on(pictures, "mobilenet_v3_small") == said
    table = replace(pictures, task_type="tabular_cls", notes=("so the scale is small: mlp_small",))
    assert notes_on(table, "mlp_base") == table.notes
