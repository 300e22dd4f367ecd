"""A libvirtd of the agent's own, for hosts where none runs: started, found again, supervised and stopped here.

It lives in a mount namespace in which folders of the agent's data stand where libvirt expects its own (/run/libvirt,
/etc/libvirt, /var/lib/libvirt …), so several clouds can have one each on a host, and nothing is left behind
outside the data folder.  Network and process namespaces are the host's.  QEMU processes outlive it: a libvirtd that
was restarted finds them again.

Run as a program (`python -m pileus.agent.libvirtd FOLDER`, within `unshare --mount`) it mounts and becomes libvirtd.
"""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

SYSTEM_SOCKET = Path("/run/libvirt/libvirt-sock")
_OWN_MOUNTS = ("unshare", "--mount", "--propagation", "slave", "--")
_KVM = "/dev/kvm"
_MADE = ".made-by-pileus"  # file in a folder that was not there before some cloud on this host needed it
_MASK = "no-kvm"  # file that nobody may open, over a /dev/kvm that is of no use
_BINARY = "/usr/sbin/libvirtd"
_MOUNTS = {
    "run": "/run/libvirt",
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
}
_LONGEST_SOCKET = 100  # the kernel takes 107 bytes for the path of a Unix socket
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_LONGEST_PAUSE = 60.0  # between attempts to start it
_LOG_BYTES = 10 * 2**20


class Libvirtd:
    """The agent's own libvirtd below `folder` (DATA/agent/libvirt)."""

    def __init__(self, folder: Path, prefix: str, *, kvm: bool = False) -> None:
        """Work below `folder`; `kvm` says that a probe guest proved hardware virtualisation."""
        self._folder = folder
        self._kvm = kvm
        self._link = Path(f"/run/pileus-{prefix}-libvirt")
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def exists(self) -> bool:
        """Tell whether this cloud has begun to use a libvirtd of its own: then it goes on with it."""
        return (self._folder / "etc" / "libvirtd.conf").exists()

    def uri(self) -> str:
        """Return the URI that connects to it."""
        return f"qemu:///system?socket={self.socket()}"

    def socket(self) -> Path:
        """Return its socket's path, through a link in /run when the data folder's name is too long for one."""
        path = self._folder / "run" / "libvirt-sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET:
            return path
        target = self._folder / "run"
        if not self._link.is_symlink() or self._link.readlink() != target:
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(target)
        return self._link / "libvirt-sock"

    def start(self) -> None:
        """Start it, or find the one that runs; return when it answers."""
        with self._lock:
            process = None
            if self.pid() is None:
                self._configure()
                process = self._spawn()
            end = time.monotonic() + _START_SECONDS
            while not answers(self.socket()):
                if process is not None and process.poll() is not None:
                    raise RuntimeError(f"libvirtd ended with {process.returncode}: {self._said()}")
                if time.monotonic() > end:
                    raise RuntimeError(f"libvirtd did not come up in {_START_SECONDS:.0f} s: {self._said()}")
                time.sleep(0.05)

    def supervise(self) -> None:
        """Start it again whenever it dies, until `stop`."""
        threading.Thread(target=self._watch, name="libvirtd", daemon=True).start()

    def release(self) -> None:
        """Stop supervising; libvirtd and the guests go on."""
        self._stopping.set()

    def stop(self) -> None:
        """End libvirtd, and any QEMU of it that is still there (guests were shut down before, by libvirt)."""
        self._stopping.set()
        with self._lock:
            _end(self.pid())
            guests = (self._folder / "run" / "qemu").glob("*.pid")
            inquiries = (self._folder / "lib" / "qemu").glob("qmp-*/qmp.pid")  # libvirt asks QEMU what it can
            for file in (*guests, *inquiries):
                _end(_running(file, "qemu"))
            self._link.unlink(missing_ok=True)
            for folder in _MOUNTS.values():
                give_back(Path(folder))

    def pid(self) -> int | None:
        """Return its process id while it runs."""
        return _running(self._folder / "run" / "libvirtd.pid", str(self._folder))

    def _watch(self) -> None:
        pause = _LOOK_SECONDS
        while not self._stopping.wait(pause):
            if self.pid() is None:
                log.warning("libvirtd of this cloud died; starting it again, guests go on", folder=str(self._folder))
                try:
                    self.start()
                    pause = _LOOK_SECONDS
                except (OSError, RuntimeError) as error:
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    log.error("libvirtd does not start; trying again", seconds=pause, why=str(error))  # noqa: TRY400

    def _configure(self) -> None:
        for name in _MOUNTS:
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o711)
        identity = self._folder / "host-uuid"
        if not identity.exists():
            identity.write_text(str(uuid.uuid4()))
        user = _qemu_user(self._folder.parent)
        (self._folder / "etc" / "qemu.conf").write_text(_qemu_conf(user))
        self._mask_kvm(useless=user is not None and not self._kvm)
        (self._folder / "etc" / "libvirtd.conf").write_text(_libvirtd_conf(identity.read_text().strip()))

    def _mask_kvm(self, *, useless: bool) -> None:
        """Hide a useless /dev/kvm from libvirtd.

        When QEMU's user cannot open a /dev/kvm that is there, libvirt holds its knowledge of QEMU for outdated and
        asks QEMU anew, half a minute for each definition.  (As root QEMU can open it: no harm, then.)
        """
        mask = self._folder / _MASK
        if useless:
            mask.touch()
            mask.chmod(0)
        else:
            mask.unlink(missing_ok=True)

    def _said(self) -> str:
        """Return the end of what it said at its start, and where its log is."""
        output = self._folder / "log" / "start.log"
        text = output.read_text(errors="replace").strip() if output.exists() else ""
        return f"{text[-500:] or 'it said nothing'} (see {self._folder / 'log'})"

    def _spawn(self) -> subprocess.Popen[bytes]:
        output = self._folder / "log" / "start.log"
        log_file = self._folder / "log" / "libvirtd.log"
        if log_file.exists() and log_file.stat().st_size > _LOG_BYTES:
            log_file.replace(log_file.with_suffix(".log.1"))
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*_OWN_MOUNTS, sys.executable, "-m", "pileus.agent.libvirtd", str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                cwd="/",
            )
        log.info("libvirtd of this cloud is starting", pid=process.pid, folder=str(self._folder))
        threading.Thread(target=process.wait, name="libvirtd-wait", daemon=True).start()  # no zombie stays
        return process


