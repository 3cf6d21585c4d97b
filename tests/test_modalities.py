"""Texts, pairs of texts and pictures are told from tables, and tables stay what they are."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from flame import generate_model, read_data
from flame.data import DataBatch
from flame.errors import DataError, RouteError
from flame.table.tables import TABLES, load_table

REVIEWS = ["a gripping film", "it drags on and on", "What a mess!", "the cast is superb"]
ANSWERS = ["it holds you to the end", "the plot goes nowhere", "nothing works here", "they play very well"]
LABELS = ["good", "bad", "bad", "good"]


class Foreign:
    """Another library's table, such as `datasets.Dataset`."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    def to_pandas(self) -> pd.DataFrame:
        return self.frame


def texts_of(batch: DataBatch) -> list[list[str]]:
    return [batch.features[c.name].tolist() for c in batch.columns]


def modality(data: Any, **options: Any) -> str:
    return read_data(data, **options).modality


# --- texts ------------------------------------------------------------------------------------------------------------

FRAME = pd.DataFrame({"remark": REVIEWS, "label": LABELS})


def text_source(form: str, folder: Path) -> Any:
    if form in ("csv", "jsonl"):
        path = folder / f"reviews.{form}"
        FRAME.to_csv(path, index=False) if form == "csv" else FRAME.to_json(path, orient="records", lines=True)
        return path
    return {
        "list and labels": (REVIEWS, LABELS),
        "array and labels": (np.array(REVIEWS), np.array(LABELS)),
        "series and labels": (pd.Series(REVIEWS), pd.Series(LABELS)),
        "frame": FRAME,
        "foreign": Foreign(FRAME),
        "rows": FRAME.to_dict("records"),
        "columns": FRAME.to_dict("list"),
    }[form]


@pytest.mark.parametrize(
    "form",
    [
        *("list and labels", "array and labels", "series and labels"),
        *("frame", "foreign", "rows", "columns", "csv", "jsonl"),
    ],
)
def test_every_form_of_labelled_texts_becomes_the_same_batch(tmp_path, form):
    batch = read_data(text_source(form, tmp_path))
    assert batch.modality == "text"
    assert texts_of(batch) == [REVIEWS]
    assert batch.labels is not None
    assert batch.labels.tolist() == LABELS
    assert batch.label_values == ("bad", "good")
    assert [(c.kind, c.n_missing, c.n_unique) for c in batch.columns] == [("text", 0, 4)]


def test_a_list_of_texts_is_unlabelled_text_however_short():
    for texts in (REVIEWS, ["awful", "great", "great"], ["👍", "👎"]):
        batch = read_data(texts)
        assert (batch.modality, batch.labels, texts_of(batch)) == ("text", None, [texts])


@pytest.mark.parametrize("cells", [["1", "2.5", "x"], ["2020-01-01", "2021-05-06"], ["1.5", "2"]])
def test_a_list_of_numbers_or_dates_is_no_text(cells):
    assert modality(cells) == "table"


@pytest.mark.parametrize("name", ["text", "Sentence", "review_text", "reviewText", "comment", "question", "tweet 1"])
def test_a_lone_column_of_a_telling_name_is_text_whatever_it_says(name):
    assert modality(pd.DataFrame({name: ["good", "bad", "bad"], "y": [1, 0, 0]}), target="y") == "text"


def test_a_telling_name_does_not_make_text_of_numbers_or_of_pandas_categories():
    assert modality(pd.DataFrame({"text": ["1", "2"]})) == "table"
    assert modality(pd.DataFrame({"text": pd.Categorical(REVIEWS)})) == "table"


def test_short_phrases_are_text_when_they_stand_alone():
    phrases = ["hide new secretions", "contains no wit", "a lump of coal", "the worst", "on all cylinders"] * 5
    sentences = ["The ball rolled.", "Bill left.", "She knows it.", "They drank the pub dry."]
    german = ["Das Essen war schlecht.", "Sehr gut!", "Nie wieder.", "Das war ein schöner Abend."]
    chinese = ["这部电影很好看", "剧情太拖沓了。", "演员非常出色"]
    for cells in (phrases[:5], sentences, german, chinese):
        assert modality(pd.DataFrame({"c0": cells, "y": range(len(cells))}), target="y") == "text"


