"""``python -m tests.bench.gpu``: the memory plan and the speed of shipped definitions on a GPU, without weights.

For each definition and each way (``ways.py``) it starts vLLM with dummy weights of the real shape, reads what vLLM
logs of memory, asks it (``loads.py``), and ends it.  Prints the tables; ``--json`` keeps everything, and the logs lie
in ``--work``.  Exit codes: 0 all was measured, 1 a start failed, 2 usage.

The Python that runs it has vLLM; nothing else has to be installed, and no network is needed.  docs/benchmarks.md has
the commands.
"""

import argparse
import importlib.metadata
import json
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from appliance.model.serving.profile import memory_plan
from appliance.model.serving.vllm_options import VLLM_VERSION
from tests.bench.gpu.engine import EngineEnded, running
from tests.bench.gpu.loads import LOADS, Load, run_load
from tests.bench.gpu.logged import compare, read_log
from tests.bench.gpu.models import Shape, shape, write_model
from tests.bench.gpu.report import Measured, memory_table, speed_table
from tests.bench.gpu.ways import PROFILE, WAYS, without

_DEFINITIONS = ("llama-3.1-8b", "llama-3.1-70b-fp8")
_WARM = Load(64, 8, 1, 1)
# A process of its own: what asks a GPU takes memory of it.
_DEVICE = """
import json, torch
found = torch.cuda.get_device_properties(0)
print(json.dumps({"gpu": found.name, "gpu_gib": found.total_memory / 1024**3, "cuda": torch.version.cuda}))
"""


def main() -> int:
    """See above."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the engine ends, as after Ctrl-C
    with tempfile.TemporaryDirectory(prefix="gpu-") as scratch:
        work = options.work or Path(scratch)
        measured = []
        facts: dict[str, Any] = _facts()
        for name in options.definition or _DEFINITIONS:
            chosen = shape(name)
            write_model(chosen.model, work / name / "model")
            for way in (way for way in WAYS if re.search(options.only, way)):
                _say(f"{name}: {way}")
                one = _measure(chosen, way, work / name, options)
                measured.append(one)
                if one.failed:
                    _say(one.failed)
        if options.json:
            told = {"facts": facts | _device(), "measured": [one.as_json() for one in measured]}
            options.json.write_text(json.dumps(told, indent=1) + "\n")
    sys.stdout.write(f"{memory_table(measured)}\n{speed_table(measured)}")
    return int(not measured or any(one.failed for one in measured))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=__doc__)
    parser.add_argument("--definition", action="append", help=f"repeatable [default: {' '.join(_DEFINITIONS)}]")
    parser.add_argument("--only", default="", help=f"a regular expression for ways: {', '.join(WAYS)}")
    parser.add_argument("--leave-out", action="append", default=[], help="an option that this vLLM does not have")
    parser.add_argument("--start-seconds", type=float, default=480, help="that a start may take [default: 480]")
    parser.add_argument("--work", type=Path, help="a new directory for logs and caches [default: one that is removed]")
    parser.add_argument("--json", type=Path, help="keep all figures in this file")
    options = parser.parse_args()
    if options.work and options.work.exists():
        parser.error(f"--work {options.work} is already there")
    return options


def _measure(chosen: Shape, way: str, folder: Path, options: argparse.Namespace) -> Measured:
    words = without(WAYS[way](chosen), options.leave_out)
    measured = Measured(chosen.name, way, words)
    place = folder / re.sub(r"[^a-z]+", "-", way.lower())
    try:
        ready = {"model": chosen.served, "prompt": [1000], "max_tokens": 1}
        with running(place, folder / "model", words, ready, options.start_seconds) as engine:
            measured.ready_seconds = round(engine.seconds, 1)
            run_load(engine.ask, chosen.served, _WARM)
            measured.figures += [run_load(engine.ask, chosen.served, load) for load in LOADS]
            measured.logged = read_log(engine.log())
    except (EngineEnded, OSError, ValueError) as error:
        measured.failed = str(error)
        return measured
    plan = memory_plan(chosen.profile)
    if way == PROFILE and plan:
        gpu_gib = _device().get("gpu_gib")
        measured.compared = compare(plan, measured.logged, gpu_gib, chosen.profile.gpu_memory_utilization or 0)
    return measured


def _facts() -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in ("vllm", "torch")}
    if versions["vllm"] != VLLM_VERSION:
        _say(f"this is vLLM {versions['vllm']}, and the profiles are written for {VLLM_VERSION}: see --leave-out")
    return versions


def _device() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", _DEVICE], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"gpu": f"none: {done.stderr.strip().splitlines()[-1]}"}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
