"""The Bernoulli terms of a step, both from one exponential, for who trains and estimates.

To be read are `bernoulli.nll` and `bernoulli.nll_backward`; tests/core/test_fast.py holds them
together.
"""

import numpy as np

from tinyvae.contracts import takes_real


@takes_real(x="*b D", logits="... *b D")
def nll_and_slope(logits, x):
    """nll (...) and its derivative by the logits, sigmoid(logits) - x (..., D), in one go.

    What `bernoulli.nll` and `bernoulli.nll_backward` compute, from e = exp(-|a|):

        log(1 + exp(a)) - x a  =  ([a > 0] - x) a + log(1 + e)
        sigmoid(a) - x         =  ([a > 0] - x) - sign(a) e / (1 + e)    (+0 > 0 > -0 here)

    All terms of the first are >= 0, so nothing cancels, and all digits stay where every pixel is
    sure and right; of the second, too.

    logits (..., D), x (D,) or (B, D)  ->  nll (...), slope (..., D).    Raises ValueError where the
    shapes do not fit.

    >>> nll, slope = nll_and_slope([[0.0, 100.0]], [[1.0, 1.0]])
    >>> print(nll, slope)
    [0.69314718] [[-5.00000000e-01 -3.72007598e-44]]
    """
    slope = ~np.signbit(logits) - x
    nll = np.einsum("...d,...d->...", logits, slope)
    e = np.abs(logits)
    np.exp(np.negative(e, out=e), out=e)
    share = e + 1
    np.copysign(np.divide(e, share, out=share), logits, out=share)
    slope -= share
    return nll + _sum_log1p(e), slope


def _sum_log1p(e):
    """sum_d log(1 + e_d), e >= 0, by an eighth of the logarithms.    (..., D)  ->  (...)

    The products of 1 + e are kept without their 1: (1 + a)(1 + b) - 1 = a b + a + b, which loses no
    digit of small e.  Eight factors in [1, 2] cannot overflow.
    """
    rest = 0.0
    for _ in range(3):
        half = e.shape[-1] // 2
        a, b = e[..., :half], e[..., half : 2 * half]
        rest = rest + np.log1p(e[..., 2 * half :]).sum(axis=-1)  # the odd one out
        e = a * b
        e += a
        e += b
    return rest + np.log1p(e).sum(axis=-1)
