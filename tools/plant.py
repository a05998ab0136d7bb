"""Run a lesson with mistakes planted into the package, one after the other.

    python -m tools.plant 03_elbo swapped-arguments half-missing

A mistake is one of the museum's, or one of those below, which only lessons meet.  Planting replaces
the right function wherever it is found; where a wrong one needs it, it is a default argument.
"""

import io
import json
import runpy
import sys
from contextlib import redirect_stdout
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from tinyvae import gaussian
from tinyvae.classroom.lesson import Row, sink
from tinyvae.classroom.museum import catalogue as bugs


def sample_with_covariance_as_root(mean, cov, size, rng):
    return mean + rng.standard_normal((size, len(mean))) @ cov


def sample_with_one_noise_for_all_dimensions(mean, cov, size, rng):
    return mean + rng.standard_normal((size, 1)) @ np.linalg.cholesky(cov).sum(axis=1)[None]


def density_without_half(x, mean, cov, right=gaussian.log_density):
    return 2 * right(x, mean, cov)


def entropy_without_dimension(cov):
    return 0.5 * np.linalg.slogdet(2 * np.pi * np.asarray(cov))[1] + 0.5


def one_noise_for_both_latents(mu, logvar, eps, right=gaussian.reparameterize):
    return right(mu, logvar, np.broadcast_to(eps[..., :1], eps.shape))


# name -> what is replaced by what
MISTAKES = {
    "sample-with-covariance-as-root": {"tinyvae.gaussian:sample": sample_with_covariance_as_root},
    "sample-with-one-noise": {"tinyvae.gaussian:sample": sample_with_one_noise_for_all_dimensions},
    "density-without-half": {"tinyvae.gaussian:log_density": density_without_half},
    "entropy-without-dimension": {"tinyvae.gaussian:entropy": entropy_without_dimension},
    "one-noise-for-both-latents": {"tinyvae.gaussian:reparameterize": one_noise_for_both_latents},
}


def mistake(name):
    """The mistake of that name, as `bugs.planted` takes it."""
    return MISTAKES[name] if name in MISTAKES else bugs.MUSEUM[name]


def run_planted(path, name):
    """The lesson with that mistake in the package.

    ->  the claims whose rows fail, in order, and the exception that ended it, if one did
    """
    printed, ended = [], ""
    try:
        with bugs.planted(mistake(name)), sink(printed.append), redirect_stdout(io.StringIO()):
            runpy.run_path(str(path), run_name="__main__")
    except Exception as error:
        ended = f"{type(error).__name__}: {error}"
    plt.close("all")
    failed = [row.claim for row in printed if isinstance(row, Row) and not row.holds]
    return {"failed": list(dict.fromkeys(failed)), "ended": ended}


if __name__ == "__main__":
    lesson, *names = sys.argv[1:]
    path = Path(__file__).resolve().parents[1] / "lessons" / f"{lesson}.py"
    json.dump({name: run_planted(path, name) for name in names}, sys.stdout)
