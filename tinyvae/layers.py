"""The layers of a network, each a forward and its backward.

A forward is a plain function.  Its backward takes the upstream gradient first, then just those
inputs or outputs of the forward that it needs, and returns gradients in the order of the
forward's arguments.  ``dv`` is the derivative of the loss by ``v``.  Arguments that are not
numeric, or not of the shapes given, raise a ValueError naming them.

B batch, I inputs, O outputs; rows are examples.
"""

import numpy as np

from tinyvae.contracts import takes


@takes(x="... I", W="I O", b="O")
def linear(x, W, b):
    """Affine map.    x (B, I), W (I, O), b (O,)  ->  y (B, O)

    >>> print(linear([[1, 2]], [[3, 4], [5, 6]], [10, 20]))
    [[23. 36.]]
    """
    return x @ W + b


@takes(dy="B O", x="B I", W="I O")
def linear_backward(dy, x, W):
    """dy (B, O)  ->  dx (B, I), dW (I, O), db (O,)

    >>> dx, dW, db = linear_backward([[1, 1]], [[1, 2]], [[3, 4], [5, 6]])
    >>> print(dx, db)
    [[ 7. 11.]] [1. 1.]
    """
    # forward:  y = x @ W + b
    dx = dy @ W.T  # (B, O) @ (O, I)
    dW, db = weights_backward(dy, x)
    return dx, dW, db


@takes(dy="B O", x="B I")
def weights_backward(dy, x):
    """dy (B, O)  ->  dW (I, O), db (O,);  all of `linear_backward` that the lowest layer needs

    >>> dW, db = weights_backward([[1, 1]], [[1, 2]])
    >>> print(dW, db)
    [[1. 1.]
     [2. 2.]] [1. 1.]
    """
    # forward:  y = x @ W + b
    # fmt: off
    dW = x.T @ dy        # (I, B) @ (B, O): the product sums over the batch
    db = dy.sum(axis=0)  # b was broadcast over the batch, so its gradient sums over it
    # fmt: on
    return dW, db


@takes(a="...")
def tanh(a):
    """Hyperbolic tangent, elementwise.    a (B, H)  ->  y (B, H)

    >>> print(tanh([[0.0, 1.0]]).round(4))
    [[0.     0.7616]]
    """
    return np.tanh(a)


@takes(y="*s", dy="*s")
def tanh_backward(dy, y):
    """dy, y (B, H)  ->  da (B, H);  y is the output of the forward.

    >>> print(tanh_backward([[1.0, 1.0]], [[0.0, 0.5]]))
    [[1.   0.75]]
    """
    # forward:  y = tanh(a), so dy/da = 1 - tanh(a)^2 = 1 - y^2
    return dy * (1 - y * y)


@takes(a="...")
def relu(a):
    """max(a, 0), elementwise.    a (B, H)  ->  y (B, H)

    >>> print(relu([[-2.0, 3.0]]))
    [[0. 3.]]
    """
    return np.maximum(a, 0)


@takes(y="*s", dy="*s")
def relu_backward(dy, y):
    """dy, y (B, H)  ->  da (B, H);  the slope at the kink, a = 0, is taken as 0.

    >>> print(relu_backward([[5.0, 5.0]], [[0.0, 3.0]]))
    [[0. 5.]]
    """
    # forward:  y = max(a, 0)
    return dy * (y > 0)


@takes(a="...")
def sigmoid(a):
    """1 / (1 + exp(-a)), elementwise.    a (B, D)  ->  y (B, D), in [0, 1]

    Where exp(-a) overflows the quotient is 0, which is the right limit.

    >>> print(sigmoid([[0.0, -1000.0]]))
    [[0.5 0. ]]
    """
    return 1 / (1 + np.exp(-a))


@takes(y="*s", dy="*s")
def sigmoid_backward(dy, y):
    """dy, y (B, D)  ->  da (B, D);  y is the output of the forward.

    >>> print(sigmoid_backward([[1.0]], [[0.5]]))
    [[0.25]]
    """
    # forward:  y = 1 / (1 + exp(-a)), so dy/da = y (1 - y)
    return dy * y * (1 - y)


ACTIVATIONS = {"tanh": (tanh, tanh_backward), "relu": (relu, relu_backward)}
