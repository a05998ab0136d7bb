"""The layers of a network, each a forward and its backward.

A forward is a plain function.  Its backward takes the upstream gradient first, then just those
inputs or outputs of the forward that it needs, and returns gradients in the order of the
forward's arguments.  ``dv`` is the derivative of the loss by ``v``.  What is not numbers of the
shapes below raises a ValueError that names it.

B batch, I inputs, O outputs; rows are examples.
"""

import numpy as np

from tinyvae.arrays import affine, affine_backward, alike, floats


def linear(x, W, b):
    """Affine map.    x (B, I), W (I, O), b (O,)  ->  y (B, O)"""
    x, W, b = affine(x, W, b)
    return x @ W + b


def linear_backward(dy, x, W):
    """dy (B, O)  ->  dx (B, I), dW (I, O), db (O,);  without W, dx is None"""
    # forward:  y = x @ W + b
    dy, x, W = affine_backward(dy, x, W)
    # fmt: off
    dx = None if W is None else dy @ W.T  # (B, O) @ (O, I)
    dW = x.T @ dy                         # (I, B) @ (B, O): the product sums over the batch
    db = dy.sum(axis=0)                   # b was broadcast over the batch, so its gradient sums
    # fmt: on
    return dx, dW, db


def tanh(a):
    """Hyperbolic tangent, elementwise.    a (B, H)  ->  y (B, H)"""
    (a,) = floats(a=a)
    return np.tanh(a)


def tanh_backward(dy, y):
    """dy, y (B, H)  ->  da (B, H);  y is the output of the forward."""
    # forward:  y = tanh(a), so dy/da = 1 - tanh(a)^2 = 1 - y^2
    dy, y = alike(dy=dy, y=y)
    return dy * (1 - y * y)


def relu(a):
    """max(a, 0), elementwise.    a (B, H)  ->  y (B, H)"""
    (a,) = floats(a=a)
    return np.maximum(a, 0)


def relu_backward(dy, y):
    """dy, y (B, H)  ->  da (B, H);  the slope at the kink, a = 0, is taken as 0."""
    # forward:  y = max(a, 0)
    dy, y = alike(dy=dy, y=y)
    return dy * (y > 0)


def sigmoid(a):
    """1 / (1 + exp(-a)), elementwise.    a (B, D)  ->  y (B, D), in [0, 1]

    Where exp(-a) overflows the quotient is 0, which is the right limit.
    """
    (a,) = floats(a=a)
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-a))


def sigmoid_backward(dy, y):
    """dy, y (B, D)  ->  da (B, D);  y is the output of the forward."""
    # forward:  y = 1 / (1 + exp(-a)), so dy/da = y (1 - y)
    dy, y = alike(dy=dy, y=y)
    return dy * y * (1 - y)


ACTIVATIONS = {"tanh": (tanh, tanh_backward), "relu": (relu, relu_backward)}
