"""Every mistake of the museum, planted into the package, turns a named test red."""

import re

import pytest

from tinyvae.classroom.museum import catalogue as bugs
from tinyvae.classroom.museum import kl
from tinyvae.classroom.museum.entry import checked
from tools import checks, museum_pages

SEEN_BY = checked()["seen by"]


def test_table_has_every_check_and_every_mistake():
    assert checked()["checks"] == checks.CHECKS
    assert list(SEEN_BY) == list(bugs.MUSEUM)


@pytest.mark.parametrize("bug", bugs.MUSEUM.values(), ids=lambda bug: bug.name)
def test_mistake_turns_those_tests_red_that_the_table_says(bug):
    assert checks.seen_by(bug) == SEEN_BY[bug.name] != []


KL_FORMS = {
    "tinyvae.gaussian:kl": "test_kl_is_what_cubature_finds",
    "tinyvae.gaussian:kl_diagonal": "test_kl_diagonal_is_what_cubature_finds",
    "tinyvae.gaussian:kl_to_standard_normal": "test_kl_to_standard_normal_is_what_cubature_finds",
}


# In 400 dimensions, in a batch, with a variance of 1e-8.
SEEN_ELSEWHERE = {"determinant-underflows", "small-number-in-log", *kl.OF_BATCHES}


@pytest.mark.parametrize("bug", bugs.in_area("kl"), ids=lambda bug: bug.name)
def test_wrong_kl_turns_the_test_of_each_of_its_forms_red(bug):
    for target, test in KL_FORMS.items():
        if target in bug.plants and bug.name not in SEEN_ELSEWHERE:
            with bugs.planted({target: bug.plants[target]}):
                assert checks.is_red(test), target


def test_gradient_check_sees_the_mistakes_in_the_backward_pass_and_no_other():
    seen = [name for name, found in SEEN_BY.items() if museum_pages.GRADIENT in found]
    assert seen == [bug.name for bug in bugs.in_area("backward")]


@pytest.mark.parametrize("bug", bugs.MUSEUM.values(), ids=lambda bug: bug.name)
def test_what_the_museum_says_of_gradient_checks_is_what_the_table_says(bug):
    if re.search(r"\bNot by[^.]* gradient check", bug.seen_by):
        assert museum_pages.GRADIENT not in SEEN_BY[bug.name]
    elif "gradient check" in bug.seen_by:
        assert museum_pages.GRADIENT in SEEN_BY[bug.name]


def test_famous_mistake_is_seen_by_the_moment_test():
    """exp(logvar) as the standard deviation, in forward and backward alike."""
    moments = "test_sampler_has_the_mean_and_the_variance_that_it_was_given"
    assert moments in SEEN_BY[bugs.FAMOUS]
