"""Adapters for described pictures: the closed-form start, folding, training, and the checkpoint."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flame.errors import CheckpointError, DataError, MissingExtraError
from targets.vision_networks import new_network

try:
    new_network("resnet18")
except MissingExtraError:
    pytest.skip("needs torchvision", allow_module_level=True)

from experiments.office_quick import WRITTEN, quick_embedding, quick_encoder, quick_set
from flame.metadata import Metadata
from flame.picture import training as image_training
from flame.picture.fitting import PictureTrainConfig, fit
from flame.picture.sets import SHARES, choose, load_image_set, square
from flame.picture.training import read_group, read_written, train_images
from flame.picture.writing import domain_logits, new_generator, write_model
from hypernet.adapters.checkpoint import load_picture_generator, save_adapter_generator
from hypernet.adapters.episodes import EpisodeConfig, EpisodeStream, episode_loss

FEW = EpisodeConfig(rows=18, own=0.0)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A set, an encoder, its tasks, and where prefixes are kept."""
    cache = tmp_path_factory.mktemp("cache")
    found, encoder = quick_set(), quick_encoder()
    return found, encoder, read_group(found, encoder, quick_embedding, written=WRITTEN, cache=cache), cache


def seeded(encoder, group):
    torch.manual_seed(3)
    return new_generator(encoder, [group])


def shaken(generator):
    """A generator that writes something."""
    with torch.no_grad():
        for value in (*generator.parameters(), generator.label_rows):
            value.add_(0.05 * torch.randn_like(value))
    return generator


def written_logits(generator, encoder, task, group, unlabelled=None):
    """Of the pictures of a task, by the model that its first sentence gives."""
    model = write_model(generator, encoder, task.descriptions[0], group.words, unlabelled)
    return domain_logits(encoder, task.inputs[0], model)


def test_untrained_generator_leaves_the_features_of_the_base_model(parts):
    _, encoder, group, _ = parts
    generator = seeded(encoder, group)
    x = group.tasks[0].inputs[0][:4]
    made = generator.adapters(generator.latent(group.tasks[0].descriptions[:1]))
    torch.testing.assert_close(encoder.features(x, made), encoder.features(x))


def test_an_untrained_head_is_better_than_chance_on_training_pictures(parts):
    _, encoder, group, _ = parts
    generator = seeded(encoder, group)
    for task in group.tasks:
        model = write_model(generator, encoder, task.descriptions[0], group.words, task.inputs[0], rounds=0)
        logits = domain_logits(encoder, task.inputs[0], model)
        assert float((logits.argmax(1) == task.y).float().mean()) > 0.6


def test_a_merged_network_reads_pictures_as_the_generated_parts_do(parts):
    found, encoder, group, _ = parts
    generator = shaken(seeded(encoder, group))
    domain, description = found.domains["dark"], group.tasks[1].descriptions[0]
    made = write_model(generator, encoder, description, group.words)
    model = encoder.target.build(Metadata(task="img_cls", out_dim=3, arch="mobilenet_v3_small"), encoder.base)
    whole = encoder.target.merge(model, made).eval()
    with torch.no_grad():
        expected = whole(encoder.scaled(domain.pictures[:5]))
    ours = domain_logits(encoder, encoder.prefix(domain.pictures[:5]), made)
    torch.testing.assert_close(ours, expected, atol=2e-2, rtol=2e-2)  # the prefix is kept in half precision


def test_rows_follow_the_order_of_labels(parts):
    _, encoder, group, _ = parts
    generator, turn = shaken(seeded(encoder, group)), torch.tensor([2, 0, 1])
    z = generator.latent(group.tasks[0].descriptions[:1])
    straight, turned = generator.head_rows(group.words[None], z), generator.head_rows(group.words[turn][None], z)
    torch.testing.assert_close(straight[0][:, turn], turned[0], atol=1e-5, rtol=1e-4)


