"""One held-out domain: what is trained on the other domains, and how it does on the test pictures of that one.

Shape letters: n = pictures, k = classes, p = features.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flame.picture.features import PictureEncoder, domain_task
from flame.picture.fitting import fit, picture_config
from flame.picture.sets import ImageSet
from flame.picture.training import Embed, read_group
from flame.picture.writing import Group, domain_logits, new_generator, write_model
from hypernet.adapters.guesses import ROUNDS
from hypernet.adapters.pictures import FeatureScale, PictureGenerator
from hypernet.adapters.solve import Rows, solve_head
from hypernet.adapters.stream import AdapterTask, StreamConfig
from targets import Weights

ONE_SENTENCE = "Classify pictures."
SHOTS = 5
"""Labelled training pictures of a class of the held-out domain, for the rows that say so."""
FEW_UNLABELLED = 20
"""Unlabelled training pictures of the held-out domain, for the row that says so."""
LOGISTIC = "nothing: logistic regression, frozen features"
POOLED = "nothing: pooled model (Zero-Shot)"
WORDS = "words: FLAME"
SHUFFLED = f"{WORDS}, control: another domain's words"
UNTRAINED_PICTURES = "pictures: frozen features standardised by them, and guesses"
POOLED_PICTURES = "pictures: pooled model standardised by them, and guesses"
READS = "words and pictures: FLAME"
FOREIGN_WORDS = f"{READS}, control: another domain's words"
FOREIGN = f"{READS}, control: another domain's words and pictures"
"""Rows of results, by what they read of the held-out domain."""
Scores = tuple[float, float, float]
"""Accuracy, top-3, top-5."""


@dataclass(frozen=True)
class Setting:
    """How the models of one run are trained."""

    kind: str = "lora"
    seed: int = 0
    steps: int = 80
    rows: int = 20
    """Pictures of a domain in a step; three domains a step."""
    rate: float = 1e-3

    @property
    def name(self) -> str:
        """As it stands in results."""
        return f"{self.kind}, seed {self.seed}"


@dataclass(frozen=True)
class Kit:
    """What every run shares."""

    embed: Embed
    written: dict[str, list[str]]
    """Sentences by hand of `set/domain`, and those of domains that do not exist: `nowhere`."""
    cache: Path | None
    work: Path
    """Trained models are kept here."""


class SharedGenerator(PictureGenerator):
    """The pooled control: one adapter and one head for every description; what is learnt are the tensors themselves."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        made = [torch.randn(s.shape) * s.init_std for s in self.specs]
        self.factors = nn.ParameterList(nn.Parameter(value) for value in made)

    def latent(self, description: Tensor) -> Tensor:
        return description.new_zeros(len(description), self.config.d_latent)

    def adapters(self, z: Tensor) -> Weights:
        return {s.name: v.expand(len(z), *s.shape) for s, v in zip(self.specs, self.factors, strict=True)}

    def head_rows(self, labels: Tensor, z: Tensor) -> Rows:
        kept = self.recall(labels)
        return kept[..., :-1], kept[..., -1]


def top_scores(logits: Tensor, y: Tensor) -> Scores:
    """Share of pictures whose class is among the first, the first three and the first five."""
    order = logits.argsort(1, descending=True)
    hits = order == y[:, None]
    one, three, five = (float(hits[:, :n].any(1).float().mean()) for n in (1, 3, 5))
    return one, three, five


MAKES: dict[str, tuple[type[PictureGenerator], bool, float]] = {
    "flame": (PictureGenerator, False, 1e-3),
    "pooled": (SharedGenerator, False, 1e-3),
    "flame-pictures": (PictureGenerator, True, 2e-4),
    "pooled-pictures": (SharedGenerator, True, 2e-4),
}
"""What is trained on the other domains, whether it reads unlabelled pictures of the domain it writes for, and the
learning rate; the last one was chosen inside training domains (`experiments/office_tried.md`)."""


