"""Measured pictures in words: what holds is said, nothing else, never what is shown, and always in sixteen words."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flame import read_data
from flame.patterns import data_pattern
from flame.picture.facts import PictureFacts, picture_facts
from flame.picture.words import N_ORDERS, N_WORDINGS, N_WORDS, PHRASES, picture_wordings, picture_words, told
from requirements_prompts import TaskFacts, parse_requirement, write_requirement

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # experiments/ is not installed

PHOTOS = PictureFacts(
    n_pictures=50, width=256, height=256, one_size=1, brightness=0.5, brightness_spread=0.07, contrast=0.2, whites=0,
    blacks=0.01, grey=0, saturation=0.1, warmth=0, palette=15, flat=0.5, texture=0.2, edges=0.02, sharpness=0.6,
    focus_spread=0.2, centre=0.3, noise=0.002, blocking=0, plain=0.1, cluttered=0.6, ground=0.5, ground_spread=0.2,
    ink=0.7, vivid=0.05, outlines=0.05,
)  # fmt: skip
"""Ordinary photographs of which little is to be told."""


def say(**changes: Any) -> str:
    return picture_words(replace(PHOTOS, **changes))


def look(draw: Callable[[Any], Any], n: int = 8) -> str:
    """The words of pictures that `draw` makes from numbers of a seeded source."""
    pytest.importorskip("PIL", reason="pictures need Pillow: pip install 'flame-hypernet[vision]'")
    random = np.random.default_rng(0)
    return picture_words(picture_facts([np.clip(draw(random), 0, 255).astype("uint8") for _ in range(n)]))


# --- made-up pictures -------------------------------------------------------------------------------------------------


def scene(random: Any) -> Any:
    """Softly shaded areas of dull colours."""
    coarse = np.kron(random.uniform(70, 180, (9, 9, 1)) + random.normal(0, 6, (9, 9, 3)), np.ones((24, 24, 1)))
    for axis in (0, 1):
        coarse = np.apply_along_axis(lambda line: np.convolve(line, np.ones(9) / 9, "same"), axis, coarse)
    return coarse[12:204, 12:204]


def lines(random: Any) -> Any:
    picture = np.full((192, 192), 255.0)
    for _ in range(5):
        picture[random.integers(30, 160), 30:-30] = picture[30:-30, random.integers(30, 160)] = 20
    return picture


def cartoon(random: Any) -> Any:
    """Areas of strong colours with black outlines on white."""
    picture = np.full((128, 128, 3), 255.0)
    for top in range(16, 112, 16):
        for left in range(16, 112, 16):
            picture[top : top + 16, left : left + 16] = 0
            picture[top + 2 : top + 14, left + 2 : left + 14] = random.permutation([230, 40, random.uniform(40, 230)])
    return picture


def stroke(random: Any) -> Any:
    picture = np.zeros((28, 28))
    picture[6:-6, 12:16] = random.uniform(200, 255)
    return picture


def test_scenes_are_photographs_and_grain_makes_them_noisy():
    assert " photographs on a cluttered background" in look(scene)
    assert "noisy" not in look(scene)
    assert look(lambda random: scene(random) + random.normal(0, 16, (192, 192, 3))).startswith("noisy, ")


def test_dark_and_bright_scenes_are_told_and_light_that_changes():
    assert look(lambda random: 2 * scene(random) - 200).startswith("dark")
    assert look(lambda random: scene(random) * 0.3 + 180).startswith("bright")  # so little contrast reads as plain
    assert look(lambda random: scene(random) * random.uniform(0.4, 1.6)).endswith(", in varying light")
    assert look(scene).endswith(", in even light")


def test_warm_and_cool_scenes_are_told():
    assert ", in warm tones" in look(lambda random: scene(random) + np.array([20, 0, -20]))
    assert ", in cool tones" in look(lambda random: scene(random) - np.array([20, 0, -20]))


def test_lines_on_white_are_line_drawings():
    assert look(lines) == "grey line drawings on a plain white background"


def test_outlined_areas_of_strong_colour_are_drawings():
    assert look(cartoon).endswith("richly coloured outlined drawings on a plain white background")


def test_small_pictures_are_told_by_their_size_and_not_by_what_they_may_be():
    assert look(stroke) == "grey pictures of 28 by 28 pixels on a plain black background"


# --- rules ------------------------------------------------------------------------------------------------------------


def test_ordinary_photographs_are_told_in_a_few_words():
    assert picture_words(PHOTOS) == "colour photographs on a cluttered background"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grey": 0.95}, "grey photographs"),
        ({"saturation": 0.01}, "nearly grey photographs"),
        ({"vivid": 0.3}, "richly coloured pictures"),
        ({"texture": 0.5}, "finely textured colour pictures"),
        ({"outlines": 0.3}, "colour pictures"),
        ({"outlines": 0.3, "vivid": 0.4}, "richly coloured outlined drawings"),
        ({"sharpness": 0.4}, "soft colour photographs"),
        ({"noise": 0.05}, "noisy colour photographs"),
        ({"brightness": 0.2}, "dark colour photographs"),
        ({"brightness": 0.8}, "bright colour photographs"),
        ({"contrast": 0.1}, "low-contrast colour photographs"),
        ({"blocking": 0.6}, "blocky colour photographs"),
        ({"width": 128, "height": 128}, "low-resolution colour photographs"),
        ({"width": 2000, "height": 1800}, "high-resolution colour photographs"),
        ({"width": 400}, "wide colour photographs"),
        ({"height": 400}, "upright colour photographs"),
        ({"plain": 0.7, "ground": 0.99}, "on a plain white background"),
        ({"plain": 0.7, "ground": 0.05}, "on a plain black background"),
        ({"plain": 0.7, "ground": 0.5}, "on a plain background"),
        ({"plain": 0.7, "ground": 0.2}, "on a plain background"),
        ({"plain": 0.5}, "on plain or mixed backgrounds"),
        ({"plain": 0.7, "ground": 0.3, "brightness": 0.2}, "dark colour photographs on a plain background"),
        ({"cluttered": 0.3}, "on fairly calm backgrounds"),
        ({"focus_spread": 0.32}, ", with shallow focus"),
        ({"whites": 0.1, "blacks": 0}, ", overexposed in parts"),
        ({"warmth": 0.05}, ", in warm tones"),
        ({"warmth": -0.05}, ", in cool tones"),
        ({"brightness_spread": 0.02}, ", in even light"),
        ({"brightness_spread": 0.15}, ", in varying light"),
        ({"one_size": 0.1}, ", of various sizes"),
    ],
)
def test_one_fact_changes_its_own_words(changes, words):
    said = say(**changes)
    assert said.startswith(words) or said.endswith(words)
    assert said != picture_words(PHOTOS)


def test_light_is_not_told_where_it_is_that_of_a_plain_ground():
    white = {"plain": 0.9, "ground": 1.0, "brightness": 0.9, "brightness_spread": 0.01}
    assert say(**white) == "colour photographs on a plain white background"


def test_a_few_pictures_say_nothing_of_even_light():
    assert "light" not in say(brightness_spread=0.0, n_pictures=4)


def test_where_room_is_short_the_most_telling_is_kept():
    much = {"brightness": 0.2, "noise": 0.05, "contrast": 0.1, "width": 100, "height": 60, "warmth": 0.1}
    words = say(**much, brightness_spread=0.2, blocking=0.6, one_size=0.1)
    assert words.startswith("dark, noisy, low-contrast colour photographs on a cluttered background, in warm tones")
    assert len(words.split()) <= N_WORDS


# --- wordings ---------------------------------------------------------------------------------------------------------

LOOKS = {
    "shop": {"plain": 0.9, "ground": 1.0, "saturation": 0.01, "sharpness": 0.5, "centre": 0.5},
    "camera": {"focus_spread": 0.32, "warmth": 0.05, "brightness_spread": 0.04, "cluttered": 0.3},
    "webcam": {"whites": 0.1, "blacks": 0.0},
    "plain words": {},
    "paintings": {"texture": 0.5, "vivid": 0.3, "warmth": 0.1, "brightness_spread": 0.15, "width": 128, "height": 128},
    "tiny": {"width": 8, "height": 8, "grey": 1.0, "plain": 0.3, "ground": 0.0, "ground_spread": 0.0},
}


@pytest.mark.parametrize("changes", LOOKS.values(), ids=LOOKS)
def test_five_wordings_differ_and_begin_with_the_plain_one(changes):
    facts = replace(PHOTOS, **changes)
    found = picture_wordings(facts)
    assert found[0] == picture_words(facts)
    assert len(set(found)) == len(found) == 5
    assert found == picture_wordings(facts, 99)[:5]


def test_every_phrase_has_a_wording_of_its_own_for_a_set_and_none_is_shared_by_rivals():
    for group in PHRASES:
        ways = [phrase.wordings.split(" | ") for phrase in group]
        assert all(len(w) > 1 for w in ways)
        flat = [w for one in ways for w in dict.fromkeys(one)]
        assert len(flat) == len(set(flat)), flat


def test_negative_variants_and_no_wordings_are_refused():
    with pytest.raises(ValueError, match="variant must be 0 or more, however: variant=-1"):
        picture_words(PHOTOS, variant=-1)
    with pytest.raises(ValueError, match="n must be 1 or more, however: n=0"):
        picture_wordings(PHOTOS, 0)


SHARE = st.floats(0, 1)
ANY_LOOK = st.builds(
    lambda values, **sizes: PictureFacts(**dict(zip(asdict(PHOTOS), values, strict=True)) | sizes),
    st.lists(SHARE, min_size=len(asdict(PHOTOS)), max_size=len(asdict(PHOTOS))),
    n_pictures=st.integers(1, 64),
    width=st.integers(1, 20_000),
    height=st.integers(1, 20_000),
)


@given(ANY_LOOK, st.integers(0, N_WORDINGS * N_ORDERS))
@settings(max_examples=150, deadline=None)
def test_words_of_any_facts_fit_into_a_sentence_that_is_read_back(facts, variant):
    words = picture_words(facts, variant)
    assert 2 <= len(words.split()) <= N_WORDS
    assert re.fullmatch(r"[a-z0-9, -]+", words)
    assert ", ," not in words
    task = TaskFacts("img_cls", n_classes=3, description="Which is it?", pattern=words)
    sentence = write_requirement(task, variant=11 + variant)
    said = parse_requirement(sentence)
    assert (said.task_type, said.n_classes, said.scale) == ("img_cls", 3, "base")


def test_words_name_no_class_of_any_domain_whose_thresholds_they_hold():
    things = (
        "backpack bike calculator headphones keyboard laptop monitor mouse mug projector dog elephant giraffe guitar"
    )
    things += " horse house person digit digits number letter animal object thing things item product office desk"
    said = {w for group in PHRASES for phrase in group for w in re.findall(r"[a-z]+", phrase.wordings)}
    assert not said & set(things.split())


def test_the_look_of_labelled_pictures_never_holds_a_label():
    pytest.importorskip("PIL", reason="pictures need Pillow: pip install 'flame-hypernet[vision]'")
    cells = [np.clip(scene(np.random.default_rng(i)), 0, 255).astype("uint8") for i in range(4)]
    words = {data_pattern(read_data((cells, labels))) for labels in (["apple", "pear"] * 2, ["axe", "saw"] * 2)}
    assert len(words) == 1
    assert not {"apple", "pear", "axe", "saw"} & set(words.pop().split())


def test_at_most_one_phrase_of_a_group_is_told():
    assert all(sum(phrase in group for phrase in told(PHOTOS)) <= 1 for group in PHRASES)


# --- the experiment ---------------------------------------------------------------------------------------------------


def test_the_quick_experiment_tells_domains_apart_and_shuffled_ones_not(kit, tmp_path):
    if not (kit / "vision" / "digits_4domains.npz").is_file():
        pytest.skip("needs the pictures of the data kit: vision/digits_4domains.npz under FLAME_DATA")
    (tmp_path / "vision").mkdir()
    (tmp_path / "vision" / "digits_4domains.npz").symlink_to(kit / "vision" / "digits_4domains.npz")
    command = [sys.executable, "-m", "experiments.picture_words", "--quick", "--data", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    right = dict(re.findall(r"\| 10 \| (.*?) \| ([\d.]+) ±", done.stdout))
    assert float(right["halves | by facts"]) > 95
    assert float(right["halves | by words"]) > 95
    assert float(right["control: pictures shuffled over domains | by facts"]) < 60


def test_the_experiment_says_what_it_lacks(tmp_path):
    from experiments.picture_words import main

    with pytest.raises(SystemExit, match="pictures of several domains are expected in"):
        main(["--data", str(tmp_path)])
