"""Named arrays in an .npz: write one whose bytes depend on nothing else, read one without trust.

An .npz is a zip of .npy files.  This is the only reader of them, for data and for checkpoints.
Every header is checked before what it describes is read; nothing is unpickled or unpacked to disk.
What `write` makes is stored uncompressed, so reading it takes no more memory than its size.
"""

import hashlib
import io
import math
import zipfile
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

CHUNK = 1 << 20  # bytes read at a time
MOST_MEMBERS = 50_000  # zipfile lists them in a third of a second


class ArchiveError(ValueError):
    """The bytes are no such .npz: a sentence whose subject, the file's name, the caller puts in."""


class Member(NamedTuple):
    """The header of one array, and the stream that its elements follow in."""

    shape: tuple[int, ...]
    by_columns: bool  # Fortran's order
    dtype: np.dtype
    stream: io.BufferedIOBase

    @property
    def nbytes(self):
        """How many bytes of elements the header promises"""
        return math.prod(self.shape) * self.dtype.itemsize


class Archive:
    """An .npz that is open: `names` of its arrays, and `open(name)`, a context with a Member.

    file binary and seekable, of ``size`` bytes.  Without ``compressed`` only stored members are
    taken.  Raises ArchiveError, and whatever `zipfile` and NumPy raise for bytes not theirs.
    """

    def __init__(self, file, size, compressed=False):
        _check_count(file)
        self.zip = zipfile.ZipFile(file)
        members = self.zip.infolist()
        names = [member.orig_filename for member in members]
        if len(set(names)) < len(names):
            raise ArchiveError("holds a member twice")
        if any(set("/\\:\0") & set(name) or not name.endswith(".npy") for name in names):
            raise ArchiveError("holds members that are not arrays, or paths")
        if any(member.flag_bits & 1 for member in members):
            raise ArchiveError("is encrypted")
        methods = {member.compress_type for member in members}
        if compressed and methods - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise ArchiveError("is compressed neither by deflate nor at all")
        if not compressed and methods - {zipfile.ZIP_STORED}:
            raise ArchiveError("is compressed, which it never is when it is saved")
        stored = [m.file_size for m in members if m.compress_type == zipfile.ZIP_STORED]
        if sum(stored) > size:
            raise ArchiveError("promises more bytes than it has")
        self.names = [name.removesuffix(".npy") for name in names]

    @contextmanager
    def open(self, name):
        """with archive.open(name) as member: ...    Errors name the member."""
        with self.zip.open(f"{name}.npy") as stream:
            if np.lib.format.read_magic(stream) != (1, 0):  # later ones have headers of any size
                raise ArchiveError(f"holds {name} in another version of the .npy format than 1.0")
            try:
                header = np.lib.format.read_array_header_1_0(stream)
            except (MemoryError, RecursionError):  # Python's parser, for very deep brackets
                raise ArchiveError(f"holds {name} under a header that cannot be read") from None
            member = Member(*header, stream)
            if member.dtype.hasobject:
                raise ArchiveError(f"holds {name} as Python objects, which only pickle could read")
            yield member


def read(content):
    """The bytes of an .npz that `write` made  ->  dict name -> array, read-only"""
    archive = Archive(io.BytesIO(content), len(content))
    return {name: _read_array(archive, name) for name in archive.names}


def write(arrays):
    """dict name -> array  ->  the bytes of an .npz, a memoryview, the same for the same arrays"""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # dated 1980
            member.file_size = (
                array.nbytes + 128
            )  # at the least, so that zipfile chooses its format
            with archive.open(member, "w") as stream:  # no copy of the array is made
                np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return content.getbuffer()


def digest(arrays):
    """SHA-256 over names, types, shapes and bytes of the arrays  ->  (32,) uint8"""
    sha = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(np.ascontiguousarray(array))
    return np.frombuffer(sha.digest(), np.uint8)


def _read_array(archive, name):
    with archive.open(name) as member:
        content = member.stream.read()
        if len(content) != member.nbytes:
            raise ArchiveError(
                f"holds {len(content)} bytes of {name}, and its header promises {member.nbytes}"
            )
        order = "F" if member.by_columns else "C"
        return np.frombuffer(content, member.dtype).reshape(member.shape, order=order)


def _check_count(file):
    """Refuse more members than zipfile can list in no time; each has a line that starts so."""
    count, end = 0, b""
    file.seek(0)
    while piece := file.read(CHUNK):
        count += (end + piece).count(b"PK\1\2")
        end = piece[-3:]
    file.seek(0)
    if count > MOST_MEMBERS:
        raise ArchiveError(
            f"holds more than {MOST_MEMBERS:,} members, which no model or data set has"
        )
