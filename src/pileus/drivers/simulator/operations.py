"""What a simulated host does for each kind of operation: as an agent would, on records instead of a kernel.

A function is given the world of its batch; ``keys`` names beforehand what it will look at.  Every one is idempotent.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from pileus.drivers.simulator import world as keys_of
from pileus.drivers.simulator.world import World
from pileus.wire.hosts import HostFacts, HostPassword, RouterState
from pileus.wire.machines import MachineRef, MachineSpec, MachineState, MachineStates, MachineStop, Nothing
from pileus.wire.router import RouterReference, RouterSpec
from pileus.wire.segments import PublicNetwork, Segment, SegmentState
from pileus.wire.storage import ImageRef, Pool, PoolState, VolumeRef, VolumeResize, VolumeSpec, VolumeState

CPUS, CPU_MHZ, MEMORY_MIB = 128, 2_500, 2 * 1024 * 1024
POOL_BYTES = 1 << 50
TEMPLATE_BYTES = 8 << 30
"""Size of a volume whose spec leaves it to the template, when that does not say either."""


class SimulatedError(Exception):
    """Why a simulated host cannot do it."""

    def __init__(self, code: str, message: str, *, retryable: bool = False, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.detail = detail


class Kind(msgspec.Struct, frozen=True):
    """One kind of operation."""

    arguments: type[Any]
    keys: Callable[[int, Any], Sequence[str]]
    run: Callable[[World, int, Any], msgspec.Struct | None]


kinds: dict[str, Kind] = {}
_F = TypeVar("_F", bound=Callable[[World, int, Any], msgspec.Struct | None])


def simulated(kind: str, arguments: type[Any], keys: Callable[[int, Any], Sequence[str]]) -> Callable[[_F], _F]:
    """Register a function as what simulated hosts do for a kind of operation."""

    def register(function: _F) -> _F:
        kinds[kind] = Kind(arguments, keys, function)
        return function

    return register


def _nothing(_host: int, _arguments: Any) -> Sequence[str]:
    return ()


def _machine(host: int, arguments: Any) -> Sequence[str]:
    return (keys_of.machine(host, arguments.name),)


def _machine_and_its_parts(host: int, spec: MachineSpec) -> Sequence[str]:
    return (
        keys_of.machine(host, spec.name),
        *(keys_of.volume(disk.pool, disk.volume) for disk in spec.disks),
        *(keys_of.segment(host, nic.segment.kind, nic.segment.tag) for nic in spec.nics),
    )


def _volume(_host: int, arguments: VolumeRef | VolumeResize | VolumeSpec) -> Sequence[str]:
    return (keys_of.volume(arguments.pool.uuid, arguments.uuid),)


def _router(host: int, arguments: Any) -> Sequence[str]:
    return (keys_of.router(host, arguments.name),)


def _segment(host: int, arguments: Segment) -> Sequence[str]:
    return (keys_of.segment(host, arguments.kind, arguments.tag),)


def machine_state(name: str, value: dict[str, Any]) -> MachineState:
    """Return a machine's record as a host reports it."""
    port = 5900 + zlib.crc32(name.encode()) % 10_000 if value["power"] == "on" else 0
    return MachineState(name=name, uuid=value["spec"]["uuid"], power=value["power"], vnc_port=port)


@simulated("machine.start", MachineSpec, _machine_and_its_parts)
def start(world: World, host: int, arguments: MachineSpec) -> MachineState:
    """Run a machine whose volumes are there; one that runs is left alone, its segments are made."""
    spec = arguments
    key = keys_of.machine(host, spec.name)
    known = world.get(key)
    if known is not None and known["spec"].get("generation", 0) > spec.generation:
        text = f"machine {spec.name} has generation {known['spec']['generation']} here, newer than {spec.generation}"
        raise SimulatedError("stale", text)
    missing = [disk.volume for disk in spec.disks if world.get(keys_of.volume(disk.pool, disk.volume)) is None]
    if missing:
        text = f"machine {spec.name} cannot start: its volumes are not on this host"
        raise SimulatedError("volume-missing", text, detail=", ".join(missing))
    for nic in spec.nics:
        ensure_segment(world, host, nic.segment)
    if known is None or known["power"] != "on":
        known = {"power": "on", "spec": msgspec.to_builtins(spec)}
        world.put(key, host, known)
    return machine_state(spec.name, known)


@simulated("machine.stop", MachineStop, _machine)
def stop(world: World, host: int, arguments: MachineStop) -> None:
    """Power a machine off; one that is unknown is off."""
    _power(world, host, arguments.name, "off")


