"""The requirement ablation: its scorer can fail, its words are true of its tasks, and its command runs."""

from __future__ import annotations

import gzip
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # experiments/ is not installed

from experiments import requirements as ablation  # noqa: E402
from experiments.requirement_agreement import agreement  # noqa: E402
from experiments.requirement_scores import FACTS, Truth, holds_one_of, named_labels, recalled  # noqa: E402
from experiments.requirement_tasks import MODALITIES, Task, load_tasks, words_of  # noqa: E402
from experiments.scripted import Scripted  # noqa: E402
from flame.llm.writer import LLMWriter  # noqa: E402
from flame.requirement import OfflineWriter  # noqa: E402

IRIS = Truth("tabular_cls", 3, 4, ("iris", "flower"))
GOOD = "This is a task of 3-class, 4-feature and base-scaled tabular classification to name an iris."
ENTRIES = {name: entry for modality in MODALITIES for name, entry in words_of(modality).items()}


# --- the scorer -------------------------------------------------------------------------------------------------------


def test_a_sentence_that_says_all_scores_one():
    assert recalled(GOOD, IRIS) == dict.fromkeys(FACTS, True)


@pytest.mark.parametrize(
    "sentence",
    [
        None,
        "",
        "We need a model.",
        "This is a task of 4-class, 3-feature and base-scaled image classification of cars.",
    ],
)
def test_a_sentence_that_says_nothing_true_scores_zero(sentence):
    assert recalled(sentence, IRIS) == dict.fromkeys(FACTS, False)


@pytest.mark.parametrize(
    ("sentence", "lost"),
    [
        (GOOD.replace("3-class", "4-class"), "classes"),
        (GOOD.replace("3-class, ", ""), "classes"),
        (GOOD.replace("3-class", "3-class or 5-class"), "classes"),
        (GOOD.replace("4-feature", "14-feature"), "features"),
        (GOOD.replace("tabular", "text"), "type"),
        (GOOD.replace("classification", "regression"), "type"),
        (GOOD.replace("an iris", "a plant"), "domain"),
        (GOOD.replace("an iris", "a wallflowerbed"), "domain"),
    ],
)
def test_one_wrong_word_loses_one_fact(sentence, lost):
    assert recalled(sentence, IRIS) == {fact: fact != lost for fact in FACTS}


@pytest.mark.parametrize(
    "words", ["Flowers with 4 features in three classes", "flower: 3 iris classes, 4 input columns"]
)
def test_numbers_are_read_in_other_writings(words):
    assert recalled(f"Tabular classification. {words}", IRIS) == dict.fromkeys(FACTS, True)


def test_facts_that_do_not_apply_are_not_scored():
    assert recalled("text regression about films", Truth("seq_reg", None, None, ("film",))) == {
        "type": True, "domain": True,
    }  # fmt: skip


def test_a_label_counts_as_named_unless_its_writer_was_given_it():
    labels = ["setosa", "noHate", "not_spam", "no", 3]
    assert named_labels("setosa, nohate, no 3 and not spam", labels, ["Setosa or what?"]) == ["nohate", "not spam"]
    assert named_labels(None, labels, []) == []


# --- words and truth by hand ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENTRIES)
def test_what_a_description_tells_stands_in_it(name):
    entry = ENTRIES[name]
    assert set(entry["tells"]) <= set(FACTS)
    assert ("domain" in entry["tells"]) == holds_one_of(entry["description"], entry["words"])
    assert 3 <= len(entry["words"]) <= 6
    if "features" in entry["tells"]:
        numbers = {4: "four", 6: "six", 7: "seven", 30: "thirty"}
        n = entry["n_features"]
        assert holds_one_of(entry["description"], [str(n), numbers.get(n, str(n))])


def test_the_truth_by_hand_is_that_of_the_data(kit, tmp_path):
    if not (kit / "vision").is_dir():
        pytest.skip("needs the texts and pictures of the data kit under FLAME_DATA")
    tasks, absent = load_tasks(kit, tmp_path)
    assert (len(tasks), absent) == (len(ENTRIES), [])
    for task in tasks:
        features = None if task.target is None or task.modality == "texts" else task.inputs.shape[1] - 1
        assert task.truth.n_features == features, task.name
        if task.truth.n_classes is not None:
            assert task.truth.n_classes == len(set(task.labels)), task.name


# --- the run ----------------------------------------------------------------------------------------------------------


