"""Losses, samplers, bounds and whole models: each case gets the verdict that is true of it."""

import types

import numpy as np
import pytest

from tinyvae import classroom
from tinyvae.classroom.checker import contents, loss, sampler, terms
from tinyvae.classroom.checker.function import CannotRun, LocalFile, LocalFunction
from tinyvae.classroom.checker.roles import roles
from tinyvae.classroom.museum.questions import SNIPPETS
from tools.check_losses import cases

CASES = cases("numpy")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.what}")
def test_each_case_gets_its_verdict_and_its_name(case):
    verdict, names, said = case.verdict()
    assert verdict == case.truth, said
    assert set(case.names) <= set(names), said


def test_most_mistakes_are_named():
    wrong = [case for case in CASES if case.truth == "wrong"]
    assert len(wrong) > 60
    assert sum(bool(case.names) for case in wrong) >= 0.8 * len(wrong)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.name)
def test_the_quiz_and_the_checker_agree(snippet):
    """On the losses, samplers and bounds; the KLs have a test of their own"""
    module = types.ModuleType("quiz")
    exec("import numpy as np\n" + snippet.code, module.__dict__)
    file = LocalFile(module)
    for name, kind in contents.found_in(file):
        if kind != "kl":
            verdict, _ = contents.judge(file.function(name), kind)
            assert verdict.right == snippet.right, verdict


def right_loss(recon_x, x, mu, logvar):
    bce = -np.sum(x * np.log(recon_x) + (1 - x) * np.log(1 - recon_x), axis=1)
    return np.mean(bce - 0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1))


def wrong_loss(recon_x, x, mu, logvar):
    kl = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1)
    return np.mean(np.mean((x - recon_x) ** 2, axis=1) + kl)


def right_sampler(mu, logvar, eps):
    return mu + np.exp(0.5 * logvar) * eps


def right_bound(log_w):
    top = log_w.max()
    return top + np.log(np.mean(np.exp(log_w - top)))


class Linear:
    """A VAE without hidden layers."""

    W = np.random.default_rng(3).standard_normal((7, 4)) / 2
    V = np.random.default_rng(4).standard_normal((2, 7))

    def encode(self, x):
        h = x @ self.W
        return h[:, :2], h[:, 2:]

    def decode(self, z):
        return z @ self.V

    def loss(self, x, eps):
        mu, logvar = self.encode(x)
        a = self.decode(mu + np.exp(logvar / 2) * eps)
        recon = np.sum(np.logaddexp(0, a) - x * a, axis=1)
        return np.mean(recon + 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar, axis=1))


test_laws_of_a_loss = classroom.loss_laws(right_loss)
test_laws_of_a_sampler = classroom.sampler_laws(right_sampler)
test_laws_of_a_bound = classroom.bound_laws(right_bound)
test_laws_of_a_model = classroom.vae_laws(Linear())


def test_a_law_that_is_broken_fails_with_the_report():
    with pytest.raises(AssertionError, match="averaged over the pixels"):
        classroom.loss_laws(wrong_loss)()


def test_the_report_shows_a_case_that_is_checked_by_hand():
    (verdict,) = classroom.check_loss(wrong_loss).holes
    assert verdict.names == ["mean-over-pixels"]
    assert verdict.given["x"] == [[1.0, 1.0]]
    (row,) = verdict.rows
    assert row == {"of": "loss", "yours": 0.25, "true": pytest.approx(0.5)}


def test_what_cannot_be_called_is_refused():
    with pytest.raises(CannotRun, match="cannot be called as a loss"):
        classroom.check_loss(lambda recon_x, x, mu, logvar: 1 / 0)
    with pytest.raises(CannotRun, match="has neither encode nor forward"):
        classroom.check_vae(object())


def test_the_smallest_change_is_seen():
    """One part in ten thousand of the KL, or of a pixel."""

    def a_little_off(recon_x, x, mu, logvar):
        return right_loss(recon_x, x, mu, logvar) + 1e-4 * np.mean(np.sum(mu**2, axis=1))

    assert not loss.judge(LocalFunction(a_little_off)).right


@pytest.mark.parametrize("seed", range(3))
def test_verdicts_do_not_hang_on_the_seed(seed):
    assert loss.judge(LocalFunction(right_loss), seed).right
    assert loss.judge(LocalFunction(wrong_loss), seed).names == ["mean-over-pixels"]
    assert sampler.judge(LocalFunction(right_sampler), seed).right