@simulated("machine.reboot", MachineStop, _machine)
def reboot(world: World, host: int, arguments: MachineStop) -> MachineState:
    """Start a machine again as it was."""
    known = _power(world, host, arguments.name, "on")
    if known is None:
        raise SimulatedError("machine-missing", f"machine {arguments.name} is not on this host")
    return machine_state(arguments.name, known)


@simulated("machine.destroy", MachineRef, _machine)
def destroy(world: World, host: int, arguments: MachineRef) -> None:
    """Forget a machine."""
    world.drop(keys_of.machine(host, arguments.name))


@simulated("machine.list", Nothing, _nothing)
def list_machines(world: World, host: int, arguments: Nothing) -> MachineStates:
    """Tell the state of every machine here."""
    del arguments
    found = world.scan("machine", host)
    return MachineStates(machines=[machine_state(key.partition("/")[2], value) for key, value in found.items()])


def _power(world: World, host: int, name: str, power: str) -> dict[str, Any] | None:
    key = keys_of.machine(host, name)
    known = world.get(key)
    if known is None:
        return None
    changed = {**known, "power": power}
    world.put(key, host, changed)
    return changed


@simulated("volume.create", VolumeSpec, _volume)
def create_volume(world: World, host: int, arguments: VolumeSpec) -> VolumeState:
    """Make a volume; one that is there already is answered as it is."""
    del host
    key = keys_of.volume(arguments.pool.uuid, arguments.uuid)
    known = world.get(key)
    if known is None:
        least = arguments.image.virtual_size if arguments.image else 0
        size = arguments.size or least or (TEMPLATE_BYTES if arguments.image else 0)
        if size <= 0 or size < least:
            text = f"volume {arguments.uuid} of {arguments.size} bytes is smaller than its template ({least} bytes)"
            raise SimulatedError("invalid-size", text)
        path = f"{arguments.pool.path or '/sim'}/volumes/{arguments.uuid}.{arguments.format}"
        known = {"path": path, "size": size, "image": arguments.image.uuid if arguments.image else ""}
        if arguments.provisioning != "thin":
            known["provisioning"] = arguments.provisioning
        world.put(key, 0, known)
    return _volume_state(arguments.uuid, known)


@simulated("volume.delete", VolumeRef, _volume)
def delete_volume(world: World, host: int, arguments: VolumeRef) -> None:
    """Delete a volume; one that is not there is deleted already."""
    del host
    world.drop(keys_of.volume(arguments.pool.uuid, arguments.uuid))


@simulated("volume.resize", VolumeResize, _volume)
def resize_volume(world: World, host: int, arguments: VolumeResize) -> VolumeState:
    """Grow a volume."""
    del host
    key = keys_of.volume(arguments.pool.uuid, arguments.uuid)
    known = _existing(world, key, arguments)
    if arguments.size < known["size"]:
        text = f"volume {arguments.uuid} has {known['size']} bytes and cannot shrink to {arguments.size}"
        raise SimulatedError("invalid-size", text)
    changed = {**known, "size": arguments.size}
    world.put(key, 0, changed)
    return _volume_state(arguments.uuid, changed)


@simulated("volume.stat", VolumeRef, _volume)
def stat_volume(world: World, host: int, arguments: VolumeRef) -> VolumeState:
    """Look at a volume."""
    del host
    key = keys_of.volume(arguments.pool.uuid, arguments.uuid)
    return _volume_state(arguments.uuid, _existing(world, key, arguments))


def _existing(world: World, key: str, arguments: VolumeRef | VolumeResize) -> dict[str, Any]:
    known = world.get(key)
    if known is None:
        text = f"there is no volume {arguments.uuid} in pool {arguments.pool.uuid}"
        raise SimulatedError("volume-missing", text)
    return known


def _volume_state(uuid: str, known: dict[str, Any]) -> VolumeState:
    physical = known["size"] if known.get("provisioning") == "fat" else min(known["size"], 196_608)
    return VolumeState(uuid=uuid, path=known["path"], size=known["size"], physical=physical)


def _pool_state(world: World, host: int, arguments: Pool) -> PoolState:
    """Measure a pool: it is large and empty for ever."""
    del world, host
    return PoolState(uuid=arguments.uuid, capacity=POOL_BYTES, used=0)


simulated("pool.attach", Pool, _nothing)(_pool_state)
simulated("pool.stats", Pool, _nothing)(_pool_state)


