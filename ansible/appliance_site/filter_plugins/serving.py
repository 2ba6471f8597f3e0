"""Filters that tell roles which models a host serves, and which clients a gateway knows.

They only interpret: the bundle was verified when it was imported, and is read with the
types of the appliance package itself.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from appliance_site.slices import device
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from pydantic import Field, TypeAdapter, ValidationError

from appliance.artifacts.details import Details
from appliance.artifacts.images.details import ImageDetails
from appliance.artifacts.weights.details import WeightsDetails
from appliance.errors import ApplianceError, BadInput
from appliance.model.base import Strict
from appliance.model.documents.bundle import BundleArtifact, BundleIndex
from appliance.model.serving.adapters import ADAPTERS, served_names
from appliance.model.serving.gpus import GPUS
from appliance.model.serving.profile import arguments
from appliance.model.serving.site_limits import SiteLimits, narrow
from appliance.model.serving.speculation import DRAFT
from appliance.model.serving.tasks import ENGINES, Engine, Task

_MODEL = "/srv/model"  # where a container has the model's own weights
T = TypeVar("T")
D = TypeVar("D", bound=Details)


class Client(Strict):
    """One entry of ``gateway_clients``."""

    name: str = Field(pattern=r"\A[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}\z")
    fingerprint: str | None = None
    roles: tuple[Task, ...]
    models: tuple[str, ...] | None = Field(default=None, min_length=1)


def models(index: str, names: object, limits: object = None, devices: object = None) -> list[dict[str, object]]:
    """The models a host serves, in the order of their names.

    ``index`` is the text of bundle.json; an empty list of ``names`` means every model of
    the bundle.  ``limits`` are figures to narrow and ``devices`` GPUs or slices of them (``mig0:1``), each by
    model.  A model has name, task, engine, gpus, gpu_gib (memory of a GPU that it was planned for, or None),
    slice (the name of what it was planned for, where that is no whole GPU), memory_utilization (a part, or None),
    kv_cache_dtype (what keys and values are kept as), devices (as CDI calls them), arguments, image (name@digest),
    weights_bytes (of all its weights), bundle (name and version), and weight_sets: all that hosts fetch for it, mount
    read-only, hash before each start and record, its own weights first.  A set has list (the name of its list on a
    host), adapter (the name that clients know it by, or None where it is none), weights (name), in_bundle (their
    directory in the bundle), in_store (their directory where several versions lie side by side), place (where the
    container has them) and files (path below that directory, sha256).
    """
    bundle = BundleIndex.model_validate_json(index)
    wanted = _read(tuple[str, ...], names, "appliance_models") or tuple(bundle.serving)
    narrower = _read(dict[str, SiteLimits], limits or {}, "vllm_limits")
    gpus = _read(dict[str, tuple[int | str, ...]], devices or {}, "vllm_devices")
    _once("appliance_models", wanted)
    for variable, given in (("appliance_models", wanted), ("vllm_limits", narrower), ("vllm_devices", gpus)):
        for name in given:
            if name not in bundle.serving:
                raise _error(
                    f"{variable} names {name}, which bundle {bundle.name} {bundle.version} does not serve",
                    f"correct it; the bundle serves {', '.join(sorted(bundle.serving)) or 'no model at all'}",
                )
    return [_model(bundle, name, narrower.get(name, SiteLimits()), gpus.get(name, ())) for name in sorted(wanted)]


def image(index: str, name: str) -> str:
    """``name@digest`` of an image of the bundle; nothing where it carries none of that name.

    ``index`` is the text of bundle.json.
    """
    bundle = BundleIndex.model_validate_json(index)
    details = (ImageDetails.of(artifact) for artifact in bundle.artifacts if artifact.name == name)
    return next((f"{name}@{found.manifest_digest}" for found in details if found), "")


def gateways(index: str, hosts: Iterable[Mapping[str, Any]]) -> list[dict[str, object]]:
    """What each of ``hosts`` passes on: host, models (names) and exporter (whether its GPUs tell of themselves).

    ``hosts`` are the variables of gateways. Only what the inventory says is asked of them: a run that is limited to
    other hosts knows nothing else. ``index`` is the text of bundle.json.
    """
    carried = bool(image(index, "dcgm-exporter"))
    found = []
    for host in hosts:
        named = host.get("appliance_models", [])
        passed = models(index, host.get("gateway_models", named))
        run = models(index, host.get("vllm_models", named))
        found.append(
            {
                "host": str(host["inventory_hostname"]),
                "models": [model["name"] for model in passed],
                "exporter": carried and any(model["gpus"] for model in run),
            }
        )
    return found


def tasks(engine: Engine) -> dict[str, list[str]]:
    """The paths that clients may use, for each task that an engine does."""
    return {task: list(form.paths) for task, form in ENGINES[engine].items()}


def served(models: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """All that clients may name: name, task, and the model whose engine serves it, for each model and each adapter."""
    return [
        {"name": str(name), "task": str(model["task"]), "engine": str(model["name"])}
        for model in models
        for name in served_names(model["name"], (one["adapter"] for one in model["weight_sets"] if one["adapter"]))
    ]


def clients(wanted: object, issued: str, promised: object = (), *, index: str) -> list[dict[str, object]]:
    """The clients of a gateway with their fingerprints as 64 lower-case hexadecimal digits.

    ``models`` of one are the names of models and adapters that it may use, or None for every model of its roles.
    ``index`` is the text of bundle.json, which has to serve these names for one of its roles.
    A client without a fingerprint has the certificate of that name in the directory
    ``issued``; one that is still to be issued, because ``promised`` names it, is left out.
    """
    found: list[dict[str, object]] = []
    awaited = _read(tuple[str, ...], promised, "pki_clients")
    known = _tasks_of_names(BundleIndex.model_validate_json(index))
    for entry in _read(tuple[Client, ...], wanted, "gateway_clients"):
        _check_names(entry, known)
        fingerprint = (entry.fingerprint or _issued(Path(issued), entry.name, awaited)).replace(":", "").lower()
        if not fingerprint:
            continue
        if not re.fullmatch("[0-9a-f]{64}", fingerprint):
            raise _error(
                f"gateway_clients: the fingerprint of {entry.name} is {entry.fingerprint!r}, which is not a SHA-256",
                "write 64 hexadecimal digits; to see them: openssl x509 -in CERTIFICATE -noout -fingerprint -sha256",
            )
        found.append(
            {"name": entry.name, "fingerprint": fingerprint, "roles": list(entry.roles)}
            | {"models": None if entry.models is None else list(entry.models)}
        )
    _once("gateway_clients", (str(client["name"]) for client in found))
    _once("gateway_clients", (str(client["fingerprint"]) for client in found))
    return found


def _tasks_of_names(bundle: BundleIndex) -> dict[str, Task]:
    return {
        name: profile.task
        for model, profile in bundle.serving.items()
        for name in served_names(model, profile.adapters)
    }


def _check_names(client: Client, known: Mapping[str, Task]) -> None:
    names = client.models or ()
    _once(f"gateway_clients: models of {client.name}", names)
    for name in names:
        if name not in known:
            raise _error(
                f"gateway_clients lets {client.name} use {name}, which is no model and no adapter of the bundle",
                f"correct it; the bundle serves {', '.join(sorted(known))}",
            )
        if known[name] not in client.roles:
            raise _error(
                f"gateway_clients lets {client.name} use {name}, which has the task {known[name]}, but its roles are "
                f"{', '.join(client.roles) or 'none'}",
                f"add {known[name]} to the roles of {client.name}, or take {name} off its models",
            )


def _issued(folder: Path, name: str, awaited: tuple[str, ...]) -> str:
    path = folder / name / "client.pem"
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        if name in awaited:
            return ""
        raise _error(
            f"gateway_clients gives {name} no fingerprint, and the site's authority issues it no certificate "
            f"({path} is not there)",
            f"add {name} to pki_clients, or give the fingerprint of the certificate that {name} has",
        ) from None
    return certificate.fingerprint(hashes.SHA256()).hex()


def _model(bundle: BundleIndex, name: str, limits: SiteLimits, devices: tuple[int | str, ...]) -> dict[str, object]:
    try:
        profile = narrow(bundle.serving[name], limits, name)
    except BadInput as error:
        raise _error(f"vllm_limits, bundle {bundle.name} {bundle.version}: {error}", error.hint) from None
    _once(f"vllm_devices of {name}", map(str, devices))
    if devices and len(devices) != profile.gpus:
        raise _error(
            f"vllm_devices gives {name} {len(devices)} GPUs, but its signed profile takes {profile.gpus}",
            f"list {profile.gpus} GPU numbers, or leave {name} out" if profile.gpus else f"leave {name} out",
        )
    for said in devices:
        if device(said) is None:
            raise _error(
                f"vllm_devices gives {name} {said!r}, which is no GPU",
                "write the number of a GPU, as 0, or one of its slices, as mig0:1",
            )
    gpu = GPUS.get(profile.gpu or "")
    image, of_image = _artifact(bundle, ImageDetails, profile.image)
    named: dict[tuple[str, ...], str] = {(): profile.weights} | profile.weights_beside()
    sets = [_weight_set(bundle, name, key, artifact) for key, artifact in named.items()]
    return {
        "name": name,
        "task": profile.task,
        "engine": profile.engine,
        "gpus": profile.gpus,
        "gpu_gib": profile.memory.gpu_gib if profile.memory else None,
        "slice": gpu.slice if gpu else "",
        "memory_utilization": profile.gpu_memory_utilization,
        "kv_cache_dtype": profile.kv_cache_dtype,
        "devices": [device(said) for said in devices],
        "arguments": list(arguments(profile, name)),
        "image": f"{image.name}@{of_image.manifest_digest}",
        "weights_bytes": sum(size for size, _ in sets),
        "weight_sets": [told for _, told in sets],
        "bundle": f"{bundle.name}-{bundle.version}",
    }


def _weight_set(bundle: BundleIndex, model: str, key: tuple[str, ...], name: str) -> tuple[int, dict[str, object]]:
    """Bytes, and what roles are told of the weights ``name``: those that ``key`` names beside a model's own, or these.

    No name of a model or adapter has the "+" that tells the list of a draft from theirs.
    """
    artifact, details = _artifact(bundle, WeightsDetails, name)
    adapter = None
    match key:
        case ("adapters", served_as):
            adapter = listed = served_as
            place = f"{ADAPTERS}/{served_as}"
        case ("speculative_config",):
            listed, place = f"{model}+draft", DRAFT
        case _:
            listed, place = model, _MODEL
    return sum(file.size for file in artifact.files), {
        "list": listed,
        "adapter": adapter,
        "weights": artifact.name,
        "in_bundle": details.path,
        "in_store": f"{artifact.name}-{details.list_digest(artifact)[:16]}",
        "place": place,
        "files": [{"path": path, "sha256": digest} for path, digest in details.files(artifact)],
    }


def systemd_word(value: str) -> str:
    """One word of a command line as unit files have it: quoted, without specifiers and variables."""
    if "\n" in value:
        raise _error(f"{value!r} has more than one line, which no unit file can hold", "tell the signers of the bundle")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != value or re.search(r"[\s';]", value) else value


def units_beside(model: Mapping[str, object]) -> list[dict[str, object]]:
    """The unit files that a model has beside its container's, as the action ``files`` takes them."""
    name = str(model["name"])
    # A mount's unit is called by its place, as `systemd-escape --path` writes it.
    files = {
        "watch.service.j2": f"vllm-watch@{name}.service",
        "socket.mount.j2": "run-appliance-vllm-" + name.replace("-", r"\x2d") + ".mount",
    }
    return [{"template": template, "path": f"/etc/systemd/system/{file}"} for template, file in files.items()]


