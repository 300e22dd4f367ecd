"""The guest's files: a small initramfs that mounts the disk, and the system on the disk."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pileus.images.builtin.packages import BuildError, run

GUEST = Path(__file__).parent / "guest"
BOOT_MODULES = ("virtio_pci", "virtio_blk", "ext4")
DISK_MODULES = (
    "virtio_net", "virtio_balloon", "virtio_console", "virtio-rng", "button", "evdev", "isofs",
)  # fmt: skip
SHARED_OBJECTS = (
    "ld-linux-x86-64.so.2", "libc.so.6", "libcrypt.so.1", "libz.so.1",
    "libtomcrypt.so.1", "libtommath.so.1", "libgmp.so.10",
)  # fmt: skip
FOLDERS = (
    "bin sbin dev proc sys run tmp root etc/dropbear usr/bin usr/sbin var/www var/lib/pileus var/log var/run lib lib64"
)
ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "group": "root:x:0:\n",
    "shadow": "root:*:19000:0:99999:7:::\n",
    "shells": "/bin/sh\n",
    "hosts": "127.0.0.1 localhost\n",
    "hostname": "pileus\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
    "issue": "Pileus built-in template on \\n\n\n",
    "profile": "export PATH=/bin:/sbin:/usr/bin:/usr/sbin\n",
}


def kernel_version(packages: Path) -> str:
    """Return the version of the kernel among the unpacked packages."""
    found = sorted((packages / "lib/modules").iterdir())
    if len(found) != 1:
        raise BuildError(f"expected the modules of one kernel, found {[folder.name for folder in found]}")
    return found[0].name


def make_initramfs(packages: Path, work: Path) -> Path:
    """Build the initramfs: busybox, the modules of disk and filesystem in loading order, and ``init``."""
    version = kernel_version(packages)
    root = work / "initramfs"
    for folder in ("bin", "dev", "proc", "sys", "disk", "modules"):
        (root / folder).mkdir(parents=True)
    shutil.copy2(packages / "bin/busybox", root / "bin/busybox")
    shutil.copy2(GUEST / "initramfs/init", root / "init")
    (root / "init").chmod(0o755)
    order = load_order(packages / "lib/modules" / version, BOOT_MODULES)
    for module in order:
        shutil.copy2(module, root / "modules" / module.name)
    (root / "modules/order").write_text("".join(f"{module.name}\n" for module in order))
    return _pack(root, work / "initrd.gz")


def make_root(packages: Path, work: Path) -> Path:
    """Build the folder that becomes the root disk."""
    root = work / "root"
    shutil.copytree(GUEST / "root", root)
    for folder in FOLDERS.split():
        (root / folder).mkdir(parents=True, exist_ok=True)
    for script in [*(root / "usr/lib/pileus").iterdir(), root / "etc/acpi/PWRF/00000080"]:
        script.chmod(0o755)
    (root / "usr/share/udhcpc/default.script").chmod(0o755)
    for name, text in ETC.items():
        (root / "etc" / name).write_text(text)
    (root / "etc/shadow").chmod(0o600)
    (root / "root").chmod(0o700)
    (root / "var/www/index.html").write_text("<!doctype html>\n<title>starting</title>\n")
    _add_busybox(packages, root)
    for program in ("usr/sbin/dropbear", "usr/bin/dropbearkey"):
        shutil.copy2(packages / program, root / program)
    for name in SHARED_OBJECTS:
        shutil.copy2(_shared_object(packages, name), root / "lib" / name)
    (root / "lib64/ld-linux-x86-64.so.2").symlink_to("../lib/ld-linux-x86-64.so.2")
    _add_modules(packages, root)
    return root


def load_order(modules: Path, names: Iterable[str]) -> list[Path]:
    """Return the files of these modules and of all they need, in loading order; what is built in is left out."""
    if not (modules / "modules.dep").exists():
        run("depmod", "-b", modules.parents[2], modules.name)
    needs: dict[str, list[str]] = {}
    files: dict[str, str] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        file, _, needed = line.partition(":")
        needs[file] = needed.split()
        files[_module_name(file)] = file
    builtin = {_module_name(line) for line in (modules / "modules.builtin").read_text().splitlines()}
    order: list[str] = []
    for name in names:
        if _module_name(name) in builtin:
            continue
        file = files.get(_module_name(name))
        if file is None:
            raise BuildError(f"the kernel {modules.name} has no module {name}")
        # modules.dep lists the nearest need first, all of them: the deepest must be loaded before the others
        order += [part for part in [*reversed(needs[file]), file] if part not in order]
    return [modules / part for part in order]


def _module_name(file: str) -> str:
    return Path(file).name.split(".")[0].replace("-", "_")


def _add_busybox(packages: Path, root: Path) -> None:
    busybox = root / "bin/busybox"
    shutil.copy2(packages / "bin/busybox", busybox)
    for applet in run(busybox, "--list-full").split():
        link = root / applet
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists() and not link.is_symlink():
            link.symlink_to("/bin/busybox")


def _shared_object(packages: Path, name: str) -> Path:
    for folder in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64"):
        found = packages / folder / name
        if found.exists():
            return found.resolve() if found.resolve().is_relative_to(packages.resolve()) else found
    raise BuildError(f"none of the template's packages holds {name}")


def _add_modules(packages: Path, root: Path) -> None:
    version = kernel_version(packages)
    source = packages / "lib/modules" / version
    target = root / "lib/modules" / version
    for module in load_order(source, [*BOOT_MODULES, *DISK_MODULES]):
        copy = target / module.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(module, copy)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        if (source / name).exists():
            shutil.copy2(source / name, target / name)
    run("depmod", "-b", root, version)


def _pack(root: Path, target: Path) -> Path:
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    packed = subprocess.run(
        ["cpio", "--quiet", "--reproducible", "-o", "-H", "newc", "-R", "0:0"],
        cwd=root, input="\n".join(names).encode(), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    if packed.returncode != 0:
        raise BuildError(f"cpio failed: {packed.stderr.decode(errors='replace').strip()}")
    target.write_bytes(gzip.compress(packed.stdout, compresslevel=9, mtime=0))
    return target
