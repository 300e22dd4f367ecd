"""A private slapd on loopback, with its own folder and port: people, two groups, memberOf kept by the server."""

from __future__ import annotations

import ipaddress
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

SLAPD = "/usr/sbin/slapd"
MODULES = "/usr/lib/ldap"
SCHEMAS = Path("/etc/ldap/schema")
ROOT_PASSWORD = "password of the directory"
_PREFIX = "pileus-test-slapd-"


class Slapd:
    """A running directory: its suffix, port, and what changes it."""

    def __init__(self, folder: Path, suffix: str, port: int, secure_port: int) -> None:
        self.folder = folder
        self.suffix = suffix
        self.port = port
        self.secure_port = secure_port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def principal(self) -> str:
        """Return the DN that may read everything."""
        return f"cn=admin,{self.suffix}"

    def dn(self, name: str, unit: str = "people") -> str:
        """Return the DN of a person."""
        return f"uid={name},ou={unit},{self.suffix}"

    def group(self, name: str) -> str:
        """Return the DN of a group."""
        return f"cn={name},ou=groups,{self.suffix}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        urls = f"ldap://127.0.0.1:{self.port}" + (f" ldaps://127.0.0.1:{self.secure_port}" if self.secure else "")
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [SLAPD, "-d", "0", "-f", str(self.folder / "slapd.conf"), "-h", urls, *_as_nobody()],
            stdout=log,
            stderr=log,
        )
        log.close()
        until = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise RuntimeError(f"slapd did not start: {(self.folder / 'log').read_text()}") from None
                time.sleep(0.02)

    @property
    def secure(self) -> bool:
        """Tell whether it has a certificate."""
        return (self.folder / "server.pem").exists()

    def stop(self) -> None:
        """Stop it."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        self.process = None

    def pause(self) -> None:
        """Let it take connections but say nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def add(self, ldif: str) -> None:
        """Add entries."""
        self._run("ldapadd", ldif)

    def change(self, ldif: str) -> None:
        """Change entries."""
        self._run("ldapmodify", ldif)

    def person(self, name: str, *, unit: str = "people", password: str = "") -> None:
        """Add a person; the password is "secret of <name>" unless one is given."""
        self.add(
            f"dn: {self.dn(name, unit)}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: Last {name}\n"
            f"givenName: First {name}\nmail: {name}@ldap.test\nuserPassword: {password or 'secret of ' + name}\n"
        )

    def join(self, name: str, group: str) -> None:
        """Put a person into a group."""
        self.change(f"dn: {self.group(group)}\nchangetype: modify\nadd: uniqueMember\nuniqueMember: {self.dn(name)}\n")

    def leave(self, name: str, group: str) -> None:
        """Take a person out of a group."""
        what = f"delete: uniqueMember\nuniqueMember: {self.dn(name)}\n"
        self.change(f"dn: {self.group(group)}\nchangetype: modify\n{what}")

    def _run(self, tool: str, ldif: str) -> None:
        url = f"ldap://127.0.0.1:{self.port}"
        subprocess.run(
            [tool, "-x", "-H", url, "-D", self.principal, "-w", ROOT_PASSWORD],
            input=ldif.encode(),
            check=True,
            capture_output=True,
            timeout=20,
        )


@contextmanager
def slapd(suffix: str = "dc=one,dc=test", *, tls: tuple[bytes, bytes] | None = None) -> Generator[Slapd]:
    """Run a directory with the people alice, bob and carol, and the groups seniors (alice) and juniors (bob).

    ``tls``: certificate and key (PEM).
    """
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    running = Slapd(folder, suffix, _free_port(), _free_port())
    try:
        _configure(running, tls)
        running.start()
        _fill(running)
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


def certificate(name: str = "127.0.0.1") -> tuple[bytes, bytes]:
    """Return a new certificate for an address that vouches for itself, and its key (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "directory")])
    moment = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(hours=1))
        .not_valid_after(moment + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM), plain


def _configure(of: Slapd, tls: tuple[bytes, bytes] | None) -> None:
    (of.folder / "db").mkdir()
    schemas = "".join(f"include {SCHEMAS / name}.schema\n" for name in ("core", "cosine", "inetorgperson"))
    secure = ""
    if tls is not None:
        (of.folder / "server.pem").write_bytes(tls[0])
        (of.folder / "server.key").write_bytes(tls[1])
        secure = f"TLSCertificateFile {of.folder}/server.pem\nTLSCertificateKeyFile {of.folder}/server.key\n"
    (of.folder / "slapd.conf").write_text(
        f"{schemas}modulepath {MODULES}\nmoduleload back_mdb\nmoduleload memberof\npidfile {of.folder}/pid\n{secure}"
        # What Active Directory does: a bind with a name and without a password succeeds, as nobody.
        "allow bind_anon_cred\n"
        f'database mdb\nmaxsize 16777216\ndirectory {of.folder}/db\nsuffix "{of.suffix}"\nrootdn "{of.principal}"\n'
        f'rootpw "{ROOT_PASSWORD}"\naccess to attrs=userPassword by anonymous auth by * none\n'
        "access to * by users read by * none\n"
        "overlay memberof\nmemberof-group-oc groupOfUniqueNames\nmemberof-member-ad uniqueMember\n"
    )
    if os.geteuid() == 0:
        for each in (of.folder, *of.folder.rglob("*")):
            os.chown(each, pwd.getpwnam("nobody").pw_uid, -1)


def _fill(of: Slapd) -> None:
    top = of.suffix.split(",")[0].split("=")[1]
    units = "".join(
        f"dn: ou={unit},{of.suffix}\nobjectClass: organizationalUnit\nou: {unit}\n\n"
        for unit in ("people", "groups", "guests")
    )
    of.add(f"dn: {of.suffix}\nobjectClass: dcObject\nobjectClass: organization\no: {top}\ndc: {top}\n\n{units}")
    for name in ("alice", "bob", "carol"):
        of.person(name)
    for group, name in (("seniors", "alice"), ("juniors", "bob")):
        of.add(f"dn: {of.group(group)}\nobjectClass: groupOfUniqueNames\ncn: {group}\nuniqueMember: {of.principal}\n")
        of.join(name, group)


def _as_nobody() -> list[str]:
    return ["-u", "nobody"] if os.geteuid() == 0 else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _sweep() -> None:
    """Stop what a killed run of these tests, of a process that is gone, has left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if time.time() - folder.stat().st_mtime < 600:
            continue  # of another run, that may go on
        try:
            number = int((folder / "pid").read_text())
            if str(folder) in Path(f"/proc/{number}/cmdline").read_text():
                os.kill(number, signal.SIGKILL)
        except (OSError, ValueError):
            pass
        shutil.rmtree(folder, ignore_errors=True)
