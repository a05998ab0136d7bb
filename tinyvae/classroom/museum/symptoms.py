"""Which mistake looks like that?  The museum by what one sees, and by lesson.

$ tinyvae bugs --symptom "kl negative"
$ tinyvae bugs --lesson 5

Where a measurement decides (what the laws of a KL say, what training with the mistake showed, what
the gradient check sees), it is asked; the rest are lists by hand.
"""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass

from tinyvae.classroom.museum.entry import Bug, checked, measurements

GRADIENT = "test_gradient_of_every_parameter_is_the_difference_quotient"


@dataclass(frozen=True)
class Symptom:
    """Something that one sees.

    says     as one would say it: "my KL is negative"
    words    other words for it, that may be asked for
    causes   the names of the museum's mistakes that look like this, the likeliest first
    """

    says: str
    words: str
    causes: Callable[[], list[str]]


def breaking(law):
    """The wrong KLs that a law sees: `python -m tools.checks` found out"""
    return [name for name, found in checked()["kl"].items() if law in found["laws"]]


def whose_effect(*says):
    """The mistakes with one of these texts in what training with them showed"""
    effects = measurements()["effects"]
    return [name for name, effect in effects.items() if any(text in effect for text in says)]


def seen_by_gradient_check():
    return [name for name, seen in checked()["seen by"].items() if GRADIENT in seen]


def joined(*lists):
    return list(dict.fromkeys(name for names in lists for name in names))


def listed(names):
    return lambda: names.split()


SYMPTOMS = (
    Symptom(
        "my KL is negative",
        "divergence below zero 0 kld minus",
        lambda: joined(["sign-turned"], breaking("never negative")),
    ),
    Symptom(
        "my KL is not 0 where q = p",
        "divergence zero equal equality same prior standard constant offset",
        lambda: joined(breaking("zero at equality"), ["floor-of-a-tenth"]),
    ),
    Symptom(
        "my KL changes when the axes are turned or scaled",
        "divergence invariant affine units rotation coordinates",
        lambda: breaking("affine map"),
    ),
    Symptom(
        "my KL goes to 0 and all reconstructions look alike",
        "collapse collapsed posterior ignored latent average same vanishes unused digit",
        listed("mean-over-pixels gradient-blocked relu-on-logvar fresh-noise-in-backward"),
    ),
    Symptom(
        "my KL grows without end",
        "explodes large huge increases divergence",
        listed("kl-subtracted sign-turned kl-to-itself log-squared trace-inverted"),
    ),
    Symptom(
        "my loss is NaN or infinite",
        "nan inf infinity overflow diverges diverged breaks off crash",
        lambda: joined(
            ["overflow-to-nan", "log-of-sigmoid", "determinant-underflows"],
            whose_effect("Training breaks off"),
        ),
    ),
    Symptom(
        "my loss is negative, or the ELBO above 0",
        "below zero elbo positive minus",
        lambda: joined(
            ["kl-subtracted", "sign-turned"],
            [name for name in whose_effect("reports an ELBO of") if reported_elbo(name) > 0],
            ["normaliser-missing"],
        ),
    ),
    Symptom(
        "my loss changes with the batch size",
        "batch depends size learning rate scale",
        listed("summed-over-batch kl-weighted-by-batch column-plus-row"),
    ),
    Symptom(
        "my loss has the shape (B, B), or is far too large",
        "shape shapes broadcast broadcasting matrix huge",
        listed("column-plus-row summed-over-batch"),
    ),
    Symptom(
        "my ELBO is above log p(x), too good to be true",
        "bound higher better good likelihood",
        lambda: joined(
            whose_effect("above log p(x)"),
            ["no-noise-at-test", "expectation-inside-log", "samples-not-averaged"],
            ["largest-weight-lost", "closed-form-kl-in-weights"],
        ),
    ),
    Symptom(
        "my samples are grey",
        "gray washed contrast faint pale generated pictures images blurry blurred",
        listed(
            "mean-over-pixels gradient-blocked logdet-inverted log-squared sigmoid-twice "
            "relu-on-logvar"
        ),
    ),
    Symptom(
        "my samples are bad, and my reconstructions are good",
        "generate generated noise garbage holes prior generation poor",
        listed(
            "kl-to-itself noise-too-small uniform-noise kl-weighted-by-batch means-left-out "
            "averaged-twice covariance-for-mean log-of-bracket "
            "noise-shared-by-latents posterior-at-generation"
        ),
    ),
    Symptom(
        "my samples are all alike",
        "same identical mode diversity generated collapse",
        listed("mean-over-pixels gradient-blocked trace-inverted posterior-at-generation"),
    ),
    Symptom(
        "my samples are black and white, or dark",
        "hard contrast saturated binary thresholded black generated",
        listed("target-as-prediction sigmoid-twice"),
    ),
    Symptom(
        "my gradient check fails",
        "backward finite differences grad gradients derivative autograd mismatch",
        seen_by_gradient_check,
    ),
    Symptom(
        "my encoder does not learn",
        "stuck weights move train head gradient zero",
        listed("gradient-blocked trunk-overwritten one-head-for-both fresh-noise-in-backward"),
    ),
    Symptom(
        "my variances are wrong: never below 1, or growing",
        "logvar sigma std variance width scale",
        listed(
            "relu-on-logvar normaliser-missing std-is-exp-logvar two-conventions one-head-for-both"
        ),
    ),
    Symptom(
        "beta changes nothing",
        "weight annealing warmup no effect",
        listed("beta-ignored"),
    ),
    Symptom(
        "my importance-weighted bound is wrong or gets no tighter",
        "iwae weights samples log likelihood estimate",
        listed(
            "mean-of-logs samples-not-averaged largest-weight-lost closed-form-kl-in-weights "
            "expectation-inside-log"
        ),
    ),
    Symptom(
        "my loss falls, and nothing shows; is it right?",
        "looks fine works silent hidden unnoticed",
        lambda: whose_effect("None that shows"),
    ),
)


