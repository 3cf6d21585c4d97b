"""Where a request lives: domain, kind of input, named data sets and models, device and engine.

>>> from .lexicon import words_of
>>> text = "detect polyps in colonoscopy videos, no gpu, onnx runtime"
>>> words = words_of(text)
>>> read_domain(words), read_device(text, words)[0], read_engine(words)
('medicine', 'cpu', 'onnxruntime')
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .lexicon import Hit, Named, Word, folded, lookup, named, word_set

MODALITIES = ("video", "image", "audio", "text", "time_series", "table")
"""In the order in which ties are broken."""
_PAIR = re.compile(
    r"\b(?:(?:two|pairs? of|both)(?: \w+){0,2} (?:sentences|questions|texts|titles|headlines|documents|paragraphs"
    r"|descriptions|tweets|reviews|passages|names)\b|premise and (?:an? |the )?hypothes[ie]s|(?:sentence|question|text"
    r"|document|title|headline)s?[- ]pairs?|paraphrase (?:detection|identification)|entailment|duplicate questions?)"
)
_ITEM = r"[^,.;:!?\n\d]{2,40}"
_ATTRIBUTES = re.compile(
    rf"\b(?:from|given|based on|using|knowing|inputs?(?: are)?:?|columns?:|features?:) (?!less|more|at |no |up to|only"
    rf"|fewer|an? (?:photo|picture|image))(?!{_ITEM}(?:images?|photos?|pictures?))(?:{_ITEM}(?:, | and ){_ITEM}(?:,"
    rf"| and )|(?:the |its |their |his |her )?[a-z' -]{{2,30}} and [a-z' -]{{3,30}}|{_ITEM}, {_ITEM}, )"
    rf"|\bby {_ITEM}, {_ITEM}(?:,| and )"
)
_SEVERAL = re.compile(
    r"\b(?:from|given|based on|using|by|knowing) (?:the )?[\w' -]{2,30}(?:, [\w' -]{2,30}){1,8},? and [\w' -]{2,30}"
)
_IMAGE_NOUN = re.compile(
    r"(?:images?|imagery|pictures?|photos?|photographs?|cameras?|frames?|maps?|sensors?|videos?|footage|scans?|data"
    r"|shots|imaging|drone|aerial|portraits|selfies)$"
)
_NEEDS_NOUN = frozenset({"colour", "color", "coloured", "colored", "depth", "ir", "thermal", "flir"})
_NO = re.compile(
    r"(?:\b(?:no|without|lacks?|lacking)|(?:n't|\bnot) (?:have|need|require|use)|\b(?:has|have) no"
    r"|\bno need for|\bnot on)(?: (?:an?|any|the|dedicated|discrete|own))* (?:nvidia )?$"
)
_INDIFFERENT = re.compile(r"(?:don't|do not|doesn't|not) (?:care|mind|matter|worry)\W+(?:\w+\W+){0,2}$")
_TRAINING = re.compile(
    r"\b(?:train(?:ing|ed)?|fine-?tun\w+|pre-?train\w*)\b(?:(?!deploy|\brun|infer|export|\bbut\b)[^.;,]){0,40}$"
)
_FOR_TRAINING = re.compile(r"^(?: \w+){0,3} (?:for|during|while|to) (?:the )?train")
_SOURCE_AFTER = re.compile(
    r"^[ -](?:photos?|pictures?|pics?|images?|snaps?|shots?|calls?|numbers?|bills?|operators?|cameras?|compan\w+"
    r"|plans?|contracts?|records?|conversations?|lines?|prices?|reviews?|sales|brands?|models?\b|users?|subscribers?"
    r"|screens?|recordings?|videos?|selfies)"
)
_SOURCE_BEFORE = re.compile(
    r"\b(?:from|with|by|via|taken (?:with|by|on)|shot on|recorded (?:with|by|on))(?: (?:an?|the|my|our|their|cheap|old"
    r"|ordinary|his|her|any|customers?'?))* $"
)
_IN_DEVICE = re.compile(
    r"\bedge (?:of|cases?|detection|detector)|cutting[- ]edge|\bwatch (?:for|out|the|how|over)"
    r"|\b(?:to|we|i|must|who) watch\b|mobile (?:operator|network|game|phone (?:company|operator|contract)|robots?)"
    r"|coral reef|corals?\b(?! tpu)"
)
_CURRENT = re.compile(
    r"(?:n't (?:want|use|need|like)|\b(?:current(?:ly)?|existing|today's|present|old|than|beats?|beating|outperforms?"
    r"|unlike|instead of|replac\w+|not|no|without|avoid|rather than|except|versus our|using so far))(?: (?:the|an?|our"
    r"|my|any|use|used|uses|using|have|with|by|current|old|existing|simple|model|network|classifier|solution|system|is"
    r"|are|being|to))* $"
)
_BASELINE = re.compile(r"^ (?:baseline|benchmark result|is too|was too|currently|has|gets|got|reaches|scored)\b")
_DATASET_NAME = re.compile(
    r"(?<![\w-])((?:[A-Z][\w-]*|[a-z]+[A-Z]\w*)(?: (?:[A-Z][\w-]*|\d[\w-]*)){0,3}) (?:[Dd]ata ?[Ss]ets?|corpus|Corpus"
    r"|benchmark|Benchmark)\b"
)
_NO_DATASET = word_set(
    "The A An Our My Your This That These Use Using Which What On For In With From Your Any All Train Test Training "
    "Validation Large Small Public Open Each Some New Their Its Is Are Image Text Data Tabular Build Given Take "
    "Custom Private Own No And Want Need CSV Excel"
)


def read_domain(words: Sequence[Word], taken: Sequence[tuple[int, int]] = ()) -> str | None:
    """The field of life that most words belong to; the first one named wins a tie.

    Args:
        words: the tokens of the text.
        taken: places of model names and their like, which speak for no field ("decision tree").
    """
    words = [w for w in words if not any(a <= w.start < b for a, b in taken)]
    votes: dict[str, float] = {}
    strong = lookup("domain", words)
    covered = {i for h in strong for i in range(h.first, h.last)}
    weak = [h for h in lookup("domain_weak", words) if not covered & set(range(h.first, h.last))]
    seen: set[tuple[str, str]] = set()
    for hit, weight in sorted([(h, 3.0) for h in strong] + [(h, 1.0) for h in weak], key=lambda x: x[0].first):
        if (hit.key, hit.phrase) not in seen:
            seen.add((hit.key, hit.phrase))
            share = 0.8 if hit.key == "nature" else 1.0  # living things are found on farms, plates and roads as well
            votes[hit.key] = votes.get(hit.key, 0.0) + share * weight + (0.5 if hit.last - hit.first > 1 else 0.0)
    return max(votes, key=lambda k: votes[k]) if votes else None


def technical_places(text: str, words: Sequence[Word]) -> list[tuple[int, int]]:
    """Places of words about machinery, in a lower-case text: models, data sets, devices, "machine learning"."""
    places = [(n.start, n.end) for section in ("family", "dataset") for n in named(section, text)]
    places += [(words[h.first].start, words[h.last - 1].end) for h in lookup("device", words) if h.key != "mobile"]
    return places + [m.span() for m in _TECHNICAL.finditer(text)]


_TECHNICAL = re.compile(
    r"\b(?:machine[- ]learning|virtual machine|deep learning|inference engine|support vector machine|training data"
    r"|learning rate|open source|source code of the model)\b"
)


def read_modality(text: str, words: Sequence[Word], names: Sequence[Named]) -> str | None:
    """The kind of input that the words, the named models or data sets speak of; None if they do not say."""
    if _PAIR.search(text) or any(n.modality == "text_pair" for n in names):
        return "text_pair"
    votes = dict.fromkeys(MODALITIES, 0.0)
    for hit in lookup("modality", words):
        modality, weight = hit.key.split()
        votes[modality] += float(weight)
    for name in names:
        if name.modality in votes:
            votes[name.modality] += 4.0
    best = max(MODALITIES, key=lambda m: votes[m])
    attributes = any(" into " not in m[0] and " or " not in m[0] for m in _ATTRIBUTES.finditer(text))
    if attributes and (
        votes[best] < 2.0 or (votes[best] < 4.0 and _SEVERAL.search(text) and best in ("text", "time_series"))
    ):
        return "table"
    if votes["video"] >= 3.0 and best == "image":
        return "video"
    return best if votes[best] >= 1.0 else None


def read_kind(words: Sequence[Word]) -> str | None:
    """The kind of image, where it is said: xray, ct, mri, infrared, grayscale, depth, rgb, ..."""
    found: list[str] = []
    for hit in lookup("kind", words):
        behind = [w.text for w in words[hit.last : hit.last + 3]]
        if set(folded(hit.phrase)) & _NEEDS_NOUN and not any(_IMAGE_NOUN.match(w) for w in behind):
            continue
        found.append(hit.key)
    return next((k for k in found if k != "rgb"), found[0] if found else None)


def read_device(text: str, words: Sequence[Word]) -> tuple[str | None, bool]:
    """Where the model has to run (cpu, gpu, mobile, edge), and whether the words contradict each other."""
    blocked = [m.span() for m in _IN_DEVICE.finditer(text)]
    meant = [m for hit in lookup("device", words) if (m := _meant(text, words, hit, blocked)) is not None]
    found = [device for device, training in meant if not training] or [device for device, _ in meant]
    for specific in ("mobile", "edge"):
        if specific in found:
            return specific, False
    if "cpu" in found and "gpu" in found:
        return None, True
    return (found[0] if found else None), False


def _meant(text: str, words: Sequence[Word], hit: Hit, blocked: Sequence[tuple[int, int]]) -> tuple[str, bool] | None:
    """The device of a word, and whether it is where the model is trained; None if it is about something else."""
    start, end = words[hit.first].start, words[hit.last - 1].end
    before, after = text[max(0, start - 60) : start], text[end : end + 40]
    if any(a <= start < b for a, b in blocked) or _INDIFFERENT.search(before):
        return None
    if hit.key == "gpu" and (_NO.search(before) or before.endswith("non-")):
        return "cpu", False
    if _NO.search(before) or (hit.key == "mobile" and (_SOURCE_AFTER.match(after) or _SOURCE_BEFORE.search(before))):
        return None
    return hit.key, bool(_TRAINING.search(before) or _FOR_TRAINING.match(after))


def read_engine(words: Sequence[Word]) -> str | None:
    """The inference engine that is named first and not refused."""
    for hit in lookup("engine", words):
        lead = [w.text for w in words[max(0, hit.first - 3) : hit.first]]
        lead = lead[max((k + 1 for k, w in enumerate(lead) if not w[0].isalnum()), default=0) :]
        if not {"not", "no", "without", "never"} & set(lead) and "instead" not in lead:
            return hit.key
    return None


def read_families(text: str) -> list[Named]:
    """Model families that are asked for; not those in use today, beaten or refused."""
    found = []
    for name in named("family", text):
        before, after = text[max(0, name.start - 60) : name.start].lower(), text[name.end : name.end + 30].lower()
        if not _CURRENT.search(before) and not _BASELINE.match(after):
            found.append(name)
    return found


def read_datasets(text: str) -> list[Named]:
    """Named data sets, as written and in order: known ones, and "NAME dataset" with a proper name."""
    found = [n for n in named("dataset", text) if text[n.end : n.end + 2] != "::"]
    for match in _DATASET_NAME.finditer(text):
        tokens = match[1].split()
        while tokens and (tokens[0] in _NO_DATASET or tokens[0] == "UCI"):
            tokens.pop(0)
        name = " ".join(tokens)
        start = match.end(1) - len(name)
        if name and not any(n.start < match.end(1) and start < n.end for n in found):
            found.append(Named(name, start, match.end(1), None, None))
    return sorted(found, key=lambda n: n.start)
