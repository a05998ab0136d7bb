"""Every public function, given what NumPy would broadcast, cast or let pass in silence.

One table: the arguments that a function takes, and what is done to each.  The answer must be a
ValueError of one sentence that names the argument, or that of the same numbers in float64.
"""

import inspect
from typing import NamedTuple

import numpy as np
import pytest

import tinyvae
from tinyvae import VAE, Autoencoder, bernoulli, data, evaluate, gaussian, layers, optim, train

B, D, Z, H, K = 4, 5, 2, 3, 3


def name_of(value):
    """A name for a test, the same in every process"""
    plain = isinstance(value, str | bytes | int | float | tuple | list | dict | None)
    return repr(value) if plain else getattr(value, "__name__", type(value).__name__)


class Case(NamedTuple):
    """A call with good arguments, and the wrong shapes of each array that must be refused"""

    call: object
    good: dict
    wrong: dict  # argument -> shapes
    says: str = "{name}"  # in the message


def draw(*shape):
    return np.random.default_rng(len(shape) + sum(shape)).random(shape).round(3)


def bits(*shape):
    return (draw(*shape) < 0.5) * 1.0


def rng():
    return np.random.default_rng(0)


def model(cls=VAE):
    return cls.create(D, (H,), Z, rng=rng(), dtype=np.float64)


def gradients(answer):
    return tuple(answer[3].values())


def parts(answer):
    """The arrays that a function returns: one or several"""
    return answer if isinstance(answer, tuple) else (answer,)


NAMED = {"mean": draw(K), "cov": np.eye(K)}
PAIR = {"mean_q": draw(K), "cov_q": np.eye(K), "mean_p": draw(K), "cov_p": 2 * np.eye(K)}
DIAGONAL = {"mu": draw(B, Z), "logvar": draw(B, Z)}
NOT_A_MATRIX = [(), (0, 0), (K,), (K, 1), (1, K), (K, K + 1), (K + 1, K + 1), (2, K)]
NOT_A_MEAN = [(), (0,), (1,), (K + 1,), (K, 1), (2, K + 1)]
NOT_ROWS_OF_Z = [(), (1,), (B, 1), (B, Z + 1), (B + 1, Z), (Z, B)]

