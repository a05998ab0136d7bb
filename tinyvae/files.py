"""Read arrays from IDX and .npz files that nobody vouches for, and any file without waiting for it.

IDX is the format of MNIST: two zero bytes, the type of the elements, the number of dimensions,
their sizes (four bytes each, big-endian), then the elements.  An .npz is a zip of .npy files.

Memory stays within ten times the file's size and 100 MB, whatever a header promises.  Anything
that is not data raises a DataError.  Nothing is unpickled, nothing unpacked to disk.
"""

import errno
import io
import math
import os
import stat
import struct
import zlib
from contextlib import contextmanager

import numpy as np

CHUNK = 1 << 20  # bytes read at a time
ARRAYS = "x_train", "x_test", "y_train", "y_test"
MOST_MEMBERS = 10_000  # of a gzip file: one as a rule, more from programs that pack in parallel
UBYTE = 8  # the code of unsigned bytes in an IDX header


class DataError(ValueError):
    """A name or a file that holds no data: one sentence on what is wrong, where, what to do."""


def read_idx(path, name):
    """x_train or x_test  ->  images (N, H, W) uint8;  y_train or y_test  ->  labels (N,) int64"""
    ndim, kept = (3, np.uint8) if name in ARRAYS[:2] else (1, np.int64)
    magic = bytes([0, 0, UBYTE, ndim])
    with _opened(path, "an IDX file") as (file, size):
        packed = file.read(2) == b"\x1f\x8b"  # gzip's first bytes, whatever the file is called
        file.seek(0)
        stream = io.BufferedReader(_Gunzip(file)) if packed else file
        header = stream.read(4 + 4 * ndim)
        if not magic.startswith(header[:4]):
            raise DataError(
                f"starts with the bytes {header[:4].hex(' ')} where {name} needs {magic.hex(' ')}; "
                "put the right file there"
            )
        if len(header) < 4 + 4 * ndim:
            raise DataError(f"is cut off after {len(header)} bytes; get it again")
        shape = struct.unpack(f">{ndim}I", header[4:])
        promised = len(header) + math.prod(shape)
        if not packed and promised != size:
            raise DataError(f"promises {promised} bytes and has {size}; get it again")
        return _read_array(stream, shape, np.dtype(np.uint8), np.dtype(kept), _allowed_bytes(size))


def read_npz(path):
    """A dict with x_train and x_test, and y_train and y_test if there are labels

    x (N, D) or (N, height, width), uint8 or float32 in [0, 1];  y (N,) int64
    """
    from tinyvae.archive import Archive, ArchiveError  # with it zipfile: a tenth of NumPy's import

    with _opened(path, "an .npz file") as (file, size):
        try:
            archive, arrays, room = Archive(file, size, compressed=True), {}, _allowed_bytes(size)
            for name in ARRAYS:
                if name in archive.names:
                    with archive.open(name) as member:
                        arrays[name] = _read_member(member, name, room)
                    room -= arrays[name].nbytes
                elif name in ARRAYS[:2]:
                    raise DataError(f"has no array {name}; np.savez(file, x_train=..., x_test=...)")
        except ArchiveError as error:
            raise DataError(f"{error}; write it with np.savez") from None
    return arrays