@pytest.mark.parametrize(
    "cells",
    [
        ["red", "blue", "green"],
        ["New York", "San Francisco", "Los Angeles"],
        ["Ada Lovelace", "Alan Turing", "Grace Hopper"],
        ["12 Main Street", "4 Elm Road", "7 Oak Lane"],
        ["Mon 3 May 2021", "Tue 4 May 2021", "Wed 5 May 2021"],
        ["AB-12", "CD-34", "EF-56"],
        ["chevrolet chevelle malibu", "buick skylark", "plymouth satellite"],
        ["never married", "married", "married", "never married"] * 3,
        ["some of the time", "none of the time"] * 9,
        ["true", "false"],
    ],
)
def test_names_places_dates_codes_and_categories_are_no_text(cells):
    batch = read_data(pd.DataFrame({"c0": cells, "y": [0, *[1] * (len(cells) - 1)]}))
    assert batch.modality == "table"
    assert not [n for n in batch.notes if "free text" in n]


@pytest.mark.parametrize(("name", "numbers"), [("idx", [7, 3, 9, 5]), ("guid", list("wxyz")), ("n", [3, 1, 0, 2])])
def test_a_column_that_only_numbers_the_rows_is_left_out_with_a_note(name, numbers):
    batch = read_data(FRAME.assign(**{name: numbers}))
    assert (batch.modality, texts_of(batch)) == ("text", [REVIEWS])
    assert f"column(s) '{name}' left out: they only number the rows" in batch.notes


def test_rows_without_any_text_are_left_out_with_their_labels_and_a_note():
    batch = read_data(([*REVIEWS, "", "  ", None], [*LABELS, "ugly", "bad", "good"]))
    assert texts_of(batch) == [REVIEWS]
    assert batch.labels is not None
    assert (batch.labels.tolist(), batch.label_values) == (LABELS, ("bad", "good"))
    assert "3 row(s) without any text are left out" in batch.notes


def test_texts_that_are_all_empty_are_refused():
    with pytest.raises(DataError, match="at least one text is expected, however none of the 2 rows holds any"):
        read_data(pd.DataFrame({"text": ["", " "]}), modality="text")


def test_very_long_texts_keep_every_character():
    long = ("word " * 20_000).strip()
    assert texts_of(read_data([long, "short text"])) == [[long, "short text"]]


def test_texts_keep_their_line_breaks_and_lose_blanks_around_them():
    assert texts_of(read_data([" a b\nc ", "d e"])) == [["a b\nc", "d e"]]


def test_half_a_pair_of_characters_in_a_text_is_refused():
    with pytest.raises(DataError, match="holds characters that are none"):
        read_data(pd.DataFrame({"text": pd.Series(["fine text", "a \ud83d text"], dtype=object)}))


# --- pairs ------------------------------------------------------------------------------------------------------------

PAIRS = list(zip(REVIEWS, ANSWERS, strict=True))


@pytest.mark.parametrize(
    "data", [PAIRS, (PAIRS, LABELS), [list(p) for p in PAIRS], pd.DataFrame({"a": REVIEWS, "b": ANSWERS, "y": LABELS})]
)
def test_every_form_of_pairs_becomes_two_columns_of_text(data):
    batch = read_data(data)
    assert batch.modality == "text_pair"
    assert texts_of(batch) == [REVIEWS, ANSWERS]
    assert [c.kind for c in batch.columns] == ["text", "text"]


@pytest.mark.parametrize(
    "names",
    [
        *(("sentence1", "sentence2"), ("premise", "hypothesis"), ("question", "sentence")),
        *(("question1", "question2"), ("text_a", "text_b")),
    ],
)
def test_columns_named_like_a_pair_are_one_in_the_order_of_the_names(names):
    frame = pd.DataFrame({"idx": [4, 5], names[1]: ["Yes", "No"], names[0]: ["Hot", "Cold"], "label": [0, 1]})
    batch = read_data(frame)
    assert batch.modality == "text_pair"
    assert batch.features.columns.tolist() == list(names)


def test_a_text_missing_in_a_pair_is_empty_and_counted():
    batch = read_data([*PAIRS, ("only one side is here", None), (None, None)])
    assert texts_of(batch)[1][-1] == ""
    assert [c.n_missing for c in batch.columns] == [0, 1]
    assert "1 row(s) without any text are left out" in batch.notes


def test_pairs_of_short_phrases_are_texts_in_a_list_and_categories_in_a_frame():
    phrases = [("wet streets", "heavy rain"), ("dry land", "long summer"), ("cold hands", "deep snow")]
    assert modality(phrases) == "text_pair"
    assert modality(pd.DataFrame(phrases, columns=["effect", "cause"])) == "table"


def test_pairs_of_categories_stay_a_table():
    assert modality([("red", "small"), ("blue", "large")]) == "table"
    assert modality([("New York", "Los Angeles"), ("San Francisco", "Salt Lake City")]) == "table"


# --- tables -----------------------------------------------------------------------------------------------------------


