"""What teaches: lessons' helpers, the laws of the KL, the museum of mistakes, the checker.

    from tinyvae import classroom

    print(classroom.check_kl(my_kl))              # a verdict, law by law
    test_my_kl = classroom.kl_laws(my_kl)         # the same as a test

Importing this package imports nothing else; each name below is loaded when it is first used.
"""

import importlib

_HOME = {
    "CannotRun": "checker.adapter",
    "Report": "checker.kl",
    "check_here": "marking.cell",
    "check_kl": "checker.kl",
    "kl_laws": "checker.kl",
}
__all__ = ["CannotRun", "Report", "check_here", "check_kl", "kl_laws"]


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
