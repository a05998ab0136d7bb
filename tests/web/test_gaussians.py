"""The page of two Gaussians: its formulas against NumPy's, and what can be moved on it."""

import re

import numpy as np
import pytest

from tests.web.helpers import planted, source
from tests.web.test_explorer import FRAMES, place
from tinyvae import gaussian
from tinyvae.classroom.museum import kl as museum
from tinyvae.oracles import LinearGaussian, cubature
from tinyvae.web import export
from tools import explorers

GAUSSIAN_JS = source("gaussian.js")


@pytest.fixture(scope="session")
def page_gaussians():
    return (explorers.FOLDER / "gaussians.html").read_text("utf-8")


def random_gaussian(rng, k):
    root = 0.8 * rng.standard_normal((k, k))
    return rng.standard_normal(k), root @ root.T + 0.1 * np.eye(k)


def named(mean, cov):
    return {"mean": mean.tolist(), "cov": cov.tolist()}


def formulas_as_numpy(evaluate):
    """KL, its terms, the mistakes and the linear-Gaussian model, as in Python to 1e-12"""
    rng = np.random.default_rng(0)
    for k in (1, 2, 2, 2, 3):
        q, p = random_gaussian(rng, k), random_gaussian(rng, k)
        value, terms, wrong, density = evaluate(
            """([q, p]) => [klGaussians(q, p), klTerms(q, p),
                Object.fromEntries(MISTAKES.map((m) => [m.museum, m.value(q, p, klTerms(q, p))])),
                logDensity(q.mean, p)]""",
            [named(*q), named(*p)],
        )
        assert value == pytest.approx(float(gaussian.kl(*q, *p)), rel=1e-12, abs=1e-12)
        assert density == pytest.approx(float(cubature.log_density(q[0], *p)), rel=1e-12)
        log_ratio, trace, quadratic, _ = museum.terms(*q, *p)
        expected = {"trace": trace, "k": k, "log_ratio": log_ratio, "distance": quadratic}
        for name, term in expected.items():
            assert terms[name] == pytest.approx(float(term), rel=1e-11, abs=1e-12), name
        assert len(wrong) == 9
        for name, said in wrong.items():
            mistake = getattr(museum, name)
            mistaken = float(mistake(*q, *p))
            assert said == pytest.approx(mistaken, rel=1e-11, abs=1e-12), name

    model = LinearGaussian.random(5, 2, rng)
    x, q = model.sample(1, rng)[0][0], random_gaussian(rng, 2)
    packed = {"W": model.W.tolist(), "b": model.b.tolist(), "noise_var": model.noise_var}
    log_px, truth, likelihood = evaluate(
        "([m, x, q]) => [logEvidence(m, x), exactPosterior(m, x), expectedLogLikelihood(m, x, q)]",
        [packed, x.tolist(), named(*q)],
    )
    assert log_px == pytest.approx(float(model.log_px(x)), rel=1e-12)
    mean, cov = model.posterior(x)
    np.testing.assert_allclose(truth["mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(truth["cov"], cov, rtol=1e-12)
    assert likelihood == pytest.approx(float(model.expected_log_px_given_z(x, *q)), rel=1e-12)


def test_formulas_are_numpys(script):
    formulas_as_numpy(script(GAUSSIAN_JS))


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("return 0.5 * (trace - k + log_ratio", "return 1.0 * (trace - k + log_ratio"),
        ("sum + 2 * Math.log(row[i])", "sum + Math.log(row[i])"),
        ("log_ratio: logDet(Lp) - logDet(Lq)", "log_ratio: logDet(Lq) - logDet(Lp)"),
        ("trace: traceOfSolved(Lp, q.cov)", "trace: traceOfSolved(Lq, p.cov)"),
        ("dot(error, error) + spread", "dot(error, error)"),
        ("dot(wi, wj) / noise_var + (i === j ? 1 : 0)", "dot(wi, wj) / noise_var"),
        ("dot(wi, wj) + (i === j ? noise_var : 0)", "dot(wi, wj) + noise_var"),
        ("0.5 * (t.trace - 1 + t.log_ratio", "0.5 * (t.trace + t.log_ratio"),
    ],
)  # fmt: skip
def test_wrong_formula_is_seen(script, right, wrong):
    with pytest.raises(AssertionError):
        formulas_as_numpy(script(planted(GAUSSIAN_JS, right, wrong)))


