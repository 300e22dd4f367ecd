"""The command line: ``pileus server | agent | up | down | purge | status | audit | rekey | trace | api | template``.

Imports stay inside the commands, so that ``pileus --help`` and ``pileus api`` answer at once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from pileus.client.folder import Folder

app = App(name="pileus", help="A private cloud that speaks the CloudStack API.", version_flags=["--version"])
template = App(name="template", help="The built-in template.")
app.command(template)

Data = Annotated[Path, Parameter(name="--data", help="The cloud's data folder.")]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object instead of text.")]


@app.command
def up(
    *,
    data: Data,
    port: Annotated[int | None, Parameter(help="Port of the API (8080).")] = None,
    simulator: Annotated[bool | None, Parameter(negative="", help="Simulated hosts: no root, no packages.")] = None,
    hosts: Annotated[int | None, Parameter(help="Number of simulated hosts (3).")] = None,
    database: Annotated[str | None, Parameter(help="PostgreSQL's URL instead of SQLite in the data folder.")] = None,
    uplink: Annotated[str | None, Parameter(help="none, auto, or an interface: the guests' way out (none).")] = None,
    integration_port: Annotated[int | None, Parameter(help="Open an unauthenticated port on loopback.")] = None,
    tls_port: Annotated[int | None, Parameter(help="The API by HTTPS: DATA/server/tls.crt and tls.key.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make, start or repair a cloud: server, agent, zone, and a first machine that answers."""
    from pileus.client.progress import Steps
    from pileus.client.up import UpOptions, bring_up

    options = UpOptions(
        data=data, port=port, simulator=simulator, hosts=hosts, database=database, uplink=uplink,
        integration_port=integration_port, tls_port=tls_port,
    )  # fmt: skip
    steps = Steps(sys.stderr if as_json else sys.stdout)
    with _folder(data).locked():
        with steps.shown():
            outcome = bring_up(options, steps)
        if as_json:
            _print_json(outcome.as_object(steps.seconds))
        else:
            sys.stdout.write(outcome.as_text(steps.seconds))


@app.command
def down(*, data: Data) -> None:
    """Stop a cloud: no process, namespace, bridge or mount is left; `up` brings it back."""
    from pileus.client.down import take_down
    from pileus.client.progress import Steps

    folder = _folder(data)
    folder.load()
    steps = Steps()
    with folder.locked(), steps.shown():
        take_down(folder, steps)


@app.command
def purge(*, data: Data) -> None:
    """Stop a cloud and remove all of it for good."""
    from pileus.client.down import purge as remove
    from pileus.client.progress import Steps

    folder = _folder(data)
    steps = Steps()
    if not folder.exists:
        remove(folder, steps)
        return
    with folder.locked(), steps.shown():
        remove(folder, steps)


@app.command
def status(*, data: Data, as_json: AsJson = False) -> int:
    """Say how a cloud is; exit code 0 when all is well, 3 when not."""
    from pileus.client.status import as_text
    from pileus.client.status import status as look

    found = look(_folder(data))
    if as_json:
        _print_json(found)
    else:
        sys.stdout.write(as_text(found))
    return 0 if found["healthy"] else 3


@app.command
def audit(*, data: Data) -> int:
    """Compare reserved and counted figures with the records: one line a disagreement; exit code 1 when there is any."""
    from pileus.core.inspection import InspectionError
    from pileus.core.inspection import audit as look

    if not _folder(data).exists:
        sys.stderr.write(f"{data} holds no cloud\n")
        return 2
    try:
        found = look(data)
    except InspectionError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.writelines(f"{finding}\n" for finding in found or ["the records agree"])
    return 1 if found else 0


@app.command
def rekey(*, data: Data) -> int:
    """Encrypt all secrets in the database with a new key; every server of the cloud must be stopped."""
    from pileus.core.rekeying import RekeyError
    from pileus.core.rekeying import rekey as work

    folder = _folder(data)
    if not folder.server.exists():
        sys.stderr.write(f"{data} holds no management server\n")
        return 2
    with folder.locked():
        try:
            changed = work(folder.data)
        except RekeyError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    sys.stdout.write(f"{changed} secrets are encrypted with a new key: {folder.server / 'secrets.key'}\n")
    return 0


