"""What the last digits of a training depend on besides its options: NumPy, BLAS, machine."""

import platform

import numpy as np

import tinyvae
from tinyvae.blas import libraries

NAMES = {
    "tinyvae": "tinyvae",
    "numpy": "NumPy",
    "blas": "BLAS",
    "threads": "BLAS threads",
    "ranks": "MPI ranks",
    "machine": "machine",
}


def describe(ranks=1):
    """The environment of this process  ->  dict of texts and integers by the keys of NAMES"""
    blas = libraries()
    found = [library.info() for library in blas.lib_controllers] if blas else []
    names = {
        " ".join(str(f[key]) for key in ("internal_api", "version", "architecture") if f.get(key))
        for f in found
    }
    return {
        "tinyvae": tinyvae.__version__,
        "numpy": np.__version__,
        "blas": ", ".join(sorted(names)) or "unknown",
        "threads": max((f["num_threads"] for f in found), default=1),
        "ranks": ranks,
        "machine": " ".join([platform.system(), platform.machine(), *_vector_units()]),
    }


def differences(before, now):
    """What has changed between two environments  ->  a sentence's part, or "" if nothing has"""
    changed = [key for key in NAMES if before.get(key) != now.get(key)]
    said = [f"{NAMES[key]} {before.get(key)}, now {now.get(key)}" for key in changed]
    return "; ".join(said)


def _vector_units():
    """The widest vector instructions that NumPy found, on which its sums and exponentials depend"""
    extensions = np.show_config(mode="dicts").get("SIMD Extensions", {})
    return extensions.get("found", [])[-1:] or extensions.get("baseline", [])[-1:]
