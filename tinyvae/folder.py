"""A run folder while a training uses it: lock it, write to it safely, notice when it is lost.

A folder in use can be moved, removed, made anew by another training, or robbed of its lock.  So the
folder and the lock stay open, all files are named relative to the open folder, and before each save
both are compared with what their paths lead to.  Where systems have no such thing (Windows) the
paths alone are used.  Source: "How To Corrupt An SQLite Database File", sqlite.org/howtocorrupt.
"""

import errno
import os
import stat
import warnings
from contextlib import suppress
from pathlib import Path

from tinyvae.files import NotRegular, read_regular

BY_DESCRIPTOR = {os.open, os.rename, os.unlink, os.stat} <= os.supports_dir_fd
IN_USE = errno.EAGAIN, errno.EACCES, errno.EDEADLK  # errors of a lock that somebody else holds
NOT_OFFERED = {  # errors of a file system that lacks an operation
    getattr(errno, name)
    for name in ("EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ENOLCK", "ENOTTY", "EBADF")
    if hasattr(errno, name)
}
NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class CheckpointError(ValueError):
    """A run folder that cannot be read or written: one sentence on what, where, what to do."""


class FolderLost(CheckpointError):
    """The folder of a training is no longer its own: to resume in the same path is no way out."""


class RunFolder:
    """A run folder that is open for writing; it is made if need be.    with RunFolder(path): ...

    ``warn`` gets one sentence for each thing that the file system does not offer.  Raises
    CheckpointError if the folder cannot be made.
    """

    def __init__(self, path, warn=warnings.warn):
        self.path, self.lock_file, self.history, self.warned = Path(path), None, None, set()
        self._warn = warn
        try:
            self._make()
            flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
            self.descriptor = os.open(self.path, flags) if BY_DESCRIPTOR else None
        except OSError as error:
            raise CheckpointError(
                f"{self.path}: cannot be written ({error.strerror}); choose another folder"
            ) from error

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.lock_file is not None:
            os.close(self.lock_file)
        if self.descriptor is not None:
            os.close(self.descriptor)

    # --- the lock

    def lock(self):
        """Keep other trainings out: CheckpointError if one is in there.

        The lock dies with its process.  The empty file .lock stays.
        """
        while self.lock_file is None or not self._has_lock():  # it may be replaced meanwhile
            self._take_lock(os.O_CREAT)

    def _take_lock(self, flags):
        old, self.lock_file = self.lock_file, self._open_lock(flags)
        if old is not None:
            os.close(old)
        try:
            _lock(self.lock_file)
        except OSError as error:
            if error.errno in IN_USE:
                raise CheckpointError(
                    f"{self.path}: another training is at work in this folder; wait for it, or "
                    "choose another folder"
                ) from None
            if error.errno not in NOT_OFFERED:
                raise CheckpointError(
                    f"{self.path}: .lock cannot be locked ({error.strerror}); choose another folder"
                ) from error
            self.warn(
                f"this file system has no locks ({error.strerror}): see to it that no other "
                "training uses the folder"
            )

    def _open_lock(self, flags):
        name, at = self._at(".lock")
        try:
            if (kind := self._kind(".lock")) not in (None, "file"):
                raise CheckpointError(f"{self.path / '.lock'}: is a {kind}; remove it")
            return os.open(name, os.O_RDWR | NO_LINK | flags, 0o666, **at)
        except OSError as error:
            raise CheckpointError(
                f"{self.path}: cannot be written ({error.strerror}); choose another folder"
            ) from error

    def _has_lock(self):
        """Whether the path .lock still leads to the file that is locked"""
        if self.descriptor is None:
            return True  # Windows lets nobody remove an open file
        with suppress(FileNotFoundError):
            return os.path.samestat(self._stat(".lock"), os.fstat(self.lock_file))
        return False

    def _keep_lock(self):
        """Make .lock again if it was removed; FolderLost if another training was quicker."""
        if self.lock_file is None or self._has_lock():
            return
        with suppress(CheckpointError):
            self._take_lock(os.O_CREAT | os.O_EXCL)
            if self._has_lock():
                return
        raise FolderLost(
            f"{self.path}: .lock was replaced, so another training has been at work in this "
            "folder; this one stops, and leaves what is there as it is"
        )

    # --- where the folder is

    def check(self):
        """FolderLost if the folder was removed, or another training took it.    -> whether it is
        still where it was; if not it was moved, and is written to all the same"""
        if self.descriptor is None:
            return True
        with suppress(FileNotFoundError, NotADirectoryError):
            if os.path.samestat(os.stat(self.path), os.fstat(self.descriptor)):
                self._keep_lock()
                return True
        try:
            removed = os.fstat(self.descriptor).st_nlink == 0
            self._stat("..")  # some file systems keep a link to a folder that is gone
        except OSError:
            removed = True
        if removed:
            raise FolderLost(
                f"{self.path}: was removed while a training was using it; the training stops, and "
                "what it had saved is gone"
            )
        self._keep_lock()
        return False

    def place(self):
        """The folder's present path, as well as the system knows it"""
        with suppress(OSError):
            return Path(os.readlink(f"/proc/self/fd/{self.descriptor}"))
        return self.path

    # --- saving

    def save(self, files):
        """Put checkpoint.npz and config.json, of these bytes, into the folder.

        Each is written beside the old one, and both are renamed when they are safe on the disk.
        Raises CheckpointError if that fails, which says what the folder holds then, FolderLost if
        the folder is no longer this training's.
        """
        state, aside = "what was saved before is untouched", False
        try:
            at_home = self.check()
            changed = {name: c for name, c in files.items() if not self._holds(name, c)}
            for name, content in changed.items():
                if self._kind(name) == "folder":
                    raise IsADirectoryError(errno.EISDIR, f"{name} is a folder")
                self._write_part(f".{name}.part", content)
            # A configuration that belies its checkpoint makes the run unreadable; none does not.
            if "config.json" in changed and self._kind("config.json"):
                self._rename("config.json", ".config.json.old")
                aside = True
            if "checkpoint.npz" in changed:
                self._rename(".checkpoint.npz.part", "checkpoint.npz")
                aside, state = False, "checkpoint.npz is saved, and holds all of the run"
            if "config.json" in changed:
                self._rename(".config.json.part", "config.json")
                aside = False
            if changed:
                state = "it is saved, but the disk may not have it yet"
                self._sync(self.descriptor, self.path)
        except OSError as error:
            if aside:
                with suppress(OSError):
                    self._rename(".config.json.old", "config.json")
            with suppress(OSError):
                self.check()  # the folder may have been removed in the middle of this
            raise CheckpointError(
                f"{self.path}: cannot be written ({error.strerror}); {state}"
            ) from error
        finally:
            for name in *(f".{name}.part" for name in files), ".config.json.old":
                with suppress(OSError):
                    self._unlink(name)
        if not at_home:
            raise FolderLost(
                f"{self.path}: was moved while a training was using it; the training has saved its "
                f"last epoch there and stops; the folder is now {self.place()}"
            )

    def save_history(self, rows, rewrite=False):
        """Append rows to history.csv, bytes; all of them at once if ``rewrite``.

        The table is for people, and never read: where it cannot be written (a spreadsheet keeps it
        open, say), ``warn`` says so and training goes on.    ->  whether the rows were appended
        """
        try:
            if rewrite:
                if not self._holds("history.csv", rows):
                    self._write_part(".history.csv.part", rows)
                    self._rename(".history.csv.part", "history.csv")
            else:
                before = self._stat("history.csv")
                if (before.st_ino, before.st_size) != self.history:
                    return False
                name, at = self._at("history.csv")
                with open(os.open(name, os.O_WRONLY | os.O_APPEND | NO_LINK, **at), "ab") as file:
                    file.write(rows)
            after = self._stat("history.csv")
            self.history = after.st_ino, after.st_size
            return True
        except OSError as error:
            self.history = None
            if rewrite:
                self.warn(
                    f"history.csv cannot be written ({error.strerror}); training goes on, and "
                    "the table is written when it can be"
                )
                with suppress(OSError):
                    self._unlink(".history.csv.part")
            return False

    def write(self, name, content):
        """Put another file into the folder, whole or not at all; never through a link or a pipe."""
        try:
            self._write_part(f".{name}.part", content)
            self._rename(f".{name}.part", name)
        except OSError as error:
            with suppress(OSError):
                self._unlink(f".{name}.part")
            raise CheckpointError(
                f"{self.path / name}: cannot be written ({error.strerror})"
            ) from error

    def warn(self, sentence):
        """Say a sentence about the folder once."""
        if sentence not in self.warned:
            self.warned.add(sentence)
            self._warn(f"{self.path}: {sentence}")

    # --- the system

    def _at(self, name):
        """How to name a file of the folder to the system: a path, and the folder it starts from"""
        return (self.path / name, {}) if self.descriptor is None else (name, self._here)

    @property
    def _here(self):
        return {"dir_fd": self.descriptor}

    def _stat(self, name):
        name, at = self._at(name)
        return os.stat(name, follow_symlinks=False, **at)

    def _kind(self, name):
        """What has that name: a "file", "folder", "link", "pipe or device", or None"""
        try:
            mode = self._stat(name).st_mode
        except FileNotFoundError:
            return None
        kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
        return kinds.get(stat.S_IFMT(mode), "pipe or device")

    def _holds(self, name, content):
        """Whether a file has that content; one of another size is not read."""
        name, at = self._at(name)
        with suppress(FileNotFoundError, NotRegular, ValueError):
            if os.stat(name, follow_symlinks=False, **at).st_size == len(content):
                return read_regular(name, len(content), follow=False, **at) == content
        return False

    def _write_part(self, name, content):
        """Write a new file, and return when it is on the disk."""
        with suppress(FileNotFoundError):  # a kill left it, or somebody put a link there
            self._unlink(name)
        path, at = self._at(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags, 0o666, **at), "wb") as file:
            file.write(content)
            file.flush()
            self._sync(file.fileno(), name)

    def _rename(self, old, new):
        (old, at), (new, _) = self._at(old), self._at(new)
        both = {"src_dir_fd": self.descriptor, "dst_dir_fd": self.descriptor} if at else {}
        os.replace(old, new, **both)

    def _unlink(self, name):
        name, at = self._at(name)
        os.unlink(name, **at)

    def _sync(self, descriptor, what):
        if descriptor is None:  # elsewhere a folder cannot be opened
            return
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in NOT_OFFERED:
                raise
            self.warn(
                f"this file system cannot be told to write to the disk ({error.strerror}): after "
                "a power failure the last save may be missing"
            )

    def _make(self):
        """Make the folder and its parents, and see that the disk has each new one's name."""
        made, folder = [], self.path
        while not folder.exists() and folder != folder.parent:
            made.append(folder)
            folder = folder.parent
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in made if BY_DESCRIPTOR else ():
            descriptor = os.open(folder.parent, os.O_RDONLY)
            try:
                self._sync(descriptor, folder.parent)
            finally:
                os.close(descriptor)


def _lock(descriptor):
    if os.name == "posix":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