def test_training_makes_heads_of_other_domains_fit_better(parts, tmp_path):
    _, encoder, group, _ = parts
    generator = seeded(encoder, group)
    episodes = EpisodeStream([group.tasks], EpisodeConfig(rows=30, own=0.0), seed=7)

    def loss():
        with torch.no_grad():
            return sum(float(episode_loss(generator, episodes.episode(i), encoder.encode)) for i in range(8))

    before, rows = loss(), generator.label_rows.clone()
    module = fit(generator, PictureTrainConfig(10.0, 20, learning_rate=3e-3, stream=FEW), [group], encoder, tmp_path)
    assert module.n_steps == 20
    assert loss() < before
    assert not torch.equal(generator.label_rows, rows)  # heads are solved again, on the adapted features


def test_an_episode_is_scored_on_one_domain_and_solved_on_others(parts):
    *_, group, _ = parts
    stream = EpisodeStream([group.tasks], FEW, seed=1)
    first, again = stream.episode(3), stream.episode(3)
    assert torch.equal(first.inputs, again.inputs)
    assert first.inputs.shape[:2] == first.y.shape == (3, 6)
    owners = [
        next(t.name for t in group.tasks if any(torch.equal(x, own) for own in t.inputs[0])) for (x, *_) in first.inputs
    ]
    assert len(set(owners)) == 3


def test_a_domain_alone_is_split_in_halves(parts):
    _, encoder, group, _ = parts
    generator = seeded(encoder, group)
    for stream in (
        EpisodeStream([group.tasks[:1]], FEW),
        EpisodeStream([group.tasks], EpisodeConfig(rows=18, own=1.0)),
    ):
        episode = stream.episode(0)
        assert episode.y.shape == (1, 18)
        assert 0 < episode_loss(generator, episode, encoder.encode).item() < 3


def test_what_is_scored_is_not_in_the_head(parts):
    """With labels that mean nothing the loss stays that of guessing: a head that knew them would be far below."""
    _, encoder, group, _ = parts
    generator, draws = seeded(encoder, group), torch.Generator().manual_seed(0)
    episode = EpisodeStream([group.tasks], EpisodeConfig(rows=90, own=0.0)).episode(0)
    shuffled = replace(episode, y=torch.randint(3, episode.y.shape, generator=draws))
    assert episode_loss(generator, shuffled, encoder.encode).item() > 0.9


def test_a_run_that_was_over_is_not_run_again(parts, tmp_path):
    _, encoder, group, _ = parts
    config = PictureTrainConfig(10.0, 2, stream=FEW)
    first, second = seeded(encoder, group), seeded(encoder, group)
    fit(first, config, [group], encoder, tmp_path)
    fit(second, config, [group], encoder, tmp_path)
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_saved_generator_writes_the_same_and_is_small(parts, tmp_path):
    _, encoder, group, _ = parts
    generator = shaken(seeded(encoder, group))
    generator.base = encoder.described(32)
    loaded = load_picture_generator(save_adapter_generator(generator, tmp_path / "kept"))
    task = group.tasks[0]
    ours, theirs = (written_logits(g, encoder, task, group) for g in (generator, loaded))
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.05)
    assert sum(f.stat().st_size for f in (tmp_path / "kept").iterdir()) < 5_000_000