def held_out_models(
    found: ImageSet, held: str, encoder: PictureEncoder, setting: Setting, kit: Kit, names: Sequence[str] = tuple(MAKES)
) -> tuple[Group, dict[str, PictureGenerator]]:
    """The other domains of a set, and what is trained on them; read from the work folder where it is there."""
    others = [d for d in found.domains if d != held]
    group = read_group(found, encoder, kit.embed, domains=others, written=kit.written, cache=kit.cache)
    made = {}
    for name in names:
        make, by_domain, rate = MAKES[name]
        generator, own = _seeded(encoder, group, setting, make, by_domain), replace(setting, rate=rate)
        made[name] = _trained(f"{found.name}-{held}-{name}", generator, group.tasks, encoder, own, kit)
    return group, made


def held_out_scores(
    found: ImageSet, held: str, encoder: PictureEncoder, setting: Setting, kit: Kit
) -> dict[str, Scores]:
    """Every method on the test pictures of a domain that none of them was trained on.

    What a row reads of that domain stands at its beginning: sentences, and training pictures without their labels.
    """
    group, models = held_out_models(found, held, encoder, setting, kit)
    models["untrained"] = _seeded(encoder, group, setting, PictureGenerator)
    models["untrained-pictures"] = _seeded(encoder, group, setting, PictureGenerator, by_domain=True)
    test, labelled = (_task(found, held, part, encoder, group, kit) for part in ("test", "train"))
    others = [d for d in found.domains if d != held]
    pictures = {d: _task(found, d, "train", encoder, group, kit).inputs[0] for d in found.domains}
    few_places = np.linspace(0, len(pictures[held]) - 1, FEW_UNLABELLED).astype(int)
    own, foreign = _two_of_each(found, held, kit), {d: _two_of_each(found, d, kit) for d in others}

    def mean(
        model: str, sentences: Sequence[str] = (ONE_SENTENCE,), unlabelled: Tensor | None = None, rounds: int = ROUNDS
    ) -> Scores:
        made = [
            write_model(models[model], encoder, d, group.words, unlabelled, rounds=rounds) for d in kit.embed(sentences)
        ]
        return _mean([top_scores(domain_logits(encoder, test.inputs[0], m), test.y) for m in made])

    def few(model: str, *, prior: bool = True) -> Scores:
        return few_scores(models[model], kit.embed(own)[0], test, labelled, encoder, prior=prior)

    mine = pictures[held]
    return {
        **frozen_baselines(group, test, encoder),
        "nothing: untrained generator (head solved on frozen features)": mean("untrained"),
        POOLED: mean("pooled"),
        WORDS: mean("flame", own),
        SHUFFLED: _mean([mean("flame", v[:1]) for v in foreign.values()]),
        f"{WORDS}, control: domains that do not exist": mean("flame", kit.written["nowhere"][:2]),
        "pictures: frozen features standardised by them": mean("untrained-pictures", unlabelled=mine, rounds=0),
        UNTRAINED_PICTURES: mean("untrained-pictures", unlabelled=mine),
        "pictures: pooled model standardised by them": mean("pooled-pictures", unlabelled=mine, rounds=0),
        POOLED_PICTURES: mean("pooled-pictures", unlabelled=mine),
        f"{READS}, no guesses": mean("flame-pictures", own[1:3], mine, 0),
        READS: mean("flame-pictures", own, mine),
        f"{READS}, {FEW_UNLABELLED} pictures": mean("flame-pictures", own[1:3], mine[few_places]),
        FOREIGN_WORDS: _mean([mean("flame-pictures", v[:1], mine) for v in foreign.values()]),
        f"{READS}, control: another domain's pictures": _mean(
            [mean("flame-pictures", own[:1], pictures[d]) for d in others]
        ),
        FOREIGN: _mean([mean("flame-pictures", foreign[d][:1], pictures[d]) for d in others]),
        f"{SHOTS} labelled a class: frozen features": few("untrained", prior=False),
        f"{SHOTS} labelled a class: untrained generator": few("untrained"),
        f"{SHOTS} labelled a class: pooled model": few("pooled"),
        f"{SHOTS} labelled a class and words: FLAME": few("flame"),
    }


