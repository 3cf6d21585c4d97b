"""Models go to a hub and come back the same; the hub here is a folder, and its faults are said in one sentence."""

from __future__ import annotations

import fnmatch
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from flame_fixtures import labelled, model_fixture, tiny_fixture, unlabelled  # noqa: F401
from test_cli import flame  # noqa: F401  (runs a command)
from text_fixtures import LABELS, TEXTS, base_fixture, bases_fixture  # noqa: F401

from flame import GeneratedModel, generate_model
from flame.errors import CheckpointError


class Hub:
    """Stands in for `HfApi` and `snapshot_download`: repositories are folders, options are checked as the real ones."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def api(self, token: str | None = None) -> Hub:
        self.calls.append(("api", {"token": token}))
        return self

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> Any:
        self.calls.append(("create_repo", {"private": private}))
        full = repo_id if "/" in repo_id else f"me/{repo_id}"
        (self.place / full).mkdir(parents=True, exist_ok=exist_ok)
        return RepoUrl(full)

    def upload_folder(
        self, *, repo_id: str, folder_path: Path, commit_message: str, delete_patterns: list[str]
    ) -> None:
        target = self.place / repo_id
        for path in [p for p in target.iterdir() if any(fnmatch.fnmatch(p.name, d) for d in delete_patterns)]:
            path.unlink()
        shutil.copytree(folder_path, target, dirs_exist_ok=True)
        self.calls.append(("upload_folder", {"message": commit_message}))

    def snapshot_download(
        self, repo_id: str, *, revision: str | None, token: str | None, allow_patterns: list[str]
    ) -> str:
        self.calls.append(("snapshot_download", {"revision": revision, "token": token}))
        assert "*" not in "".join(allow_patterns)
        if not (self.place / repo_id).is_dir():
            raise huggingface_hub.errors.LocalEntryNotFoundError("An error happened while trying to locate the files")
        return str(self.place / repo_id)


class RepoUrl(str):
    @property
    def repo_id(self) -> str:
        return str(self)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Hub:
    made = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", made.api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    return made


def test_a_model_comes_back_from_the_hub_as_it_was_pushed(hub, model):
    assert model.push_to_hub("iris", token="secret") == "me/iris"
    found = GeneratedModel.from_pretrained("me/iris", revision="main")
    assert np.array_equal(found.predict_proba(unlabelled()), model.predict_proba(unlabelled()))
    assert found.provenance == model.provenance
    assert ("api", {"token": "secret"}) in hub.calls
    assert ("snapshot_download", {"revision": "main", "token": None}) in hub.calls


def test_a_repository_is_private_unless_told_otherwise(hub, model):
    model.push_to_hub("me/a")
    model.push_to_hub("me/b", private=False)
    assert [c[1]["private"] for c in hub.calls if c[0] == "create_repo"] == [True, False]


def test_a_text_model_replaces_a_table_model_and_leaves_other_files(hub, model, base):
    model.push_to_hub("me/m")
    (hub.place / "me/m/plot.png").write_bytes(b"png")
    made = generate_model("Sentiment", (TEXTS, LABELS), base_model=base)
    made.push_to_hub("me/m")
    found = GeneratedModel.from_pretrained("me/m", base_model=base)
    assert found.predict(TEXTS).tolist() == made.predict(TEXTS).tolist()
    names = {p.name for p in (hub.place / "me/m").iterdir()}
    assert "plot.png" in names
    assert "model.safetensors" not in names


def test_a_folder_is_read_without_the_hub(hub, model, tmp_path):
    folder = model.save(tmp_path / "m")
    assert np.array_equal(GeneratedModel.from_pretrained(folder).predict(labelled()), model.predict(labelled()))
    assert hub.calls == []


def test_without_a_network_an_error_says_what_to_do_instead(model):
    with pytest.raises(CheckpointError, match=r"no model 'me/none-such': .*save the model to a folder.*flame.load"):
        GeneratedModel.from_pretrained("me/none-such")
    with pytest.raises(CheckpointError, match=r"cannot push to 'me/x': .*hf auth login"):
        model.push_to_hub("me/x", token="hf_none")


def test_a_name_that_cannot_be_one_is_our_error(model):
    with pytest.raises(CheckpointError, match="owner/name"):
        GeneratedModel.from_pretrained("a/b/c")


def test_a_foreign_repository_is_refused(hub):
    (hub.place / "me/bert").mkdir(parents=True)
    (hub.place / "me/bert/config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"is not a saved model: it lacks flame.json"):
        GeneratedModel.from_pretrained("me/bert")


def test_the_command_pushes_a_saved_model(hub, flame, model, tmp_path):  # noqa: F811
    code, out, _ = flame("push", model.save(tmp_path / "m"), "me/iris", "--public", "-m", "First", "--json")
    assert (code, "me/iris" in out) == (0, True)
    assert ("create_repo", {"private": False}) in hub.calls
    assert ("upload_folder", {"message": "First"}) in hub.calls