CASES = {
    "gaussian.kl": Case(
        gaussian.kl,
        PAIR,
        {"mean_q": NOT_A_MEAN, "mean_p": NOT_A_MEAN, "cov_q": NOT_A_MATRIX, "cov_p": NOT_A_MATRIX},
    ),
    "gaussian.kl_textbook": Case(
        gaussian.kl_textbook,
        PAIR,
        {"mean_q": NOT_A_MEAN, "mean_p": NOT_A_MEAN, "cov_q": NOT_A_MATRIX, "cov_p": NOT_A_MATRIX},
    ),
    "gaussian.kl_diagonal": Case(
        gaussian.kl_diagonal,
        {"mu_q": draw(B, Z), "logvar_q": draw(B, Z), "mu_p": draw(B, Z), "logvar_p": draw(B, Z)},
        dict.fromkeys(["mu_q", "logvar_q", "mu_p", "logvar_p"], NOT_ROWS_OF_Z),
    ),
    "gaussian.kl_to_standard_normal": Case(
        gaussian.kl_to_standard_normal, DIAGONAL, {"mu": NOT_ROWS_OF_Z, "logvar": NOT_ROWS_OF_Z}
    ),
    "gaussian.kl_to_standard_normal_backward": Case(
        gaussian.kl_to_standard_normal_backward,
        {"dkl": draw(B)} | DIAGONAL,
        {
            "dkl": [(), (1,), (B, 1), (B, Z), (B + 1,), (1, B)],
            "mu": [*NOT_ROWS_OF_Z, (Z,), (1, Z), (2, B, Z)],
            "logvar": [*NOT_ROWS_OF_Z, (Z,), (1, Z), (2, B, Z)],
        },
        "has shape",
    ),
    "gaussian.reparameterize": Case(
        gaussian.reparameterize,
        DIAGONAL | {"eps": draw(B, Z)},
        {
            "mu": [(B, 1), (B + 1, Z), (2, B, Z)],
            "logvar": [*NOT_ROWS_OF_Z, (Z,), (1, Z)],
            "eps": [*NOT_ROWS_OF_Z, (Z,), (1, Z), (B, 1, Z)],
        },
        "has shape",
    ),
    "gaussian.reparameterize_backward": Case(
        gaussian.reparameterize_backward,
        {"dz": draw(B, Z), "logvar": draw(B, Z), "eps": draw(B, Z)},
        {
            "dz": [*NOT_ROWS_OF_Z, (Z,), (1, Z), (2, B, Z)],
            "logvar": [(B, 1), (B + 1, Z), (2, B, Z)],
            "eps": [*NOT_ROWS_OF_Z, (Z,), (1, Z), (2, B, Z)],
        },
        "has shape",
    ),
    "gaussian.log_density": Case(
        gaussian.log_density, {"x": draw(B, K)} | NAMED, {"x": [(), (B, 1), (B, K + 1), (K, B)],
                                                          "mean": NOT_A_MEAN, "cov": NOT_A_MATRIX}
    ),
    "gaussian.log_density_diagonal": Case(
        gaussian.log_density_diagonal,
        {"x": draw(B, Z)} | DIAGONAL,
        dict.fromkeys(["x", "mu", "logvar"], NOT_ROWS_OF_Z),
    ),
    "gaussian.entropy": Case(gaussian.entropy, {"cov": np.eye(K)},
                             {"cov": [(), (K,), (K, 1), (1, K), (K, K + 1)]}),
    "gaussian.sample": Case(
        lambda mean, cov, size=B: gaussian.sample(mean, cov, size, rng()),
        NAMED,
        {"mean": [*NOT_A_MEAN, (B, K), (1, K)], "cov": [*NOT_A_MATRIX, (B, K, K), (1, K, K)]},
    ),
    "bernoulli.nll": Case(
        bernoulli.nll,
        {"logits": draw(B, D), "x": bits(B, D)},
        {
            "logits": [(), (D,), (1, D), (B, 1), (B, D + 1), (B + 1, D)],
            "x": [(1,), (B, 1), (1, D), (B,), (B, D + 1), (B + 1, D), (2, B, D)],
        },
        "has shape",
    ),
    "bernoulli.nll_backward": Case(
        bernoulli.nll_backward,
        {"dnll": draw(B), "logits": draw(B, D), "x": bits(B, D)},
        {
            "dnll": [(), (1,), (B, 1), (1, B), (B, D), (B + 1,)],
            "logits": [(), (D,), (1, D), (B, 1), (B, D + 1), (B + 1, D)],
            "x": [(1,), (B, 1), (1, D), (B,), (B, D + 1), (B + 1, D), (2, B, D)],
        },
        "has shape",
    ),
    "layers.linear": Case(
        layers.linear,
        {"x": draw(B, D), "W": draw(D, H), "b": draw(H)},
        {
            "x": [(), (B, 1), (B, D + 1), (D, B)],
            "W": [(), (D,), (1, H), (D, 1), (H, D), (2, D, H)],
            "b": [(), (1,), (B, 1), (B, H), (1, H)],
        },
    ),
    "layers.linear_backward": Case(
        layers.linear_backward,
        {"dy": draw(B, H), "x": draw(B, D), "W": draw(D, H)},
        {
            "dy": [(), (1,), (H,), (B, 1), (1, H), (B + 1, H), (2, B, H)],
            "x": [(D,), (1, D), (B + 1, D), (2, B, D)],
            "W": [(), (D,), (H,), (D, 1), (1, H), (H, D), (2, D, H)],
        },
    ),
    "layers.weights_backward": Case(
        layers.weights_backward,
        {"dy": draw(B, H), "x": draw(B, D)},
        {
            "dy": [(), (1,), (H,), (B + 1, H), (2, B, H)],
            "x": [(), (D,), (1, D), (B + 1, D), (2, B, D)],
        },
    ),
    **{
        f"layers.{name}": Case(getattr(layers, name), {"a": draw(B, H)}, {})
        for name in ("tanh", "relu", "sigmoid")
    },
    **{
        f"layers.{name}_backward": Case(
            getattr(layers, f"{name}_backward"),
            {"dy": draw(B, H), "y": draw(B, H)},
            {
                "dy": [(), (1,), (H,), (B, 1), (1, H), (B + 1, H)],
                "y": [(), (1,), (H,), (B, 1), (1, H)],
            },
            "dy has shape",
        )
        for name in ("tanh", "relu", "sigmoid")
    },
    "VAE.encode": Case(
        lambda x: model().encode(x),
        {"x": bits(B, D)},
        {"x": [(), (D,), (B, 1), (B, D + 1), (0, D)]},
    ),
    "VAE.decode": Case(
        lambda z: model().decode(z), {"z": draw(B, Z)}, {"z": [(), (B, 1), (B, Z + 1), (Z, B)]}
    ),
    "VAE.reconstruct": Case(
        lambda x: model().reconstruct(x), {"x": bits(B, D)}, {"x": [(), (D,), (B, 1), (B, D + 1)]}
    ),
    "VAE.loss": Case(
        lambda x, eps: np.stack(model().loss(x, eps)),
        {"x": bits(B, D), "eps": draw(B, Z)},
        {
            "x": [(), (D,), (1, D), (B, 1), (B, D + 1), (B + 1, D), (2, B, D)],
            "eps": [*NOT_ROWS_OF_Z, (Z,), (1, Z)],
        },
        "has shape",
    ),
    "VAE.loss_and_grads": Case(
        lambda x, eps: gradients(model().loss_and_grads(x, eps)),
        {"x": bits(B, D), "eps": draw(B, Z)},
        {
            "x": [(), (D,), (1, D), (B, 1), (B, D + 1), (B + 1, D), (2, B, D), (0, D)],
            "eps": [*NOT_ROWS_OF_Z, (Z,), (1, Z), (2, B, Z)],
        },
        "has shape",
    ),
    "Autoencoder.loss_and_grads": Case(
        lambda x: gradients(model(Autoencoder).loss_and_grads(x)),
        {"x": bits(B, D)},
        {"x": [(), (D,), (B, 1), (B, D + 1), (2, B, D), (0, D)]},
    ),
    **{
        f"evaluate.{name}": Case(
            lambda x, name=name: getattr(evaluate, name)(model(), x, rng(), samples=2),
            {"x": bits(B, D)},
            {"x": [(), (D,), (B, 1), (B, D + 1)]},
        )
        for name in ("elbo", "log_likelihood")
    },
}  # fmt: skip


