"""Classes or numbers: what labels say alone, and where words may overrule them."""

from __future__ import annotations

import numpy as np
import pytest

from flame.labels import label_kind, settle_kind

FRACTIONS = [round(0.2 * i, 1) for i in range(26)]


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["setosa", "versicolor", "virginica"] * 35, "classes"),
        ([3, 4, 5, 6, 7, 8, 9] * 100, "classes"),
        ([3, 9, 5], "classes"),
        (FRACTIONS * 4, "numbers"),
        ([120_000, 155_000, 99_000, 310_500, 87_250], "numbers"),
        ([200_000 + 1_375 * i for i in range(400)], "numbers"),
        ([i % 41 for i in range(1000)], "classes"),
        ([1 + i % 41 for i in range(1000)], "classes"),
        ([17 + i % 74 for i in range(500)], "numbers"),
        ([1 + i % 74 for i in range(500)], "numbers"),
        ([0.5, 1.5] * 20, "classes"),
        ([1.0, 2.0, 3.0] * 20, "classes"),
        ([0.5, 1.5, 2.25] * 10, "numbers"),
        ([True, False] * 3, "classes"),
        (["1.5", "2.5", "3.5"], "classes"),
        ([1, "two", 3], "classes"),
        ([2 * i for i in range(41)] * 25, "numbers"),
    ],
)
def test_labels_are_classes_or_numbers(labels, kind):
    assert label_kind(labels) == kind


def test_missing_labels_and_numpy_s_types_change_nothing():
    labels = [*np.array(FRACTIONS), None, float("nan")]
    assert label_kind(labels) == label_kind(FRACTIONS) == "numbers"
    assert label_kind([None, float("nan"), 1, 0, 1]) == "classes"


AGES = tuple(range(5, 19))  # fourteen whole numbers that come back


def test_an_explicit_wish_for_a_number_is_heard_above_ten_numeric_values():
    kind, note = settle_kind(AGES, 300, "numbers")
    assert kind == "numbers"
    assert "the labels alone look like classes (14 different values in 300 rows)" in note


@pytest.mark.parametrize(("values", "said"), [(tuple(range(10)), "numbers"), (tuple("abcdefghijklm"), "numbers")])
def test_few_values_and_names_are_classes_whatever_the_words_say(values, said):
    kind, note = settle_kind(values, 300, said)
    assert kind == "classes"
    assert note.startswith("the description seems to ask for a number, however the labels are classes")


def test_numbers_stay_numbers_unless_the_words_name_as_many_classes():
    ids = tuple(range(77))
    assert settle_kind(ids, 300, "classes")[0] == "numbers"
    assert settle_kind(ids, 300, "classes", n_classes=77)[0] == "classes"
    assert settle_kind(ids, 300, "classes", n_classes=5)[0] == "numbers"
    assert settle_kind((*ids, 0.5), 300, "classes", n_classes=78)[0] == "numbers"


def test_words_that_agree_or_are_silent_leave_no_note():
    assert settle_kind(AGES, 300, "classes") == settle_kind(AGES, 300, None) == ("classes", None)
