"""The card of a saved model says what it is and where it ends, shows no row, and believes no label."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml
from flame_fixtures import SPECIES, labelled, model_fixture, parts, tiny_fixture  # noqa: F401
from test_cli import flame  # noqa: F401  (runs a command)
from text_fixtures import LABELS, TEXTS, base_fixture, bases_fixture  # noqa: F401

from flame import generate_model, load
from flame.card import card_of_model, data_profile
from flame.data import read_data


def section(card: str, title: str) -> str:
    found = re.search(rf"^## {title}\n\n(.*?)(?=^## |\Z)", card, re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1)


def test_the_card_names_origin_checkpoint_and_its_hash(model):
    origin = section(card_of_model(model), "Where it comes from")
    assert model.provenance["checkpoint_sha256"] in origin
    assert "task\\_head" in origin or "task_head" in origin
    assert len(model.provenance["checkpoint_sha256"]) == 64


def test_the_card_counts_the_rows_and_holds_none_of_them(tiny):
    rows = labelled().assign(sepal_length=lambda f: f.sepal_length + 0.12345)
    card = card_of_model(generate_model(None, rows, target="class", checkpoint=tiny))
    assert "* rows: 105\n" in section(card, "Data it was written from")
    assert "* `setosa`: 35 rows" in card
    assert not [value for value in rows.sepal_length if f"{value:.5f}" in card]


def test_a_profile_holds_counts_and_labels_only():
    told = data_profile(read_data(labelled(), target="class"))["data"]
    assert told == {
        "n_rows": 105,
        "n_labelled": 105,
        "n_columns": 4,
        "n_missing": 0,
        "rows_by_label": dict.fromkeys(SPECIES, 35),
    }
    assert data_profile(None) == {}


def test_scores_stand_on_the_card_once_the_model_was_evaluated(model, tmp_path):
    assert "Not evaluated" in card_of_model(model)
    evaluation = model.evaluate(parts("iris").test)
    loaded = load(model.with_scores(evaluation).save(tmp_path / "m"))
    shown = section((tmp_path / "m" / "README.md").read_text("utf8"), "Scores")
    assert f"| accuracy | {evaluation['accuracy']:.4f} |" in shown
    assert "On 21 labelled rows" in shown
    assert loaded.provenance["evaluation"]["scores"]["auc"] == evaluation["auc"]


def test_scores_of_other_weights_do_not_stay(model):
    scored = model.with_scores(model.evaluate(labelled()))
    assert "evaluation" not in scored.finetune(labelled()).provenance


def test_the_command_writes_scores_into_the_saved_card(flame, model, tmp_path):  # noqa: F811
    folder = model.save(tmp_path / "m")
    parts("iris").test.to_csv(tmp_path / "rows.csv", index=False)
    assert flame("evaluate", folder, tmp_path / "rows.csv", "--card")[0] == 0
    assert "On 21 labelled rows" in (folder / "README.md").read_text("utf8")
    assert (load(folder).predict(labelled()) == model.predict(labelled())).all()


def test_the_base_model_of_a_text_model_is_named_with_its_licence(base):
    made = generate_model("Sentiment", (TEXTS, LABELS), base_model=base)
    card = card_of_model(replace(made, provenance={**made.provenance, "base_licence": "apache-2.0"}))
    assert f"* base model `{base}`: `apache-2.0`" in section(card, "Licence")


def test_the_front_matter_is_what_hubs_read(model):
    front = yaml.safe_load(card_of_model(model).split("---")[1])
    assert (front["pipeline_tag"], front["library_name"]) == ("tabular-classification", "flame-hypernet")


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", "`</code>`", "a\n# title\n| x |", "]( javascript:x)"])
def test_a_name_or_label_cannot_leave_its_code_span(tiny, evil):
    rows = labelled().rename(columns={"class": evil})
    rows[evil] = rows[evil].map({name: f"{name} {evil}" for name in SPECIES})
    card = card_of_model(generate_model(None, rows, target=evil, checkpoint=tiny))
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", card)
    assert "<script" not in outside
    assert "\n# title" not in card
    assert "](" not in outside
