"""Every mistake of the museum, planted into the package, turns a named test red."""

import pytest
import test_identities as identities

from tinyvae.classroom import bugs

KL = ["test_kl_is_what_cubature_finds"]
EXACT_NLL = ["test_likelihood_of_all_pictures_sums_to_one", "test_nll_is_scipys_bernoulli"]

SEEN_BY = {bug.name: KL for bug in bugs.in_area("kl")} | {
    "determinant-underflows": ["test_kl_of_many_dimensions_is_the_sum_over_them"],
    # the sampler and its noise
    "std-is-exp-logvar": [
        "test_sampler_has_the_mean_and_the_variance_that_it_was_given",
        "test_elbo_identity_on_the_linear_gaussian_model",
    ],
    "noise-too-small": [
        "test_sampler_has_the_mean_and_the_variance_that_it_was_given",
        "test_elbo_identity_on_the_linear_gaussian_model",
    ],
    "uniform-noise": ["test_fit_draws_noise_of_mean_0_and_variance_1"],
    "noise-drawn-once": ["test_fit_draws_noise_afresh_in_every_step"],
    "noise-shared-by-batch": ["test_fit_draws_noise_independent_across_the_batch"],
    "noise-shared-by-latents": ["test_fit_draws_noise_independent_across_the_latents"],
    # the terms of the ELBO
    "mean-over-pixels": ["test_showing_every_pixel_twice_doubles_recon", *EXACT_NLL],
    "kl-subtracted": ["test_loss_is_the_mean_of_recon_plus_beta_kl"],
    "grey-pixels": ["test_fit_shows_black_and_white_pixels_with_the_grey_ones_as_their_means"],
    "two-conventions": [
        "test_kl_to_standard_normal_is_what_cubature_finds",
        "test_elbo_identity_on_the_linear_gaussian_model",
    ],
    "overflow-to-nan": ["test_kl_is_infinite_and_never_nan_where_a_variance_is"],
    "log-of-sigmoid": ["test_nll_of_a_confident_error_is_the_logit"],
    "probabilities-clipped": [
        "test_nll_of_a_confident_error_is_the_logit",
        "test_nll_is_scipys_bernoulli",
    ],
    "target-as-prediction": EXACT_NLL,
    "sigmoid-twice": ["test_nll_is_scipys_bernoulli"],
    "summed-over-batch": ["test_showing_every_example_twice_changes_neither_loss_nor_gradient"],
    "column-plus-row": ["test_recon_and_kl_are_one_number_an_example"],
    "normaliser-missing": ["test_log_density_is_scipys"],
    "squared-error": EXACT_NLL,
    "kl-to-itself": [
        "test_kl_to_standard_normal_is_what_cubature_finds",
        "test_elbo_identity_on_the_linear_gaussian_model",
    ],
    "kl-weighted-by-batch": ["test_loss_is_the_mean_of_recon_plus_beta_kl"],
    "beta-ignored": ["test_loss_is_the_mean_of_recon_plus_beta_kl"],
    # estimates
    "no-noise-at-test": ["test_elbo_is_unbiased_for_any_number_of_samples"],
    "expectation-inside-log": ["test_elbo_is_unbiased_for_any_number_of_samples"],
    "mean-of-logs": [
        "test_importance_weighted_bound_reaches_log_px",
        "test_importance_weighted_bound_is_the_elbo_at_one_sample_and_rises",
    ],
    "samples-not-averaged": ["test_importance_weighted_bound_reaches_log_px"],
    "largest-weight-lost": ["test_importance_weighted_bound_reaches_log_px"],
    "closed-form-kl-in-weights": ["test_importance_weighted_bound_reaches_log_px"],
    # the backward pass
    "fresh-noise-in-backward": ["test_gradient_of_every_parameter_is_the_difference_quotient"],
    "half-lost-in-backward": ["test_gradient_of_every_parameter_is_the_difference_quotient"],
    "gradient-blocked": ["test_gradient_of_every_parameter_is_the_difference_quotient"],
    "trunk-overwritten": ["test_gradient_of_every_parameter_is_the_difference_quotient"],
    # the model
    "relu-on-logvar": ["test_variances_can_be_below_and_above_one"],
    "posterior-at-generation": ["test_generate_draws_from_the_prior"],
}


def is_red(test):
    """Whether the test of tests/test_identities.py fails, for each of its parameters."""
    function = getattr(identities, test)
    marks = getattr(function, "pytestmark", [])
    cases = [
        dict(
            zip(mark.args[0].split(", "), values if "," in mark.args[0] else [values], strict=True)
        )
        for mark in marks
        if mark.name == "parametrize"
        for values in mark.args[1]
    ]
    for case in cases or [{}]:
        try:
            function(**case)
        except AssertionError:
            return True
    return False


def test_every_mistake_has_a_test_that_sees_it():
    assert set(SEEN_BY) == set(bugs.MUSEUM)


@pytest.mark.parametrize("test", sorted({test for tests in SEEN_BY.values() for test in tests}))
def test_without_a_mistake_it_is_green(test):
    assert not is_red(test)


@pytest.mark.parametrize(("name", "test"), [(n, test) for n in SEEN_BY for test in SEEN_BY[n]])
def test_mistake_turns_it_red(name, test):
    with bugs.planted(bugs.MUSEUM[name]):
        assert is_red(test)


KL_FORMS = {
    "tinyvae.gaussian:kl": "test_kl_is_what_cubature_finds",
    "tinyvae.gaussian:kl_diagonal": "test_kl_diagonal_is_what_cubature_finds",
    "tinyvae.gaussian:kl_to_standard_normal": "test_kl_to_standard_normal_is_what_cubature_finds",
}


@pytest.mark.parametrize("bug", bugs.in_area("kl"), ids=lambda bug: bug.name)
def test_wrong_kl_turns_the_test_of_each_of_its_forms_red(bug):
    for target, test in KL_FORMS.items():
        if target in bug.plants and bug.name != "determinant-underflows":
            with bugs.planted({target: bug.plants[target]}):
                assert is_red(test), target


def test_famous_mistake_passes_the_gradient_check_and_fails_the_moment_test():
    """exp(logvar) as the standard deviation, in forward and backward alike."""
    gradients = "test_gradient_of_every_parameter_is_the_difference_quotient"
    moments = "test_sampler_has_the_mean_and_the_variance_that_it_was_given"
    with bugs.planted(bugs.MUSEUM["std-is-exp-logvar"]):
        assert not is_red(gradients)
        assert is_red(moments)


SILENT = [
    "std-is-exp-logvar",
    "noise-too-small",
    "mean-over-pixels",
    "kl-subtracted",
    "two-conventions",
    "probabilities-clipped",
    "target-as-prediction",
    "sigmoid-twice",
    "summed-over-batch",
    "squared-error",
    "kl-to-itself",
    "kl-weighted-by-batch",
    "beta-ignored",
    "relu-on-logvar",
    "half-missing",
    "mean-over-dimensions",
    "one-instead-of-dimension",
    "swapped-arguments",
]


@pytest.mark.parametrize("name", SILENT)
def test_no_gradient_check_sees_it(name):
    with bugs.planted(bugs.MUSEUM[name]):
        assert not is_red("test_gradient_of_every_parameter_is_the_difference_quotient")