WRONG_SHAPES = [
    (name, argument, shape)
    for name, case in CASES.items()
    for argument, shapes in case.wrong.items()
    for shape in shapes
]


def refused(call, *words):
    """The message of the ValueError that a call must end in; one sentence, with these words"""
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


@pytest.mark.parametrize(("name", "argument", "shape"), WRONG_SHAPES, ids=str)
def test_a_wrong_shape_is_refused_by_name(name, argument, shape):
    case = CASES[name]
    value = np.zeros(shape)
    if argument.startswith("cov") and len(shape) > 1 and shape[-1] == shape[-2]:
        value = value + np.eye(shape[-1])
    message = refused(lambda: case.call(**case.good | {argument: value}))
    if case.says:
        assert any(name in message for name in case.good), message
        assert case.says.format(name=argument) in message, message
        assert "(" in message  # the shapes


def test_the_good_arguments_of_the_table_are_good():
    """Else it would refuse anything."""
    for case in CASES.values():
        assert all(np.isfinite(answer).all() for answer in parts(case.call(**case.good)))


def test_the_table_has_every_function_of_the_mathematics():
    for module in (gaussian, bernoulli, layers):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            public = function.__module__ == module.__name__ and not name.startswith("_")
            if public and name != "binarize":  # it draws; tests/reliability/test_data.py has it
                assert f"{module.__name__.split('.')[1]}.{name}" in CASES


ARGUMENTS = [(name, argument) for name, case in CASES.items() for argument in case.good]
OTHER_TYPES = {
    "integers": lambda a: np.round(a).astype(int),
    "booleans": lambda a: np.round(a).astype(bool),
    "bytes": lambda a: np.round(a).astype(np.uint8),
    "half precision": lambda a: a.astype(np.float16),
    "single precision": lambda a: a.astype(np.float32),
    "another order": lambda a: np.asfortranarray(a),
    "a matrix": lambda a: a.view(np.matrix) if a.ndim == 2 else a,
    "nothing masked": np.ma.masked_array,
    "every other one": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "read-only": lambda a: np.broadcast_to(a, a.shape),
    "lists": lambda a: a.tolist(),
}