@app.command
def trace(identifier: str, /, *, data: Data) -> int:
    """Follow a request (its X-Request-Id) or a job (its id): jobs, steps, operations, events, and where logs are."""
    from pileus.core.inspection import InspectionError
    from pileus.core.inspection import trace as look

    folder = _folder(data)
    if not folder.exists:
        sys.stderr.write(f"{data} holds no cloud\n")
        return 2
    try:
        found = look(data, identifier)
    except InspectionError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for title, rows in found.items():
        for row in rows:
            sys.stdout.write(f"{title[:-1]:<10} " + "  ".join(str(value) for value in row.values()) + "\n")
    if not any(found.values()):
        sys.stderr.write(f"no job and no event of {identifier}; what only reads leaves none\n")
        return 1
    sys.stdout.write(f"logs       {folder.logs}: search them for the request's id\n")
    return 0


@app.command
def api(
    command: str,
    /,
    *parameters: str,
    data: Annotated[Path | None, Parameter(name="--data", help="Use the admin's keys of this data folder.")] = None,
    profile: Annotated[str | None, Parameter(help="Use a profile of ~/.config/pileus/profiles.toml.")] = None,
    wait: Annotated[bool, Parameter(help="Wait for the job of an asynchronous command.")] = True,
    limit: Annotated[float, Parameter(help="Seconds to wait at most.")] = 3600,
    as_json: AsJson = False,
) -> int:
    """Call a command of the CloudStack API: `pileus api COMMAND key=value ...`."""
    from pileus.client.api import ApiFailure, Unreachable
    from pileus.client.output import show
    from pileus.client.profiles import connect

    pairs: dict[str, str] = {}
    for parameter in parameters:
        name, separator, value = parameter.partition("=")
        if not separator:
            sys.stderr.write(f"parameters look like key=value, not {parameter!r}\n")
            return 2
        pairs[name] = value
    try:
        client = connect(data, profile)
        answer = client.send(command, pairs)
        if wait and "jobid" in answer and command != "queryAsyncJobResult":
            answer = client.finish(answer, command, limit=limit)
        show(answer, as_json=as_json)
    except ApiFailure as error:
        if as_json:
            show({"errorcode": error.code, "errortext": error.text}, as_json=True)
        sys.stderr.write(f"error {error.code}: {error.text}\n")
        return 1
    except (Unreachable, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


@app.command
def server(
    *,
    data: Data,
    port: int | None = None,
    listen: str | None = None,
    database: str | None = None,
    agent_port: int | None = None,
    agent_address: str | None = None,
    integration_port: int | None = None,
    tls_port: int | None = None,
    simulator: Annotated[bool | None, Parameter(negative="")] = None,
    prefix: str | None = None,
) -> None:
    """Run a management server in the foreground, with the data folder's settings and what is given here."""
    import msgspec

    from pileus.core.main import serve
    from pileus.core.options import Options

    given = {
        "port": port, "listen": listen, "database": database, "agent_port": agent_port,
        "agent_address": agent_address, "integration_port": integration_port, "tls_port": tls_port,
        "simulator": simulator, "prefix": prefix,
    }  # fmt: skip
    changes = {name: value for name, value in given.items() if value is not None}
    serve(msgspec.structs.replace(Options.load(data), **changes))


@app.command
def agent(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Enrol, run or tear down the agent of this host: see `pileus agent --help`."""
    from pileus.agent.main import app as agent_app

    agent_app(list(arguments))


@template.command
def build(*, output: Annotated[Path, Parameter(help="The qcow2 file to write.")]) -> None:
    """Build the built-in template from Debian's packages."""
    from pileus.images.builtin import build as build_template

    build_template(output)
    sys.stdout.write(f"{output}: {output.stat().st_size / 1e6:.1f} MB\n")


def main() -> None:
    """Run the command line; known failures end with their sentence and code 1, without a traceback."""
    from pileus.client.api import ApiFailure, Unreachable
    from pileus.client.folder import FolderError
    from pileus.images.builtin.packages import BuildError

    arguments = sys.argv[1:]
    try:
        if arguments[:1] == ["agent"]:  # its own parser, with its own --help
            agent(*arguments[1:])
            code = 0
        else:
            code = app(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads our output has seen enough, as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor may Python complain at its end
        code = 141
    except (FolderError, BuildError, ApiFailure, Unreachable) as error:
        sys.stderr.write(f"{error}\n")
        code = 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _folder(data: Path) -> Folder:
    from pileus.client.folder import Folder

    return Folder(data)


def _print_json(document: object) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