def write_text(folder: Path, name: str, rows: list[dict[str, str]]) -> None:
    (folder / "text" / name).mkdir(parents=True)
    with gzip.open(folder / "text" / name / "train.jsonl.gz", "wt", encoding="utf8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data folder with some of the quick tasks, made up; the two tables come with scikit-learn."""
    image = pytest.importorskip("PIL.Image", reason="pictures need Pillow: pip install 'flame-hypernet[vision]'")
    path = tmp_path_factory.mktemp("data")
    said = [f"a film that number {i} of the critics liked, or so they say" for i in range(60)]
    write_text(path, "glue_sst2", [{"a": text, "y": str(i % 2)} for i, text in enumerate(said)])
    write_text(path, "glue_stsb", [{"a": text, "b": text, "y": f"{i / 16:.3f}"} for i, text in enumerate(said)])
    vision = path / "vision"
    vision.mkdir()
    digits = np.zeros((80, 16, 16), dtype="uint8")
    np.savez(vision / "digits_4domains.npz", usps_x_train=digits, usps_y_train=np.arange(80) % 10)
    for i in range(30):
        where = path / "pictures" / "webcam" / f"thing {i % 10}"
        where.mkdir(parents=True, exist_ok=True)
        image.new("RGB", (16, 16), (8 * i, 0, 0)).save(where / f"{i}.png")
    with tarfile.open(vision / "office_caltech10_256.tar", "w") as archive:
        archive.add(path / "pictures" / "webcam", "webcam")
    return path


@pytest.fixture(scope="module")
def tasks(folder, tmp_path_factory) -> list[Task]:
    found, absent = load_tasks(folder, tmp_path_factory.mktemp("unpacked"), ablation.QUICK)
    assert [a.split(":")[0] for a in absent] == ["glue_rte", "sms_spam"]
    return found


def recall(scored: list[ablation.Scored], condition: str) -> float:
    shares = [s.share() for s in scored if s.condition == condition]
    return float(np.mean([share for share in shares if share is not None]))


def test_the_quick_run_prints_every_row_and_writes_its_figures(folder, tmp_path, capsys):
    ablation.main(["--quick", "--data", str(folder), "--output", str(tmp_path / "quick")])
    out, text = capsys.readouterr().out, (tmp_path / "quick.md").read_text("utf8").strip()
    assert text in out
    assert all(f"| {condition} |" in text for condition in (*ablation.CONDITIONS, ablation.CONSTANT, ablation.OTHER))
    assert "left out: sms_spam: " in out
    story = json.loads((tmp_path / "quick.json").read_text("utf8"))
    assert story["tasks"]["iris"][ablation.BOTH] == {fact: [1, 1] for fact in FACTS}
    assert story["metadata"][0]["perfect = rules"] == [5, 5]


def test_json_is_one_object(folder, capsys):
    ablation.main(["--quick", "--data", str(folder), "--json"])
    assert json.loads(capsys.readouterr().out)["seeds"] == [0]


def test_the_rules_beat_both_controls(tasks):
    scored = ablation.score(tasks, OfflineWriter(), [0])
    assert recall(scored, ablation.BOTH) > 0.9
    assert max(recall(scored, ablation.CONSTANT), recall(scored, ablation.OTHER)) < 0.6


def test_another_writer_is_scored_and_its_failures_are_counted(tasks):
    scored = ablation.score(tasks, LLMWriter(Scripted(GOOD, {})), [0])
    by_model = [s.task for s in scored if s.condition == ablation.BOTH and not s.note]
    assert by_model == ["iris"]  # true of nothing else, so the rules stand in and that is counted
    assert ablation.remarks(scored)["sentences by the rules in place of the language model"] >= 2 * (len(tasks) - 1)


def test_a_sentence_that_cannot_be_written_recalls_nothing_and_says_why(tasks):
    alone = [s for s in ablation.score(tasks, OfflineWriter(), [0]) if s.condition == "description only"]
    iris = next(s for s in alone if s.task == "iris")
    assert (iris.sentence, iris.share()) == (None, 0.0)
    assert "n_features" in iris.note


def test_facts_that_nobody_gave_are_counted_apart(tasks):
    wine = next(t for t in tasks if t.name == "wine")
    said = ablation._scored(wine, "description only", 0, "tabular classification of wines", "", wine.tells, [])
    assert (said.share(), said.share(said.given)) == (0.5, 1.0)


def test_a_seed_draws_the_rows_that_are_shown(tasks):
    wine = next(t for t in tasks if t.name == "wine")
    first, again, other = (wine.batch(50, seed).features for seed in (0, 0, 1))
    assert len(first) == 50
    assert first.equals(again)
    assert not first.equals(other)


def test_fewer_classes_among_the_rows_than_told_are_noticed(tasks):
    usps = next(t for t in tasks if t.name == "digits_usps")
    shown = usps.batch(5)
    assert "classes" not in ablation._shown(usps, shown)
    assert ablation._written(usps, OfflineWriter(), ablation.BOTH, 0, True, shown).outvoted


def test_perfect_and_lying_endpoints_give_the_metadata_of_the_rules(tasks):
    rows = {row["setting"]: row for row in agreement(tasks, 50, 0)}
    n = len(tasks)
    assert rows["all rows"]["rules are right"] == rows["all rows"]["perfect = rules"] == [n, n]
    assert rows["all rows"]["lying = rules, task and sizes"] == rows["all rows"]["lying = rules, scale"] == [n, n]
    assert rows["description only"]["refused by the rules"] >= 2


def test_without_a_data_folder_the_message_says_what_to_set(monkeypatch):
    monkeypatch.delenv("FLAME_DATA", raising=False)
    with pytest.raises(SystemExit, match="set FLAME_DATA or give --data DIR"):
        ablation.main(["--quick"])


def test_a_folder_without_the_tasks_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "QUICK", ("sms_spam",))
    with pytest.raises(SystemExit, match=r"holds none of the tasks: sms_spam: .* does not exist"):
        ablation.main(["--quick", "--data", str(tmp_path)])


def test_an_address_without_a_model_is_refused(folder):
    with pytest.raises(SystemExit, match="--llm MODEL"):
        ablation.main(["--quick", "--data", str(folder), "--base-url", "http://localhost:1/v1"])
