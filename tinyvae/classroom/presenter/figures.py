"""What plt.show() does in a lesson: save a figure, or open a window and leave the keyboard."""

import contextlib
import itertools
import os
import sys
import tempfile
from pathlib import Path
from unittest import mock

from tinyvae.classroom.presenter.script import LessonError

FOR_A_ROOM = {"figure.dpi": 130, "font.size": 16, "axes.titlesize": 18, "lines.linewidth": 2.5}


def has_screen():
    """Whether a window can be opened at all."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextlib.contextmanager
def saved(folder, number):
    """Within it, plt.show() saves what it would show, as NN_1.png, NN_2.png, ... in the folder."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder, count = Path(folder), itertools.count(1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LessonError(f"{folder} is no folder to save to: {error.strerror}") from None

    def save(*args, **kwargs):
        for figure in map(plt.figure, plt.get_fignums()):
            path = folder / f"{number:02}_{next(count)}.png"
            figure.savefig(path, dpi=150, metadata={"Software": None})
            print(f"\n  [{path}]")
        plt.close("all")

    with mock.patch.object(plt, "show", save), matplotlib.rc_context():
        yield


@contextlib.contextmanager
def projected(number):
    """Within it, plt.show() opens windows in large type and goes on; the terminal keeps the keys.

    Without a screen it saves the figures in a temporary folder and prints their names.
    """
    if not has_screen():
        with saved(Path(tempfile.gettempdir(), f"tinyvae-lesson-{number:02}"), number):
            yield
        return
    import matplotlib
    import matplotlib.pyplot as plt

    def show(*args, **kwargs):
        for manager in map(plt._pylab_helpers.Gcf.get_fig_manager, plt.get_fignums()):
            keep_focus_in_terminal(manager)
        plt.pause(0.1)

    with matplotlib.rc_context({**FOR_A_ROOM, "figure.raise_window": False}):
        plt.ion()
        with mock.patch.object(plt, "show", show):
            yield


def keep_focus_in_terminal(manager):
    """Ask the window manager to show the window and to leave the keyboard where it is."""
    window = getattr(manager, "window", None)
    if window is not None and hasattr(window, "wm_attributes"):  # Tk
        with contextlib.suppress(Exception):  # a window manager may know no types
            window.wm_attributes("-type", "notification")