def test_a_foreign_folder_is_refused(parts, tmp_path):
    _, encoder, group, _ = parts
    generator = seeded(encoder, group)
    generator.base = {"family": "bert"}
    folder = save_adapter_generator(generator, tmp_path / "kept")
    with pytest.raises(CheckpointError, match="for pictures"):
        load_picture_generator(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model\.safetensors"):
        load_picture_generator(folder)


def test_the_command_trains_saves_and_states_what_it_was_trained_on(parts, tmp_path, monkeypatch):
    found, encoder, _, cache = parts
    monkeypatch.setattr(image_training, "load_image_set", lambda name, **_: found)
    monkeypatch.setattr(image_training, "picture_encoder", lambda *_, **__: encoder)
    monkeypatch.setattr(image_training, "word_embedding", lambda: quick_embedding)
    config = PictureTrainConfig(5.0, 2, stream=FEW)
    made = train_images(tmp_path / "out", config, data="nowhere", sets=["made-up"], cache=cache, progress=False)
    assert made.base["sha256_of_tensors"] == encoder.sha256
    assert set(made.provenance["runs"][0]["validation_pictures"]) == {"before", "after"}
    card = (tmp_path / "out" / "README.md").read_text("utf8")
    assert "made-up things, dark (made up)" in card
    more = train_images(
        tmp_path / "more", config, data="", sets=["made-up"], cache=cache, start=tmp_path / "out", progress=False
    )
    assert len(more.provenance["runs"]) == 2
    smaller = replace(found, domains={"dark": found.domains["dark"]})
    monkeypatch.setattr(image_training, "load_image_set", lambda name, **_: smaller)
    with pytest.raises(CheckpointError, match="remembers 3 domains"):
        train_images(tmp_path / "x", config, data="", sets=["made-up"], cache=cache, start=tmp_path / "out")


def test_every_class_is_split_alike():
    places, part = choose(["a"] * 20 + ["b"] * 40, 40)
    assert len(places) == 40
    assert [round(float(np.mean(part[:20] == i)), 2) for i in range(3)] == list(SHARES)
    assert part[:20].tolist() == part[20:].tolist()


def test_the_middle_of_a_picture_is_kept():
    image = pytest.importorskip("PIL.Image").fromarray(np.tile(np.arange(90, dtype="uint8")[None, :, None], (30, 1, 3)))
    kept = square(image, 30)
    assert kept.shape == (30, 30, 3)
    assert abs(int(kept[:, 15].mean()) - 45) <= 1


def test_a_missing_set_says_where_it_is_looked_for(tmp_path):
    with pytest.raises(DataError, match="is missing"):
        load_image_set("pacs", data=tmp_path)
    with pytest.raises(DataError, match="Did you mean 'pacs'"):
        load_image_set("pac", data=tmp_path)


def test_sentences_by_hand_are_read_and_name_no_class(tmp_path):
    written = read_written(Path(__file__).parents[1] / "experiments" / "image_requests.json")
    assert all(len(sentences) == 5 for sentences in written.values())
    labels = {
        "office": ["backpack", "bike", "calculator", "headphone", "keyboard", "laptop", "monitor", "mouse", "mug"]
    }
    labels["pacs"] = ["dog", "elephant", "giraffe", "guitar", "horse", "house", "person"]
    for name, sentences in written.items():
        for label in labels.get(name.split("/")[0], []):
            assert not any(label in s.lower() for s in sentences)
    (tmp_path / "broken.json").write_text("[1")
    with pytest.raises(DataError, match="JSON object"):
        read_written(tmp_path / "broken.json")


def test_real_pictures_are_split_the_same_way_and_described_without_labels(tmp_path):
    data = os.environ.get("FLAME_DATA")
    if not data or not (Path(data) / "vision" / "digits_4domains.npz").is_file():
        pytest.skip("needs the pictures of the data kit: vision/digits_4domains.npz under FLAME_DATA")
    first = load_image_set("digits", side=32, limit=40, cache=tmp_path)
    again = load_image_set("digits", side=32, limit=40, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    for name, domain in first.domains.items():
        assert domain.pictures.shape == (40, 32, 32, 3)
        assert np.array_equal(domain.pictures, again.domains[name].pictures)
        assert json.dumps(domain.sentences()) == json.dumps(again.domains[name].sentences())
    assert "8 by 8 pixels" in first.domains["scans"].sentences()[0]


@pytest.mark.parametrize("kind", ["lora", "film"])
def test_only_the_last_layers_are_adapted_and_what_lies_before_runs_once(kind):
    from flame.picture.features import PictureEncoder
    from targets.vision_weights import BaseWeights

    encoder = PictureEncoder(BaseWeights("resnet18", new_network("resnet18", 2).state_dict(), "made up"), kind=kind)
    assert all(spec.name.startswith("layer4.") for spec in encoder.specs)
    prefix = encoder.prefix(quick_set().domains["dark"].pictures[:2])
    assert prefix.shape == (2, 256, 2, 2)
    assert encoder.features(prefix).shape == (2, encoder.d_feature)