def test_the_model_is_that_of_lesson_3(page_gaussians):
    """The lesson prints its log p(x), and so does the page, to six decimals."""
    lesson = (explorers.FOLDER.parents[1] / "lessons/expected/03_elbo.txt").read_text("utf-8")
    log_px = re.search(r"log p\(x\) = (-[\d.]+) nats", lesson)[1]
    packed = export.json.loads(re.search(r"const LESSON = (\{.*\});", page_gaussians)[1])
    model = LinearGaussian(np.array(packed["W"]), np.array(packed["b"]), packed["noise_var"])
    assert f"{model.log_px(np.array(packed['x'])):.6f}" == log_px


def numbers(page, place_):
    """The rows of a table: its first cell -> the numbers in the others"""
    rows = page.locator(f"#{place_} tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent))"
    )
    return {
        row[0]: [float(t.replace("\N{MINUS SIGN}", "-")) for t in row[1:] if re.search(r"\d", t)]
        for row in rows[1:]
    }


def drag(page, selector, start, end):
    page.mouse.move(*place(page, selector, *start))
    page.mouse.down()
    page.mouse.move(*place(page, selector, *end), steps=3)
    page.mouse.up()
    page.evaluate(FRAMES)


def at(z1, z2=0.0, half=4):
    """Where a point of the plane is on its canvas"""
    return (z1 + half) / (2 * half), (half - z2) / (2 * half)


def bound_stays(page):
    """Wherever q is: ELBO + gap = log p(x), each computed by itself; the bar keeps its length"""
    lengths = []
    terms = """() => { const t = boundTerms(qNow());
        return [t.elbo, t.gap, t.likelihood - t.regulariser, LOG_PX]; }"""

    def check():
        page.evaluate(FRAMES)
        elbo, gap, difference, log_px = page.evaluate(terms)
        assert abs(elbo + gap - log_px) < 1e-9 and abs(elbo - difference) < 1e-12 and gap >= -1e-12
        table = numbers(page, "bound-table")
        for name, value in (
            ("ELBO", elbo),
            ("ELBO + gap", log_px),
            ("+ KL(q || p(z|x)), the gap", gap),
        ):
            assert abs(table[name][0] - value) < 6e-4
        parts = page.evaluate(
            "[...$('bar-constant').children].map((e) => e.getBoundingClientRect().width)"
        )
        shown = page.evaluate("SHOWN")
        assert abs(parts[1] / sum(parts) - min(gap / shown, 1)) < 0.01
        lengths.append(sum(parts))
        return gap

    gaps = {}
    for name in "far off", "the prior", "too narrow", "close", "the posterior":
        page.locator("#five button", has_text=name).first.click()
        gaps[name] = check()
    assert gaps["the posterior"] < 1e-9 < gaps["close"] < gaps["far off"]
    page.locator("#five button", has_text="the prior").click()
    drag(page, "#bound", at(0), at(2.0, 1.0))
    assert np.allclose(page.evaluate("[guess.m1, guess.m2]"), [2, 1], atol=0.05)
    check()
    drag(page, "#bound", at(3.0, 1.0), at(2.0, 1.5))  # the knob of an axis: shorter, and turned
    assert np.allclose(page.evaluate("[guess.s1, Math.abs(guess.angle)]"), [0.5, 90], atol=3)
    check()
    page.locator("#bound").press("ArrowLeft")
    assert abs(page.evaluate("guess.m1") - 1.9) < 0.05
    check()
    page.locator("#bound-q-s2").fill("0.3")
    check()
    assert max(lengths) - min(lengths) < 1


