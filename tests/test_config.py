"""Training configurations: what is not known or out of range is refused, with every fault named."""

from pathlib import Path

import pytest
import yaml

from flame.errors import ConfigError
from hypernet.config import TrainConfig, parse_experiment, read_config

CONFIGS = sorted((Path(__file__).parents[1] / "experiments" / "configs").glob("*.yaml"))
GOOD = {"name": "toy", "tables": ["iris"]}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_the_configurations_of_the_experiments_can_be_read(path):
    from flame.table.tables import TABLES

    config = read_config(path)
    assert config.tables
    assert set(config.tables) <= set(TABLES)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_every_configuration_is_headed_by_the_command_that_runs_it(path):
    assert path.read_text("utf8").startswith(f"# flame train experiments/configs/{path.name} ")


def test_there_are_configurations():
    assert CONFIGS


def test_values_of_every_section_arrive(tmp_path):
    generator = {"decoder": "shared", "encoder": {"n_layers": 3}}
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump({**GOOD, "generator": generator, "train": {"epochs": 7}}))
    config = read_config(path)
    assert (config.name, config.tables) == ("toy", ("iris",))
    assert (config.generator.decoder, config.generator.encoder.n_layers, config.train.epochs) == ("shared", 3, 7)


@pytest.mark.parametrize(
    ("change", "where", "key", "nearest"),
    [
        ({"tabels": []}, "configuration", "tabels", "tables"),
        ({"train": {"epoch": 3}}, "train", "epoch", "epochs"),
        ({"generator": {"latent": 3}}, "generator", "latent", "d_latent"),
        ({"generator": {"encoder": {"freze": True}}}, "generator.encoder", "freze", "freeze"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_match(change, where, key, nearest):
    with pytest.raises(ConfigError, match=f"{where}: unknown key '{key}'; known are .* Did you mean '{nearest}'"):
        parse_experiment({**GOOD, **change})


def test_all_values_out_of_range_are_named_at_once():
    wrong = {
        **{"objective": "dleta", "schedule": "linear", "epochs": 0, "batch_size": 2.5, "pairs_per_step": -1},
        **{"learning_rate": "1e-3", "gradient_clip": 0, "weight_decay": -1, "token_dropout": 0.6, "seed": "one"},
    }
    with pytest.raises(ConfigError) as error:
        parse_experiment({**GOOD, "train": wrong})
    assert [name for name in wrong if name not in str(error.value)] == []
    assert [value for value in wrong.values() if repr(value) not in str(error.value)] == []


def test_a_wrong_objective_is_answered_with_the_right_one():
    with pytest.raises(ConfigError, match=r"objective='dleta' .*Did you mean 'delta'\?"):
        TrainConfig(objective="dleta")


@pytest.mark.parametrize("tables", ["iris", {"iris": 1}, ["iris", "iris"]])
def test_tables_must_be_a_list_of_different_names(tables):
    with pytest.raises(ConfigError, match=r"tables must be a list of different names, however: .*iris"):
        parse_experiment({**GOOD, "tables": tables})


@pytest.mark.parametrize("change", [{"train": [1]}, {"generator": "x"}, {"generator": {"encoder": 3}}])
def test_a_section_that_is_no_mapping_is_refused(change):
    with pytest.raises(ConfigError, match="must hold keys and values, however"):
        parse_experiment({**GOOD, **change})


def test_a_configuration_without_a_name_is_refused():
    with pytest.raises(ConfigError, match=r"configuration: .*'name'"):
        parse_experiment({"tables": ["iris"]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not a readable YAML file"),
        ("- a", "must hold keys and values, however: list"),
        (b"\xff\xfe\x00", "is not a"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, content, message):
    path = tmp_path / "a.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=message):
        read_config(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no configuration file .*nowhere.yaml"):
        read_config(tmp_path / "nowhere.yaml")
