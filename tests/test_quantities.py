"""Numbers with units: what is written is kept, what is meant is normalised, and nothing runs away."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from requirements_prompts.understanding.limits import read_limits
from requirements_prompts.understanding.quantities import number_value, read_quantities
from requirements_prompts.understanding.spelling import correct

# text: (value, unit as written, SI value); worked out by hand.
WRITTEN = {
    "twenty GFLOPs": (20, "GFLOPs", 20e9),
    "0.02 s": (0.02, "s", 0.02),
    "50 fps": (50, "fps", 50),
    "5 billion parameters": (5, "billion", 5e9),
    "half a gigabyte": (0.5, "gigabyte", 5e8),
    "ninety percent": (90, "percent", 0.9),
    "20ms": (20, "ms", 0.02),
    "3M": (3, "M", 3e6),
    "1e9 FLOPs": (1e9, "FLOPs", 1e9),
    "two hours": (2, "hours", 7200),
    "12,5 ms": (12.5, "ms", 0.0125),
    "nine times out of ten": (9, "out of ten", 0.9),
    "12 bags per minute": (12, "bags per minute", 0.2),
    "10k connections per second": (10, "k connections per second", 1e4),
    "1 GMAC": (1, "GMAC", 2e9),
    "512 MiB": (512, "MiB", 512 * 2**20),
    "a quarter of an hour": (0.25, "hour", 900),
    "one and a half seconds": (1.5, "seconds", 1.5),
    "zero point seven": (0.7, None, 0.7),
    "2.5 million": (2.5, "million", 2.5e6),
    "4.5G FLOPs": (4.5, "G FLOPs", 4.5e9),
    "100 µs": (100, "µs", 1e-4),
}
SPOKEN = {"ninety-five": 95, "one hundred": 100, "1.000.000": 1e6, "25,000": 25000, "0,85": 0.85, "1.234,5": 1234.5}
ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
TEENS = ("thir", "four", "fif", "six", "seven", "eigh", "nine")
UNITS = {"ms": 1e-3, "seconds": 1, "min": 60, "hours": 3600, "KB": 1e3, "MB": 1e6, "GB": 1e9, "MFLOPs": 1e6, "fps": 1}
UNITS |= {"%": 0.01, "percent": 0.01, "GFLOPs": 1e9, "TFLOPs": 1e12, "M": 1e6, "k": 1e3, "million": 1e6, "billion": 1e9}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_quantity_keeps_value_and_unit_as_written_beside_its_si_value(text: str) -> None:
    (quantity,) = read_quantities(text)
    value, unit, si = WRITTEN[text]
    assert (quantity.value, quantity.full_unit) == (value, unit)
    assert math.isclose(quantity.si_value, si, rel_tol=1e-12)


@pytest.mark.parametrize("text", SPOKEN)
def test_a_number_is_read_in_english_and_continental_digits_and_in_words(text: str) -> None:
    assert number_value(text) == SPOKEN[text]


@given(
    value=st.floats(0.001, 99999, allow_nan=False),
    unit=st.sampled_from(sorted(UNITS)),
    space=st.sampled_from(["", " "]),
)
def test_every_number_with_every_unit_survives_the_round_trip(value: float, unit: str, space: str) -> None:
    written = f"{value:.3f}"
    (quantity,) = read_quantities(f"at most {written}{space}{unit}, please")
    assert quantity.value == float(written)
    assert quantity.full_unit == unit
    assert math.isclose(quantity.si_value, float(written) * UNITS[unit], rel_tol=1e-9)


@given(value=st.integers(1, 99))
def test_numbers_in_words_equal_the_same_numbers_in_digits(value: int) -> None:
    tens = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    ones = [*ONES, *(f"{t}teen" for t in TEENS)]
    word = ones[value] if value < 20 else tens[value // 10] + (f"-{ones[value % 10]}" if value % 10 else "")
    assert number_value(word) == value


@pytest.mark.parametrize("text", ["224x224 pixels", "yolov8 and resnet50", "mAP@IoU", "version v2", "the F1"])
def test_digits_inside_names_and_sizes_of_pictures_are_no_quantities(text: str) -> None:
    assert read_quantities(text) == []


def test_the_first_number_of_a_range_takes_the_unit_of_the_second() -> None:
    low, high = read_quantities("between 2 and 5 million")
    assert (low.si_value, high.si_value) == (2e6, 5e6)


def test_an_article_counts_as_one_only_before_a_unit() -> None:
    assert [q.si_value for q in read_quantities("under a minute on a phone")] == [60.0]


@given(text=st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_finite_quantities_in_order(text: str) -> None:
    found = read_quantities(text)
    assert all(math.isfinite(q.value) and math.isfinite(q.si_value) for q in found)
    assert [q.start for q in found] == sorted(q.start for q in found)


def test_a_number_beyond_all_bounds_stays_finite() -> None:
    assert all(
        math.isfinite(q.si_value) for q in read_quantities("1e999 parameters, 2x10^999 FLOPs, 9" + "9" * 400 + " ms")
    )


@pytest.mark.parametrize("piece", ["1,", "one ", "1.1.", "5 ms ", "twenty-", "hundred and ", "9"])
def test_a_hundred_thousand_characters_are_read_in_linear_time(piece: str) -> None:
    def seconds(n: int) -> float:
        text = piece * (n // len(piece))
        started = time.process_time()
        read_quantities(text)
        return time.process_time() - started

    seconds(1000)
    assert seconds(100_000) < 40 * seconds(10_000) + 1.0


# What is said: (kind or metric, operator, SI value).
LIMITS = {
    "accuracy of at least ninety percent": [("accuracy", ">=", 0.9)],
    "F1 above 0.9": [("f1", ">", 0.9)],
    "no more than 3M params": [("parameters", "<=", 3e6)],
    "it must not be larger than 30 MB": [("model_size", "<=", 3e7)],
    "recall may not drop below 0.8": [("recall", ">=", 0.8)],
    "inference must never take longer than 3 ms": [("latency", "<=", 0.003)],
    "trained in under 50 ms": [("training_time", "<", 0.05)],
    "a latency of 50 ms": [("latency", "<=", 0.05)],
    "30 fps": [("throughput", ">=", 30)],
    "2 GB of RAM at most": [("memory", "<=", 2e9)],
    "10-15 fps": [("throughput", ">=", 10), ("throughput", "<=", 15)],
    "between 2 and 5 million parameters": [("parameters", ">=", 2e6), ("parameters", "<=", 5e6)],
    "RMSE under 25,000 euros": [("rmse", "<", 25000)],
    "MAE below 5 minutes": [("mae", "<", 300)],
    "right nine times out of ten": [("accuracy", ">=", 0.9)],
    "mAP of 45": [("mAP", ">=", 0.45)],
    "about 2 million weights": [("parameters", "~", 2e6)],
    "precision and recall above 0.8": [("precision", ">", 0.8), ("recall", ">", 0.8)],
    "20 ms per image or faster": [("latency", "<=", 0.02)],
    "FLOPs be kept under 50G": [("flops", "<", 5e10)],
    "accuracy does not need to exceed 80%": [],
    "currently it takes 200 ms": [],
    "the next 24 hours": [],
    "audio clips of 5 seconds": [],
    "a table with 42 columns and 90 000 rows": [],
    "video recorded at 25 fps": [],
    "80 GB of images": [],
    "delayed by more than 15 minutes": [],
}


@pytest.mark.parametrize("text", LIMITS)
def test_a_number_limits_what_the_words_around_it_say(text: str) -> None:
    assert [(c.name or c.kind, c.operator, round(c.si_value, 9)) for c in read_limits(text)] == LIMITS[text]


def test_million_parameters_and_megabytes_are_kept_apart() -> None:
    parameters, size = read_limits("at most 5 M parameters and at most 5 MB on disk")
    assert (parameters.kind, parameters.si_value, parameters.unit) == ("parameters", 5e6, "M")
    assert (size.kind, size.si_value, size.unit) == ("model_size", 5e6, "MB")


@given(
    value=st.integers(1, 99),
    comparator=st.sampled_from(["at most", "no more than", "up to", "max", "not more than", "not exceeding", "<="]),
    unit=st.sampled_from(["M parameters", "MB of RAM", "GFLOPs", "ms latency"]),
)
def test_every_way_to_say_at_most_is_an_upper_bound(value: int, comparator: str, unit: str) -> None:
    (limit,) = read_limits(f"We need {comparator} {max(value, 1)} {unit}.")
    assert limit.operator == "<="
    assert limit.value == value


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("clasify", "classify"), ("acurracy", "accuracy"), ("latncy", "latency"), ("paramters", "parameters")],
)
def test_one_typing_error_in_a_word_that_matters_is_put_right(wrong: str, right: str) -> None:
    assert correct(f"x {wrong} y") == f"x {right} y"


@pytest.mark.parametrize(
    "word", ["defect", "throughout", "identity", "training", "raining", "estimation", "classifiers"]
)
def test_words_that_only_look_like_an_error_are_left_alone(word: str) -> None:
    assert correct(word) == word
