"""What a model's own side has seen, whatever the gateway says: vLLM's counters, read over its socket."""

from tests.site.hosts import Host

LONG = 100  # tokens: the probes that watch a model ask for less
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
    metrics = host.run(["podman", "exec", f"vllm-{model}", "python3", "-c", _METRICS])
    short = _value(metrics, "vllm:request_prompt_tokens_bucket", f'le="{LONG}.0"')
    return _value(metrics, "vllm:request_prompt_tokens_count", "") - short


def _value(metrics: str, name: str, label: str) -> int:
    (line,) = (line for line in metrics.splitlines() if line.startswith(f"{name}{{") and label in line)
    return int(float(line.split()[-1]))