def _do_nothing(world: World, host: int, arguments: Any) -> None:
    """Do what leaves no trace on a simulated host."""
    del world, host, arguments


simulated("pool.detach", Pool, _nothing)(_do_nothing)
simulated("image.evict", ImageRef, _nothing)(_do_nothing)
simulated("public.ensure", PublicNetwork, _nothing)(_do_nothing)


@simulated("segment.ensure", Segment, _segment)
def ensure_segment(world: World, host: int, arguments: Segment) -> None:
    """Make a network segment known, with its newest peers."""
    world.put(keys_of.segment(host, arguments.kind, arguments.tag), host, msgspec.to_builtins(arguments, str_keys=True))


@simulated("segment.release", Segment, _segment)
def release_segment(world: World, host: int, arguments: Segment) -> SegmentState:
    """Forget a segment that no machine or router of the host uses any more."""
    wanted = (arguments.kind, arguments.tag)
    powered = [m for m in world.scan("machine", host).values() if m["power"] == "on"]
    plugged = [nic["segment"] for m in powered for nic in m["spec"]["nics"]]
    plugged += [r["spec"]["guest"]["segment"] for r in world.scan("router", host).values() if r["running"]]
    if wanted in [(segment["kind"], segment["tag"]) for segment in plugged]:
        return SegmentState(bridge=f"sim{arguments.tag}")
    world.drop(keys_of.segment(host, arguments.kind, arguments.tag))
    return SegmentState(bridge="")


@simulated("router.apply", RouterSpec, _router)
def apply_router(world: World, host: int, arguments: RouterSpec) -> RouterState:
    """Take the router's whole desired state; an older one than the newest is refused."""
    _not_stale(world, host, arguments)
    value = {
        "uuid": arguments.uuid,
        "generation": arguments.generation,
        "running": True,
        "spec": msgspec.to_builtins(arguments),
    }
    world.put(keys_of.router(host, arguments.name), host, value)
    return router_state(arguments.name, value)


def _not_stale(world: World, host: int, arguments: RouterSpec | RouterReference) -> dict[str, Any] | None:
    """Return the router's record, unless the generation asked for (0 = any) is older than the one that it has."""
    known = world.get(keys_of.router(host, arguments.name))
    if known is not None and 0 < arguments.generation < known["generation"]:
        text = f"router {arguments.name} has generation {known['generation']} here, newer than {arguments.generation}"
        raise SimulatedError("stale", text)
    return known


@simulated("router.stop", RouterReference, _router)
def stop_router(world: World, host: int, arguments: RouterReference) -> None:
    """Stop a router, keeping its spec."""
    known = _not_stale(world, host, arguments)
    if known is not None:
        world.put(keys_of.router(host, arguments.name), host, {**known, "running": False})


@simulated("router.destroy", RouterReference, _router)
def destroy_router(world: World, host: int, arguments: RouterReference) -> None:
    """Forget a router."""
    _not_stale(world, host, arguments)
    world.drop(keys_of.router(host, arguments.name))


@simulated("router.inspect", RouterReference, _router)
def inspect_router(world: World, host: int, arguments: RouterReference) -> RouterState:
    """Look at a router: simulated ones do not drift."""
    known = world.get(keys_of.router(host, arguments.name))
    if known is None:
        raise SimulatedError("router-missing", f"router {arguments.name} is not on this host")
    return router_state(arguments.name, known)


def router_state(name: str, value: dict[str, Any]) -> RouterState:
    """Return a router's record as a host reports it."""
    return RouterState(name=name, uuid=value["uuid"], generation=value["generation"], running=value["running"])


@simulated("host.password", HostPassword, _nothing)
def set_password(world: World, host: int, arguments: HostPassword) -> None:
    """Change the password of a user; simulated hosts let nobody in, so there is nothing to keep."""
    del world, host, arguments


@simulated("host.facts", Nothing, _nothing)
def facts(world: World, host: int, arguments: Nothing) -> HostFacts:
    """Tell what a simulated host is and can do."""
    del world, arguments
    return HostFacts(
        uuid="",
        name=f"sim-{host}",
        hypervisor="Simulator",
        hypervisor_version="1",
        accelerator="simulated",
        cpus=CPUS,
        cpu_mhz=CPU_MHZ,
        cpu_model="simulated",
        memory_mib=MEMORY_MIB,
        cpu_sockets=2,
        limits_cpu=True,
        isolation=["vxlan", "vlan"],
        operations=sorted(kinds),
        version="1",
    )
