"""The look of pictures in numbers: made-up pictures whose light, colour, sharpness and background are known."""

from __future__ import annotations

import inspect
import io
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest

from flame.errors import DataError
from flame.picture.facts import N_PICTURES, PictureFacts, picture_facts, spread

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow: pip install 'flame-hypernet[vision]'")


def shades(values: Any) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype("uint8")


def full(shade: float, size: tuple[int, ...] = (96, 96)) -> np.ndarray:
    return np.full(size, shade, dtype="uint8")


def grained(sigma: float, size: tuple[int, int] = (128, 128), shade: float = 128.0) -> np.ndarray:
    return shades(shade + np.random.default_rng(0).normal(0, sigma, size))


def disc(softness: float, size: int = 256) -> np.ndarray:
    """A black disc on white, whose border is a slope of some pixels."""
    y, x = np.mgrid[:size, :size] - size / 2
    return shades(127.5 + 127.5 * np.tanh((np.hypot(x, y) - size / 4) / softness / 2))


def of(*pictures: Any) -> PictureFacts:
    return picture_facts(list(pictures))


# --- single facts -----------------------------------------------------------------------------------------------------


def test_brightness_contrast_and_clipping_are_those_of_the_shades():
    half = np.concatenate([full(0, (96, 48)), full(255, (96, 48))], axis=1)
    facts = of(half)
    assert (facts.brightness, facts.contrast, facts.whites, facts.blacks) == pytest.approx((0.5, 0.5, 0.5, 0.5))
    assert of(full(51)).brightness == pytest.approx(0.2, abs=1e-4)


def test_a_gradient_has_the_spread_of_evenly_spread_shades_and_no_edges():
    facts = of(shades(np.tile(np.linspace(0, 255, 128), (128, 1))))
    assert facts.contrast == pytest.approx(1 / np.sqrt(12), abs=0.01)
    assert (facts.edges, facts.outlines, facts.noise) == (0, 0, 0)


def test_brightness_spread_is_that_between_pictures():
    assert of(full(51), full(102)).brightness_spread == pytest.approx(0.1, abs=1e-4)
    assert of(full(51), full(51)).brightness_spread == 0


def test_colour_is_told_from_grey_and_warm_from_cold():
    red, blue = (np.full((32, 32, 3), colour, dtype="uint8") for colour in ((204, 51, 0), (0, 51, 204)))
    assert (of(red).warmth, of(blue).warmth) == pytest.approx((0.8, -0.8), abs=1e-4)
    assert (of(red).saturation, of(red).grey, of(full(90)).grey) == pytest.approx((0.8, 0, 1), abs=1e-4)
    assert of(red, full(90), full(80), blue).grey == 0.5


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_the_palette_counts_colours(n):
    stripes = np.repeat(np.arange(n) * 255 // 8 + 16, 128 // n).astype("uint8")
    assert of(np.tile(stripes, (128, 1))).palette == n


@pytest.mark.parametrize("sigma", [2.0, 5.0, 15.0])
def test_noise_is_the_deviation_of_the_grain(sigma):
    assert of(grained(sigma)).noise == pytest.approx(sigma / 255, rel=0.15)


def test_noise_is_not_taken_for_it_on_slopes_lines_and_clipped_grounds():
    slope = shades(np.tile(np.linspace(20, 200, 128), (128, 1)))
    assert of(slope).noise < 0.003
    assert of(disc(1.0)).noise < 0.003


def test_a_blurred_disc_is_less_sharp_than_a_crisp_one():
    crisp, soft, softer = (of(disc(softness)).sharpness for softness in (0.05, 0.3, 1.0))
    assert crisp > soft + 0.2 > softer + 0.4
    step = np.concatenate([full(255), full(0)], axis=1)
    assert of(step).sharpness == pytest.approx(0.8, abs=1e-4)  # a mean of five leaves a fifth of it


def test_focus_spread_tells_a_picture_that_is_sharp_in_places():
    random = np.random.default_rng(0)
    crisp = random.uniform(0, 255, (256, 256))
    soft = np.kron(random.uniform(0, 255, (16, 16)), np.ones((16, 16)))
    for axis in (0, 1):
        soft = np.apply_along_axis(lambda line: np.convolve(line, np.ones(15) / 15, "same"), axis, soft)
    mixed = np.concatenate([crisp[:, :128], soft[:, 128:]], axis=1)
    assert of(shades(mixed)).focus_spread > 0.5
    assert of(shades(crisp)).focus_spread < 0.1


def test_steps_are_flat_small_or_large():
    checks = np.kron(np.indices((16, 16)).sum(0) % 2 * 255, np.ones((8, 8)))
    facts = of(shades(checks))
    assert (facts.edges, facts.flat, facts.texture) == pytest.approx((15 / 127, 1 - 15 / 127, 0), abs=1e-4)
    assert of(grained(10)).texture > 0.4


def test_a_thing_on_white_has_a_plain_border_and_a_share_of_ink():
    picture = full(255, (100, 100))
    picture[30:70, 25:75] = 0
    facts = of(picture)
    assert (facts.plain, facts.cluttered, facts.ground, facts.ink) == pytest.approx((1, 0, 1, 0.2))
    assert of(np.stack([full(0)] * 3, axis=2)).ground == 0
    assert of(grained(60)).plain == 0


def test_share_of_plain_pictures_and_spread_of_their_grounds_are_over_pictures():
    facts = of(full(0), full(255), grained(90), grained(90))
    assert facts.plain == 0.5
    assert of(full(0), full(255)).ground_spread == pytest.approx(0.5)


def test_strong_colours_and_outlines_are_counted_within_the_ink():
    picture = np.full((128, 128, 3), 255, dtype="uint8")
    picture[32:96, 32:96] = (200, 0, 0)
    facts = of(picture)
    assert (facts.vivid, facts.ink) == (1, 0.25)
    assert facts.outlines == pytest.approx(127 / 64**2, rel=0.01)  # two sides of the square


def test_steps_in_the_middle_are_told_from_steps_everywhere():
    picture = full(255, (128, 128))
    picture[48:80, 48:80] = 0
    assert of(picture).centre == 1
    assert of(grained(30)).centre == pytest.approx(0.25, abs=0.02)
    assert of(full(7)).centre == 0.25


def test_hard_compression_shows_at_the_borders_of_blocks():
    random = np.random.default_rng(0)
    smooth = np.kron(random.uniform(40, 210, (9, 9)), np.ones((16, 16)))
    for axis in (0, 1):
        smooth = np.apply_along_axis(lambda line: np.convolve(line, np.ones(17) / 17, "same"), axis, smooth)
    picture = Image.fromarray(shades(smooth[5:133, 5:133] + random.normal(0, 3, (128, 128))))

    def at(quality: int) -> float:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality)
        return of(Image.open(stream)).blocking

    assert at(95) < 0.1 < 0.5 < at(8)