def test_terms_agree_with_the_package():
    """The dictionary's right terms against tinyvae's own formulas and SciPy."""
    from scipy import stats

    from tinyvae import bernoulli, gaussian

    rng = np.random.default_rng(0)
    x, a = rng.integers(0, 2, (4, 6)).astype(float), rng.standard_normal((4, 6))
    mu, logvar = rng.standard_normal((2, 4, 3))
    v = terms.Values(x=x, r=a, mu=mu, s=logvar)
    assert np.allclose(terms.bernoulli_logits(a, x), bernoulli.nll(a, x))
    assert np.allclose(terms.bernoulli(terms.sigmoid(a), x), bernoulli.nll(a, x))
    assert np.allclose(terms.kl(v, "logvar"), gaussian.kl_to_standard_normal(mu, logvar))
    for scale in terms.SCALES:
        s = terms.scale_from_logvar(logvar, scale)
        assert np.allclose(terms.variance_of(s, scale), np.exp(logvar))
        gaussian_term = next(
            t for t in terms.SCALED_RECONSTRUCTIONS if t.right and t.family == scale
        )
        t_scale = terms.scale_from_logvar(0.3 * a, scale)
        value = gaussian_term.value(v.with_(t=t_scale)) + gaussian_term.constant(v)
        true = -stats.norm.logpdf(x, a, np.exp(0.15 * a)).sum(-1)
        assert np.allclose(value, true)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("recon_x x mu logvar", {"r": "recon_x", "x": "x", "mu": "mu", "s": "logvar"}),
        ("y_true y_pred z_mean z_log_var",
         {"x": "y_true", "r": "y_pred", "mu": "z_mean", "s": "z_log_var"}),
        ("x x_mu x_logvar mu logvar",
         {"x": "x", "r": "x_mu", "t": "x_logvar", "mu": "mu", "s": "logvar"}),
        ("recon kl beta", {"recon": "recon", "kl": "kl", ("weight", 0): "beta"}),
    ],
)  # fmt: skip
def test_names_say_what_an_argument_is(names, found):
    assert roles(names.split())[0] == found


@pytest.mark.parametrize(
    ("name", "parameters", "kind"),
    [
        ("loss_function", "recon_x x mu logvar", "loss"),
        ("reparameterize", "mu logvar", "sampler"),
        ("kl_divergence", "mu logvar", "kl"),
        ("iwae_bound", "log_w", "bound"),
        ("log_px", "log_px_given_z z mu logvar", "bound"),
        ("sigmoid", "a", ""),
        ("relu", "x", ""),
    ],
)
def test_what_a_file_holds(name, parameters, kind):
    assert contents.kind_of(name, parameters.split()) == kind


def test_a_file_with_several_functions():
    space = {
        "__name__": "mine",
        "loss_function": wrong_loss,
        "reparameterize": right_sampler,
        "iwae": right_bound,
        "helper": np.tanh,
    }
    for value in (wrong_loss, right_sampler, right_bound):
        value.__module__ = "mine"
    try:
        report = contents.judge_file(LocalFile(space), shown="mine.py")
    finally:
        for value in (wrong_loss, right_sampler, right_bound):
            value.__module__ = __name__
    assert {hole.name: hole.status for hole in report.holes} == {
        "loss_function": "wrong",
        "reparameterize": "right",
        "iwae": "right",
    }
    assert report.status == 1


def command(tmp_path, capsys, code, *words):
    from tinyvae import cli

    path = tmp_path / "mine.py"
    path.write_text(code, encoding="utf-8")
    status = cli.main(["check", *words, str(path)])
    return status, *capsys.readouterr()


LOSS = """
import numpy as np
def my_loss(recon_x, x, mu, logvar):
    kl = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1)
    return np.mean(np.sum((x - recon_x) ** 2, axis=1) {sign} kl)
"""


def test_the_command_says_right(tmp_path, capsys):
    status, out, err = command(tmp_path, capsys, LOSS.format(sign="+"))
    assert (status, err) == (0, "")
    assert "right  my_loss  a loss of a VAE" in out
    assert all(len(line) <= 78 for line in out.splitlines()[1:])


def test_the_command_says_wrong_and_why(tmp_path, capsys):
    status, out, _ = command(tmp_path, capsys, LOSS.format(sign="-"), "loss")
    assert status == 1
    assert "The KL is subtracted from the loss, not added." in out
    assert "tinyvae bugs kl-subtracted" in out
    assert all(len(line) <= 78 for line in out.splitlines()[1:])


def test_the_command_refuses_what_it_cannot_judge(tmp_path, capsys):
    status, _, err = command(tmp_path, capsys, "def f(a):\n    return a\n")
    assert status == 2
    assert err.count("\n") == 1
    status, out, err = command(tmp_path, capsys, "def f(:\n")
    assert (status, out, err.count("\n")) == (2, "", 1)
    status, out, err = command(tmp_path, capsys, LOSS.format(sign="+"), "lossy")
    assert (status, out) == (2, "")
    assert "before the file stands one of" in err
