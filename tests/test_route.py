"""Which head serves a request, how labels are settled, and what a request that no head fits is told."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flame_fixtures import (
    CONFIG,
    NAMES,
    SPECIES,
    labelled,
    parts,
    tiny_fixture,  # noqa: F401
    tiny_generator_fixture,  # noqa: F401
    unlabelled,
)
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from flame import FlameError, generate_model
from flame.data import read_data
from flame.errors import DataError, RouteError
from flame.table.checks import MAX_CHECKED_ROWS, labels_by_agreement, rows_to_check
from flame.table.preprocessing import TablePreprocessor
from flame.table.tables import TABLES
from flame.table.task_heads import TaskHeadWay, column_names
from flame.table.training import untrained_generator
from requirements_prompts import held_out_descriptions, table_descriptions

IRIS = list(TABLES["iris"].columns)


def probabilities(checkpoint: Any, data: Any, **options: Any) -> np.ndarray:
    """Of the iris test rows, from a model that was generated from `data`."""
    made = generate_model(None, data, checkpoint=checkpoint, **options)
    names = made.route.columns
    return made.predict_proba(unlabelled().rename(columns=names))


def accuracy(checkpoint: Any, name: str, data: pd.DataFrame, target: str) -> float:
    made = generate_model(None, data, target=target, checkpoint=checkpoint)
    assert made.route.task == name
    return made.evaluate(data, target=target)["accuracy"]


def test_fixture_has_learnt_its_three_tables(tiny_generator):
    assert {n: r.scores["validation_accuracy"] > 0.9 for n, r in tiny_generator.tasks.items()} == dict.fromkeys(
        NAMES, True
    )


# --- one table in many dresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dress",
    [
        lambda f: f,
        lambda f: (f[IRIS], f["class"]),
        lambda f: (f[IRIS], f["class"].tolist()),
        lambda f: f.to_dict("records"),
        lambda f: f.to_dict("list"),
        lambda f: f[f.columns[::-1]],
        lambda f: f.assign(id=range(len(f)), comment="none", when=pd.Timestamp(0)),
        lambda f: f.set_axis(
            ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)", "class"], axis=1
        ),
        lambda f: f.set_axis(["SepalLengthCm", "SepalWidthCm", "PetalLengthCm", "PetalWidthCm", "class"], axis=1),
        lambda f: f.assign(**{"class": f["class"].map(SPECIES)}),
        lambda f: f.assign(**{"class": f["class"].map(SPECIES).astype(float)}),
        lambda f: f.assign(**{"class": "Iris-" + f["class"]}),
        lambda f: f.assign(**{"class": f["class"].str.upper().astype("category")}),
        lambda f: f.rename(columns={"class": "species"}),
        lambda f: f.drop(columns="class"),
        lambda f: f.astype(dict.fromkeys(IRIS, str)),
        lambda f: f.convert_dtypes(),
        lambda f: f.set_axis([0] * len(f)),
    ],
)
def test_every_dress_of_a_table_gives_the_same_predictions(tiny, dress):
    assert np.array_equal(probabilities(tiny, dress(labelled())), probabilities(tiny, labelled()))


@pytest.mark.parametrize("form", ["csv", "tsv", "semicolons", "parquet", "json", "jsonl"])
def test_every_file_of_a_table_gives_the_same_predictions(tiny, tmp_path, form):
    path = tmp_path / f"rows.{form if form != 'semicolons' else 'csv'}"
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install 'flame-hypernet[parquet]'")
        labelled().to_parquet(path)
    elif form.startswith("json"):
        labelled().to_json(path, orient="records", lines=form == "jsonl")
    else:
        labelled().to_csv(path, index=False, sep={"tsv": "\t", "semicolons": ";"}.get(form, ","))
    assert np.array_equal(probabilities(tiny, path, target="class"), probabilities(tiny, labelled(), target="class"))


@pytest.mark.parametrize(
    ("name", "loader"), [("iris", load_iris), ("wine", load_wine), ("breast_cancer", load_breast_cancer)]
)
def test_tables_of_scikit_learn_are_matched_with_their_integer_labels(tiny, name, loader):
    assert accuracy(tiny, name, loader(as_frame=True).frame, "target") > 0.9


def test_integer_labels_are_matched_by_agreement_even_if_their_order_is_another(tiny):
    table = load_breast_cancer(as_frame=True)
    made = generate_model(None, table.frame, checkpoint=tiny)
    names = {"benign": 1, "malignant": 0}
    assert list(table.target_names) == ["malignant", "benign"]
    assert made.labels == tuple(names[k] for k in ("benign", "malignant"))
    assert "matched by agreement" in made.route.reason


@pytest.mark.parametrize("codes", [{"benign": "B", "malignant": "M"}, {"benign": "b", "malignant": "m"}])
def test_labels_known_by_their_first_letter_are_matched_by_name(tiny, codes):
    frame = labelled("breast_cancer")
    made = generate_model(
        None, frame.assign(diagnosis=frame["diagnosis"].map(codes)), target="diagnosis", checkpoint=tiny
    )
    assert made.labels == (codes["benign"], codes["malignant"])
    assert "so do the labels" in made.route.reason


def test_a_column_of_species_is_taken_as_the_target_and_noted(tiny):
    made = generate_model(None, labelled().rename(columns={"class": "species"}), checkpoint=tiny)
    assert made.target == "species"
    assert made.route.agreement is not None
    assert "column 'species' is taken as the target" in made.route.notes


def test_a_column_of_yes_and_no_is_not_taken_as_the_target(tiny_generator):
    record = replace(tiny_generator.tasks["breast_cancer"], labels=("no", "yes"))
    way = TaskHeadWay(untrained_generator([record], CONFIG.generator), "toy")
    rows = unlabelled("breast_cancer").assign(smoker="no")
    rows.loc[::2, "smoker"] = "yes"
    proposal = way.propose(None, read_data(rows))
    assert not isinstance(proposal, list)
    assert proposal.target == "diagnosis"


def test_a_description_alone_is_enough(tiny):
    made = generate_model(table_descriptions("iris")[0], checkpoint=tiny)
    assert made.route.task == "iris"
    assert made.labels == ("setosa", "versicolor", "virginica")
    assert made.evaluate(parts("iris").test)["accuracy"] > 0.9
    assert "no rows were given" in made.route.notes[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_description_in_unknown_words_finds_its_task_or_none(tiny, name):
    found = set()
    for description in held_out_descriptions(name):
        with suppress(RouteError):
            found.add(generate_model(description, checkpoint=tiny).route.task)
    assert found <= {name}


def test_a_description_of_two_tasks_is_refused_as_undecided(tiny):
    with pytest.raises(
        RouteError, match="the description fits 'iris' and 'wine' about equally; say more, or give rows"
    ):
        generate_model("sepal and magnesium", checkpoint=tiny)
    assert generate_model("sepal and magnesium", unlabelled(), checkpoint=tiny).route.task == "iris"


def test_rows_without_labels_have_no_agreement(tiny):
    made = generate_model(None, unlabelled(), checkpoint=tiny)
    assert made.route.agreement is None
    assert made.labels == ("setosa", "versicolor", "virginica")


def test_one_row_is_enough(tiny):
    for i in range(len(unlabelled())):
        assert generate_model(None, unlabelled().iloc[[i]], checkpoint=tiny).route.task == "iris"


def test_rows_of_two_classes_still_get_the_whole_head(tiny):
    rows = labelled().query("`class` != 'setosa'")
    made = generate_model(None, rows, target="class", checkpoint=tiny)
    assert made.metadata.out_dim == 3
    assert "the rows have no label 'setosa'; the model may still give it" in made.route.notes
    assert made.predict(labelled().query("`class` == 'setosa'"))[0] == "setosa"


def test_route_says_which_column_is_which_and_what_is_not_used(tiny):
    given = labelled().assign(id=1).rename(columns={"petal_width": "Petal.Width"})
    route = generate_model(None, given, target="class", checkpoint=tiny).route
    assert route.columns == {c: c if c != "petal_width" else "Petal.Width" for c in IRIS}
    assert "columns the task does not know are not used: 'id'" in route.notes
    assert str(route).startswith("task_head 'iris' of ")
    assert 0.9 < route.agreement <= 1.0


def test_of_two_tasks_with_all_columns_there_the_one_with_more_of_them_is_taken(tiny_generator):
    whole = tiny_generator.tasks["iris"]
    columns = whole.preprocessing["columns"][:2]
    metadata = whole.metadata.model_copy(update={"in_dim": 2, "d_input": 2})
    half = replace(whole, name="iris_half", preprocessing={"columns": columns}, metadata=metadata)
    for records in ([whole, half], [half, whole]):
        proposal = TaskHeadWay(untrained_generator(records, CONFIG.generator), "toy").propose(
            None, read_data(unlabelled())
        )
        assert not isinstance(proposal, list)
        assert proposal.facts(None).n_features == 4


# --- what is refused --------------------------------------------------------------------------------------------------


def refusal(checkpoint: Any, data: Any, description: str | None = None, **options: Any) -> str:
    """Why no trained head is used; labelled tables then get a model from their rows alone."""
    try:
        model = generate_model(description, data, checkpoint=checkpoint, **options)
    except RouteError as error:
        return str(error)
    assert model.route.way == "any_table"
    return next(note for note in model.route.notes if note.startswith("no trained head is used"))


def test_a_strange_table_is_told_which_tasks_are_known(tiny):
    why = refusal(tiny, pd.DataFrame({"rainfall": [1.0, 2.0], "wind": [3.0, 4.0]}))
    assert "no task has a column of these names" in why
    assert "has heads for iris, wine, breast_cancer" in why
    assert "flame info" in why
    assert "flame train" in why


def test_a_table_that_lacks_columns_is_told_which_and_works_with_them(tiny):
    why = refusal(tiny, unlabelled().drop(columns=["petal_length", "sepal_width"]))
    assert "closest is 'iris': 2 of its 4 columns are in the data, 'sepal_width', 'petal_length' missing" in why
    assert generate_model(None, unlabelled(), checkpoint=tiny).route.task == "iris"


def test_an_array_is_told_to_name_its_columns_and_works_with_names(tiny):
    x, y = labelled()[IRIS].to_numpy(), labelled()["class"].to_numpy()
    why = refusal(tiny, (x, y))
    assert "columns have no names" in why
    assert "pandas.DataFrame(X, columns=[...])" in why
    named = (pd.DataFrame(x, columns=IRIS), y)
    assert np.array_equal(probabilities(tiny, named), probabilities(tiny, labelled()))


def test_a_description_of_something_else_is_told_which_tasks_are_known(tiny):
    why = refusal(tiny, None, "Predict the weather on Mars from the dust in the air.")
    assert "names nothing that a trained task is about" in why
    assert "iris, wine, breast_cancer" in why


@pytest.mark.parametrize(
    "rows", [labelled, unlabelled, lambda: unlabelled().head(1), lambda: labelled().sample(4, random_state=1)]
)
def test_iris_in_millimetres_is_refused_and_works_in_centimetres(tiny, rows):
    frame = rows()
    why = refusal(tiny, frame.assign(**{c: frame[c] * 10 for c in IRIS}))
    assert "column 'sepal_length' has median" in why
    assert "is it in another unit?" in why
    assert generate_model(None, frame, checkpoint=tiny).route.task == "iris"


def test_a_single_strange_value_in_a_single_row_is_no_other_unit(tiny):
    row = unlabelled().head(1).assign(petal_width=40.0)
    assert generate_model(None, row, checkpoint=tiny).route.task == "iris"


def test_text_where_numbers_were_is_refused(tiny):
    assert "column 'petal_width' holds text, the trained one holds numbers" in refusal(
        tiny, unlabelled().assign(petal_width="wide")
    )


def test_codes_where_words_were_are_refused(tiny_generator):
    whole = tiny_generator.tasks["iris"]
    rows = unlabelled().assign(petal_width=np.where(unlabelled()["petal_width"] > 1, "wide", "narrow"))
    stored = TablePreprocessor.fit(read_data(rows))
    metadata = whole.metadata.model_copy(update={"d_input": stored.width})
    record = replace(whole, preprocessing=stored.to_json(), metadata=metadata)
    way = TaskHeadWay(untrained_generator([record], CONFIG.generator), "toy")
    assert not isinstance(way.propose(None, read_data(rows)), list)
    coded = way.propose(None, read_data(rows.assign(petal_width=(rows["petal_width"] == "wide") * 1)))
    assert isinstance(coded, list)
    assert "column 'petal_width' holds '1' and none of the trained values 'narrow', 'wide'" in coded[0].replace(
        "'0'", "'1'"
    )


@pytest.mark.parametrize("n", [12, 30, 105])
@pytest.mark.parametrize("code", [{k: k for k in SPECIES}, SPECIES])
def test_shuffled_labels_are_refused(tiny, n, code):
    rows = labelled().groupby("class").head(n // 3)
    shuffled = np.random.default_rng(1).permutation(rows["class"].map(code))
    why = refusal(tiny, rows.assign(**{"class": shuffled}), target="class")
    assert "right label on only" in why or "no clear partner" in why


def test_few_rows_with_one_wrong_label_are_not_refused(tiny):
    right = generate_model(None, labelled(), target="class", checkpoint=tiny).predict(labelled()) == labelled()["class"]
    rows = labelled()[right].groupby("class").head(2).sort_values("class", ignore_index=True)
    rows.loc[0, "class"] = "virginica"
    assert generate_model(None, rows, target="class", checkpoint=tiny).route.agreement == pytest.approx(5 / 6)


def test_two_rows_with_one_wrong_label_are_not_refused(tiny):
    right = generate_model(None, labelled(), target="class", checkpoint=tiny).predict(labelled()) == labelled()["class"]
    rows = labelled()[right].groupby("class").head(1).sort_values("class").head(2)
    rows = rows.assign(**{"class": ["setosa", "virginica"]})
    assert generate_model(None, rows, target="class", checkpoint=tiny).route.agreement == 0.5


def test_more_classes_than_the_head_has_are_refused(tiny):
    rows = labelled().assign(**{"class": labelled()["class"] + (np.arange(105) % 2).astype(str)})
    assert "the data have 6 classes, its head 3: ['setosa', 'versicolor', 'virginica']" in refusal(tiny, rows)


def test_strange_labels_of_too_few_rows_are_refused_and_the_advice_helps(tiny):
    rows = labelled().groupby("class").head(1)
    strange = rows.assign(**{"class": rows["class"].map({"setosa": "p", "versicolor": "q", "virginica": "r"})})
    why = refusal(tiny, strange, target="class")
    assert "['p', 'q', 'r'] are not those of the task 'iris' (['setosa', 'versicolor', 'virginica'])" in why
    assert "rename them or give more rows" in why
    assert generate_model(None, rows, target="class", checkpoint=tiny).labels == tuple(SPECIES)
    more = labelled().groupby("class").head(5)
    more = more.assign(**{"class": more["class"].map({"setosa": "p", "versicolor": "q", "virginica": "r"})})
    assert generate_model(None, more, target="class", checkpoint=tiny).labels == ("p", "q", "r")


def test_a_label_without_a_clear_partner_is_refused(tiny):
    rows = labelled().assign(**{"class": labelled()["class"].map(SPECIES)})
    half = rows["class"] == 2
    rows.loc[half, "class"] = np.where(np.arange(half.sum()) % 2, 2, 1)
    rows.loc[rows["class"] == 2, IRIS] = rows.loc[rows["class"] == 0, IRIS].head((rows["class"] == 2).sum()).to_numpy()
    assert "no clear partner for" in refusal(tiny, rows, target="class")


def test_a_label_that_the_model_never_gives_finds_no_partner_by_what_is_left(tiny_generator):
    predicted = np.array([0] * 105)
    given = np.array(["a"] * 100 + ["b"] * 5, dtype=object)
    with pytest.raises(RouteError, match="no clear partner for 'b'"):
        labels_by_agreement(predicted, given, tiny_generator.tasks["iris"], ("a", "b"))
    predicted[100:] = 2
    found = labels_by_agreement(predicted, given, tiny_generator.tasks["iris"], ("a", "b"))
    assert found == {"setosa": "a", "virginica": "b"}


def test_one_class_is_refused(tiny):
    with pytest.raises(
        DataError, match="'class' is the target but every row holds the same value 'setosa'; give at least two"
    ):
        generate_model(None, labelled().query("`class` == 'setosa'"), target="class", checkpoint=tiny)


def test_nothing_given_is_refused(tiny):
    for description in (None, "", "  \n"):
        with pytest.raises(DataError, match="give a description of the task, some rows, or both"):
            generate_model(description, checkpoint=tiny)


def test_rows_in_the_place_of_the_description_are_told_where_they_go(tiny):
    with pytest.raises(DataError, match=r"must be text, however: DataFrame; .*generate_model\(None, rows\)"):
        generate_model(labelled(), checkpoint=tiny)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["nowhere", "no/where", "a/b/c", "x" * 5000, "bad name/x"])
def test_checkpoints_that_are_not_there_are_our_error(name):
    with pytest.raises(FlameError, match="no checkpoint"):
        generate_model("Tell iris species apart.", checkpoint=name)


# --- the checks themselves --------------------------------------------------------------------------------------------


def test_a_table_sorted_by_its_label_is_checked_on_all_of_its_classes(tiny):
    frame = pd.concat([labelled()] * 40).sort_values("class").assign(**{"class": lambda f: f["class"].map(SPECIES)})
    assert len(frame) > MAX_CHECKED_ROWS
    made = generate_model(None, frame, target="class", checkpoint=tiny)
    assert made.labels == (0, 1, 2)
    assert made.route.agreement == pytest.approx(made.evaluate(frame)["accuracy"], abs=0.01)


def test_checked_rows_keep_the_shares_of_classes_and_some_of_a_rare_one():
    labels = np.array(["a"] * 9000 + ["b"] * 3 + ["c"] * 1000, dtype=object)
    for order in (np.arange(10003), np.random.default_rng(0).permutation(10003)):
        rows = rows_to_check(labels[order])
        counts = pd.Series(labels[order][rows]).value_counts()
        assert len(set(rows)) == len(rows) <= MAX_CHECKED_ROWS + 30
        assert counts["b"] == 3
        assert counts["a"] / counts["c"] == pytest.approx(9, rel=0.1)


def test_column_names_of_a_record_are_those_of_its_preprocessing(tiny_generator):
    assert column_names(tiny_generator.tasks["iris"]) == IRIS


def test_a_wording_that_the_labelled_rows_speak_against_gives_way_to_the_tasks_own_sentence(
    tiny_generator, monkeypatch
):
    written, generate = [], tiny_generator.generate

    def misread(requirement, task):
        written.append(requirement)
        weights = generate(requirement, task)
        return {k: -v for k, v in weights.items()} if "gibberish" in requirement else weights

    monkeypatch.setattr(tiny_generator, "generate", misread)
    model = generate_model("Some gibberish.", labelled("iris"), target="class", checkpoint=tiny_generator)
    own = tiny_generator.task("iris").requirements[0]
    assert model.requirement == written[-1] == own
    assert "gibberish" in written[0]
    assert "task's own is used" in " ".join(model.route.notes)
    assert model.provenance["requirement_writer"] == "the task's own sentence"
    assert model.route.agreement > 0.9
