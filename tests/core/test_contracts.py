"""`takes`: shapes in a line, checked once, where code calls in from outside."""

import threading

import numpy as np
import pytest

from tinyvae import VAE, contracts, gaussian, vae
from tinyvae.contracts import takes, takes_real


def probe(contract=takes, **shapes):
    """A function with arguments of these shapes that returns what it was given

    Its file is not this one, which would else be inside the border.
    """
    names = ", ".join(shapes)
    namespace = {}
    code = compile(f"def f({names}):\n    return ({names},)", "a file of its own", "exec")
    exec(code, namespace)
    return contract(**shapes)(namespace["f"])


FIT = [
    ({"a": "B Z"}, [(2, 3)]),
    ({"a": "B Z", "b": "B Z"}, [(2, 3), (2, 3)]),
    ({"a": "..."}, [()]),
    ({"a": "... I", "W": "I O", "b": "O"}, [(5, 2, 3), (3, 4), (4,)]),
    ({"a": "*m", "b": "... *m"}, [(2, 3), (7, 2, 3)]),
    ({"a": "*m", "b": "... *m"}, [(), (4,)]),
    ({"a": "*b Z", "b": "*b"}, [(2, 5, 3), (2, 5)]),
    ({"a": "*#b k", "C": "*#b k k"}, [(4, 1, 2), (3, 2, 2)]),
    ({"a": "*#b k", "b": "*#b k", "c": "*#b k"}, [(1, 2), (3, 2), (2, 1, 2)]),
    ({"m": "*m", "e": "*s *m", "d": "*s *m"}, [(2,), (5, 2), (5, 2)]),
    ({"a": "1 Z"}, [(1, 3)]),
]
DO_NOT_FIT = [
    ({"a": "B Z"}, [(2,)], "a has shape (2,); it must be (B, Z)"),
    ({"a": "B Z"}, [(2, 3, 4)], "it must be (B, Z)"),
    ({"a": "B>0 Z"}, [(0, 3)], "a has shape (0, 3); it must be (B, Z), B >= 1"),
    ({"a": "B B"}, [(2, 3)], "it must be (B, B)"),
    ({"a": "B Z", "b": "B Z"}, [(2, 3), (2, 1)],
     "b has shape (2, 1); it must be (2, 3) with a (2, 3)"),
    ({"a": "... I", "W": "I O"}, [(5, 2), (3, 4)], "W has shape (3, 4); it must be (2, O)"),
    ({"a": "*m", "b": "... *m"}, [(2, 3), (3,)], "b has shape (3,); it must be (..., 2, 3)"),
    ({"a": "*m", "b": "... *m"}, [(2, 3), (2, 1)], "it must be (..., 2, 3)"),
    ({"a": "*#b k", "b": "*#b k"}, [(2, 4), (3, 4)], "b has shape (3, 4); it must be (..., 4)"),
    ({"a": "*#b k", "b": "*#b k"}, [(4,), ()], "b has shape ()"),
    ({"m": "*m", "e": "*s *m", "d": "*s *m"}, [(2,), (5, 2), (4, 2)],
     "d has shape (4, 2); it must be (5, 2)"),
]  # fmt: skip


@pytest.mark.parametrize("shapes, given", FIT, ids=str)
def test_shapes_that_fit_pass(shapes, given):
    arrays = [np.zeros(shape) for shape in given]
    assert all(got is array for got, array in zip(probe(**shapes)(*arrays), arrays, strict=True))


@pytest.mark.parametrize("shapes, given, message", DO_NOT_FIT, ids=str)
def test_shapes_that_do_not_fit_are_refused_by_name(shapes, given, message):
    with pytest.raises(ValueError) as refused:
        probe(**shapes)(*(np.zeros(shape) for shape in given))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_arguments_are_converted_however_they_are_passed():
    f = probe(a="B", b="B")
    for a, b in (f([1, 2], [3, 4]), f(b=[3, 4], a=[1, 2]), f([1, 2], b=np.float16([3, 4]))):
        assert a.dtype == np.float64 and a.tolist() == [1, 2] and b.tolist() == [3, 4]
    assert f([1], np.float16([2]))[1].dtype == np.float32


