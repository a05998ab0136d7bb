"""Exercise 6: the backward pass.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 06_backprop.py

`dv` is the derivative of the loss by v, and has the shape of v.  A backward gets it for the result
of its forward, and gives it for the arguments.  B examples, one in each row.
"""

import numpy as np

EXERCISE = 6  # tells `tinyvae check` which laws apply


def linear(x, W, b):
    """Affine map.    x (B, I), W (I, O), b (O,)  ->  y (B, O)

    By hand: 1 * 3 + 2 * 4 + 5.

    >>> print(linear(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([5.0])))
    [[16.]]
    """
    raise NotImplementedError


def linear_backward(dy, x, W):
    """dy (B, O), x (B, I), W (I, O)  ->  dx (B, I), dW (I, O), db (O,)

    Where a number was used for several examples, its derivatives add up.

    By hand: the example above, with dy = 10.

    >>> dy, x, W = np.array([[10.0]]), np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])
    >>> dx, dW, db = linear_backward(dy, x, W)
    >>> print(dx.tolist(), dW.tolist(), db.tolist())
    [[30.0, 40.0]] [[10.0], [20.0]] [10.0]
    """
    raise NotImplementedError


def tanh(a):
    """The hyperbolic tangent, (e^a - e^-a) / (e^a + e^-a), elementwise.    a (B, H)  ->  y (B, H)

    e^1000 overflows, and tanh(1000) is 1: there is a function for it in NumPy.

    >>> print(tanh(np.array([[0.0, 1000.0]])))
    [[0. 1.]]
    """
    raise NotImplementedError


def tanh_backward(dy, y):
    """dy, y (B, H)  ->  da (B, H);  y is the *result* of the forward, y = tanh(a).

    By hand: dy/da = 1 - tanh(a)^2.

    >>> print(tanh_backward(np.array([[10.0]]), np.array([[0.5]])))
    [[7.5]]
    """
    raise NotImplementedError


def nll(logits, x):
    """-log p(x|z) in nats, x of 0 and 1, each white (1) with probability 1 / (1 + exp(-logit)).

    logits, x (B, D)  ->  (B,), summed over the pixels

    Exercise 3 tells more.  By hand: a logit of 0 costs log 2, whatever x is.

    >>> print(nll(np.zeros((1, 2)), np.array([[1.0, 0.0]])).round(4))
    [1.3863]
    """
    raise NotImplementedError


def nll_backward(dnll, logits, x):
    """dnll (B,), logits, x (B, D)  ->  dlogits (B, D)

    By hand: at logit 0 the pixel is white with probability 1/2, and the slope is 1/2 - x.

    >>> print(nll_backward(np.array([10.0]), np.zeros((1, 2)), np.array([[1.0, 0.0]])))
    [[-5.  5.]]
    """
    raise NotImplementedError


def kl_backward(dkl, mu, logvar):
    """The forward is  kl = 1/2 sum_j [ mu_j^2 + exp(logvar_j) - 1 - logvar_j ]  for each row.

    dkl (B,), mu, logvar (B, Z)  ->  dmu (B, Z), dlogvar (B, Z)

    By hand: at mu = 0, logvar = 0 the KL is smallest, so both are 0.

    >>> dmu, dlogvar = kl_backward(np.ones(1), np.zeros((1, 1)), np.zeros((1, 1)))
    >>> print(dmu, dlogvar)
    [[0.]] [[0.]]
    """
    raise NotImplementedError
