"""From what a user says of resources to scale and architecture."""

from __future__ import annotations

import pytest

from flame import understand
from flame.footprint import footprint
from flame.metadata import ARCHES, Metadata
from flame.resources import choose_scale, says_resources
from targets import get_target


def chosen(words: str, task_type: str = "img_cls", **options):
    return choose_scale(words, task_type, out_dim=10, **options)


def test_without_a_word_on_resources_the_scale_is_base_and_nobody_asked():
    choice = chosen("Sort photos of beans.")
    assert (choice.scale, choice.arch, choice.reasons, choice.asked) == ("base", "resnet50", (), False)


@pytest.mark.parametrize(
    ("words", "scale"), [("It runs on a phone.", "small"), ("No GPU.", "small"), ("The best accuracy.", "large")]
)
def test_words_choose_the_scale_and_are_given_as_the_reason(words, scale):
    choice = chosen(words)
    assert (choice.scale, choice.asked, len(choice.reasons)) == (scale, True, 1)
    assert choice.reasons[0].endswith(f"so the scale is {scale}: {ARCHES['img_cls'][scale]}")


@pytest.mark.parametrize(
    ("words", "arch"),
    [
        ("fewer than 30 million parameters", "resnet50"),
        ("fewer than 5 million parameters", "mobilenet_v3_small"),
        ("model size below 20 MB", "mobilenet_v3_small"),
        ("model size below 100 MB", "resnet50"),
        ("less than 1 GFLOPs", "mobilenet_v3_small"),
        ("at most 20 ms", "mobilenet_v3_small"),
        ("at least 25 fps", "mobilenet_v3_small"),
        ("the best accuracy, fewer than 30 million parameters", "resnet50"),
        ("the best accuracy, fewer than 100 million parameters", "resnet152"),
        ("it runs on a phone, fewer than 100 million parameters", "mobilenet_v3_small"),
    ],
)
def test_limits_leave_the_largest_architecture_that_is_wished_for_and_fits(words, arch):
    choice = chosen(f"Sort photos of beans, {words}.")
    assert choice.arch == arch
    assert choice.reasons


def test_limits_that_base_keeps_ask_for_no_scale():
    choice = chosen("Sort photos with fewer than 30 million parameters.")
    assert (choice.scale, choice.asked) == ("base", False)
    assert choice.reasons == ("resnet50 keeps parameters < 30 million (estimated: 23.5 million)",)


def test_where_nothing_fits_the_smallest_is_taken_and_the_breach_is_measured():
    choice = chosen("Sort photos with fewer than 1 million parameters.")
    assert (choice.scale, choice.asked) == ("small", True)
    assert choice.reasons == (
        "no model for image classification keeps parameters < 1 million; the smallest, mobilenet_v3_small, has about "
        "1.53 million, 1.53 times as much, and is taken",
    )


def test_every_limit_that_is_broken_is_named():
    reasons = chosen("Classify reviews with fewer than 5 million parameters and under 20 ms.", "seq_cls").reasons
    assert [("parameters" in r, "latency" in r) for r in reasons] == [(True, False), (False, True)]


def test_a_table_s_limits_count_its_columns():
    words = "Classify the rows with fewer than 9000 parameters."
    assert chosen(words, "tabular_cls", d_input=4).arch == "mlp_small" == chosen(words, "tabular_cls", d_input=90).arch
    assert choose_scale(words, "tabular_cls", out_dim=3, d_input=4).arch == "mlp_base"


def test_time_on_a_gpu_is_not_judged_and_the_reason_says_so():
    choice = chosen("Sort photos on a GPU under 20 ms.")
    assert choice.scale == "base"
    assert choice.reasons == ("latency < 20 ms is not estimated for a GPU",)


def test_a_specification_s_limits_and_device_count():
    spec = understand("Sort photos of beans into 3 kinds with fewer than 5 million parameters.")
    assert chosen("Sort photos.", spec=spec).scale == "small"
    spec = understand("Classify bean photos into 7 varieties on a phone.")
    assert chosen("Sort photos.", spec=spec).scale == "small"


def test_whether_words_speak_of_resources():
    assert [says_resources(w) for w in ("on a rainy day", "No GPU.", "under 3 MB model size")] == [False, True, True]


@pytest.mark.parametrize("words", ["5 million ", "7 x x x ", "how much "])
def test_a_hundred_thousand_characters_that_invite_backtracking_come_to_an_end(words):
    assert chosen(words * (100_000 // len(words))).arch in ARCHES["img_cls"].values()


# --- what models cost -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["mlp_small", "mlp_base", "mlp_large", "mlp_paper"])
def test_the_cost_of_a_table_s_model_is_the_built_one_s(arch):
    metadata = Metadata(task="tabular_cls", out_dim=3, in_dim=7, arch=arch)
    built = sum(p.numel() for p in get_target(arch).build(metadata).parameters())
    assert footprint(arch, out_dim=3, d_input=7).n_parameters == built


@pytest.mark.parametrize(
    ("arch", "millions"),
    [
        ("mobilenet_v3_small", 2.54),
        ("resnet50", 25.56),
        ("resnet152", 60.19),
    ],
)
def test_the_cost_of_a_vision_model_is_the_published_one(arch, millions):
    assert footprint(arch, out_dim=1000).n_parameters / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("task_type", ARCHES)
def test_a_larger_scale_never_costs_less(task_type):
    costs = [footprint(a, out_dim=5, d_input=9) for a in ARCHES[task_type].values()]
    assert list(ARCHES[task_type]) == ["small", "base", "large"]
    assert [c.n_parameters for c in costs] == sorted(c.n_parameters for c in costs)
    assert [c.cpu_s for c in costs] == sorted(c.cpu_s for c in costs)