def test_what_is_missing_is_a_type_error():
    with pytest.raises(TypeError, match="'b'"):
        probe(a="B", b="B")([1.0])


def test_the_size_of_an_attribute_is_meant_by_its_name():
    vae = VAE.create(5, (3,), 2, rng=np.random.default_rng(0))
    for x in (np.zeros((4, 6)), np.zeros((4, 4))):
        with pytest.raises(ValueError, match=r"it must be \(B, 5\)"):
            vae.encode(x)


def count_checks(monkeypatch):
    """The list to which every check of shapes adds the arguments that it saw"""
    seen, check = [], contracts._check_shapes

    def counting(arrays, *more):
        seen.append(sorted(arrays))
        return check(arrays, *more)

    monkeypatch.setattr(contracts, "_check_shapes", counting)
    return seen


def model_and_step():
    rng = np.random.default_rng(0)
    model = VAE.create(6, (5, 4), 2, rng=rng, dtype=np.float64)
    return model, (rng.random((3, 6)) < 0.5) * 1.0, rng.standard_normal((3, 2))


def test_a_step_is_checked_once(monkeypatch):
    seen = count_checks(monkeypatch)
    model, x, eps = model_and_step()
    model.loss_and_grads(x, eps)
    assert seen == [["eps", "x"]]
    gaussian.reparameterize(eps, eps, eps)  # and a function that is called by itself, too
    assert len(seen) == 2


def test_after_an_exception_checks_go_on(monkeypatch):
    model, x, eps = model_and_step()
    monkeypatch.setattr(model, "params", {})  # fails deep inside
    with pytest.raises(KeyError):
        model.loss_and_grads(x, eps)
    with pytest.raises(ValueError, match="eps has shape"):
        gaussian.reparameterize(eps, eps, eps[0])


def test_a_thread_that_computes_leaves_another_ones_checks_alone():
    """While one thread is inside the border, another one that comes from outside is checked."""
    model, x, eps = model_and_step()
    inside, go_on, refused = threading.Event(), threading.Event(), []

    class Slow(dict):
        def __getitem__(self, name):
            inside.set()
            go_on.wait(10)
            return super().__getitem__(name)

    model.params = Slow(model.params)
    thread = threading.Thread(target=model.loss_and_grads, args=(x, eps))
    thread.start()
    assert inside.wait(10)
    try:
        gaussian.reparameterize(eps, eps, eps[0])
    except ValueError as error:
        refused.append(str(error))
    go_on.set()
    thread.join(10)
    assert refused and "eps has shape (2,)" in refused[0]


def test_a_callback_from_inside_is_checked(monkeypatch):
    """Code of others that the package calls is outside."""
    model, x, eps = model_and_step()
    monkeypatch.setattr(vae.gaussian, "reparameterize", lambda mu, logvar, eps: (
        gaussian.kl_to_standard_normal(mu, logvar[:, :1])))  # fmt: skip
    with pytest.raises(ValueError, match="logvar has shape"):
        model.loss(x, eps)


def test_no_warning_comes_from_inside_and_the_callers_settings_stay():
    before = np.geterr()
    assert gaussian.kl_to_standard_normal([0.0], [1e4]) == np.inf
    assert np.geterr() == before
    with pytest.raises(RuntimeWarning):
        np.exp(np.array([1e4]))


def test_complex_numbers_pass_unless_they_make_no_sense():
    assert probe(a="B")([1j])[0].dtype == np.complex128
    with pytest.raises(ValueError, match="a must hold real numbers, not complex128"):
        probe(takes_real, a="B")([1j])


def test_a_check_left_out_is_seen(monkeypatch):
    """Planted: shapes that are never compared.  A table of wrong shapes must then fail."""
    monkeypatch.setattr(contracts, "_matches", lambda *arguments: True)
    eps = np.zeros((3, 2))
    assert gaussian.reparameterize(eps, eps, eps[:, :1]).shape == (3, 2)
