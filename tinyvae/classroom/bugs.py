"""The museum: classic mistakes in the KL, the sampler, the ELBO, the estimators, the backward pass.

bugs.MUSEUM["swapped-arguments"].wrong
bugs.in_area("kl")
with bugs.planted(bugs.MUSEUM["std-is-exp-logvar"]): ...
"""

from tinyvae.classroom import bugs_elbo, bugs_estimators, bugs_kl, bugs_network, bugs_sampler
from tinyvae.classroom.bug import AREAS, Bug
from tinyvae.classroom.planting import planted

__all__ = ["AREAS", "MUSEUM", "Bug", "in_area", "planted"]

ROOMS = (bugs_kl, bugs_sampler, bugs_elbo, bugs_estimators, bugs_network)
MUSEUM: dict[str, Bug] = {bug.name: bug for room in ROOMS for bug in room.BUGS}


def in_area(area: str) -> list[Bug]:
    """The museum's mistakes of one area, in the museum's order."""
    return [bug for bug in MUSEUM.values() if bug.area == area]