def test_text_beside_other_columns_is_read_as_categories_with_a_note():
    frame = FRAME.assign(stars=[5.0, 2.5, 1.0, 4.5])
    batch = read_data(frame)
    assert [(c.name, c.kind) for c in batch.columns] == [("remark", "categorical"), ("stars", "numeric")]
    assert any(n.startswith("free text in column 'remark' is read as categories") for n in batch.notes)
    assert_frame_equal(batch.features, read_data(frame, modality="table").features)


def test_a_table_of_numbered_rows_keeps_its_number():
    batch = read_data(pd.DataFrame({"id": [1, 2], "size": [0.5, 1.5]}))
    assert (batch.modality, [c.name for c in batch.columns], batch.notes) == ("table", ["id", "size"], ())


def test_the_callers_texts_stay_as_they_are():
    frame = pd.DataFrame({"id": [5, 6], "text": [" a ", ""]}, index=[3, 3])
    before = frame.copy()
    read_data(frame)
    assert_frame_equal(frame, before)


@pytest.mark.parametrize("name", ["iris", "heart_disease", "car_evaluation"])
def test_tables_of_the_kit_are_tables_with_the_note_of_their_target_alone(kit, name):
    frame = load_table(name, folder=kit)
    assert read_data(frame).modality == "table"
    assert (
        read_data(frame, target=TABLES[name].target).notes
        == read_data(frame, target=TABLES[name].target, modality="table").notes
    )


def test_text_tasks_of_the_kit_are_texts_or_pairs(kit):
    files = sorted((kit / "text").glob("*/train.jsonl.gz"))
    if not files:
        pytest.skip("needs the texts of the data kit: text/*/train.jsonl.gz under FLAME_DATA")
    wrong = []
    for path in files:
        with gzip.open(path, "rt", encoding="utf8") as lines:
            rows = [json.loads(line) for _, line in zip(range(150), lines, strict=False)]
        frame = pd.DataFrame(rows)[[c for c in ("a", "b", "y") if c in rows[0]]]
        if modality(frame, target="y") != ("text_pair" if "b" in frame else "text"):
            wrong.append(path.parent.name)
    assert wrong == []


# --- as the user says -------------------------------------------------------------------------------------------------


def test_the_user_may_force_a_table():
    batch = read_data((REVIEWS, LABELS), modality="table")
    assert (batch.modality, batch.columns[0].kind, batch.notes) == ("table", "categorical", ())


def test_the_user_may_force_text_and_other_columns_are_left_out_with_a_note():
    batch = read_data(FRAME.assign(stars=[5.0, 2.5, 1.0, 4.5]), modality="text")
    assert texts_of(batch) == [REVIEWS]
    assert "column(s) 'stars' left out: 'text' was asked for" in batch.notes
    assert modality(pd.DataFrame({"c": ["red", "blue"]}), modality="text") == "text"


def test_the_user_may_force_a_pair_out_of_many_columns():
    frame = pd.DataFrame({"premise": ["a", "b"], "genre": ["x", "y"], "hypothesis": ["c", "d"], "size": [1.5, 2.5]})
    assert texts_of(read_data(frame, modality="text_pair")) == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(
    ("data", "asked", "why"),
    [
        (
            FRAME.assign(other=ANSWERS),
            "text",
            "needs one column of text, however 2 of the columns .* 'remark', 'other'",
        ),
        (pd.DataFrame({"a": [1.5], "b": [2.5]}), "text", "needs one column of text, however 0 of the columns"),
        (FRAME, "text_pair", "needs two columns of text, however 1 of the columns .* can be: 'remark'"),
        (pd.DataFrame({"a": [1.5, 2.5]}), "image", "needs one column of pictures or paths, however 0"),
        ([np.zeros((2, 2, 3), dtype="uint8")], "text", "needs texts, however pictures came"),
        (FRAME, "txt", r"modality must be one of \['table', 'text', .*Did you mean 'text'\?.*'txt'"),
    ],
)
def test_what_cannot_be_forced_is_refused(data, asked, why):
    with pytest.raises(DataError, match=why):
        read_data(data, modality=asked)


def test_a_column_of_texts_cannot_become_the_labels():
    with pytest.raises(DataError, match="a column of a table can become the labels, however the data are text"):
        read_data(REVIEWS).label_by("0")


def test_generating_from_pictures_without_labels_says_what_would_help(untrained):
    pytest.importorskip("PIL", reason="pictures need Pillow: pip install 'flame-hypernet[vision]'")
    pictures = np.zeros((4, 8, 8, 3), dtype="uint8")
    with pytest.raises(RouteError, match=r"the pictures have no labels: without a generator.*For pictures, give some"):
        generate_model("Tell good from bad.", pictures, checkpoint=untrained)
