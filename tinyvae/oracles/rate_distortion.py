"""The fewest nats that describe independent Gaussians to a given squared error: Shannon's answer.

Source: Cover and Thomas, Elements of Information Theory, 2006, theorem 10.3.3.
"""

import numpy as np


def reverse_water_filling(variances, level):
    """Rates and distortions at a water level: 1/2 log(v / level) and level where v > level, else
    0 and v.

    variances (D,), level ()  ->  rates (D,) in nats, distortions (D,)

    >>> rates, distortions = reverse_water_filling(np.array([4.0, 0.5]), 1.0)
    >>> print(rates.round(3), distortions)  # log 2
    [0.693 0.   ] [1.  0.5]
    """
    rates = 0.5 * np.log(np.maximum(variances / level, 1))
    return rates, np.minimum(variances, level)
