"""Optimisers: they change ``params`` in place, key by key, from ``grads`` with the same keys."""

import math

import numpy as np

from tinyvae.contracts import check_number, check_shape, takes


class SGD:
    """Stochastic gradient descent:  p <- p - learning_rate * dp"""

    def __init__(self, params, learning_rate=1e-2):
        check_number(0, learning_rate=learning_rate)
        self.params, self.learning_rate = params, learning_rate
        self.moments = {}
        self.t = 0

    @takes()
    def step(self, grads):
        """One step downhill.    grads: dict with the keys of ``params``"""
        self.t += 1
        for name, p in self.params.items():
            check_shape(p.shape, **{f"the gradient of {name}": grads[name]})
            p -= self.learning_rate * grads[name]


class Adam:
    """Adam: every parameter's step is scaled by running means of its gradient and its square.

        m <- beta1 m + (1 - beta1) dp              v <- beta2 v + (1 - beta2) dp^2
        p <- p - learning_rate m_hat / (sqrt(v_hat) + tiny)
        m_hat = m / (1 - beta1^t)                  v_hat = v / (1 - beta2^t)

    The last line is the correction of the bias that m and v have from starting at 0.  ``tiny`` is
    the paper's epsilon.  Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015,
    algorithm 1; the corrections are folded into the step size, as the end of its section 2 says.
    """

    def __init__(self, params, learning_rate=1e-3, beta1=0.9, beta2=0.999, tiny=1e-8):
        check_number(0, learning_rate=learning_rate)
        check_number(0, below=1, beta1=beta1, beta2=beta2)
        largest = max((p.size for p in params.values()), default=0)
        dtype = np.result_type(np.float32, *params.values())
        # The square of a gradient that is small beside tiny may underflow: the step is right still.
        check_number(max(1e-30, float(np.sqrt(np.finfo(dtype).tiny))), tiny=tiny)
        self.params, self.learning_rate = params, learning_rate
        self.beta1, self.beta2, self.tiny = beta1, beta2, tiny
        zeros = {name: np.zeros_like(p) for name, p in params.items()}
        self.moments = {"m": zeros, "v": {name: z.copy() for name, z in zeros.items()}}
        self.t = 0
        self._buffers = np.empty((2, largest), dtype)

    @takes()
    def step(self, grads):
        """One step.    grads: dict with the keys of ``params``

        The moments are kept as sums, without the factors 1 - beta, and the step size makes up for
        it: fewer passes.  Each pass writes to a buffer that stays: with fresh memory for 667,000
        parameters a step took nine times as long.
        """
        self.t += 1
        m_scale = (1 - self.beta1) / (1 - self.beta1**self.t)  # m_hat = m_scale * m
        sqrt_v_scale = math.sqrt((1 - self.beta2) / (1 - self.beta2**self.t))
        rate, tiny = self.learning_rate * m_scale / sqrt_v_scale, self.tiny / sqrt_v_scale
        for name, p in self.params.items():
            check_shape(p.shape, **{f"the gradient of {name}": grads[name]})
            m, v = self.moments["m"][name], self.moments["v"][name]
            a, b = (buffer[: p.size].reshape(p.shape) for buffer in self._buffers)
            m *= self.beta1
            m += grads[name]
            v *= self.beta2
            v += np.multiply(grads[name], grads[name], out=a)
            np.multiply(rate, m, out=a)
            np.sqrt(v, out=b)
            b += tiny
            p -= np.divide(a, b, out=a)
