"""Models that are fitted to pictures without labels, and domains that are found again by their descriptions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from picture_fixtures import ARCH, base_fixture, picture  # noqa: F401
from torch import nn

from experiments.office_quick import quick_embedding
from flame import generate_model
from flame.picture import generators
from flame.picture.features import PictureEncoder
from flame.picture.unlabelled import FEW
from hypernet.adapters.checkpoint import load_picture_generator, save_adapter_generator
from hypernet.adapters.guesses import rows_for_pictures, sure_guesses
from hypernet.adapters.pictures import PictureGenerator, PictureGeneratorConfig, standard
from targets import WeightSpec
from targets.vision_weights import load_base

K, P, D_WORDS = 3, 12, 32
LABELS = ("dark", "light", "red")
WORDS = "Tell cards on a webcam"


def clusters(n: int, shift: float = 0.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of three classes around three corners, all moved by the same amount."""
    draws = torch.Generator().manual_seed(seed)
    y = torch.arange(K).repeat_interleave(n)
    return 2.0 * nn.functional.one_hot(y, P) + 0.4 * torch.randn(len(y), P, generator=draws) + shift, y


def toy(*, n_domains: int = 0) -> PictureGenerator:
    """A generator that was made from clusters, and knows its domains by one sentence each."""
    torch.manual_seed(0)
    config = PictureGeneratorConfig(d_latent=8)
    sizes = {"n_labels": K, "n_sentences": n_domains, "n_domains": n_domains}
    made = PictureGenerator([WeightSpec("a", (2, 2))], D_WORDS, P, config, **sizes).eval()
    features, y = clusters(20)
    made.standardise([features])
    made.remember(0, quick_embedding(LABELS), made.solve_rows(standard(features), y, K))
    return made


def accuracy(generator: PictureGenerator, features: torch.Tensor, y: torch.Tensor, rounds: int) -> float:
    words = quick_embedding(LABELS)[None]
    z = generator.latent(quick_embedding(["any"]))
    with torch.no_grad():
        scale, (weight, bias) = rows_for_pictures(generator, features, generator.head_rows(words, z), z, rounds=rounds)
        logits = scale.standard(features) @ weight[0].mT + bias[0]
    return float((logits.argmax(1) == y).float().mean())


def test_a_shift_of_all_features_does_not_matter_to_a_model_that_is_fitted_to_pictures():
    moved, y = clusters(60, shift=3.0, seed=1)
    assert accuracy(toy(), moved, y, rounds=0) > 0.9
    moved[:, 0] += 9.0  # what looks like the first class to rows that are not fitted
    assert accuracy(toy(), moved, y, rounds=0) > 0.9
    made = toy()
    weight, bias = made.head_rows(quick_embedding(LABELS)[None], made.latent(quick_embedding(["any"])))
    unfitted = made.feature_scale.standard(moved) @ weight[0].mT + bias[0]
    assert float((unfitted.argmax(1) == y).float().mean()) < 0.5


def test_the_scale_of_a_few_pictures_lies_near_the_generators_own():
    made, (moved, _) = toy(), clusters(200, shift=3.0, seed=1)
    known = made.feature_scale.mean
    ways = [float((made.scale_of(moved[:n]).mean - known).norm()) for n in (1, 5, 50, 600)]
    assert ways[0] == 0
    assert ways == sorted(ways)
    assert ways[-1] > 0.9 * float((moved.mean(0) - known).norm())


def test_guesses_correct_a_head_whose_classes_have_moved():
    features, y = clusters(40, seed=2)
    features[y == 1, 1] -= 1.4
    features[y == 1, 5] += 2.0  # the second class looks otherwise here
    before, after = (accuracy(toy(), features, y, rounds=rounds) for rounds in (0, 2))
    assert after > before


def test_the_surest_guesses_of_every_class_are_believed():
    logits = torch.tensor([[3.0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 4, 0]])
    places, y = sure_guesses(logits, sure=0.5)
    assert places.tolist() == [0, 2, 3]
    assert y.argmax(1).tolist() == [0, 0, 1]
    assert y.shape == (3, 3)


