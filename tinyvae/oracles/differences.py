"""Derivatives from the forward function alone, one entry at a time."""

import numpy as np


def central_difference(f, x, step=1e-6):
    """The gradient of a scalar f at x:  (f(x + step e_i) - f(x - step e_i)) / (2 step).

    x of any shape  ->  the same shape, float64.  x itself is never changed.

    Two errors pull in opposite directions: truncation, step**2 * f''' / 6, and rounding,
    about 1e-16 * abs(f) / step.  At 1e-6 and f, f''' near 1 the sum is about 1e-10.
    f must be smooth within step of x: keep relu's input further than that from 0.

    >>> round(float(central_difference(np.sin, 0.0)), 9)
    1.0
    """
    x = np.asarray(x, dtype=np.float64)
    gradient = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[i] += step
        below[i] -= step
        width = above[i] - below[i]  # 2 * step as rounded in x: large entries round it coarsely
        gradient[i] = (_scalar(f(above)) - _scalar(f(below))) / width
    return gradient


def complex_step(f, x, step=1e-30):
    """The gradient of a scalar, analytic f at x:  imag(f(x + i step e_i)) / step.

    x of any shape  ->  the same shape, float64.  x itself is never changed.

    Nothing is subtracted, so nothing cancels: exact to rounding.  f must be analytic and carry
    complex numbers through: exp, log, tanh, sums and products do; abs, logaddexp, ``.real``,
    a conjugate and a comparison do not, and a part of f that uses them loses its gradient.
    ValueError if all of the imaginary part is lost.

    Source: W. Squire and G. Trapp, SIAM Review 40 (1998) 110.

    >>> float(complex_step(np.exp, 0.0))
    1.0
    """
    x = np.asarray(x, dtype=np.complex128)
    gradient = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        beside = x.copy()
        beside[i] += 1j * step
        value = _scalar(f(beside))
        if np.isrealobj(value):
            raise ValueError(
                "f returned a real number for a complex x: it is not analytic, or does not use x"
            )
        gradient[i] = np.imag(value) / step
    return gradient


def vector_jacobian(f, x, dy, method=central_difference):
    """What a backward owes: the gradient at x of sum(dy * f(x)), for an upstream gradient dy.

    f takes an array like x and returns one like dy; dy like f(x)  ->  like x

    >>> dy = np.array([1.0, 10.0])
    >>> vector_jacobian(np.square, np.array([3.0, 4.0]), dy, method=complex_step)
    array([ 6., 80.])
    """
    dy = np.asarray(dy)
    y_shape = np.shape(f(np.array(x)))
    if y_shape != dy.shape:  # broadcasting would sum a different function
        raise ValueError(f"dy has shape {dy.shape}, but f(x) has shape {y_shape}")
    return method(lambda x: np.sum(dy * f(x)), x)


def relative_error(a, b, floor=1e-3):
    """abs(a - b) / max(abs(a), abs(b), floor), elementwise.

    a, b of one shape  ->  that shape.  ValueError if the shapes differ.

    Look at the largest entry of the result.  Dividing by the largest entry of the whole array
    instead hides a small entry that is wrong: next to a gradient of 1000, one of 0.001 that
    should be 0.002 is an error of 1e-6.  The floor keeps the rounding of an entry near 0 from
    counting as an error; with a tolerance of 1e-6, entries below floor may be off by 1e-9.

    >>> relative_error(np.array([1000.0, 0.001]), np.array([1000.0, 0.002]))
    array([0. , 0.5])
    """
    if np.shape(a) != np.shape(b):
        raise ValueError(f"shapes differ: {np.shape(a)} and {np.shape(b)}")
    a, b = np.asarray(a), np.asarray(b)
    return np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), floor)


def _scalar(value):
    if np.ndim(value) != 0:
        raise ValueError(
            f"f must return a scalar, but it returned shape {np.shape(value)}: see vector_jacobian"
        )
    return value
