"""Who the server runs as. Postgres refuses root, so root needs another name for it."""

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs
from ragwork_hooks.errors import ConfigError

from ragwork_embedded.data_directory import WHERE
from ragwork_embedded.locks import FileLock

#: The account that root falls back to: it exists everywhere and owns nothing.
UNPRIVILEGED = "nobody"


@attrs.frozen(kw_only=True)
class ServerUser:
    """How Postgres programs are started: behind ``prefix``, as ``uid``/``gid`` when they are set."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def run(
        self, argv: Sequence[str], *, stdin: str = "", lock: FileLock | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run to the end, in its own session so that Ctrl-C does not break it half-way.

        The process inherits ``lock`` and nothing else. A program that can't be executed gives status 126.
        """
        command = [*self.prefix, *argv]
        try:
            return subprocess.run(  # noqa: S603 - programs of the wheel, arguments of ours
                command,
                input=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
                cwd="/",
                env=_environment(),
                start_new_session=True,
                pass_fds=() if lock is None else (lock.fileno(),),
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else (),
            )
        except OSError as error:
            return subprocess.CompletedProcess(command, 126, stdout=str(error))

    def detach(self, argv: Sequence[str], *, output: Path, lock: FileLock) -> None:
        """Start a process that is not our child, so it neither dies with us nor stays a zombie.

        It inherits ``lock``; what it prints replaces the content of ``output``.
        """
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            subprocess.run(  # noqa: S603 - as above; the shell only puts its arguments in the background
                ["/bin/sh", "-c", '"$@" &', "sh", *self.prefix, *argv],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                check=True,
                cwd="/",
                env=_environment(),
                start_new_session=True,
                pass_fds=(lock.fileno(),),
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else (),
            )
        finally:
            os.close(descriptor)


def choose(data: Path) -> ServerUser:
    """The identity for the cluster in ``data``, which need not exist yet.

    An ordinary account is itself. Root, and an account without a name (initdb wants one), get another
    name in a user namespace, where files keep their owner; where namespaces are forbidden, root drops
    to ``nobody``. A cluster that ``nobody`` owns stays so.
    """
    account = pwd.getpwnam(UNPRIVILEGED)
    lowered = ServerUser(uid=account.pw_uid, gid=account.pw_gid)
    uid = os.geteuid()
    if uid != 0 and _has_name(uid):
        return ServerUser()
    if uid == 0 and data.exists() and data.stat().st_uid == account.pw_uid:
        return lowered
    renamed = _in_namespace(account.pw_uid)
    if renamed is not None:
        return renamed
    if uid != 0:
        raise ConfigError(
            "user", f"the account {uid} has no name, which Postgres needs", "run as an account of /etc/passwd"
        )
    return lowered


def admit(identity: ServerUser, root: Path, data: Path) -> None:
    """Let ``identity`` reach ``data`` in ``root``, the data directory, and own it.

    ``root`` becomes passable, not readable, for its group, and no directory above is touched. Raises
    ``ConfigError`` when one of those is closed.
    """
    if identity.uid is None or identity.gid is None:
        return
    os.chown(root, -1, identity.gid)
    root.chmod(stat.S_IMODE(root.stat().st_mode) | stat.S_IXGRP)
    if identity.run(["/bin/sh", "-c", 'cd "$1"', "sh", str(root)]).returncode:
        raise ConfigError(
            WHERE,
            f"Postgres refuses root, and {UNPRIVILEGED} can't pass through to {root}",
            "run as an ordinary account, or name a directory outside private ones, such as /var/lib/ragwork",
        )
    if data.exists() and data.stat().st_uid != identity.uid:
        for path in (data, *data.rglob("*")):
            os.chown(path, identity.uid, identity.gid, follow_symlinks=False)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _in_namespace(uid: int) -> ServerUser | None:
    program = shutil.which("unshare")
    if program is None:
        return None
    renamed = ServerUser(prefix=(program, "--user", f"--map-user={uid}", "--"))
    return renamed if renamed.run(["true"]).returncode == 0 else None


def _environment() -> dict[str, str]:
    # Nothing of ours: PGDATA, PGOPTIONS or LC_ALL of the caller would bend the server.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_MESSAGES": "C"}