@pytest.mark.parametrize("kind", OTHER_TYPES)
@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_other_types_give_the_right_answer(name, argument, kind):
    """That of the same numbers in float64, to the precision of the type."""
    case = CASES[name]
    value = OTHER_TYPES[kind](case.good[argument])
    wide = np.asarray(value, np.float64)
    got = case.call(**case.good | {argument: value})
    true = case.call(**case.good | {argument: wide})
    tolerance = 2e-6 if "precision" in kind else 1e-12
    for a, b in zip(parts(got), parts(true), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
        assert a.dtype in (np.float32, np.float64)


MATHEMATICS = [name for name in CASES if name.startswith(("gaussian", "bernoulli", "layers"))]


@pytest.mark.parametrize("name", MATHEMATICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_answers_have_the_precision_of_the_arguments(name, dtype):
    case = CASES[name]
    answers = parts(case.call(**{key: value.astype(dtype) for key, value in case.good.items()}))
    assert all(answer.dtype == dtype for answer in answers)


@pytest.mark.parametrize("value", [None, "abc", b"abc", {}, object(), [[1.0], [1.0, 2.0]],
                                   np.array(["a", "b"]), np.array("2020", "M8"),
                                   np.array([None, 1.0])], ids=name_of)  # fmt: skip
@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_what_is_not_numbers_is_refused(name, argument, value):
    case = CASES[name]
    refused(lambda: case.call(**case.good | {argument: value}), argument)


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_masked_elements_are_refused(name, argument):
    """NumPy would count what is under the mask."""
    case = CASES[name]
    masked = np.ma.masked_array(case.good[argument], mask=True)
    refused(lambda: case.call(**case.good | {argument: masked}), f"{argument} has masked elements")


# Complex numbers pass where the complex step may want to go: through what is analytic.
ANALYTIC = (
    "gaussian.kl_diagonal gaussian.kl_to_standard gaussian.reparameterize "
    "gaussian.log_density_diagonal layers VAE.encode VAE.decode VAE.reconstruct"
)


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_complex_numbers_pass_only_where_they_make_sense(name, argument):
    case = CASES[name]
    arguments = case.good | {argument: case.good[argument] + 0j}
    if name.startswith(tuple(ANALYTIC.split())):
        assert all(np.allclose(np.imag(answer), 0) for answer in parts(case.call(**arguments)))
    else:
        refused(lambda: case.call(**arguments), "must hold real numbers, not complex128")


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_nan_is_refused_or_comes_out_again(name, argument):
    case = CASES[name]
    value = case.good[argument].copy()
    value.flat[-1] = np.nan
    try:
        answer = case.call(**case.good | {argument: value})
    except ValueError as error:
        assert argument.split("_")[0] in str(error) and "nan" in str(error).lower()
    else:
        relu = name == "layers.relu_backward" and argument == "y"  # NaN > 0 is False
        assert relu or any(np.isnan(a).any() for a in parts(answer))


# what is not an array


def fitted(**change):
    good = {"x": draw(8, D), "epochs": 1, "rng": rng(), "report": train.silent}
    return tinyvae.fit(model(), **good | change)


def created(**change):
    good = {"data_dim": D, "hidden_dims": (H,), "latent_dim": Z, "rng": rng()}
    return VAE.create(**good | change)


def a_parameter():
    return {"p": np.ones((2, 3))}


NUMBERS = {
    "a whole number of at least 0": [-1, True, 1.5, "3", None, np.nan],
    "a whole number of at least 1": [0, -1, 1.5, "3", None, np.inf],
    "a number in [0, inf)": [-1e-9, np.inf, np.nan, "1e-3", None, [0.1], 1j, np.ones((B, 1))],
    "a finite number": [np.inf, -np.inf, np.nan, "1", None, [1.0], 1j, np.ones((B, 1))],
    "a number in [0, 1)": [-0.1, 1, 1.5, np.nan, "0.9", None],
    "a np.random.Generator": [
        None,
        0,
        np.zeros((3, 1)),
        np.random,
        np.random.RandomState(0),
        "rng",
    ],
    "float32 or float64": [np.float16, int, complex, "double precision", None, object],
}
PLACES = [
    (fitted, "epochs", "a whole number of at least 0"),
    (fitted, "batch_size", "a whole number of at least 1"),
    (fitted, "learning_rate", "a number in [0, inf)"),
    (fitted, "beta", "a number in [0, inf)"),
    *[(lambda beta, cls=cls, name=name: getattr(model(cls), name)(bits(B, D), draw(B, Z), beta),
       "beta", "a finite number")
      for cls in (VAE, Autoencoder) for name in ("loss", "loss_and_grads")],
    (fitted, "rng", "a np.random.Generator"),
    (created, "data_dim", "a whole number of at least 1"),
    (created, "latent_dim", "a whole number of at least 1"),
    (created, "hidden_dims", "a whole number of at least 1"),
    (created, "rng", "a np.random.Generator"),
    (created, "dtype", "float32 or float64"),
    (lambda n: model().generate(n, rng()), "n", "a whole number of at least 0"),
    (lambda rng: model().generate(3, rng), "rng", "a np.random.Generator"),
    (lambda rng: data.binarize(draw(B, D), rng), "rng", "a np.random.Generator"),
    (lambda rng: gaussian.sample(**NAMED, size=2, rng=rng), "rng", "a np.random.Generator"),
    (lambda size: gaussian.sample(**NAMED, size=size, rng=rng()), "size",
     "a whole number of at least 0"),
    (lambda size: gaussian.sample(**NAMED, size=(2, size), rng=rng()), "size",
     "a whole number of at least 0"),
    (lambda learning_rate: optim.SGD(a_parameter(), learning_rate), "learning_rate",
     "a number in [0, inf)"),
    (lambda learning_rate: optim.Adam(a_parameter(), learning_rate), "learning_rate",
     "a number in [0, inf)"),
    (lambda beta1: optim.Adam(a_parameter(), beta1=beta1), "beta1", "a number in [0, 1)"),
    (lambda beta2: optim.Adam(a_parameter(), beta2=beta2), "beta2", "a number in [0, 1)"),
    *[(lambda samples, f=f: f(model(), bits(B, D), rng(), samples), "samples",
       "a whole number of at least 1") for f in (evaluate.elbo, evaluate.log_likelihood)],
    *[(lambda rng, f=f: f(model(), bits(B, D), rng, 2), "rng", "a np.random.Generator")
      for f in (evaluate.elbo, evaluate.log_likelihood)],
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "argument", "kind", "value"),
    [(*place, value) for place in PLACES for value in NUMBERS[place[2]]],
    ids=name_of,
)
def test_what_is_out_of_range_is_refused_by_name(call, argument, kind, value):
    refused(lambda: call(**{argument: value}), argument, f"must be {kind}",
            "not " + " ".join(repr(value).split())[:100])  # fmt: skip


def test_an_adam_that_would_divide_by_nothing_is_refused():
    for tiny in (0, -1e-8, np.nan, None):
        refused(lambda tiny=tiny: optim.Adam(a_parameter(), tiny=tiny), "tiny must be a number")


@pytest.mark.parametrize("activation", ["softplus", None, 3, ["tanh"], {}])
def test_an_unknown_activation_is_refused(activation):
    refused(lambda: created(activation=activation), "activation must be tanh or relu")


def test_nothing_to_generate_is_nothing():
    assert model().generate(0, rng()).shape == (0, D)
    assert gaussian.sample(**NAMED, size=0, rng=rng()).shape == (0, K)
    assert gaussian.sample(**NAMED, size=(), rng=rng()).shape == (K,)


def test_numpys_own_numbers_are_numbers():
    fitted(epochs=np.int64(1), batch_size=np.uint8(3), learning_rate=np.float32(1e-3))
    created(data_dim=np.int32(3), dtype="float64")
    assert model().generate(np.int8(2), rng()).shape == (2, D)


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1), (1, 3), (3, 2), (2, 2, 3)])
def test_a_gradient_of_another_shape_is_refused(optimizer, shape):
    params = a_parameter()
    step = optimizer(params).step
    refused(lambda: step({"p": np.ones(shape)}), f"the gradient of p has shape {shape}", "(2, 3)")
    assert np.array_equal(params["p"], np.ones((2, 3)))


