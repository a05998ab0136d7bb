"""Exercise 6: the backward pass, to be mended.

The code below runs. Of its seven functions linear, linear_backward, tanh, tanh_backward, nll,
nll_backward and kl_backward six have one mistake each. Find them, mend them, and check as often as
you like:

    tinyvae check 06_backprop_debug.py

`dv` is the derivative of the loss by v, and has the shape of v. B examples, one in each row.
"""

import numpy as np

EXERCISE = 6  # tells `tinyvae check` which laws apply


def linear(x, W, b):
    """Affine map.    x (B, I), W (I, O), b (O,)  ->  y (B, O)"""
    return np.einsum("bi,io->bo", x, W) + b


def linear_backward(dy, x, W):
    """dy (B, O), x (B, I), W (I, O)  ->  dx (B, I), dW (I, O), db (O,)"""
    dx = dy @ W.T
    dW = x.T @ dy
    db = dy.mean(axis=0)  # one bias for the whole batch
    return dx, dW, db


def tanh(a):
    """The hyperbolic tangent, elementwise, for any size of a.    a (B, H)  ->  y (B, H)"""
    up, down = np.exp(a), np.exp(-a)
    return (up - down) / (up + down)


def tanh_backward(dy, y):
    """dy, y (B, H)  ->  da (B, H);  y is the result of the forward, y = tanh(a)."""
    return dy / np.cosh(y) ** 2  # the derivative of tanh is 1 / cosh^2


def sigmoid(a):
    return np.exp(-np.logaddexp(0, -a))


def nll(logits, x):
    """-log p(x|z) in nats, x of 0 and 1.    logits, x (B, D)  ->  (B,)"""
    p = np.clip(sigmoid(logits), 1e-3, 1 - 1e-3)  # no log(0)
    return -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)


def nll_backward(dnll, logits, x):
    """dnll (B,), logits, x (B, D)  ->  dlogits (B, D)"""
    slope = (sigmoid(logits) - x) / x.shape[1]
    return dnll[:, None] * slope


def kl_backward(dkl, mu, logvar):
    """Of KL( N(mu, diag exp(logvar)) || N(0, I) ), from that by each row's KL.

    dkl (B,), mu, logvar (B, Z)  ->  dmu, dlogvar (B, Z)
    """
    dmu = mu
    dlogvar = np.exp(logvar) - 1
    return dkl[:, None] * dmu, dkl[:, None] * dlogvar


def report(rng, steps=200, rate=0.01):
    """Fit one layer to noisy pictures: the loss falls."""
    x, W, b = rng.standard_normal((50, 8)), np.zeros((8, 6)), np.zeros(6)
    target = (x @ rng.standard_normal((8, 6)) > 0).astype(float)
    first = nll(linear(x, W, b), target).mean()
    for _ in range(steps):
        dlogits = nll_backward(np.ones(50), linear(x, W, b), target)
        _, dW, db = linear_backward(dlogits, x, W)
        W, b = W - rate * dW, b - rate * db
    return f"nll {first:.3f} -> {nll(linear(x, W, b), target).mean():.3f}"


if __name__ == "__main__":
    print(report(np.random.default_rng(0)))
