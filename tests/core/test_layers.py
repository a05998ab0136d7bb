"""tinyvae.layers: every pair against its definition, differences and the complex step."""

import numpy as np
import pytest
from hypothesis import given

from tests.strategies import rngs, sizes
from tinyvae import layers
from tinyvae.network import EncoderDecoder
from tinyvae.oracles import central_difference, complex_step, vector_jacobian

METHODS = [(central_difference, 1e-6), (complex_step, 1e-12)]


@given(rngs, sizes, sizes, sizes)
def test_linear(rng, batch, inputs, outputs):
    x, W, b = (rng.standard_normal(s) for s in ((batch, inputs), (inputs, outputs), outputs))
    y = layers.linear(x, W, b)
    by_hand = [[sum(x[n] * W[:, o]) + b[o] for o in range(outputs)] for n in range(batch)]
    np.testing.assert_allclose(y, by_hand, rtol=1e-12, atol=1e-12)

    dy = rng.standard_normal((batch, outputs))
    dx, dW, db = layers.linear_backward(dy, x, W)
    for method, tolerance in METHODS:
        for got, f, at in (
            (dx, lambda a: layers.linear(a, W, b), x),
            (dW, lambda a: layers.linear(x, a, b), W),
            (db, lambda a: layers.linear(x, W, a), b),
        ):
            true = vector_jacobian(f, at, dy, method)
            np.testing.assert_allclose(got, true, rtol=tolerance, atol=tolerance)


DEFINITIONS = {
    "tanh": lambda a: (np.exp(2 * a) - 1) / (np.exp(2 * a) + 1),
    "sigmoid": lambda a: np.exp(a) / (np.exp(a) + 1),
    "relu": lambda a: a if a.real > 0 else 0 * a,
}


@pytest.mark.parametrize("name", DEFINITIONS)
@given(rng=rngs, batch=sizes, width=sizes)
def test_elementwise_pair(name, rng, batch, width):
    forward, backward = getattr(layers, name), getattr(layers, f"{name}_backward")
    a, dy = rng.standard_normal((2, batch, width))
    a[np.abs(a) < 1e-3] = 1e-3  # relu has a kink at 0, where differences see neither slope
    definition = np.vectorize(DEFINITIONS[name])
    np.testing.assert_allclose(forward(a), definition(a), rtol=1e-12, atol=1e-15)

    da = backward(dy, forward(a))
    by_difference = vector_jacobian(forward, a, dy, central_difference)
    np.testing.assert_allclose(da, by_difference, rtol=1e-6, atol=1e-8)
    by_complex_step = vector_jacobian(definition, a, dy, complex_step)
    np.testing.assert_allclose(da, by_complex_step, rtol=1e-12, atol=1e-14)


def test_sigmoid_at_any_logit():
    a = np.array([-1e4, -700.0, -40.0, 0.0, 40.0, 1e4])
    # exp(a) is sigmoid(a) to within exp(2a) far on the left
    np.testing.assert_allclose(
        layers.sigmoid(a), [0, np.exp(-700), np.exp(-40), 0.5, 1, 1], rtol=1e-14
    )


def test_relu_kink_has_slope_zero():
    assert layers.relu_backward(np.ones(1), layers.relu(np.zeros(1))) == 0


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@given(rng=rngs, depth=sizes)
def test_layers_one_after_another(activation, rng, depth):
    widths = rng.integers(1, 5, depth + 1)
    names = [f"layer.{i}" for i in range(depth)]
    params = {}
    for name, inputs, outputs in zip(names, widths, widths[1:], strict=False):
        params[f"{name}.W"] = 0.5 * rng.standard_normal((inputs, outputs))
        params[f"{name}.b"] = rng.standard_normal(outputs)
    x, dh = rng.standard_normal((3, widths[0])), rng.standard_normal((3, widths[-1]))

    def layers_of(params, x):
        return EncoderDecoder(params, 1, (), 1, activation).layers(names, x)

    hs = layers_of(params, x)
    assert [h.shape for h in hs] == [(3, width) for width in widths]
    network = EncoderDecoder(params, 1, (), 1, activation)
    dx, grads = network.layers_backward(names, dh, hs)
    assert grads.keys() == params.keys()
    network.encoder = names
    da, lowest = network.encoder_backward(dh, hs)
    np.testing.assert_allclose(da @ params["layer.0.W"].T, dx, rtol=1e-12)
    assert all(np.array_equal(lowest[key], grads[key]) for key in params)

    kinks = [x @ params[f"{n}.W"] + params[f"{n}.b"] for n, x in zip(names, hs, strict=False)]
    if activation == "tanh" or min(np.abs(k).min() for k in kinks) > 1e-3:
        true = vector_jacobian(lambda a: layers_of(params, a)[-1], x, dh)
        np.testing.assert_allclose(dx, true, rtol=1e-6, atol=1e-8)
        for key in params:
            true = vector_jacobian(
                lambda a, key=key: layers_of(params | {key: a}, x)[-1], params[key], dh
            )
            np.testing.assert_allclose(grads[key], true, rtol=1e-6, atol=1e-8)
