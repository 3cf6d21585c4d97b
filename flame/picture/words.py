"""The measured look of pictures in words: light, colour, sharpness, background, drawing; never what is shown.

A phrase is said where its rule holds. The thresholds are from one half of the photographs, paintings, cartoons,
sketches and digits of twelve domains; how well the words tell the other half apart is what `experiments.picture_words`
prints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flame.picture.facts import PictureFacts

N_WORDS = 16
"""A requirement sentence has room for this many words of the data's look."""
MOST_BEFORE = 3
"""Phrases before the kind; more are hard to read."""
N_WORDINGS, N_ORDERS = 5, 3
"""Ways to say a phrase, and to put phrases in order."""
BLACK, WHITE = 0.12, 0.9
"""Shades up to and from which a background is called so."""
TEXTURED = 0.38
"""Share of small steps from which pictures are called finely textured."""
SMALL, LOW, HIGH = 64, 160, 1000
"""Largest side in pixels: of pictures whose size is told, of low and of high resolution."""


@dataclass(frozen=True)
class Phrase:
    """Something that pictures may have in common."""

    slot: str
    """Where it stands: `before` and `colour` come before the `kind`; `size`, `ground` and `after` come after it."""
    holds: Callable[[PictureFacts], bool]
    """Whether it is said, if no phrase before it in its group is."""
    wordings: str
    """Ways to say it between bars, the plain one first; {size} is the width by the height in pixels."""

    def say(self, facts: PictureFacts, variant: int) -> str:
        """One of the wordings."""
        ways = self.wordings.split(" | ")
        about = "" if facts.one_size == 1 else "about "
        return ways[variant % len(ways)].format(size=f"{about}{facts.width:.0f} by {facts.height:.0f}")


def picture_words(facts: PictureFacts, variant: int = 0) -> str:
    """The look of pictures in at most 16 words; `variant` picks other words and another order, 0 the plain ones.

    "bright grey line drawings on a plain white background", "soft photographs in warm even light, ...". The same facts
    give the same words.

    Raises:
        ValueError: if `variant` is negative.
    """
    if variant < 0:
        raise ValueError(f"variant must be 0 or more, however: variant={variant}")
    said: list[Phrase] = []
    for phrase in told(facts):
        crowded = phrase.slot == "before" and sum(p.slot == "before" for p in said) == MOST_BEFORE
        if not crowded and len(_joined([*said, phrase], facts, variant).split()) <= N_WORDS:
            said.append(phrase)
    return _joined(said, facts, variant)