# data


@pytest.mark.parametrize("argument", ["x", "x_test"])
def test_fit_refuses_masked_images(argument):
    masked = np.ma.masked_array(draw(8, D), mask=True)
    refused(lambda: fitted(**{argument: masked}), f"{argument} has masked elements")


@pytest.mark.parametrize("argument", ["x", "x_test"])
@pytest.mark.parametrize(
    "value",
    [
        draw(D), draw(2, 3, D), draw(8, D).tolist(), np.ones((8, D), int), np.ones((8, D), bool),
        np.ones((8, D), np.float16), np.ones((0, D)), np.ones((8, 0)), np.ones((8, D)) + 0j, "x",
        np.full((8, D), "1"), np.full((8, D), None), 3,
    ],
    ids=lambda a: f"{getattr(a, 'dtype', type(a).__name__)} {np.shape(a)}",
)  # fmt: skip
def test_fit_refuses_what_is_not_an_array_of_images(argument, value):
    refused(lambda: fitted(**{argument: value}), f"{argument} must be an array (N, D) of float32")


def test_fit_refuses_images_of_another_width():
    refused(lambda: fitted(x=draw(8, D + 1)), "x has shape (8, 6)", "(B, 5)")
    message = refused(lambda: fitted(x_test=draw(8, D + 1)), "x_test has shape (8, 6)", "(8, 5)")
    assert message == "x_test has shape (8, 6); it must be (8, 5)"


