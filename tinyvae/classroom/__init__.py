"""What teaches: lessons' helpers, the laws of KLs and losses, the museum of mistakes, the checker.

    from tinyvae import classroom

    print(classroom.check_kl(my_kl))              # a verdict, law by law
    test_my_kl = classroom.kl_laws(my_kl)         # the same as a test
    print(classroom.check_loss(my_loss))          # and check_sampler, check_bound, check_vae

Importing this package imports nothing else; each name below is loaded when it is first used.
"""

import importlib

_HOME = {
    "CannotRun": "checker.function",
    "Report": "checker.kl",
    "check_bound": "checker.contents",
    "check_here": "marking.cell",
    "check_kl": "checker.kl",
    "check_loss": "checker.contents",
    "check_sampler": "checker.contents",
    "check_vae": "checker.contents",
    "bound_laws": "checker.contents",
    "kl_laws": "checker.kl",
    "loss_laws": "checker.contents",
    "sampler_laws": "checker.contents",
    "vae_laws": "checker.contents",
}
__all__ = list(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
