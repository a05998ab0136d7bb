"""The museum: classic mistakes in the KL, the sampler, the ELBO, the estimators, the backward pass.

bugs.MUSEUM["swapped-arguments"].wrong
bugs.in_area("kl")
"""

from tinyvae.classroom import bugs_kl
from tinyvae.classroom.bug import Bug

MUSEUM: dict[str, Bug] = {bug.name: bug for bug in bugs_kl.BUGS}


def in_area(area: str) -> list[Bug]:
    """The museum's mistakes of one area, in the museum's order."""
    return [bug for bug in MUSEUM.values() if bug.area == area]