def test_a_seen_domain_is_found_by_its_sentence_and_others_get_what_all_share():
    made = toy(n_domains=2)
    words = quick_embedding(LABELS)[None]
    for place, (sentence, swap) in enumerate([("pale things", [1, 2, 0]), ("things at night", [0, 1, 2])]):
        features, y = clusters(20, seed=3 + place)
        made.remember_domain(place, 0, quick_embedding([sentence]), features, torch.tensor(swap)[y], K)
    features, y = clusters(20, seed=9)
    z = made.latent(quick_embedding(["any"]))

    def told(sentence: str) -> torch.Tensor:
        description = quick_embedding([sentence])
        with torch.no_grad():
            weight, bias = made.domain_rows(description, words, z)
            scale = made.scale_for(description)
        return (scale.standard(features) @ weight[0].mT + bias[0]).argmax(1)

    assert float((told("pale things") == torch.tensor([1, 2, 0])[y]).float().mean()) > 0.9
    assert float((told("things at night") == y).float().mean()) > 0.9
    assert torch.equal(told("frogs"), told("an x-ray of luggage"))
    assert float((told("frogs") == y).float().mean()) > 0.9


def test_what_a_generator_knows_of_domains_is_kept(tmp_path):
    made = toy(n_domains=1)
    features, y = clusters(20, seed=3)
    made.remember_domain(0, 0, quick_embedding(["pale things"]), features, y, K)
    made.base = {"family": "pictures"}
    loaded = load_picture_generator(save_adapter_generator(made, tmp_path / "kept"))
    assert torch.equal(loaded.domains.domain_of, made.domains.domain_of)
    description, words = quick_embedding(["pale things"]), quick_embedding(LABELS)[None]
    with torch.no_grad():
        ours, theirs = (g.domain_rows(description, words, g.latent(description))[0] for g in (made, loaded))
    torch.testing.assert_close(ours, theirs, atol=1e-2, rtol=1e-2)


# --- in the product ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="folder")
def folder_fixture(base, tmp_path_factory) -> str:
    """A checkpoint that was made from cards and is fitted to pictures."""
    encoder = PictureEncoder(load_base(ARCH, base), pattern=r"features\.1[12].*", rank=2)
    torch.manual_seed(1)
    made = PictureGenerator(encoder.specs, D_WORDS, encoder.d_feature, n_labels=K).eval()
    pictures = [picture(label, i, (32, 32)) for label in LABELS for i in range(8)]
    features = encoder.features(encoder.prefix(np.stack([np.array(p) for p in pictures])))
    made.standardise([features])
    rows = made.solve_rows(standard(features), torch.arange(K).repeat_interleave(8), K)
    made.remember(0, quick_embedding(LABELS), rows)
    made.base = {**encoder.described(32), "words": "counted"}
    return str(save_adapter_generator(made, tmp_path_factory.mktemp("generator") / "fitted"))


@pytest.fixture(autouse=True)
def _words(monkeypatch):
    monkeypatch.setattr(generators, "word_embedding", lambda: quick_embedding)


def cards(place, n: int) -> str:
    place.mkdir()
    for i in range(n):
        picture(LABELS[i % K], 50 + i).save(place / f"{i}.png")
    return str(place)


def test_a_folder_of_unlabelled_pictures_is_read_and_a_broken_one_left_out(base, folder, tmp_path):
    photos = cards(tmp_path / "photos", FEW + 4)
    (tmp_path / "photos" / "broken.png").write_text("no picture")
    made = generate_model(WORDS, photos, labels=LABELS, base_model=base, picture_generator=folder)
    assert f"written from {FEW + 4} unlabelled pictures and the names of 3 classes" in made.route.reason
    assert "broken.png" in str(made.route.notes)
    assert "like none that the generator" not in str(made.route.notes)
    alone = generate_model(WORDS, labels=LABELS, base_model=base, picture_generator=folder)
    assert not np.allclose(made.predict_proba(photos), alone.predict_proba(photos), atol=1e-3)
    assert set(made.predict([picture(label, 91) for label in LABELS])) == set(LABELS)


def test_too_few_pictures_are_named_and_words_alone_are_read(base, folder, tmp_path):
    photos = cards(tmp_path / "photos", 5)
    made = generate_model(WORDS, photos, labels=LABELS, base_model=base, picture_generator=folder)
    assert f"5 pictures are too few to fit the model to them: give {FEW} or more" in made.route.notes
    alone = generate_model(WORDS, labels=LABELS, base_model=base, picture_generator=folder)
    np.testing.assert_allclose(made.predict_proba(photos), alone.predict_proba(photos), atol=1e-5)


def test_a_class_that_the_generator_never_saw_is_named(base, folder):
    made = generate_model(WORDS, labels=["dark", "frog"], base_model=base, picture_generator=folder)
    assert "1 of 2 classes are like none that the generator was made from, such as 'frog'" in made.route.notes