@pytest.mark.parametrize("binarize", [True, False])
@pytest.mark.parametrize("argument", ["x", "x_test"])
def test_fit_refuses_grey_levels_that_nobody_scaled(argument, binarize):
    levels = np.round(255 * draw(8, D))
    message = refused(lambda: fitted(**{argument: levels}, binarize=binarize), "x must", "[0, 1]")
    assert f"{levels.max():g}" in message
    refused(lambda: fitted(**{argument: -draw(8, D)}, binarize=binarize), "[0, 1]")


@pytest.mark.parametrize("function", [evaluate.elbo, evaluate.log_likelihood])
@pytest.mark.parametrize("value", [0.5, 2.0, -1.0, np.nan, 1e-30, 255])
def test_a_likelihood_is_of_black_and_white_pixels(function, value):
    x = bits(B, D)
    x[2, 3] = value
    refused(lambda: function(model(), x, rng(), 2), f"x holds {value:g}", "black and white")


@pytest.mark.parametrize("function", [evaluate.elbo, evaluate.log_likelihood])
def test_an_autoencoder_has_no_likelihood(function):
    refused(lambda: function(model(Autoencoder), bits(B, D), rng(), 2), "VAE", "not Autoencoder")


def test_shipped_greys_go_everywhere_that_arrays_go():
    digits = data.load("digits").x_test
    vae = VAE.create(64, (H,), Z, rng=rng())
    as_array = np.asarray(digits)
    for function in (vae.encode, vae.reconstruct):
        assert np.array_equal(function(digits), function(as_array))
    eps = draw(len(digits), Z).astype(np.float32)
    assert np.array_equal(vae.loss(digits, eps), vae.loss(as_array, eps))
    refused(lambda: evaluate.elbo(vae, digits, rng()), "x holds", "black and white")


def test_the_answer_to_broadcast_logvars_is_that_of_each_row():
    """Leading axes broadcast, as documented: one q, many points, is no mistake."""
    mu, logvar = draw(B, Z), draw(Z)
    each = [gaussian.kl_to_standard_normal(row, logvar) for row in mu]
    np.testing.assert_allclose(gaussian.kl_to_standard_normal(mu, logvar), each, rtol=1e-14)
    many = draw(7, B, Z)
    z = gaussian.reparameterize(mu, draw(B, Z), many)
    np.testing.assert_allclose(z[3], gaussian.reparameterize(mu, draw(B, Z), many[3]), rtol=1e-14)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_many_covariances_and_one_of_something_else(k):
    """A matrix beside a batch of matrices is never taken for a batch of vectors."""
    covs = np.eye(k) * np.arange(1, k + 1)[:, None, None] + 0.1
    x, mean, cov = draw(k), draw(k) + 1, np.eye(k) + 0.2
    densities = [gaussian.log_density(x, mean, each) for each in covs]
    np.testing.assert_allclose(gaussian.log_density(x, mean, covs), densities, rtol=1e-12)
    kls = [gaussian.kl(x, cov, mean, each) for each in covs]
    np.testing.assert_allclose(gaussian.kl(x, cov, mean, covs), kls, rtol=1e-12)
    kls = [gaussian.kl(x, each, mean, cov) for each in covs]
    np.testing.assert_allclose(gaussian.kl(x, covs, mean, cov), kls, rtol=1e-12)