def reported_elbo(name):
    """The ELBO that the model with this mistake reported, in nats"""
    found = re.search(r"reports an ELBO of (-?[\d.e+]+\d)", measurements()["effects"][name])
    return float(found.group(1))


# ---- what is asked for ---------------------------------------------------------------------------

WORDS = """a an and are as at but by do does for i in is it its me my of on or our so the to with
vae why what"""
EMPTY = frozenset(WORDS.split())


def tokens(text):
    """The words that say something, in lower case; a formula's letters are none"""
    text = text.lower().replace("<", " below ").replace(">", " above ")
    found = re.findall(r"[a-z0-9]+", text)
    return [word for word in found if word not in EMPTY]


def alike(word, others):
    """Is a word, or its stem, one of the others?"""
    if word in others:
        return True
    if len(word) < 4:
        return False
    stems = [other for other in others if len(other) > 3 and other[:4] == word[:4]]
    return bool(difflib.get_close_matches(word, stems, 1, 0.7)) or bool(
        difflib.get_close_matches(word, others, 1, 0.85)
    )


def matching(text):
    """The symptoms that a text speaks of: those that share most of its words, [] if none does

    >>> [symptom.says for symptom in matching("kl negative")]
    ['my KL is negative']
    """
    asked, scores = tokens(text), []
    for symptom in SYMPTOMS:
        said, more = tokens(symptom.says), tokens(symptom.words)
        score = sum(2 * alike(w, said) or 1 * alike(w, more) for w in asked)
        whole = sum(alike(w, said + more) for w in asked)
        scores.append((whole, score))
    best = max(scores, default=(0, 0))
    return [s for s, found in zip(SYMPTOMS, scores, strict=True) if found == best and best[0]]


# ---- by lesson -----------------------------------------------------------------------------------

BY_AREA = {
    "kl": (4,),
    "sampler": (5,),
    "elbo": (7,),
    "estimator": (9,),
    "backward": (6,),
    "model": (7,),
}
LESSONS = {  # where a mistake is met elsewhere than its area, or in several lessons
    "kl-subtracted": (3, 7),
    "kl-to-itself": (3, 7, 8),
    "mean-over-pixels": (3, 6, 7),
    "summed-over-batch": (6, 7),
    "two-conventions": (4, 5),
    "overflow-to-nan": (4,),
    "log-of-sigmoid": (6,),
    "probabilities-clipped": (6,),
    "grey-pixels": (7, 11),
    "normaliser-missing": (1, 11),
    "squared-error": (8, 11),
    "noise-too-small": (5, 8),
    "no-noise-at-test": (7,),
    "expectation-inside-log": (2, 3, 9),
    "mean-of-logs": (2, 9),
    "samples-not-averaged": (2, 9),
    "largest-weight-lost": (2, 9),
    "gradient-blocked": (5, 6),
    "fresh-noise-in-backward": (5, 6),
    "half-lost-in-backward": (5, 6),
    "one-head-for-both": (6, 7),
    "posterior-at-generation": (7, 8),
}


def lessons_of(bug: Bug):
    """The numbers of the lessons in which one can meet a mistake"""
    return LESSONS.get(bug.name, BY_AREA[bug.area])
