"""The Bernoulli likelihood of black and white pixels, from logits, with its backward.

p(x|z) = prod_d  p_d^x_d (1 - p_d)^(1 - x_d)  with  p_d = sigmoid(logits_d).  A likelihood needs
x in {0, 1}.  For grey pixels the same formula is the cross-entropy, which is not -log p(x|z): the
continuous density that it suggests does not integrate to one.
"""

import numpy as np

from tinyvae.arrays import ends_with, exactly, reals
from tinyvae.layers import sigmoid


def nll(logits, x):
    """Negative log-likelihood  -log p(x|z)  in nats, never negative for x in [0, 1].

        sum_d  log(1 + exp(logits_d)) - x_d logits_d

    Finite for every finite logit: exp never sees a positive number, and nothing is clipped.  An
    infinite logit gives inf or NaN, without a warning.

    logits (..., D), x (D,) or (B, D)  ->  (...), summed over the pixels

    >>> print(nll(np.array([[0.0, 1e4, -1e4]]), np.array([[1.0, 1.0, 0.0]])))  # log 2
    [0.69314718]

    Raises ValueError where the shapes do not fit.
    """
    logits, x = _logits_and_x(logits, x)
    # log(1 + exp(a)) = max(a, 0) + log(1 + exp(-|a|)); the large terms meet first, and cancel
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = np.maximum(logits, 0) - x * logits
        return (wrong + np.log1p(np.exp(-np.abs(logits)))).sum(axis=-1)


def nll_backward(dnll, logits, x):
    """dnll (...)  ->  dlogits (..., D)"""
    # forward:  nll = sum_d softplus(logits_d) - x_d logits_d, and softplus' = sigmoid
    logits, x = _logits_and_x(logits, x)
    (dnll,) = reals(dnll=dnll)
    exactly(logits.shape[:-1], dnll=dnll)
    return dnll[..., None] * (sigmoid(logits) - x)


def nll_and_slope(logits, x, out=None):
    """nll (B,) and its derivative by the logits, sigmoid(logits) - x (B, D), in one go.

    What `nll` and `nll_backward` compute, from one tanh where they need an exp, a log1p and another
    exp: with T = tanh(a / 2), sigmoid(a) = (1 + T) / 2 and

        log(1 + exp(a)) - x a  =  ([a > 0] - x) a  -  log( (1 + |T|) / 2 )

    The logarithm is taken of products of eight factors in [1/2, 1], which cannot underflow.
    Both terms are >= 0, so nothing cancels and nothing is negative.  Half the time of the pair, and
    in float32 equal to it to 1e-6 of the nll and 1e-7 a pixel.

    logits, x (B, D)  ->  nll (B,), slope (B, D), which goes to ``out`` if there is one, and that
    may be logits itself.    Raises ValueError where the shapes do not fit.
    """
    logits, x = _logits_and_x(logits, x)
    factors = (logits > 0) - x
    wrong = np.einsum("...d,...d->...", logits, factors)
    half_T = np.multiply(0.5, logits, out=out)
    np.tanh(half_T, out=half_T)
    half_T *= 0.5
    np.abs(half_T, out=factors)
    factors += 0.5
    eighth, rest = factors.shape[-1] // 8, factors.shape[-1] % 8
    logs = np.log(factors[..., :rest]).sum(axis=-1)
    eights = factors[..., rest:].reshape(*factors.shape[:-1], 8, eighth)
    logs += np.log(np.multiply.reduce(eights, axis=-2)).sum(axis=-1)
    half_T += 0.5 - x
    return wrong - logs, half_T


def _logits_and_x(logits, x):
    """Both as arrays;  ValueError where the shapes do not fit."""
    logits, x = reals(logits=logits, x=x)
    if x.ndim == 0:
        raise ValueError("x has shape (); it must be (D,) or (B, D)")
    ends_with(x.shape, logits=logits)
    return logits, x