def answers(path: Path) -> bool:
    """Tell whether somebody accepts connections on a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(2)
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True


def provide(folder: Path) -> None:
    """Make a folder to mount over, where the host has none, and note in it that we did."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return
    (folder / _MADE).touch()


def give_back(folder: Path) -> None:
    """Remove a folder that `provide` made, unless it was used since or somebody has something mounted there.

    (To remove a folder is to unmount what others have mounted over it: another cloud's libvirtd would lose its own.)
    """
    note = folder / _MADE
    if not note.exists() or list(folder.iterdir()) != [note] or _mounted(folder):
        return
    note.unlink()
    folder.rmdir()


def _mounted(folder: Path) -> bool:
    """Tell whether any process of this host sees something mounted at the folder."""
    seen: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            namespace = (process / "ns/mnt").readlink().name
            if namespace in seen:
                continue
            mounts = (process / "mountinfo").read_text()
        except OSError:  # it has ended
            continue
        seen.add(namespace)
        if any(line.split()[4] == str(folder) for line in mounts.splitlines()):
            return True
    return False


def become_libvirtd(folder: Path) -> None:
    """Mount the folders over libvirt's own (we are in a mount namespace of our own) and become libvirtd."""
    for name, target in _MOUNTS.items():
        provide(Path(target))
        subprocess.run(["mount", "--bind", str(folder / name), target], check=True, timeout=30)
    mask = folder / _MASK
    if mask.exists() and Path(_KVM).exists():
        subprocess.run(["mount", "--bind", str(mask), _KVM], check=True, timeout=30)
    arguments = ["--config", str(folder / "etc/libvirtd.conf"), "--pid-file", str(folder / "run/libvirtd.pid")]
    os.execv(_BINARY, ["libvirtd", *arguments])  # noqa: S606 - no shell is wanted


def _running(pid_file: Path, mark: str) -> int | None:
    """Return the process id in a file when that process runs and its command line contains `mark`."""
    try:
        pid = int(pid_file.read_text().strip())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(mark) in command and _state(pid) != "Z" else None


def _state(pid: int) -> str:
    """Return the state letter of a process, "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _end(pid: int | None) -> None:
    """Ask a process to end, and kill it when it does not."""
    if pid is None:
        return
    for number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if _state(pid) in {"", "Z"}:
                return
            time.sleep(0.05)
    log.error("a process does not end, not even killed; look at it", pid=pid)


def _qemu_user(agent: Path) -> str | None:
    """Name Debian's unprivileged user for QEMU when it can reach the agent's folder; None = root has to do."""
    try:
        user = pwd.getpwnam("libvirt-qemu")
    except KeyError:
        return None
    reachable = all(folder.stat().st_mode & 0o001 for folder in (agent, *agent.parents))
    return user.pw_name if reachable else None


def _qemu_conf(user: str | None) -> str:
    """Render qemu.conf: no daemon but libvirtd is needed; confinement is by user and by QEMU's seccomp filter."""
    owner = (
        ['user = "+0"', 'group = "+0"', "dynamic_ownership = 0"]
        if user is None
        else [f'user = "{user}"', 'group = "kvm"', "dynamic_ownership = 1"]
    )
    lines = [
        *owner,
        "remember_owner = 0",
        'security_driver = "none"',
        "namespaces = [ ]",
        "cgroup_controllers = [ ]",
        'stdio_handler = "file"',
        'vnc_listen = "127.0.0.1"',
        "seccomp_sandbox = 1",
    ]
    return "\n".join(lines) + "\n"


def _libvirtd_conf(host_uuid: str) -> str:
    lines = [
        'unix_sock_group = "root"',
        'unix_sock_rw_perms = "0700"',
        'unix_sock_ro_perms = "0700"',
        'auth_unix_rw = "none"',
        f'host_uuid = "{host_uuid}"',
        'log_outputs = "3:file:/var/log/libvirt/libvirtd.log"',
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    become_libvirtd(Path(sys.argv[1]))