def test_what_the_bound_wins_the_gap_loses(opens, page_gaussians):
    with opens(page_gaussians) as page:
        bound_stays(page)


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("elbo: likelihood - regulariser", "elbo: likelihood + regulariser"),
        ("gap: klGaussians(q, TRUTH)", "gap: klGaussians(TRUTH, q)"),
        ("gap: klGaussians(q, TRUTH)", "gap: LOG_PX - likelihood"),
        ("[SHOWN - within, ", "[SHOWN, "),
        ("(which === 2 ? 90 : 0)", "90"),
    ],
)
def test_wrong_bound_is_seen(opens, page_gaussians, right, wrong):
    with opens(planted(page_gaussians, right, wrong)) as page, pytest.raises(AssertionError):
        bound_stays(page)


def test_two_gaussians_move_on_a_line_and_in_the_plane(opens, page_gaussians):
    with opens(page_gaussians, has_touch=True) as page:

        def kls(table, q, p):
            said, row = numbers(page, table), "KL"
            assert abs(said[row][0] - gaussian.kl(*q, *p)) < 6e-4
            assert abs(said[row][1] - gaussian.kl(*p, *q)) < 6e-4
            for column in (0, 1):  # the terms add up to it
                terms = [values[column] for name, values in said.items() if name != row]
                assert abs(sum(terms) - said[row][column]) < 2.1e-3

        def on_line():
            page.evaluate(FRAMES)
            m = page.evaluate("[line.q.m1, line.q.s1, line.p.m1, line.p.s1]")
            kls("line-table", ([m[0]], [[m[1] ** 2]]), ([m[2]], [[m[3] ** 2]]))
            return np.array(m)

        before = on_line()
        drag(page, "#line", ((before[0] + 5) / 10, 0.2), ((-3 + 5) / 10, 0.3))
        moved = on_line()
        assert abs(moved[0] + 3) < 0.05 and (moved[1:] == before[1:]).all()
        drag(page, "#line", ((moved[2] + moved[3] + 5) / 10, 0.3), ((moved[2] + 0.5 + 5) / 10, 0.3))
        assert abs(on_line()[3] - 0.5) < 0.05
        page.locator("#line").press("Shift+ArrowRight")
        page.locator("#line").press("ArrowUp")
        assert np.allclose(on_line(), [-3, 0.65, moved[2] + 0.1, 0.5], atol=0.06)
        page.locator("#line-q-m1").fill("0.25")
        assert on_line()[0] == 0.25

        def in_plane():
            page.evaluate(FRAMES)
            q, p = page.evaluate("[both.q, both.p].map(gaussianOf)")
            kls("both-table", (q["mean"], q["cov"]), (p["mean"], p["cov"]))
            said = numbers(page, "mistakes")
            right = said.pop("right")[0]
            for wrong, off in said.values():
                assert abs(wrong - right - off) < 1.1e-3
            return q, p

        (q, p), size = in_plane(), page.evaluate("bothSurface.width")
        page.touchscreen.tap(*place(page, "#both", *at(q["mean"][0] + 0.05, q["mean"][1])))
        drag(page, "#both", at(*p["mean"]), at(2, -2))
        assert np.allclose(in_plane()[1]["mean"], [2, -2], atol=16 / size)
        page.locator("#both").press("ArrowUp")
        assert abs(in_plane()[0]["mean"][1] - q["mean"][1] - 0.1) < 0.06

        def hiding():
            in_plane()
            rows = page.locator("#mistakes tr").evaluate_all(
                "(rows) => rows.filter((r) => r.lastChild.textContent === 'hides')"
                ".map((r) => r.firstChild.textContent)"
            )
            return set(rows)

        page.locator("#hide-none").click()
        assert hiding() == set()
        page.locator("#hide-equal").click()
        assert "q and p swapped" in hiding() and "\N{MINUS SIGN}k is missing" not in hiding()
        page.locator("#hide-mean").click()
        assert "q and p swapped" in hiding() and "the 1/2 is missing" not in hiding()
        page.locator("#hide-centre").click()
        assert hiding() == {"the distance measured in q"}
