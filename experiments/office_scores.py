"""How models do on the test pictures of a domain that none of them was trained on.

Shape letters: n = pictures, k = classes, p = features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from experiments.office_models import Kit, Setting, held_out_models, untrained
from flame.picture.features import PictureEncoder, domain_task
from flame.picture.sets import ImageSet
from flame.picture.writing import Group, domain_logits, write_model
from hypernet.adapters.generator import Settings
from hypernet.adapters.guesses import ROUNDS
from hypernet.adapters.pictures import FeatureScale, PictureGenerator
from hypernet.adapters.solve import FAR, solve_classes
from hypernet.adapters.stream import AdapterTask
from targets import Weights

ONE_SENTENCE = "Classify pictures."
SHOTS = 5
"""Labelled training pictures of a class of the held-out domain, for the rows that say so."""
FEW_UNLABELLED = 20
"""Unlabelled training pictures of the held-out domain, for the row that says so."""
LOGISTIC = "nothing: logistic regression, frozen features"
POOLED = "nothing: pooled model (Zero-Shot)"
SHARED = "nothing: one adapter for all, trained as FLAME"
WORDS = "words: FLAME"
SHUFFLED = f"{WORDS}, control: another domain's words"
UNTRAINED_PICTURES = "pictures: untrained generator (frozen features)"
POOLED_PICTURES = "pictures: pooled model"
SHARED_PICTURES = "pictures: one adapter for all, trained as FLAME"
READS = "words and pictures: FLAME"
FOREIGN_WORDS = f"{READS}, control: another domain's words"
FOREIGN = f"{READS}, control: another domain's words and pictures"
"""Rows of results, by what they read of the held-out domain."""
Scores = tuple[float, float, float]
"""Accuracy, top-3, top-5."""


def top_scores(logits: Tensor, y: Tensor) -> Scores:
    """Share of pictures whose class is among the first, the first three and the first five."""
    order = logits.argsort(1, descending=True)
    hits = order == y[:, None]
    one, three, five = (float(hits[:, :n].any(1).float().mean()) for n in (1, 3, 5))
    return one, three, five


def held_out_scores(
    found: ImageSet, held: str, encoder: PictureEncoder, setting: Setting, kit: Kit
) -> dict[str, Scores]:
    """Every method on the test pictures of a domain that none of them was trained on.

    What a row reads of that domain stands at its beginning: sentences, and training pictures without their labels.
    """
    group, models = held_out_models(found, held, encoder, setting, kit)
    models["untrained"] = untrained(encoder, group, setting)
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
        return mean_scores([top_scores(domain_logits(encoder, test.inputs[0], m), test.y) for m in made])

    def few(model: str) -> Scores:
        return few_scores(models[model], kit.embed(own)[0], test, labelled, encoder)

    mine = pictures[held]
    return {
        **frozen_baselines(group, test, encoder),
        "nothing: untrained generator (head solved on frozen features)": mean("untrained"),
        POOLED: mean("pooled"),
        SHARED: mean("shared"),
        WORDS: mean("flame", own),
        SHUFFLED: mean_scores([mean("flame", v) for v in foreign.values()]),
        f"{WORDS}, control: domains that do not exist": mean("flame", kit.written["nowhere"]),
        f"{UNTRAINED_PICTURES}, no guesses": mean("untrained", unlabelled=mine, rounds=0),
        UNTRAINED_PICTURES: mean("untrained", unlabelled=mine),
        f"{POOLED_PICTURES}, no guesses": mean("pooled", unlabelled=mine, rounds=0),
        POOLED_PICTURES: mean("pooled", unlabelled=mine),
        SHARED_PICTURES: mean("shared", unlabelled=mine),
        f"{READS}, no guesses": mean("flame", own[1:3], mine, 0),
        READS: mean("flame", own, mine),
        f"{READS}, {FEW_UNLABELLED} pictures": mean("flame", own[1:3], mine[few_places]),
        FOREIGN_WORDS: mean_scores([mean("flame", v[:1], mine) for v in foreign.values()]),
        f"{READS}, control: another domain's pictures": mean_scores(
            [mean("flame", own[:1], pictures[d]) for d in others]
        ),
        FOREIGN: mean_scores([mean("flame", foreign[d][:1], pictures[d]) for d in others]),
        f"{SHOTS} labelled a class: frozen features": few_frozen_scores(test, labelled, encoder),
        f"{SHOTS} labelled a class: untrained generator": few("untrained"),
        f"{SHOTS} labelled a class: pooled model": few("pooled"),
        f"{SHOTS} labelled a class: one adapter for all, trained as FLAME": few("shared"),
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


def few_scores(
    generator: PictureGenerator, description: Tensor, test: AdapterTask, labelled: AdapterTask, encoder: PictureEncoder
) -> Scores:
    """By a head that is solved on labelled pictures of the held-out domain, from what the generator remembers."""
    words, places = torch.stack([w[0] for w in labelled.words]), _few_places(labelled)
    made = write_labelled_model(generator, encoder, description, words, labelled.inputs[0][places], labelled.y[places])
    return top_scores(domain_logits(encoder, test.inputs[0], made), test.y)


@torch.no_grad()
def write_labelled_model(
    generator: PictureGenerator,
    encoder: PictureEncoder,
    description: Tensor,
    words: Tensor,
    pictures: Tensor,
    y: Tensor,
) -> Weights:
    """As `write_model`, with the head solved on labelled pictures, from the rows that the generator remembers.

    Shape:
        description (d_words,), words (k, d_words), pictures (n, c, h, w), y (n,) -> (1, *shape) per tensor
    """
    z = generator.latent(description[None])
    made, known = generator.adapters(z), generator.head_rows(words[None], z)
    hot = nn.functional.one_hot(y, len(words)).float()
    scale, rows = generator.labelled_rows(encoder.features(pictures, made), hot, known, z)
    return {**made, **scale.classifier(rows, head=encoder.head)}


def few_frozen_scores(test: AdapterTask, labelled: AdapterTask, encoder: PictureEncoder) -> Scores:
    """By a head that is solved on the same pictures, from nothing."""
    places = _few_places(labelled)
    seen = encoder.features(labelled.inputs[0][places])
    scale, hot = FeatureScale.of(seen), nn.functional.one_hot(labelled.y[places], len(labelled.words))[None].float()
    weight, bias = solve_classes(scale.standard(seen)[None], hot, Settings.untrained(), n_steps=FAR)
    return top_scores(scale.standard(encoder.features(test.inputs[0])) @ weight[0].mT + bias[0], test.y)


def _few_places(labelled: AdapterTask) -> Tensor:
    return torch.cat([(labelled.y == i).nonzero()[:SHOTS, 0] for i in range(len(labelled.words))])


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


def mean_scores(rows: Sequence[Scores]) -> Scores:
    """Of several models."""
    one, three, five = np.array(rows).mean(0).tolist()
    return one, three, five
