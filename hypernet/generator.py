"""The parameter generator P of section 3.2.2: encoder, decoder and the tasks they were trained on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelHubMixin
from safetensors.torch import load, save
from torch import Tensor, nn

from flame.errors import CheckpointError, ConfigError, RouteError, did_you_mean
from hypernet.card import write_card
from hypernet.decoder import DECODERS, MultiHeadDecoder
from hypernet.encoder import EncoderConfig, RequirementEncoder, backbone_config, build_encoder
from hypernet.tasks import TaskRecord
from hypernet.tokenizer import tokenize
from targets import Weights, get_target, stack_weights, target_names

FORMAT = "flame-generator"
FORMAT_VERSION = 1
FILES = ("config.json", "tasks.json", "tokenizer.json", "model.safetensors")


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that fixes the generator's own parameters, apart from the tasks."""

    arch: str = "mlp_base"
    """The target it writes."""
    decoder: str = "per_tensor"
    """`per_tensor` (the paper's linear map per tensor) or `shared` (one trunk with embeddings)."""
    d_latent: int = 25
    """Width of the latent z (table 7)."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """What reads the requirement."""

    def __post_init__(self) -> None:
        faults = []
        for name, known in (("arch", target_names()), ("decoder", DECODERS)):
            if getattr(self, name) not in known:
                tail = did_you_mean(str(getattr(self, name)), known)
                faults.append(f"{name}={getattr(self, name)!r} is not known; choose from {tail}")
        if not isinstance(self.d_latent, int) or self.d_latent < 2:
            faults.append(f"d_latent must be an integer of at least 2, however: {self.d_latent!r}")
        if faults:
            raise ConfigError("generator: " + "; ".join(faults))


class ParameterGenerator(nn.Module, ModelHubMixin):
    """Requirement in, weights out, in one forward pass: theta_t = G(E(r)).

    Shape:
        ids (b, t), mask (b, t), one task name per row -> Weights (b, *shape)
    """

    def __init__(
        self, config: GeneratorConfig, *, tokenizer: Any, tasks: Sequence[TaskRecord], encoder: RequirementEncoder
    ) -> None:
        super().__init__()
        target = get_target(config.arch)
        self.config = config
        self.tokenizer = tokenizer
        self.tasks = {t.name: t for t in tasks}
        self.encoder = encoder
        self.decoder = MultiHeadDecoder(
            target.static_specs(),
            {t.name: target.dynamic_specs(t.metadata) for t in tasks},
            d_latent=config.d_latent,
            kind=config.decoder,
        )
        self.fingerprint = "untrained"
        self.provenance: dict[str, Any] = {}

    def forward(self, ids: Tensor, mask: Tensor, tasks: Sequence[str]) -> Weights:
        """Weights of one model per row; see `decode`."""
        return self.decode(self.encoder(ids, mask), tasks)

    def decode(self, z: Tensor, tasks: Sequence[str]) -> Weights:
        """Weights of one model per latent; tasks of other dimensions are zero-padded to the largest.

        The static heads run once for the batch and every head group once for all of its rows.

        Shape:
            z (b, d), one task name per row -> Weights (b, *shape)
        """
        order: dict[str, list[int]] = {}
        for i, task in enumerate(tasks):
            order.setdefault(task, []).append(i)
        groups = [self.decoder.dynamic(z[rows], task) for task, rows in order.items()]
        dynamic = groups[0] if len(groups) == 1 else stack_weights(groups)
        flat = [i for rows in order.values() for i in rows]
        back = torch.tensor(sorted(range(len(flat)), key=flat.__getitem__), device=z.device)
        return {**self.decoder.static(z), **{name: value[back] for name, value in dynamic.items()}}

    def tokenize(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids and mask of requirement sentences, on the generator's device."""
        ids, mask = tokenize(self.tokenizer, sentences, self.config.encoder.max_tokens)
        device = next(self.parameters()).device
        return ids.to(device), mask.to(device)

    @torch.inference_mode()
    def generate(self, requirement: str, task: str) -> Weights:
        """Write the weights of one model.

        Shape:
            -> Weights (1, *shape)

        Raises:
            RouteError: if no head is trained for `task`.
        """
        self.task(task)
        ids, mask = self.tokenize([requirement])
        training = self.training
        self.eval()
        try:
            return self(ids, mask, [task])
        finally:
            self.train(training)

    def task(self, name: str) -> TaskRecord:
        """The record of a trained task.

        Raises:
            RouteError: if there is none; the message lists the known ones.
        """
        if name not in self.tasks:
            raise RouteError(f"no head for task {name!r}; this checkpoint has {did_you_mean(name, self.tasks)}")
        return self.tasks[name]

    # -- keeping -------------------------------------------------------------------------------------------------

    def _save_pretrained(self, save_directory: Path) -> None:
        folder = Path(save_directory)
        config = {"format": FORMAT, "version": FORMAT_VERSION, **asdict(self.config), "provenance": self.provenance}
        if self.config.encoder.pretrained and not self.config.encoder.freeze:
            config["backbone"] = backbone_config(self.encoder)
        tasks = [t.to_json() for t in self.tasks.values()]
        skip = "encoder.backbone." if self.config.encoder.freeze else None
        tensors = {k: v.contiguous() for k, v in self.state_dict().items() if skip is None or not k.startswith(skip)}
        # config.json comes last (the mixin removed an older one): a folder that a kill left half written is refused.
        files = {
            "tasks.json": json.dumps(tasks, indent=1, ensure_ascii=False).encode(),
            "tokenizer.json": self.tokenizer.to_str().encode(),
            "README.md": write_card(self.config.arch, self.tasks.values(), self.provenance).encode(),
            "model.safetensors": save(tensors, metadata={"format": "pt"}),
            "config.json": json.dumps(config, indent=2).encode(),
        }
        try:
            for name, content in files.items():
                _replace(folder / name, content)
        except OSError as error:
            raise CheckpointError(f"cannot write the checkpoint {folder}: {error}") from error

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> ParameterGenerator:
        """Load a checkpoint from a folder or a hub name; `options` (revision, token, ...) go to the hub.

        Raises:
            CheckpointError: if there is none, or it cannot be read.
        """
        # The mixin's own method reads config.json first and lets whatever json or the hub raise pass through.
        folder = Path(pretrained_model_name_or_path)
        return read_generator(folder if folder.is_dir() else _download(str(folder), options))


