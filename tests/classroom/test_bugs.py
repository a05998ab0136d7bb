"""The museum says the truth about its mistakes."""

import argparse
import re
from pathlib import Path

import numpy as np
import pytest

from tests.strategies import covariance
from tinyvae import gaussian, layers, network, vae
from tinyvae.classroom.museum import catalogue as bugs
from tinyvae.classroom.museum import kl as bugs_kl
from tinyvae.classroom.museum import symptoms
from tinyvae.classroom.museum.entry import checked, measurements
from tools import effects, kill_matrix, museum_pages, pictures

KL = bugs.in_area("kl")


def pairs(seed=0):
    """Pairs of Gaussians, far apart and near, of 1 to 4 dimensions."""
    rng = np.random.default_rng(seed)
    for k in (1, 2, 3, 4):
        far = rng.standard_normal(k), covariance(rng, k) * rng.uniform(0.3, 2)
        p = rng.standard_normal(k), covariance(rng, k) * rng.uniform(0.3, 2)
        for distance in (1.0, 0.1):
            mean_q, cov_q = ((1 - distance) * b + distance * a for a, b in zip(far, p, strict=True))
            yield mean_q, cov_q, *p


@pytest.mark.parametrize("bug", KL[::4], ids=lambda bug: bug.name)
def test_where_a_wrong_kl_is_right_is_what_the_museum_says(bug):
    """For every fourth; what sees it is held in test_laws.py against the same table"""
    right = [words for words, form in kill_matrix.FORMS.items()
             if kill_matrix.right_among(bug.f, form)]  # fmt: skip
    assert checked()["kl"][bug.name]["right"] == right
    assert bug.seen_by == bugs_kl.seen_by(bug.name)


def test_right_kl_is_right_among_all():
    assert all(kill_matrix.right_among(bugs_kl.right, form) for form in kill_matrix.FORMS.values())


def test_museum_has_every_row():
    """44 wrong KLs, and of the 38 classic mistakes those that are not wrong KLs."""
    codes = [bug.code for bug in bugs.MUSEUM.values()]
    assert len(set(codes)) == len(codes) == len(bugs.MUSEUM)
    assert [bug.code for bug in KL] == [f"M{i:02d}" for i in range(1, 45)]
    among_the_kls = {2, 11, 13, 14, 15, 21, 22, 23, 24, 25}
    others = {int(code.strip("Ab")) for code in codes if code.startswith("A")}
    assert others | among_the_kls == set(range(1, 39))


@pytest.mark.parametrize("bug", bugs.MUSEUM.values(), ids=lambda bug: bug.name)
def test_every_mistake_is_fully_described(bug):
    assert bug.area in bugs.AREAS
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", bug.name)
    assert bug.wrong != bug.right
    assert len(bug.tempts) > 60 and bug.tempts.endswith(".")
    assert "Not by" in bug.seen_by or "Not with" in bug.seen_by or "Exact values" in bug.seen_by
    for thread in bug.thread.split(", "):
        assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", thread)
    text = " ".join([bug.title, bug.wrong, bug.right, bug.tempts, bug.seen_by, bug.thread])
    assert text.isascii()


@pytest.mark.parametrize("bug", KL, ids=lambda bug: bug.name)
def test_wrong_kls_take_a_pair_or_a_batch(bug):
    one = list(pairs())[4]
    batch = [np.stack([a, a]) for a in one]
    assert np.ndim(bug.f(*one)) == 0
    factor = {"averaged-twice": 0.5, "total-in-every-row": 2.0}.get(bug.name, 1.0)
    assert bug.f(*batch) == pytest.approx([factor * bug.f(*one)] * 2)


@pytest.mark.parametrize("bug", KL, ids=lambda bug: bug.name)
def test_forms_that_a_mistake_leaves_out_are_those_where_it_makes_no_difference(bug):
    rng = np.random.default_rng(3)
    mu, logvar = rng.standard_normal((2, 5, 3))
    cov, zeros, ones = bugs_kl.diagonal_matrix(logvar), 0 * mu, bugs_kl.diagonal_matrix(0 * logvar)
    off = np.abs(bug.f(mu, cov, zeros, ones) - bugs_kl.right(mu, cov, zeros, ones)).max()
    far_off = np.abs(bug.f(0.1 * mu, ones, zeros, ones) - 0.005 * (mu**2).sum(-1)).max()
    planted = "tinyvae.gaussian:kl_to_standard_normal" in bug.plants
    assert planted == (max(off, far_off) > 1e-9)