def _read_member(member, name, room):
    shape, by_columns, stored, stream = member
    try:
        kept = _kept_type(shape, stored, images=name in ARRAYS[:2])
        if not by_columns:
            return _read_array(stream, shape, stored, kept, room)
        # Column by column: read it as its transpose; turning that round takes a copy.
        return _read_array(stream, shape[::-1], stored, kept, room // 2).T.copy()
    except DataError as error:
        raise DataError(f"{name} {error}") from None


def _kept_type(shape, stored, images):
    """The type in memory, if type and shape in the file are those of images or of labels"""
    if images:
        kept = np.uint8 if stored == np.uint8 else np.float32
        fits, wanted = stored == np.uint8 or stored.kind in "bf", "floats in [0, 1] or uint8 levels"
    else:
        kept = np.int64
        fits, wanted = stored.kind in "biu" and stored != np.uint64, "integers up to int64"
    if not fits:
        raise DataError(f"holds {stored}; save it as {wanted}")
    if len(shape) not in ((2, 3) if images else (1,)):
        wanted = "(N, D) or (N, height, width)" if images else "(N,)"
        raise DataError(f"has the shape {shape}; save it as {wanted}")
    return np.dtype(kept)


def _read_array(stream, shape, stored, kept, room):
    """What is left of the stream, if it is one array of that shape; read in small pieces."""
    count = math.prod(shape)
    if min(shape) < 1:
        raise DataError(f"is empty, of shape {tuple(shape)}; it needs at least one image or label")
    if count * kept.itemsize > room:
        raise DataError(
            f"would fill {count * kept.itemsize:,} bytes, more than ten times the file's size and "
            "90 MB; store it uncompressed"
        )
    array = np.empty(count, kept)
    step = CHUNK // stored.itemsize
    for start in range(0, count, step):
        part = array[start : start + step]
        content = stream.read(part.size * stored.itemsize)
        if len(content) < part.size * stored.itemsize:
            raise DataError("ends before its header says; get it again")
        with np.errstate(over="ignore", invalid="ignore"):  # inf and NaN are refused below
            part[:] = np.frombuffer(content, np.uint8 if stored.kind == "b" else stored)
    if stream.read(1):
        raise DataError("goes on after its header says that it ends; get it again")
    if kept.kind == "f" and not (array.min() >= 0 and array.max() <= 1):
        raise DataError(f"holds {contents(array)}; scale it to floats in [0, 1], or uint8 levels")
    if kept == np.uint8 and array.max() == 1:
        raise DataError("holds only the levels 0 and 1 of 0..255; save white as 255, or as floats")
    return array.reshape(shape)


def contents(array):
    """What is in an array that should hold floats in [0, 1]"""
    if array.dtype.kind != "f":
        return f"{array.dtype}"
    low, high = array.min(), array.max()
    return "NaN" if np.isnan(low) else f"values from {low:g} to {high:g}"


class _Reader(io.BufferedReader):
    """A file that is read in small pieces: no header talks it into a large buffer."""

    def read(self, size=-1, /):
        if size > CHUNK:
            raise DataError(f"asks for {size:,} bytes at once; get it again")
        return super().read(size)


class _Gunzip(io.RawIOBase):
    """What a gzip file holds: its members' contents, one after another.

    `gzip.GzipFile` takes two seconds for ten megabytes of empty members; here there is an end.
    """

    def __init__(self, file):
        self.file, self.packed, self.members, self.inflate = file, b"", 0, None

    def readable(self):
        return True

    def readinto(self, buffer):
        piece, more = b"", True
        while more and not piece:
            packed = self.packed or self.file.read(1 << 16)  # a member's rest is copied
            more = bool(packed)
            if self.inflate is None:  # between members, where zeros may fill up
                packed = packed.lstrip(b"\0")
                if packed:
                    self._start()
            if self.inflate:
                piece = self.inflate.decompress(packed, len(buffer))
                packed = self.inflate.unconsumed_tail or self.inflate.unused_data
                if self.inflate.eof:
                    self.inflate = None
                elif not more and not piece:
                    raise EOFError("it ends before its end-of-stream marker")
            self.packed = packed
        buffer[: len(piece)] = piece
        return len(piece)

    def _start(self):
        self.members += 1
        if self.members > MOST_MEMBERS:
            raise DataError(f"has more than {MOST_MEMBERS:,} gzip members; pack it again by gzip")
        self.inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)


@contextmanager
def _opened(path, kind):
    """The file, open, and its size.  Whatever goes wrong with it becomes a DataError."""
    try:
        with _Reader(open_regular(path)) as file:
            yield file, os.fstat(file.fileno()).st_size
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: does not exist; give the path of {kind}") from None
    except NotRegular:
        raise DataError(f"{path}: is not a file; give the path of {kind}") from None
    except Exception as error:  # the libraries raise a dozen kinds for bytes that are not theirs
        raise_if_out_of_memory(error)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = reason.splitlines()[0][:80]
        raise DataError(
            f"{path}: cannot be read as {kind} ({reason}); is it the right file, and whole?"
        ) from error


def _allowed_bytes(size):
    """How many bytes a file of this size may fill in memory: enough for data, not for a bomb."""
    return 10 * size + 90_000_000


# --- any file -----------------------------------------------------------------------------------


class NotRegular(OSError):
    """A pipe, a device, a folder, or a link where none is followed."""


def open_regular(path, follow=True, **at):
    """Open a regular file for reading  ->  io.FileIO;    ``at`` may hold a dir_fd

    A pipe or a device is not even opened: that alone may wait for ever.  Raises NotRegular for all
    that is no regular file, with ``follow=False`` also for a link.
    """
    if not stat.S_ISREG(os.stat(path, follow_symlinks=follow, **at).st_mode):
        raise NotRegular(errno.EINVAL, "not a regular file")
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)  # it may have become a pipe meanwhile
    flags |= 0 if follow else getattr(os, "O_NOFOLLOW", 0)
    file = io.FileIO(os.open(path, flags, **at))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise NotRegular(errno.EINVAL, "not a regular file")
    return file


def read_regular(path, most, follow=True, **at):
    """The bytes of a regular file; ValueError, before reading, if it has more than ``most``."""
    with io.BufferedReader(open_regular(path, follow, **at)) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"it has {size:,} bytes, and never needs more than {most:,}")
        return file.read(size)


def raise_if_out_of_memory(error):
    """Raise MemoryError if that is what is behind an exception: clean-up code may hide it.

    Compiled code that forgets to look at what it was given ends in a SystemError of Python's.
    """
    seen = []
    while error is not None and error not in seen:
        if (
            isinstance(error, MemoryError)
            or getattr(error, "errno", None) == errno.ENOMEM
            or isinstance(error, SystemError)
        ):
            raise MemoryError from error
        seen.append(error)
        error = error.__cause__ or error.__context__
