"""A model's own side: its processes, and what it has seen by the counters at its socket, whatever the gateway says."""

from tests.site.hosts import Host
from tests.support.processes import wait_for

LONG = 100  # tokens: the probes that watch a model ask for less
SERVER, ENGINE, WORKER = "python3", "VLLM::EngineCore", "VLLM::Worker"
_METRICS = """\
import http.client, socket
link = http.client.HTTPConnection("localhost")
link.sock = socket.socket(socket.AF_UNIX)
link.sock.connect("/run/vllm/api.sock")
link.request("GET", "/metrics")
print(link.getresponse().read().decode())
"""


def long_prompts(host: Host, model: str = "tiny-chat") -> int:
    """How many prompts of more than ``LONG`` tokens the model has taken since it started."""
    metrics = _metrics(host, model)
    short = _value(metrics, "vllm:request_prompt_tokens_bucket", f'le="{LONG}.0"')
    return _value(metrics, "vllm:request_prompt_tokens_count", "") - short


def guesses(host: Host, model: str) -> tuple[int, int]:
    """How many tokens the model's draft has guessed since it started, and how many of them were taken."""
    metrics = _metrics(host, model)
    drafted, accepted = (
        _value(metrics, f"vllm:spec_decode_num_{what}_tokens_total", "") for what in ("draft", "accepted")
    )
    return drafted, accepted


def process_of(host: Host, process: str, model: str = "tiny-chat") -> str:
    """The number of a process of the model, as its host has it; awaited, for a model may be about to start."""
    found: list[str] = []

    def there() -> bool:
        lines = host.attempt(["podman", "top", f"vllm-{model}", "hpid", "comm"]).stdout.splitlines()[1:]
        found.extend(hpid for hpid, name in map(str.split, lines) if name.startswith(process[:15]))
        return bool(found)

    wait_for(there, 300, pause=1)
    return found[0]


def _metrics(host: Host, model: str) -> str:
    return host.run(["podman", "exec", f"vllm-{model}", "python3", "-c", _METRICS])


def _value(metrics: str, name: str, label: str) -> int:
    (line,) = (line for line in metrics.splitlines() if line.startswith(f"{name}{{") and label in line)
    return int(float(line.split()[-1]))