def test_planting_reaches_every_module_and_ends():
    original = gaussian.kl, vae.VAE.generate, network.linear_backward, layers.linear_backward
    planted = {
        "tinyvae.gaussian:kl": "wrong",
        "tinyvae.vae:VAE.generate": "wrong",
        "tinyvae.layers:linear_backward": "wrong",
    }
    with bugs.planted(planted):
        assert gaussian.kl == vae.VAE.generate == network.linear_backward == "wrong"
        assert layers.linear_backward == "wrong"
    assert original == (
        gaussian.kl,
        vae.VAE.generate,
        network.linear_backward,
        layers.linear_backward,
    )
    assert "generate" not in vars(vae.VAE)  # it is inherited again


# In the terminal, and as a page


def run(capsys, *arguments):
    """Run `tinyvae bugs` with these arguments.    ->  exit status, what it printed"""
    parser = argparse.ArgumentParser()
    bugs.arguments(parser)
    status = bugs.run(parser.parse_args(arguments))
    return status, capsys.readouterr()


def test_list_has_one_line_for_each_mistake_under_its_area(capsys):
    status, printed = run(capsys)
    assert (status, printed.err) == (0, "")
    for bug in bugs.MUSEUM.values():
        lines = [line for line in printed.out.splitlines() if f" {bug.name} " in line]
        assert len(lines) == 1 and bug.title in lines[0]
    assert all(title in printed.out for title in bugs.AREAS.values())
    assert printed.out.isascii() and max(map(len, printed.out.splitlines())) <= 95


@pytest.mark.parametrize("bug", bugs.MUSEUM.values(), ids=lambda bug: bug.name)
def test_one_is_explained_by_name_or_code(capsys, bug):
    status, printed = run(capsys, bug.name)
    assert (status, printed.err) == (0, "")
    assert run(capsys, bug.code)[1].out == printed.out
    said = " ".join(printed.out.split())
    for part in (bug.title, bug.wrong, bug.right, bug.tempts, bug.effect, bug.seen_by, bug.thread):
        assert " ".join(part.split()) in said
    assert printed.out.isascii() and max(map(len, printed.out.splitlines())) <= 95


def test_an_area_is_listed(capsys):
    status, printed = run(capsys, "sampler")
    assert status == 0 and "std-is-exp-logvar" in printed.out and "M01" not in printed.out


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("swapped-argument", "swapped-arguments"),
        ("logdet", "logdet-inverted"),
        ("standard deviation", "std-is-exp-logvar"),
        ("", "`tinyvae bugs` lists all"),
        ("\N{GREEK SMALL LETTER MU}" * 500, "`tinyvae bugs` lists all"),
        ("M99", "M"),
    ],
)
def test_unknown_name_gets_one_sentence(capsys, name, hint):
    status, printed = run(capsys, name)
    assert (status, printed.out) == (2, "")
    assert hint in printed.err and printed.err.isascii()
    assert printed.err.count("\n") == 1 and len(printed.err) < 200


# By symptom and by lesson


def near_and_far():
    """Pairs of Gaussians, some of them nearly equal, some with correlations in one of them only"""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        for k in (1, 2, 3):
            mean, step = rng.standard_normal((2, k))
            cov, other = covariance(rng, k), covariance(rng, k)
            for scale in (0.1, 1.0, 10.0):
                yield mean, scale * cov, mean + 0.01 * step, other
                yield mean, cov, mean, scale * np.diag(np.diag(cov))
                yield mean, np.diag(np.diag(cov)), mean, scale * cov
                yield mean, cov, mean, cov + 0.1 * scale * other


def test_symptoms_are_of_mistakes_that_there_are_and_measured_ones_agree():
    for symptom in symptoms.SYMPTOMS:
        causes = symptom.causes()
        assert causes and len(set(causes)) == len(causes), symptom.says
        assert set(causes) <= set(bugs.MUSEUM), symptom.says
    said = {symptom.says: symptom.causes() for symptom in symptoms.SYMPTOMS}
    negative = said["my KL is negative"]
    for name in negative:  # each of them is, somewhere
        assert min(bugs.MUSEUM[name].f(*pair) for pair in near_and_far()) < -1e-9, name
    assert {"sign-turned", "logdet-inverted"} <= set(negative)
    assert not {"half-missing", "swapped-arguments"} & set(negative)
    assert "half-lost-in-backward" in said["my gradient check fails"]
    assert "std-is-exp-logvar" not in said["my gradient check fails"]
    assert "std-is-exp-logvar" in said["my ELBO is above log p(x), too good to be true"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kl negative", "my KL is negative"),
        ("My KL is NEGATIVE!", "my KL is negative"),
        ("kld < 0", "my KL is negative"),
        ("samples are grey", "my samples are grey"),
        ("gray images", "my samples are grey"),
        ("loss is NaN", "my loss is NaN or infinite"),
        ("posterior collapse", "my KL goes to 0 and all reconstructions look alike"),
        ("gradient check", "my gradient check fails"),
        ("loss depends on batch size", "my loss changes with the batch size"),
        ("beta has no effect", "beta changes nothing"),
    ],
)
def test_symptom_is_found_in_other_words(capsys, text, says):
    status, printed = run(capsys, "--symptom", text)
    assert (status, printed.err) == (0, "") and printed.out.splitlines()[0] == says
    assert max(map(len, printed.out.splitlines())) <= 95
    (symptom,) = [s for s in symptoms.SYMPTOMS if s.says == says]
    assert all(f" {name} " in printed.out for name in symptom.causes())