def _artifact(bundle: BundleIndex, of_kind: type[D], name: str) -> tuple[BundleArtifact, D]:
    for artifact in bundle.artifacts:
        if artifact.name == name and (details := of_kind.of(artifact)):
            return artifact, details
    raise _error(
        f"bundle {bundle.name} {bundle.version} has no {of_kind.kind} {name}, which one of its serving profiles names",
        "serve other models (appliance_models), and tell the signers of the bundle",
    )


def _read(form: type[T], value: object, variable: str) -> T:
    # Through JSON, because Ansible marks the values it hands out and strict types take plain ones only.
    try:
        return TypeAdapter(form).validate_json(json.dumps(value))
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        problem = "is not known" if first["type"] == "extra_forbidden" else first["msg"]
        raise _error(
            f"{variable}{place}: {problem} (found {first['input']!r})", f"correct {variable} in the inventory"
        ) from None


def _once(variable: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise _error(f"{variable} names {name} {count} times", "name it once")


def _error(message: str, hint: str) -> ApplianceError:
    # Ansible shows the text of any exception of a filter; the callback tells its lines apart.
    return BadInput("inventory-refused", f"{message}\ndo: {hint}")


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Filters by the names that roles use."""
        return {
            "appliance_models": models,
            "appliance_gateways": gateways,
            "appliance_image": image,
            "appliance_clients": clients,
            "appliance_tasks": tasks,
            "appliance_served": served,
            "appliance_units_beside": units_beside,
            "systemd_word": systemd_word,
        }
