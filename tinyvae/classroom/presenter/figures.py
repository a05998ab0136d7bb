"""What plt.show() does in a lesson: save a figure, or open a window and leave the keyboard."""

import contextlib
import itertools
import os
import sys
import tempfile
from pathlib import Path
from unittest import mock

from tinyvae.classroom.presenter.script import LessonError

OF_THE_SCREEN = 0.8  # of its width or height: what the last row can read


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

    shown = []

    def show(*args, **kwargs):
        for figure in map(plt.figure, plt.get_fignums()):
            if figure in shown:  # by an earlier cell
                plt.close(figure)
                continue
            shown.append(figure)
            manager = figure.canvas.manager
            keep_focus_in_terminal(manager)
            manager.show()
            draw_windows()
            fill_screen(manager)
        draw_windows()

    with (
        matplotlib.rc_context({"figure.raise_window": False}),
        mock.patch.object(plt, "show", show),
    ):
        yield


def keep_focus_in_terminal(manager):
    """Ask the window manager to show the window and to leave the keyboard where it is.

    A window whose focus model is "active" takes the keyboard by itself, or never: a window manager
    gives it none (X11's conventions for clients; elsewhere Tk ignores it).
    """
    window = getattr(manager, "window", None)
    if hasattr(window, "wm_focusmodel"):  # Tk
        window.wm_focusmodel("active")


def fill_screen(manager):
    """Draw the figure with so many pixels an inch that it fills the screen, its type included."""
    window, figure = getattr(manager, "window", None), manager.canvas.figure
    if hasattr(window, "winfo_screenwidth"):  # Tk
        width, height = figure.get_size_inches()
        across, down = window.winfo_screenwidth() / width, window.winfo_screenheight() / height
        figure.set_dpi(OF_THE_SCREEN * min(across, down))
        manager.resize(*map(int, figure.bbox.size))


def draw_windows():
    """Let the open figures draw themselves and answer the mouse.    ->  whether there are any"""
    pyplot = sys.modules.get("matplotlib.pyplot")
    managers = pyplot._pylab_helpers.Gcf.get_all_fig_managers() if pyplot else []
    for manager in managers:
        manager.canvas.draw_idle()
        manager.canvas.flush_events()
    return bool(managers)