@pytest.mark.parametrize("symptom", symptoms.SYMPTOMS, ids=lambda symptom: symptom.says)
def test_symptom_is_found_by_what_it_says(symptom):
    assert symptoms.matching(symptom.says) == [symptom]


def test_symptoms_are_listed(capsys):
    status, printed = run(capsys, "--symptom")
    assert status == 0 and all(s.says in printed.out for s in symptoms.SYMPTOMS)
    assert max(map(len, printed.out.splitlines())) <= 78


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--symptom", "xyzzy"], "there is no symptom like 'xyzzy'"),
        (["--symptom", "\N{GREEK SMALL LETTER MU}" * 99], "there is no symptom like"),
        (["--symptom", "the of is"], "there is no symptom like"),
        (["--lesson", "99"], "the museum has no mistake of lesson 99; it has some of 1, 2"),
        (["kl", "--lesson", "4"], "one of them"),
        (["--symptom", "nan", "--lesson", "4"], "one of them"),
    ],
)
def test_what_the_indexes_do_not_have_gets_a_sentence(capsys, words, says):
    status, printed = run(capsys, *words)
    assert (status, printed.out) == (2, "")
    assert says in printed.err and printed.err.count("\n") == 1 and printed.err.isascii()


def test_lesson_lists_what_can_be_met_there(capsys):
    status, printed = run(capsys, "--lesson", "5")
    assert status == 0 and " std-is-exp-logvar " in printed.out and "M01" not in printed.out
    assert set(symptoms.LESSONS) <= set(bugs.MUSEUM) and set(symptoms.BY_AREA) == set(bugs.AREAS)
    assert all(symptoms.lessons_of(bug) for bug in bugs.MUSEUM.values())


def test_index_by_lesson_has_what_the_teachers_pages_name():
    teaching = Path(__file__).parents[2] / "docs" / "teaching"
    named = 0
    for page in teaching.glob("lesson-*.md"):
        number = int(page.stem[-2:])
        for name in re.findall(r"tinyvae bugs ([a-z-]+)", page.read_text(encoding="utf-8")):
            if name in bugs.MUSEUM and number <= 8:
                named += 1
                assert number in symptoms.lessons_of(bugs.MUSEUM[name]), (number, name)
    assert named > 20


def test_picture_has_the_mistakes_that_can_be_seen():
    names = pictures.shown()
    assert {"mean-over-pixels", "kl-to-itself", "posterior-at-generation"} <= set(names)
    assert not {"beta-ignored", "half-missing", "mean-of-logs"} & set(names)
    folder = Path(museum_pages.__file__).parents[1] / "docs"
    (image,) = re.findall(r"!\[.*\]\((.*)\)", museum_pages.page())
    assert (folder / image).read_bytes().startswith(b"\x89PNG")
    assert folder / image == folder.parent / pictures.FILE


def test_pictures_show_what_the_symptoms_say():
    """Grey and all alike; white and black; good reconstructions with bad samples: measured."""
    right, grey = pictures.row(None), pictures.row("mean-over-pixels")
    hard = pictures.row("target-as-prediction")
    spread = [float(np.std(made, axis=0).mean()) for _, made in (right, grey)]
    assert spread[1] < 0.2 * spread[0]
    contrast = [float(np.abs(2 * made - 1).mean()) for _, made in (right, grey, hard)]
    assert contrast[1] < contrast[0] < contrast[2]


def test_links_of_the_page_lead_to_headings():
    page = museum_pages.page()
    headings = {museum_pages.anchor(h) for h in re.findall(r"(?m)^#+ (.*)$", page)}
    links = re.findall(r"\]\(#([^)]*)\)", page)
    assert len(links) > 100 and set(links) <= headings


def test_page_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "bugs.md"
    assert page.read_text(encoding="utf-8") == museum_pages.page()


def test_every_effect_was_measured():
    assert set(measurements()["effects"]) == set(bugs.MUSEUM)


def test_effects_are_what_training_finds():
    """The famous mistake, once more, from one seed: a bound that is none."""
    log_px, elbo, reported, _ = effects.measure(bugs.MUSEUM[bugs.FAMOUS].plants, seed=7)
    assert reported > log_px + 0.3 > elbo + 0.3
    right_log_px, right_elbo, right_reported, _ = effects.measure({}, seed=7)
    assert right_reported == right_elbo < right_log_px + 0.1
    assert right_log_px > log_px
