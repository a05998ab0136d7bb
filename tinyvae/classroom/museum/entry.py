"""What the museum knows about one mistake."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

AREAS = {
    "kl": "The KL divergence of two Gaussians",
    "sampler": "The sampler and its noise",
    "elbo": "The terms of the ELBO",
    "estimator": "Estimates of the ELBO and of log p(x)",
    "backward": "The backward pass",
    "model": "The model",
}

MEASURED = Path(__file__).with_name("effects.json")
CHECKED = Path(__file__).with_name("checks.json")


@dataclass(frozen=True)
class Bug:
    """One mistake: what it looks like, why it tempts, who made it, what it costs, what sees it."""

    name: str  # "swapped-arguments": what one types
    title: str  # "arguments swapped": what one reads
    area: str  # one of AREAS
    code: str  # "M10": tenth of the KL mistakes;  "A3": third of the others
    wrong: str  # the formula with the mistake in it
    right: str  # the formula
    tempts: str  # why one makes it
    seen_by: str  # the check that sees it, and a famous one that does not
    thread: str  # where somebody made it: "owner/repo#number", comma-separated
    f: Callable | None = None  # area "kl": f(mean_q, cov_q, mean_p, cov_p) -> float
    plants: Mapping[str, Callable] = field(default_factory=dict)  # "module:name" -> replacement

    @property
    def effect(self) -> str:
        """What it does to a trained model, in nats: `python -m tools.effects` says."""
        return measurements()["effects"].get(self.name, "not measured")


def entrance(bugs: list[Bug]) -> Callable:
    """A function that puts a mistake into the list: code, name, title, area, plants, and texts."""

    def enter(code, name, title, area, plants, **texts):
        texts = {key: " ".join(text.split()) for key, text in texts.items()}
        bugs.append(Bug(name=name, title=title, area=area, code=code, plants=plants, **texts))

    return enter


@cache
def measurements() -> dict:
    """What `python -m tools.effects` wrote: settings, the right numbers, effects."""
    return json.loads(MEASURED.read_text(encoding="utf-8"))


@cache
def checked() -> dict:
    """What `python -m tools.checks` wrote: the names of the checks, and which see a mistake."""
    return json.loads(CHECKED.read_text(encoding="utf-8"))
