"""Independent truths that the code is held against.

==================  ====================================  ==========================================
oracle              judges                                why it is independent
==================  ====================================  ==========================================
cubature            ``gaussian.kl`` and its relatives     averages log q - log p over 2k points: no
                                                          trace, no Cholesky factor, no KL formula
linear_gaussian     the ELBO, both KLs, estimates of      a model whose log p(x) and p(z|x) are
                    log p(x), trained linear models       known exactly, each written on its own
differences         every ``_backward``                   calls the forward only
monte_carlo         what has no closed form               a mean, and how far off it may be
quadrature          estimates of log p(x) for a           sums over the latent plane: no encoder, no
                    decoder with one or two latents       random number
==================  ====================================  ==========================================

They import numpy and each other, nothing that they judge; they prefer plain evidence to speed and
work in float64.  Their own judges are SciPy, mpmath and arithmetic by hand.
"""

from .cubature import expectation, gaussian_kl, log_density, points
from .differences import central_difference, complex_step, relative_error, vector_jacobian
from .linear_gaussian import LinearGaussian, principal
from .monte_carlo import Estimate, effective_sample_size, estimate, log_mean_exp
from .quadrature import log_integral, plane_grid, standard_normal_grid
from .rate_distortion import reverse_water_filling

__all__ = [
    "Estimate",
    "LinearGaussian",
    "central_difference",
    "complex_step",
    "effective_sample_size",
    "estimate",
    "expectation",
    "gaussian_kl",
    "log_density",
    "log_integral",
    "log_mean_exp",
    "plane_grid",
    "points",
    "principal",
    "relative_error",
    "reverse_water_filling",
    "standard_normal_grid",
    "vector_jacobian",
]