def picture_wordings(facts: PictureFacts, n: int = N_WORDINGS) -> list[str]:
    """At most `n` different wordings of the same facts, the plain one first: material for a set of requirements.

    Raises:
        ValueError: if `n` is less than 1.
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, however: n={n}")
    every = dict.fromkeys(picture_words(facts, variant) for variant in range(N_WORDINGS * N_ORDERS))
    return list(every)[:n]


def told(facts: PictureFacts) -> list[Phrase]:
    """What holds, in the order of importance; where room is short, the last ones are not said."""
    holding = [next((p for p in group if p.holds(facts)), None) for group in PHRASES]
    return [p for p in holding if p is not None]


def _joined(phrases: Sequence[Phrase], facts: PictureFacts, variant: int) -> str:
    """Phrases as one: "dark, soft grey photographs on a plain background, in warm tones", or in another order."""
    slots: dict[str, list[str]] = {}
    for phrase in phrases:
        slots.setdefault(phrase.slot, []).append(phrase.say(facts, variant))
    before, colour, ground, after = (slots.get(name, []) for name in ("before", "colour", "ground", "after"))
    noun = " ".join(colour + slots["kind"] + slots.get("size", []))
    front = (", " if " " in " ".join(colour) else " ").join([", ".join(before), noun] if before else [noun])
    match variant % N_ORDERS:
        case 0:
            return ", ".join([" ".join([front, *ground]), *after])
        case 1:
            return ", ".join([" ".join([noun, *ground]), *before, *after])
        case _:
            front = " ".join([front, *(after or ground)[:1]])
            return ", ".join([front, *after[1:], *(ground if after else [])])


# --- rules ------------------------------------------------------------------------------------------------------------


def _longest(f: PictureFacts) -> float:
    return max(f.width, f.height)


def _drawn(f: PictureFacts) -> bool:
    return _longest(f) > SMALL and f.ink >= 0.01


def _sketched(f: PictureFacts) -> bool:
    thin = f.flat >= 0.72 and f.ink <= 0.25 and f.edges >= 0.02 and f.sharpness >= 0.6
    return _drawn(f) and thin and f.plain >= 0.6 and f.saturation <= 0.05


def _outlined(f: PictureFacts) -> bool:
    return _drawn(f) and not _sketched(f) and f.flat >= 0.4 and f.outlines >= 0.16 and f.vivid >= 0.2


def _natural(f: PictureFacts) -> bool:
    """No drawing: light, focus and grain are those of a camera, or of a brush."""
    return _drawn(f) and not _sketched(f) and not _outlined(f)


def _photographed(f: PictureFacts) -> bool:
    """Soft borders, smooth parts, no strong colours; paintings and what is in doubt are just pictures."""
    return _natural(f) and f.outlines < 0.16 and f.texture < TEXTURED and f.vivid < 0.15


def _plain(f: PictureFacts) -> bool:
    """On one ground; also where what is shown touches the border, as long as all grounds are of one shade."""
    return f.plain >= 0.6 or (f.plain >= 0.2 and f.ground_spread <= 0.06 and not BLACK < f.ground < WHITE)


def _scene(f: PictureFacts) -> bool:
    """Light and colour are those of the whole picture, not of a plain ground around a thing."""
    return not _plain(f) and f.plain < 0.4


def _shaded(f: PictureFacts) -> bool:
    """A scene, or on grounds neither black nor white: whether it is dark is no matter of the ground alone."""
    return _scene(f) or (f.plain >= 0.6 and BLACK < f.ground < WHITE)


def _lit(f: PictureFacts) -> bool:
    return _natural(f) and _scene(f)


PHRASES: tuple[tuple[Phrase, ...], ...] = (
    (
        Phrase("kind", _sketched, "line drawings | sketches | thin line drawings | line art | drawings of thin lines"),
        Phrase("kind", _outlined, "outlined drawings | cartoons | outlined illustrations | cartoon drawings | comics"),
        Phrase("kind", _photographed, "photographs | photos | photographs | camera pictures | photos"),
        Phrase("kind", lambda f: True, "pictures | images"),
    ),
    (
        Phrase(
            "colour",
            lambda f: f.grey >= 0.9,
            "grey | greyscale | colourless | monochrome | grey-toned",
        ),
        Phrase(
            "colour",
            lambda f: f.vivid >= 0.15,
            "richly coloured | vivid | strongly coloured | colourful | saturated",
        ),
        Phrase(
            "colour",
            lambda f: f.saturation < 0.03,
            "nearly grey | faintly coloured | weakly coloured | almost colourless | hardly coloured",
        ),
        Phrase("colour", lambda f: True, "colour | coloured"),
    ),
    (Phrase("size", lambda f: _longest(f) <= SMALL, "of {size} pixels | of only {size} pixels | at {size} pixels"),),
    (
        Phrase(
            "ground",
            lambda f: _plain(f) and f.ground >= WHITE,
            "on a plain white background | against plain white | on an empty white ground | on pure white | on white",
        ),
        Phrase(
            "ground",
            lambda f: _plain(f) and f.ground <= BLACK,
            "on a plain black background | against plain black | on an empty black ground | light on black | on black",
        ),
        Phrase(
            "ground",
            _plain,
            "on a plain background | against one plain shade | on an even ground | with plain backdrops",
        ),
        Phrase(
            "ground",
            lambda f: f.plain >= 0.35,
            "on plain or mixed backgrounds | partly on plain grounds | with backdrops plain or busy",
        ),
        Phrase(
            "ground",
            lambda f: f.cluttered >= 0.5,
            "on a cluttered background | in busy surroundings | with cluttered backdrops | in full scenes",
        ),
        Phrase(
            "ground",
            lambda f: True,
            "on fairly calm backgrounds | against large calm surfaces | with little clutter behind",
        ),
    ),
    (
        Phrase("before", lambda f: _shaded(f) and f.brightness < 0.28, "dark | dim | low-light | underexposed"),
        Phrase(
            "before", lambda f: _shaded(f) and f.brightness > 0.72, "bright | light-toned | high-key | brightly lit"
        ),
    ),
    (
        Phrase("before", lambda f: _natural(f) and f.noise >= 0.02, "noisy | grainy | speckled"),
        Phrase("before", lambda f: _natural(f) and f.sharpness < 0.55, "soft | smooth | blurry | soft-edged"),
        Phrase(
            "before",
            lambda f: _natural(f) and f.texture >= TEXTURED,
            "finely textured | rough-textured | densely textured | full of fine texture",
        ),
        Phrase(
            "after",
            lambda f: _natural(f) and f.focus_spread >= 0.295,
            "with shallow focus | with selective focus | partly out of focus | with shallow depth of field",
        ),
    ),
    (
        Phrase(
            "after",
            lambda f: _lit(f) and f.whites >= 0.03 and f.blacks < 0.002,
            "overexposed in parts | with glare and faded shadows | with washed-out parts | with burnt-out highlights",
        ),
        Phrase("before", lambda f: _drawn(f) and f.contrast < 0.13, "low-contrast | faint | weak in contrast"),
    ),
    (
        Phrase("after", lambda f: _drawn(f) and f.warmth >= 0.025, "in warm tones | warm-toned | with a warm cast"),
        Phrase("after", lambda f: _drawn(f) and f.warmth <= -0.025, "in cool tones | cool-toned | with a cool cast"),
    ),
    (
        Phrase(
            "after",
            lambda f: _lit(f) and f.brightness_spread <= 0.055 and f.n_pictures >= 5,
            "in even light | evenly lit | under the same light | in constant light",
        ),
        Phrase(
            "after",
            lambda f: _lit(f) and f.brightness_spread >= 0.09,
            "in varying light | under changing light | under varied light | in light of all kinds",
        ),
    ),
    (
        Phrase("before", lambda f: SMALL < _longest(f) <= LOW, "low-resolution | coarse"),
        Phrase("before", lambda f: _longest(f) >= HIGH, "high-resolution | highly resolved"),
    ),
    (Phrase("before", lambda f: _natural(f) and f.blocking >= 0.45, "blocky | visibly compressed"),),
    (
        Phrase("before", lambda f: _drawn(f) and f.width >= 1.25 * f.height, "wide | wide-format"),
        Phrase("before", lambda f: _drawn(f) and f.height >= 1.25 * f.width, "upright | tall"),
    ),
    (Phrase("after", lambda f: f.one_size < 0.5, "of various sizes | in many formats | of mixed sizes"),),
    (Phrase("before", lambda f: _natural(f) and f.centre >= 0.42, "centred | tightly framed"),),
)
"""What may be said, the most telling first; of each group the first that holds."""