# --- any picture ------------------------------------------------------------------------------------------------------

SIZES = [(1, 1), (1, 300), (3, 2), (5, 5), (17, 16), (129, 127), (2, 5000), (1500, 900)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_pictures_of_any_size_and_depth_have_finite_facts_within_their_ranges(size, channels):
    shape = (*size, channels) if channels else size
    cells = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    facts = asdict(of(cells))
    assert (facts.pop("height"), facts.pop("width")) == size
    assert all(np.isfinite(value) for value in facts.values())
    assert -1 <= facts.pop("warmth") <= 1 <= facts.pop("palette") <= 461
    assert all(0 <= value <= 1 for value in facts.values())


def test_a_picture_of_one_pixel_is_continued_in_its_own_shade():
    facts = of(full(102, (1, 1)))
    assert (facts.brightness, facts.contrast, facts.plain, facts.ink) == pytest.approx((0.4, 0, 1, 0), abs=1e-4)


def test_sixteen_bits_transparency_and_grey_are_read_as_they_are_shown(tmp_path):
    deep = np.full((32, 32), 32_768, dtype="uint16")
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert of(str(tmp_path / "deep.png")).brightness == pytest.approx(0.5, abs=0.01)
    assert of(tmp_path / "clear.png").brightness == 1


def test_files_images_and_arrays_of_one_picture_have_the_same_facts(tmp_path):
    cells = grained(20, (90, 120))
    Image.fromarray(cells).save(tmp_path / "a.png")
    assert of(cells) == of(Image.fromarray(cells)) == of(tmp_path / "a.png") == of(np.stack([cells] * 3, axis=2))


def test_pictures_stay_as_they_are():
    cells = grained(20)
    before, held = cells.copy(), Image.fromarray(cells)
    of(cells, held)
    assert np.array_equal(cells, before)
    assert (held.size, held.mode) == ((128, 128), "L")


# --- several pictures -------------------------------------------------------------------------------------------------


def test_the_order_of_pictures_does_not_matter():
    random = np.random.default_rng(0)
    pictures = [grained(s, shade=random.uniform(40, 200)) for s in range(1, 20)] + [disc(1.0), full(3)]
    assert of(*pictures) == of(*pictures[::-1]) == of(*(pictures[i] for i in random.permutation(len(pictures))))


def test_sizes_are_those_of_the_middle_and_a_share_is_of_the_most_frequent():
    facts = of(full(9, (20, 30)), full(9, (20, 30)), full(9, (40, 50)), full(9, (60, 70)), full(9, (80, 90)))
    assert (facts.width, facts.height, facts.one_size, facts.n_pictures) == (50, 40, 0.4, 5)


def test_at_most_sixty_four_are_opened_and_every_class_is_among_them():
    classes = [f"class {i % 32}" for i in range(1000)]
    places = spread(1000, classes)
    assert len(set(places)) == N_PICTURES == 64
    assert {classes[i] for i in places} == set(classes)
    assert spread(3) == [0, 1, 2]
    assert spread(0) == []
    assert picture_facts([full(1, (4, 4))] * 1000).n_pictures == N_PICTURES


def test_classes_change_nothing_but_which_pictures_are_opened():
    pictures = [grained(s) for s in (2, 4, 8, 16)]
    assert picture_facts(pictures, classes=["b", "a", None, 3]) == picture_facts(pictures)


def test_a_broken_picture_is_passed_over_and_only_broken_ones_are_an_error(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    assert of(full(51), tmp_path / "broken.png") == of(full(51))
    for pictures in ([tmp_path / "broken.png"], []):
        with pytest.raises(DataError, match="none can be decoded; give at least one that opens"):
            picture_facts(pictures)


def test_every_fact_says_its_range():
    source = inspect.getsource(PictureFacts)
    for found in fields(PictureFacts):
        told = source.split(f"    {found.name}: {found.type}\n", 1)[1].split('"""')[1]
        assert " to " in told or told.startswith("Pixels"), found.name