def build_generator(
    config: GeneratorConfig, *, tokenizer: Any, tasks: Sequence[TaskRecord], backbone: dict[str, Any] | None = None
) -> ParameterGenerator:
    """A fresh, untrained generator for a list of tasks; for `backbone` see `build_encoder`."""
    n_pieces = tokenizer.get_vocab_size()
    encoder = build_encoder(config.encoder, d_latent=config.d_latent, n_pieces=n_pieces, backbone=backbone)
    return ParameterGenerator(config, tokenizer=tokenizer, tasks=tasks, encoder=encoder)


def read_generator(folder: Path) -> ParameterGenerator:
    """Load a checkpoint folder; its hash is kept as `fingerprint`.

    Raises:
        CheckpointError: if a file is missing, truncated, or of another program.
    """
    from tokenizers import Tokenizer

    missing = [n for n in FILES if not (folder / n).is_file()]
    if missing:
        raise CheckpointError(f"{folder} is not a FLAME checkpoint: it lacks {', '.join(missing)}")
    try:
        raw = json.loads((folder / "config.json").read_text("utf8"))
        config = parse_config(raw)
        tasks = [TaskRecord.from_json(t) for t in json.loads((folder / "tasks.json").read_text("utf8"))]
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        content = (folder / "model.safetensors").read_bytes()
        tensors = load(content)
        generator = build_generator(config, tokenizer=tokenizer, tasks=tasks, backbone=raw.get("backbone"))
    except CheckpointError:
        raise
    except Exception as error:  # tokenizers raises a bare Exception
        raise CheckpointError(f"the checkpoint {folder} is truncated or foreign: {error}") from error
    faults = _compare(tensors, generator.state_dict(), frozen="encoder.backbone." if config.encoder.freeze else None)
    if faults:
        raise CheckpointError(f"the tensors of {folder} do not fit its config.json: {'; '.join(faults)}")
    generator.load_state_dict(tensors, strict=False, assign=True)
    generator.fingerprint = hashlib.sha256(content).hexdigest()
    generator.provenance = raw.get("provenance", {})
    return generator.eval()


def _compare(tensors: dict[str, Tensor], expected: dict[str, Tensor], *, frozen: str | None) -> list[str]:
    """Faults of the tensors of a file; those under the prefix `frozen` come from elsewhere."""
    if frozen:
        expected = {name: value for name, value in expected.items() if not name.startswith(frozen)}
    both = sorted(tensors.keys() & expected.keys())
    alike = [n for n in both if tensors[n].dtype == expected[n].dtype]
    kinds = {
        "missing": sorted(expected.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - expected.keys()),
        "of another shape": [n for n in both if tensors[n].shape != expected[n].shape],
        "of another type": sorted(set(both) - set(alike)),
        "not finite": [n for n in alike if not tensors[n].isfinite().all()],
    }
    return [f"{kind}: {names[:3]}" + ("" if len(names) < 4 else ", ...") for kind, names in kinds.items() if names]


def parse_config(value: dict[str, Any]) -> GeneratorConfig:
    """Read `config.json`.

    Raises:
        CheckpointError: if another program or a later version wrote it.
    """
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise CheckpointError(f'config.json must say "format": {FORMAT!r}; another program wrote this checkpoint')
    if value.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint format {value.get('version')!r} is not known to this version (it reads {FORMAT_VERSION}); "
            "update flame-hypernet"
        )
    fields = {k: v for k, v in value.items() if k not in ("format", "version", "provenance", "backbone")}
    try:
        return GeneratorConfig(**{**fields, "encoder": EncoderConfig(**fields.get("encoder", {}))})
    except (TypeError, ConfigError) as error:
        raise CheckpointError(f"config.json is not readable: {error}") from error


def _download(name: str, options: dict[str, Any]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    known = ("revision", "cache_dir", "force_download", "token", "local_files_only")
    try:
        options = {k: v for k, v in options.items() if k in known and v is not None}
        return Path(snapshot_download(name, allow_patterns=[*FILES, "README.md"], **options))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"no checkpoint {name!r}: there is no such folder, and the hub gave {type(error).__name__}: {error}"
        ) from error


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