def frozen_baselines(group: Group, test: AdapterTask, encoder: PictureEncoder) -> dict[str, Scores]:
    """Nearest class mean and logistic regression on the base model's features of the pooled training domains."""
    from sklearn.linear_model import LogisticRegression

    seen, y = torch.cat([encoder.features(t.inputs[0]) for t in group.tasks]), torch.cat([t.y for t in group.tasks])
    scale = FeatureScale.of(seen)
    features, asked = scale.standard(seen), scale.standard(encoder.features(test.inputs[0]))
    means = torch.stack([features[y == i].mean(0) for i in range(len(group.words))])
    logistic = LogisticRegression(C=1.0, max_iter=300).fit(features.numpy(), y.numpy())
    logits = torch.from_numpy(logistic.decision_function(asked.numpy())).float()
    logits = torch.cat([-logits[:, None], logits[:, None]], 1) if logits.dim() == 1 else logits
    return {
        "nothing: nearest class mean, frozen features": top_scores(-torch.cdist(asked, means), test.y),
        LOGISTIC: top_scores(logits, test.y),
    }


@torch.inference_mode()
def few_scores(
    generator: PictureGenerator,
    description: Tensor,
    test: AdapterTask,
    labelled: AdapterTask,
    encoder: PictureEncoder,
    *,
    prior: bool = True,
) -> Scores:
    """A head solved on labelled pictures of the held-out domain; without `prior` from nothing but these."""
    words = torch.stack([w[0] for w in labelled.words])
    places = torch.cat([(labelled.y == i).nonzero()[:SHOTS, 0] for i in range(len(words))])
    z = generator.latent(description[None])
    made = {name: value.detach() for name, value in generator.adapters(z).items()}
    seen, asked = (generator.standard(encoder.features(x, made)) for x in (labelled.inputs[0][places], test.inputs[0]))
    hot = nn.functional.one_hot(labelled.y[places], len(words))[None].float()
    rows = generator.head_rows(words[None], z) if prior else None
    weight, bias = solve_head(generator, seen[None], hot, rows, z)
    return top_scores(asked @ weight[0].mT + bias[0], test.y)


def _trained(
    name: str,
    generator: PictureGenerator,
    tasks: Sequence[AdapterTask],
    encoder: PictureEncoder,
    setting: Setting,
    kit: Kit,
) -> PictureGenerator:
    """Train, or read what an earlier start of this experiment trained."""
    place = kit.work / f"{name}-{setting.name.replace(', ', '-').replace(' ', '')}-{setting.steps}.pt"
    if place.is_file():
        generator.load_state_dict(torch.load(place, weights_only=True))
        return generator.eval()
    stream = StreamConfig(rows=setting.rows, support=(setting.rows // 4, setting.rows // 2), noise=0.3)
    config = replace(
        picture_config(600.0, steps=setting.steps, learning_rate=setting.rate, seed=setting.seed),
        stream=stream,
    )
    with tempfile.TemporaryDirectory() as folder:
        fit(generator, config, tasks, encoder, Path(folder))
    kit.work.mkdir(parents=True, exist_ok=True)
    torch.save(generator.state_dict(), place)
    return generator.eval()


def _seeded(
    encoder: PictureEncoder, group: Group, setting: Setting, make: type[PictureGenerator], by_domain: bool = False
) -> PictureGenerator:
    torch.manual_seed(setting.seed)
    return new_generator(encoder, [group], make, by_domain=by_domain)


def _task(found: ImageSet, domain: str, part: str, encoder: PictureEncoder, group: Group, kit: Kit) -> AdapterTask:
    return domain_task(
        encoder,
        found,
        found.domains[domain],
        part,
        descriptions=_sentences(found, domain, kit),
        words=group.words,
        cache=kit.cache,
    )


def _sentences(found: ImageSet, domain: str, kit: Kit) -> Tensor:
    return kit.embed([*found.domains[domain].sentences(), *kit.written[f"{found.name}/{domain}"]])


def _two_of_each(found: ImageSet, domain: str, kit: Kit) -> list[str]:
    """Two sentences from pixels and two by hand."""
    return [*found.domains[domain].sentences()[:2], *kit.written[f"{found.name}/{domain}"][:2]]


def _mean(rows: Sequence[Scores]) -> Scores:
    one, three, five = np.array(rows).mean(0).tolist()
    return one, three, five
