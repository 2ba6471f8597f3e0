"""Say what this host runs, as JSON: models with image and weights, OS packages, SHA-256 of files, units that are idle.

Of a model on GPUs it also says what vLLM logged of its KV cache at its last start: auditors compare it with the plan.

Arguments: patterns of the files.  Everything is asked of the host, and nothing of what a
playbook has meant to do.  Runs on every host of a site: Python alone.
"""

import hashlib
import json
import platform
import re
import subprocess
import sys
from pathlib import Path

_UNITS = Path("/etc/containers/systemd")
_LISTS = Path("/etc/appliance/vllm")
# As vLLM 0.32.0 logs it (v1/core/kv_cache_utils.py), in bounded numbers: what a container writes is not trusted.
_KV = re.compile(
    r"GPU KV cache size: (?P<tokens>[0-9,]{1,20}) tokens, "
    r"Maximum concurrency for (?P<length>[0-9,]{1,20}) tokens per request: "
)
_UTILIZATION = re.compile(r" --gpu-memory-utilization (?P<part>0\.[0-9]{1,4}) ")
# What is hashed before each start: the model's own weights, those that guess its tokens, those of its adapters.
_CHECKED = re.compile(r" check /etc/appliance/vllm/([a-z0-9._+-]+)\.sha256 ")
_PROPERTIES = "ActiveState,ConditionResult,ConditionTimestampMonotonic,Id"


def main() -> int:
    """Print what runs; returns the exit code."""
    try:
        observed = observe(sys.argv[1:])
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        told = getattr(error, "stderr", "") or ""
        sys.stderr.write(f"{error}\n{told}")
        return 1
    sys.stdout.write(json.dumps(observed, sort_keys=True) + "\n")
    return 0


def observe(patterns: list[str]) -> dict[str, object]:
    """What is printed."""
    names = [path.stem.removeprefix("vllm-") for path in sorted(_UNITS.glob("vllm-*.container"))]
    files = {path for pattern in patterns for path in Path("/").glob(pattern.lstrip("/")) if path.is_file()}
    return {
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "kernel": platform.release(),
        "models": {name: _model(name) for name in names},
        "files": {str(path): _sha256(path) for path in files},
        "packages": _packages(),
        "idle": _idle(),
    }


def _model(name: str) -> dict[str, object]:
    """The image that the container was made of, the lists that all its weights are checked by, the KV cache."""
    form = "--format={{.State.Running}} {{.ImageDigest}} {{.State.StartedAt.Unix}}"
    running, digest, started = _output("podman", "container", "inspect", form, f"vllm-{name}").split()
    if running != "true":
        raise ValueError(f"vllm-{name} does not run")
    unit = (_UNITS / f"vllm-{name}.container").read_text()
    lists = {listed: _sha256(_LISTS / f"{listed}.sha256") for listed in lists_of(unit)}
    model: dict[str, object] = {"image": digest, "weights": lists.pop(name)}
    if lists:
        model["beside"] = lists
    if "\nAddDevice=" in unit and (cache := kv_cache(_logged(name, started), unit)):
        model["kv_cache"] = cache
    return model


def lists_of(unit: str) -> list[str]:
    """The lists that all weights of a model are checked by, by its ``unit``."""
    return sorted(set(_CHECKED.findall(unit)))


def _logged(name: str, started: str) -> str:
    """What the model's unit has logged of KV caches since its container started; nothing where that is gone."""
    wanted = ("--output=cat", "--no-pager", "--quiet", f"--since=@{started}", "--grep=KV cache size: ")
    # 1 stands for no line that matches.
    argv = ("journalctl", f"--unit=vllm-{name}.service", *wanted)
    return subprocess.run(argv, check=False, capture_output=True, text=True, errors="replace").stdout


def kv_cache(logged: str, unit: str) -> dict[str, object] | None:
    """Tokens that the KV cache holds, the longest sequence, and the part of each GPU that ``unit`` gives vLLM."""
    found = _KV.search(logged)
    if found is None:
        return None
    tokens, length = (int(found[part].replace(",", "") or 0) for part in ("tokens", "length"))
    utilization = _UTILIZATION.search(unit)
    return {"tokens": tokens, "max_model_len": length, "utilization": utilization["part"] if utilization else None}


def _packages() -> dict[str, str]:
    lines = _output("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}|${binary:Package}|${Version}\\n")
    fields = [line.split("|") for line in lines.splitlines()]
    return {name: version for status, name, version in fields if status.startswith("ii")}


def _idle() -> list[str]:
    """Timers, paths and sockets that every boot starts and that do not run, unless their own conditions say no."""
    if not Path("/run/systemd/system").is_dir():
        return []
    listed = _output("systemctl", "list-unit-files", "--type=timer,path,socket", "--state=enabled", "--no-legend")
    names = [line.split()[0] for line in listed.splitlines() if "@." not in line]
    if not names:
        return []
    shown = _output("systemctl", "show", f"--property={_PROPERTIES}", "--", *names)
    units = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.strip().split("\n\n")]
    return sorted(unit["Id"] for unit in units if unit["ActiveState"] != "active" and not _declined(unit))


def _declined(unit: dict[str, str]) -> bool:
    return unit["ConditionTimestampMonotonic"] != "0" and unit["ConditionResult"] == "no"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _output(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
