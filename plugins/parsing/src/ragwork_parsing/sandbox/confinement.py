"""Taking away what a parser has no business with: the network, other processes, programs, files to write, memory, time.

System calls are refused by a filter in the operating system's kernel (seccomp), assembled here: it is twenty
instructions, and libseccomp is no wheel. Where there is none, a network namespace of its own takes the network away.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable, Mapping
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER: Final = 2
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_THREAD = 0x10000000, 0x40000000, 0x00010000

#: Machine → AUDIT_ARCH, and the numbers of its system calls.
_ARCHITECTURES: Final[Mapping[str, tuple[int, int]]] = {
    "x86_64": (0xC000003E, 0),
    "aarch64": (0xC00000B7, 1),
}
#: Numbers on x86_64 and aarch64; -1 where there is none.
_REACHING_OUT: Final = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "accept": (43, 202), "accept4": (288, 242),
    "bind": (49, 200), "listen": (50, 201), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438), "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "mount": (165, 40), "umount2": (166, 39), "unshare": (272, 97), "setns": (308, 268),
}  # fmt: skip
_OTHER_PROCESSES: Final = {
    "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "prlimit64": (302, 261),
    "setrlimit": (160, 164),
}  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)

# Landlock: what may be done below a folder or to a file; everything else of these is refused.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION, _LANDLOCK_PATH = 1, 1
_FILES_ALL, _FILES_READ, _FILES_WRITE = (1 << 13) - 1, (1 << 2) | (1 << 3), (1 << 2) | (1 << 1)
#: What a language runtime reads beside its own folders.
_SYSTEM: Final = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom")

# Classic BPF over struct seccomp_data {int nr; u32 arch; u64 ip; u64 args[6]}.
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_X32: Final = 0x40000000


class CannotConfine(Exception):
    """This system has no way to take the network from a process. The text says why."""


def obstacle() -> str | None:
    """Why processes of this system can't be confined, ``None`` when they can. Changes nothing."""
    if sys.platform != "linux":
        return f"{platform.system()} can't take the network from a process that parses; Linux can"
    if _has_seccomp() or _namespaces_allowed():
        return None
    return "neither seccomp filters nor user namespaces are allowed here: allow one of them to this server"


def take_network() -> str:
    """For the whole life of this process and its children. What took it. Raises ``CannotConfine``."""
    if _has_seccomp():
        _install(_filter(_REACHING_OUT))
        return "seccomp"
    if _LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        raise CannotConfine(f"a network namespace: {os.strerror(ctypes.get_errno())}")
    return "namespace"


def take_files(readable: Iterable[str]) -> bool:
    """Nothing but ``readable`` and the system's libraries can be read, nothing be written. Whether this kernel can."""
    if not has_landlock():
        return False
    ruleset = _LIBC.syscall(_LANDLOCK_CREATE, ctypes.byref(ctypes.c_uint64(_FILES_ALL)), 8, 0)
    for path in (*_SYSTEM, sys.prefix, sys.base_prefix, *readable):
        _permit(ruleset, path, _FILES_READ)
    _permit(ruleset, os.devnull, _FILES_WRITE)
    _no_new_privileges()
    if _LIBC.syscall(_LANDLOCK_RESTRICT, ruleset, 0) != 0:
        raise CannotConfine(f"Landlock: {os.strerror(ctypes.get_errno())}")
    os.close(ruleset)
    return True


def has_landlock() -> bool:
    """Whether this kernel can keep a process to some folders."""
    return sys.platform == "linux" and bool(_LIBC.syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION) > 0)


def take_other_processes() -> None:
    """No program can be started, no process made or signalled; threads can."""
    if _has_seccomp():
        _install(_filter(_OTHER_PROCESSES, threads_only=True))


def limit(memory_bytes: int, cpu_seconds: int) -> None:
    """Bounds of this process, held by the operating system; it ends with its parent."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(kind, (most, most))


def _has_seccomp() -> bool:
    if platform.machine() not in _ARCHITECTURES or sys.byteorder != "little":
        return False
    # No filter at that address: a kernel that knows filters says EFAULT, and nothing has changed.
    _LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, 0, 0, 0)
    return ctypes.get_errno() == errno.EFAULT


def _namespaces_allowed() -> bool:
    try:
        with open("/proc/sys/user/max_user_namespaces") as file:
            return int(file.read()) > 0
    except (OSError, ValueError):
        return False


def _permit(ruleset: int, path: str, access: int) -> None:
    try:
        found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there need not be read
    try:
        if not os.path.isdir(path):
            access &= ~(1 << 3)
        # struct landlock_path_beneath_attr {u64 allowed_access; s32 parent_fd} packed
        rule = ctypes.create_string_buffer(struct.pack("=Qi", access, found), 12)
        if _LIBC.syscall(_LANDLOCK_ADD, ruleset, _LANDLOCK_PATH, rule, 0) != 0:
            raise CannotConfine(f"Landlock, {path}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(found)


def _no_new_privileges() -> None:
    if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise CannotConfine(f"no_new_privs: {os.strerror(ctypes.get_errno())}")


def _filter(refused: Mapping[str, tuple[int, int]], *, threads_only: bool = False) -> bytes:
    """The program: system calls of ``refused`` fail as not permitted, others are as before."""
    architecture, column = _ARCHITECTURES[platform.machine()]
    refuse = _REFUSE | errno.EPERM
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_GREATER_EQUAL, 0, 1, _X32),
        (_RETURN, 0, 0, refuse),
    ]
    for number in (numbers[column] for numbers in refused.values()):
        if number >= 0:
            program += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, refuse)]
    if threads_only:
        program += [
            # Its flags are in memory, where no filter can look: libraries fall back to clone.
            (_JUMP_EQUAL, 0, 1, _CLONE3[column]),
            (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),
            (_JUMP_EQUAL, 0, 3, _CLONE[column]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_JUMP_ANY_BIT, 1, 0, _CLONE_THREAD),
            (_RETURN, 0, 0, refuse),
        ]
    return _assembled([*program, (_RETURN, 0, 0, _ALLOW)])


def _assembled(program: Iterable[tuple[int, int, int, int]]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _install(program: bytes) -> None:
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog {unsigned short len; struct sock_filter *filter}
    described = struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(code))
    _no_new_privileges()
    if _LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, described, 0, 0) != 0:
        raise CannotConfine(f"a seccomp filter: {os.strerror(ctypes.get_errno())}")
