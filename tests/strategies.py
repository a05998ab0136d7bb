"""What Hypothesis draws here: sizes and a seed.  NumPy draws the numbers.

Hypothesis' own arrays are full of exact zeros and repeated values, which hide mistakes.
"""

import numpy as np
from hypothesis import strategies as st

sizes = st.integers(1, 6)
rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def covariance(rng, k, condition=10.0):
    """A random symmetric positive definite (k, k) matrix with the given condition number.

    Its scale is random too: two matrices of one determinant would hide a wrong log-determinant.
    """
    rotation, _ = np.linalg.qr(rng.standard_normal((k, k)))
    spread = np.exp(rng.uniform(0, np.log(condition), k))
    spread[0], spread[-1] = 1.0, condition if k > 1 else spread[-1]
    half = rotation * np.sqrt(spread * rng.uniform(0.3, 3))
    return half @ half.T
