"""Models for texts: written from labelled texts, or from the names of classes alone; on tiny random base models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from text_fixtures import (  # noqa: F401
    BAD,
    GOOD,
    LABELS,
    TEXTS,
    base_fixture,
    bases_fixture,
    frame,
    minilm_fixture,
    model_fixture,
    stirred_generator,
)

import flame
import flame.text.any_text
from flame import generate_model
from flame.class_names import class_names
from flame.errors import DataError, FlameError, RouteError
from flame.support import spread_rows

ZERO_SHOT = "Is this review positive or negative?"
PAIRS = [*zip(GOOD, GOOD[::-1], strict=True), *zip(GOOD, BAD, strict=True)]
ALIKE = [1] * len(GOOD) + [0] * len(BAD)


# --- from labelled texts ----------------------------------------------------------------------------------------------


def test_labelled_texts_give_a_model_that_has_learnt_them(model):
    assert list(model.predict(TEXTS)) == LABELS
    assert model.evaluate(frame())["accuracy"] == 1.0
    assert (model.metadata.task, model.metadata.out_dim, model.metadata.arch) == ("seq_cls", 2, "bert")
    assert (model.route.way, model.route.task, model.labels) == ("any_text", "label", ("nay", "yea"))
    assert repr(model).startswith("GeneratedModel(bert, 'label', 2 classes, ")


def test_texts_that_were_not_given_get_the_label_of_texts_like_them(model):
    assert list(model.predict(["good great fine", "bad sad poor"])) == ["yea", "nay"]


@pytest.mark.parametrize("form", ["frame", "pair", "dicts", "csv", "jsonl", "dataset"])
def test_every_form_of_texts_gives_the_same_model(base, model, tmp_path, form):
    data: Any = frame()
    if form == "pair":
        data = (TEXTS, LABELS)
    elif form == "dicts":
        data = frame().to_dict("records")
    elif form == "csv":
        frame().to_csv(tmp_path / "a.csv", index=False)
        data = str(tmp_path / "a.csv")
    elif form == "jsonl":
        frame().to_json(tmp_path / "a.jsonl", orient="records", lines=True)
        data = tmp_path / "a.jsonl"
    elif form == "dataset":
        data = pytest.importorskip("datasets").Dataset.from_pandas(frame())
    made = generate_model("Sentiment of reviews", data, base_model=base)
    expected = model.predict_proba(TEXTS)
    assert np.array_equal(made.predict_proba(TEXTS), expected)
    rows = data[0] if form == "pair" else data
    assert np.array_equal(model.predict_proba(rows), expected)


def test_the_order_and_the_company_of_texts_hardly_change_a_prediction(model):
    together = model.predict_proba(TEXTS)
    assert np.allclose(model.predict_proba(TEXTS[::-1])[::-1], together, atol=1e-5)
    assert np.allclose(np.concatenate([model.predict_proba([t]) for t in TEXTS]), together, atol=1e-5)


def test_pairs_are_read_by_column_whatever_their_order(base):
    rows = pd.DataFrame(PAIRS, columns=["sentence1", "sentence2"]).assign(label=ALIKE)
    made = generate_model("Do the two sentences mean the same?", rows, base_model=base)
    expected = made.predict_proba(rows)
    assert made.preprocessor.names == ("sentence1", "sentence2")
    assert np.array_equal(made.predict_proba(rows[["label", "sentence2", "sentence1"]]), expected)
    assert np.array_equal(made.predict_proba(PAIRS), expected)
    assert not np.allclose(made.predict_proba([(b, a) for a, b in PAIRS]), expected, atol=1e-3)
    assert made.evaluate(rows)["accuracy"] > 0.9


def test_a_missing_column_of_a_pair_is_named(base):
    rows = pd.DataFrame(PAIRS, columns=["sentence1", "sentence2"]).assign(label=ALIKE)
    made = generate_model(None, rows, base_model=base)
    with pytest.raises(DataError, match=r"however: 'sentence2' missing from \['sentence1', 'label'\]"):
        made.predict(rows.drop(columns="sentence2"))
    with pytest.raises(DataError, match=r"'sentence1', 'sentence2'.*however: 1 column\(s\) without names"):
        made.predict(TEXTS)


def test_numbers_are_predicted_in_their_own_unit(base):
    score = [1e6 + 1e3 * len(t) + 0.5 for t in TEXTS]
    made = generate_model("How long is it?", (TEXTS, score), base_model=base)
    assert (made.metadata.task, made.metadata.out_dim, made.labels) == ("seq_reg", 1, ())
    assert made.evaluate((TEXTS, score))["r2"] > 0.7
    with pytest.raises(DataError, match="predicts the number"):
        made.predict_proba(TEXTS)


def test_labels_keep_their_type(base):
    made = generate_model(None, (TEXTS, [v == "yea" for v in LABELS]), base_model=base)
    assert made.predict(TEXTS).dtype == bool
    made = generate_model(None, (TEXTS, [int(v == "yea") + 3 for v in LABELS]), base_model=base)
    assert set(made.predict(TEXTS).tolist()) == {3, 4}


def test_of_many_rows_some_are_read_evenly_spread_over_the_classes(base, monkeypatch):
    monkeypatch.setattr(flame.text.any_text, "MAX_ROWS", 12)
    many = (TEXTS * 5 + BAD[:2], LABELS * 5 + ["rare"] * 2)
    made = generate_model(None, many, base_model=base)
    assert any("12 of 92 labelled rows are read" in n for n in made.route.notes)
    assert "12 labelled texts and 3 classes" in made.route.reason
    batch = spread_rows(flame.read_data(many), 12, [])
    assert batch.labels.value_counts().to_dict() == {"yea": 5, "nay": 5, "rare": 2}
    assert len(set(batch.features.iloc[:, 0])) > 6


def test_few_rows_of_a_class_are_noted(base, model):
    made = generate_model(None, (TEXTS[:10], LABELS[:10]), base_model=base)
    assert any("a class has only 1 labelled text(s)" in n for n in made.route.notes)
    assert not any("labelled text(s)" in n for n in model.route.notes)


def test_one_class_only_is_refused(base):
    with pytest.raises(DataError, match="every row holds the same value 'yea'"):
        generate_model(None, (GOOD, ["yea"] * len(GOOD)), base_model=base)


def test_labels_that_were_given_beside_labelled_rows_must_be_theirs(base):
    made = generate_model(None, frame(), labels=["yea", "nay"], base_model=base)
    assert made.labels == ("yea", "nay")
    with pytest.raises(DataError, match=r"however column 'label' holds \['nay', 'yea'\]"):
        generate_model(None, frame(), labels=["good", "bad"], base_model=base)


# --- from the names of classes ----------------------------------------------------------------------------------------


def test_a_description_that_names_its_classes_is_enough(base):
    made = generate_model(ZERO_SHOT, base_model=base)
    assert made.labels == ("positive", "negative")
    assert made.metadata.out_dim == 2
    assert made.preprocessor.names == ("text",)
    assert "'positive', 'negative'" in made.route.reason
    assert any("no labelled texts were given" in n for n in made.route.notes)
    assert made.predict_proba(TEXTS).shape == (len(TEXTS), 2)
    assert len(made.predict(pd.DataFrame({"review": TEXTS}))) == len(TEXTS)


def test_the_name_of_a_class_is_most_like_itself(base):
    made = generate_model(ZERO_SHOT, base_model=base)
    assert list(made.predict(["positive", "negative"])) == ["positive", "negative"]


def test_names_may_be_given_for_unlabelled_texts_and_their_order_changes_nothing(base):
    one = generate_model(None, TEXTS, labels=["positive", "negative"], base_model=base)
    two = generate_model(None, TEXTS, labels=["negative", "positive"], base_model=base)
    assert two.labels == ("negative", "positive")
    assert np.allclose(one.predict_proba(TEXTS), two.predict_proba(TEXTS)[:, ::-1], atol=1e-6)


def test_names_alone_are_taken_for_those_of_texts_where_nothing_else_is_said(base):
    assert generate_model("Sort them.", labels=["good", "bad"], base_model=base).metadata.task == "seq_cls"


def test_a_pair_of_texts_can_be_asked_for_in_words(base):
    words = "Does the first sentence entail the second: entailment, neutral or contradiction?"
    made = generate_model(words, base_model=base)
    assert made.preprocessor.names == ("sentence1", "sentence2")
    assert len(made.predict(PAIRS)) == len(PAIRS)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("Sort support tickets into Billing, Shipping and Technical.", ("Billing", "Shipping", "Technical")),
        ("Tell spam messages from normal ones.", ("spam", "normal")),
        ("Classify tweets as spam or ham.", ("spam", "ham")),
        ("Sentiment of reviews: positive / negative", ("positive", "negative")),
        ("Which language is the text: English, French or German?", ("English", "French", "German")),
        ("Sort product reviews into 5 classes.", ()),
        ("Is one question a paraphrase of the other? Answer yes or no.", ()),
        ("", ()),
        (None, ()),
    ],
)
def test_the_names_of_classes_are_read_in_the_words(words, names):
    assert class_names(words) == names


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (["good"], r"at least two labels are expected, however: \['good'\]"),
        (["good", "Good "], "labels must differ, however: 'Good ', 'good'"),
        (["1", "2"], "labels must be words, .* however: '1', '2'"),
        ([0, 1], "labels must be words, .* however: 0, 1"),
        (["good", "", "👍"], "labels must be words, .* however: '', '👍'"),
        ("good,bad", "labels must be a list of names, .* however: str"),
        ([], "at least two labels are expected"),
    ],
)
def test_labels_that_say_nothing_are_refused(base, labels, why):
    with pytest.raises(DataError, match=why):
        generate_model("Sort reviews.", TEXTS, labels=labels, base_model=base)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("Sort the texts.", "there are texts without labels, and the words name no classes one by one"),
        ("Summarise the articles.", "the words ask for a text to be written"),
        ("Predict the price of a house from its description.", "can only be learnt from labelled ones"),
    ],
)
def test_texts_without_labels_and_names_end_in_an_error_that_says_what_would_help(base, words, why):
    with pytest.raises(RouteError, match=rf"{why}.*\. For texts, give some with labels"):
        generate_model(words, TEXTS, base_model=base)


def test_options_of_texts_are_refused_for_a_table(base):
    rows = pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": ["p", "q", "p"]})
    with pytest.raises(DataError, match="the data are a table, for which labels and base_model cannot be given; leave"):
        generate_model(None, rows, target="y", labels=["p", "q"], base_model=base)


# --- strange texts ----------------------------------------------------------------------------------------------------


def test_strange_texts_are_read(model):
    strange = ["", " ", "👍👎", "مرحبا بالعالم", "שלום", "木の幅", "\x00\x07", "e\u0301" * 30, "a\nb\tc", "﷽" * 50]
    with pytest.warns(UserWarning, match="have more than 24 tokens"):
        found = model.predict_proba([*strange, "x " * 50_000])
    assert found.shape == (11, 2)
    assert np.isfinite(found).all()


def test_missing_texts_are_empty_ones(model):
    rows = pd.DataFrame({"text": [None, float("nan"), ""]})
    assert np.allclose(model.predict_proba(rows), model.predict_proba(["", "", ""]))


def test_no_texts_give_no_predictions(model):
    assert model.predict([]).shape == (0,)
    assert model.predict_proba(pd.DataFrame({"text": []})).shape == (0, 2)


def test_long_texts_are_cut_and_the_route_says_how_many(base):
    rows = ([*TEXTS, "good " * 20_000], [*LABELS, "yea"])
    made = generate_model(None, rows, base_model=base)
    assert any("1 of 19 texts have more than 24 tokens; the rest is not read" in n for n in made.route.notes)
    with pytest.warns(UserWarning, match="1 of 1 texts have more than 24 tokens"):
        assert list(made.predict(["good " * 20_000])) == ["yea"]


def test_a_text_that_stands_in_no_list_is_refused_with_what_to_write(model):
    with pytest.raises(DataError, match=r"however: one string, which names no file; write predict\(\[text\]\)"):
        model.predict("great phone")


def test_broken_characters_and_nested_cells_are_our_error(model):
    with pytest.raises(DataError, match=r"half of a pair|surrogates not allowed"):
        model.predict(["a \ud83d"])
    with pytest.raises(DataError):
        model.predict(pd.DataFrame({"text": [["a"], ["b"]]}))


def test_a_file_that_is_no_utf8_is_our_error(model, base, tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes("text,label\nschön,a\nnicht schön,b\n".encode("latin1"))
    for use in (lambda: model.predict(file), lambda: generate_model("Reviews", file, base_model=base)):
        with pytest.raises(DataError, match="is not UTF-8 text"):
            use()


def test_a_label_the_model_does_not_know_is_refused(model):
    with pytest.raises(DataError, match=r"holds 'other'; the model knows the labels \['nay', 'yea'\]"):
        model.evaluate((TEXTS[:2], ["yea", "other"]))


# --- fine-tuning ------------------------------------------------------------------------------------------------------


def test_finetuning_trains_adapter_and_head_of_a_new_model(base):
    made = generate_model(None, (TEXTS, LABELS), labels=["yea", "nay"], base_model=base)
    swapped = (TEXTS * 2, ["nay" if v == "yea" else "yea" for v in LABELS] * 2)
    before = made.predict_proba(TEXTS)
    tuned = made.finetune(swapped, epochs=8, learning_rate=0.02)
    assert np.array_equal(made.predict_proba(TEXTS), before)
    assert tuned.evaluate(swapped)["log_loss"] < made.evaluate(swapped)["log_loss"]
    assert any(not torch.equal(a, b) for a, b in zip(tuned.module.factors, made.module.factors, strict=True))
    assert tuned.provenance["finetune"]["best_epoch"] > 0


def test_numbers_can_be_finetuned_too(base):
    rows = (TEXTS * 2, [100.5 + 3 * len(t) for t in TEXTS] * 2)
    made = generate_model("How long is it?", rows, base_model=base)
    other = (TEXTS * 2, [v + 30 for v in rows[1]])
    assert made.finetune(other, epochs=20, learning_rate=0.02).evaluate(other)["rmse"] < made.evaluate(other)["rmse"]


# --- the real base model ----------------------------------------------------------------------------------------------

LIKED = [
    "great phone, I love it",
    "lovely and very comfortable shoes",
    "the best purchase I have made this year",
    "excellent sound for the price",
    "my kids are very happy with it",
    "superb build quality",
    "works like a charm",
    "arrived early and looks beautiful",
]
DISLIKED = [
    "awful phone, I hate it",
    "ugly and very uncomfortable shoes",
    "the worst purchase I have made this year",
    "horrible sound, not worth the price",
    "my kids were very disappointed",
    "shoddy build quality, it broke",
    "stopped working after two days",
    "arrived late and damaged",
]
NEW = (
    [
        "a wonderful little camera",
        "I am delighted with this lamp",
        "highly recommended, a pleasure to use",
        "fantastic value",
        "perfect gift, she loved it",
        "a terrible camera",
        "I regret buying this lamp",
        "avoid it, a pain to use",
        "a waste of money",
        "returned it, she hated it",
    ],
    ["good"] * 5 + ["bad"] * 5,
)


def test_sixteen_labelled_reviews_beat_the_majority(minilm):
    made = generate_model("Sentiment of reviews", (LIKED + DISLIKED, ["good"] * 8 + ["bad"] * 8), base_model=minilm)
    assert made.metadata.arch == "minilm"
    assert made.evaluate(NEW)["accuracy"] >= 0.8 > made.evaluate(NEW)["majority_accuracy"]


def test_the_words_of_a_description_alone_beat_chance(minilm):
    made = generate_model("Is this product review positive or negative?", base_model=minilm)
    truth = ["positive"] * 8 + ["negative"] * 8
    assert np.mean(made.predict(LIKED + DISLIKED) == np.array(truth)) > 0.6


def test_every_error_of_this_way_is_one_of_ours(base):
    for data in ([], [None], [""], [1, 2], [["a", "b", "c"]], {"text": []}, np.zeros((2, 2, 2))):
        with pytest.raises(FlameError):
            generate_model("Is a review positive or negative?", data, base_model=base)
