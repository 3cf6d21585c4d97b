"""Saved models on a model hub, through `huggingface_hub`: the same folder that `save` writes, nothing else."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from flame.errors import CheckpointError
from flame.saving import FILES

if TYPE_CHECKING:
    from flame.model import GeneratedModel

_WAYS = (
    "Without a network, save the model to a folder, hand the folder over, and read it with flame.load(folder). With "
    "one, log in by `hf auth login` or give token=..., and check the name: owner/name"
)


def push_model(
    model: GeneratedModel, repo_id: str, *, private: bool = True, token: str | None = None, message: str | None = None
) -> str:
    """Upload a model; see `GeneratedModel.push_to_hub`."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with TemporaryDirectory(prefix="flame-push-") as place:
        folder = model.save(Path(place) / "model")
        try:
            repo = api.create_repo(repo_id, private=private, exist_ok=True)
            # The name as the hub knows it: an owner may be left out.
            api.upload_folder(
                repo_id=repo.repo_id,
                folder_path=folder,
                commit_message=message or f"A generated model for {model.target}",
                delete_patterns=[*FILES],
            )
        except Exception as error:  # the hub and its network library have errors of their own
            raise CheckpointError(f"cannot push to {repo_id!r}: {_first_line(error)}. {_WAYS}") from error
    return str(repo)


def fetch_model(repo_id: str, *, revision: str | None = None, token: str | None = None) -> Path:
    """The folder of a model of the hub in the local cache; it is downloaded where it is not there.

    Raises:
        CheckpointError: if it is neither in the cache nor reachable.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo_id, revision=revision, token=token, allow_patterns=[*FILES]))
    except Exception as error:  # the hub and its network library have errors of their own
        raise CheckpointError(
            f"no model {repo_id!r}: there is no such folder, and the hub gave {_first_line(error)}. {_WAYS}"
        ) from error


def _first_line(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
