"""Who calls which cloud: the admin keys of a data folder, or a named profile of the user's."""

from __future__ import annotations

import configparser
import os
import tomllib
from pathlib import Path

from pileus.client.api import Api
from pileus.client.folder import Folder, FolderError

NEEDED = ("url", "apikey", "secretkey")


def connect(data: Path | None, profile: str | None) -> Api:
    """Return a client for a data folder, else for the named profile, else for the default one."""
    if data is not None:
        found = Folder(data).credentials()
        return Api(str(found["url"]), str(found["apikey"]), str(found["secretkey"]))
    return from_profile(profile)


def from_profile(name: str | None, home: Path | None = None) -> Api:
    """Read ``~/.config/pileus/profiles.toml``, or where that has no such profile CloudMonkey's ``~/.cmk/config``."""
    home = home or Path.home()
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pileus/profiles.toml"
    for file, read in ((settings, _own), (home / ".cmk/config", _cloudmonkey)):
        if not file.exists():
            continue
        found = read(file, name)
        if found is None:
            continue
        lacking = [key for key in NEEDED if not found.get(key)]
        if lacking:
            raise FolderError(f"the profile in {file} lacks {', '.join(lacking)}")
        return Api(found["url"], found["apikey"], found["secretkey"])
    wanted = f"no profile {name!r}" if name else "no default profile"
    raise FolderError(f"{wanted} in {settings} or ~/.cmk/config; name a data folder with --data DIR instead")


def _own(file: Path, name: str | None) -> dict[str, str] | None:
    try:
        document = tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as error:
        raise FolderError(f"{file} is not valid TOML: {error}") from error
    chosen = document.get(name or str(document.get("default", "default")))
    return {key: str(value) for key, value in chosen.items()} if isinstance(chosen, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _cloudmonkey(file: Path, name: str | None) -> dict[str, str] | None:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(
            file.read_text() if file.read_text().lstrip().startswith("[") else "[DEFAULT]\n" + file.read_text()
        )
    except configparser.Error as error:
        raise FolderError(f"{file} cannot be read: {error}") from error
    section = name or parser.defaults().get("profile", "localcloud")
    return dict(parser[section]) if parser.has_section(section) else None
