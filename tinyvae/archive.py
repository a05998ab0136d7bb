"""Named arrays in an .npz whose bytes depend on nothing else, read back without trusting a byte.

An .npz is a zip of .npy files.  Ours are stored as they are, never compressed and never pickled,
so a reader needs no more memory than the file's own size, whatever its headers promise.
"""

import hashlib
import io
import math
import zipfile

import numpy as np

MOST_MEMBERS = 50_000  # zipfile takes a third of a second for them


class ArchiveError(ValueError):
    """The bytes are not those of such a file: a sentence without its beginning, the file's name."""


def write(arrays):
    """dict name -> array  ->  the bytes of an .npz, the same for the same arrays"""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())  # dated 1980
    return content.getvalue()


def read(content):
    """The bytes of an .npz  ->  dict name -> array;  the arrays are read-only views of the bytes

    Raises ArchiveError, and whatever `zipfile` and NumPy raise for bytes that are not theirs.
    """
    if content.count(b"PK\1\2") > MOST_MEMBERS:  # so does each line of the table of contents start
        raise ArchiveError(f"holds more than {MOST_MEMBERS:,} members, which no model has")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        names = [member.orig_filename for member in members]
        if len(set(names)) < len(names):
            raise ArchiveError("holds a member twice")
        if any(set("/\\:\0") & set(name) or not name.endswith(".npy") for name in names):
            raise ArchiveError("holds members that are not arrays, or paths")
        stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
        if not stored or any(member.flag_bits & 1 for member in members):
            raise ArchiveError("is compressed or encrypted, which it never is when it is saved")
        if sum(member.file_size for member in members) > len(content):
            raise ArchiveError("promises more bytes than it has")
        return {name[:-4]: _array(name[:-4], archive.read(name)) for name in names}


def _array(name, content):
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ArchiveError(f"holds {name} in another version of the .npy format than 1.0")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
    held, promised = len(content) - stream.tell(), math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise ArchiveError(f"holds {name} as Python objects, which only pickle could read")
    if held != promised:
        raise ArchiveError(f"holds {held} bytes of {name}, and its header promises {promised}")
    order = "F" if by_columns else "C"
    return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape, order=order)


def digest(arrays):
    """SHA-256 over names, types, shapes and bytes of the arrays  ->  (32,) uint8"""
    sha = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(np.ascontiguousarray(array))
    return np.frombuffer(sha.digest(), np.uint8)
