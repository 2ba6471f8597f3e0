"""Options of vLLM that may not stand in a profile, each with the reason.

``REMOVED`` are those that guides and older definitions still name and vLLM no longer
has.  ``REFUSED`` exist.  Reasons follow "it" and end a message.
"""

REMOVED = {
    "swap-space": "vLLM no longer has CPU swap",
    "disable-log-requests": "requests are not logged unless asked for",
    "use-v2-block-manager": "there is only one",
    "num-scheduler-steps": "multi-step scheduling is gone",
    "multi-step-stream-outputs": "multi-step scheduling is gone",
    "num-lookahead-slots": "the scheduler decides",
    "scheduler-delay-factor": "the scheduler decides",
    "preemption-mode": "a preempted request is computed again",
    "disable-async-output-proc": "use async-scheduling",
    "disable-frontend-multiprocessing": "the engine always runs in its own process",
    "max-num-partial-prefills": "the scheduler decides",
    "max-long-partial-prefills": "the scheduler decides",
    "worker-use-ray": "the site chooses how workers run",
    "device": "the image decides it",
    "task": "the profile's own task says it",
    "override-pooler-config": "use pooler-config",
    "guided-decoding-backend": "requests choose, and vLLM finds a backend",
    "enable-reasoning": "use reasoning-parser",
    "max-seq-len-to-capture": "use max-cudagraph-capture-size",
    "max-context-len-to-capture": "use max-cudagraph-capture-size",
    "cuda-graph-sizes": "use cudagraph-capture-sizes",
    "rope-scaling": "use hf-overrides",
    "rope-theta": "use hf-overrides",
    "quantization-param-path": "scales come with the weights",
    "calculate-kv-scales": "scales come with the weights",
    "kv-cache-memory": "the memory plan uses gpu_memory_utilization",
    "speculative-model": "use the field speculative_config",
    "num-speculative-tokens": "use the field speculative_config",
    "enable-prompt-adapter": "prompt adapters are gone",
    "disable-mm-preprocessor-cache": "use mm-processor-cache-gb",
}

_PROFILE = "it follows from the profile"
_CARRIED = "everything comes with the weights that the profile names"
_SITE = "the site decides how the server is reached"
_PLACE = "the site decides where the server runs"
_CODE = "it can load code by name"
_SENDS = "it sends data elsewhere"
_ROUTE = "it opens routes that the gateway does not guard"
_REQUEST = "it lets requests bring what is not checked"
_LOGS = "it writes what users send or get to the log; the gateway writes the audit line"
_PLAN = "the memory plan does not count it"
_ADAPTER = "adapters are weights of their own, which a profile cannot name"
_GUESS = "the field speculative_config says it"
_FILE = "it reads options or code from a file that nobody has checked"

_GROUPS: dict[str, tuple[str, ...]] = {
    _PROFILE: ("model", "served-model-name", "runner", "load-format"),
    _CARRIED: (
        "chat-template",
        "code-revision",
        "download-dir",
        "hf-config-path",
        "hf-token",
        "mm-encoder-fp8-scale-path",
        "mm-encoder-fp8-scale-save-path",
        "revision",
        "tokenizer",
        "tokenizer-revision",
    ),
    _SITE: (
        "allow-credentials",
        "allowed-headers",
        "allowed-methods",
        "allowed-origins",
        "api-key",
        "enable-ssl-refresh",
        "grpc",
        "grpc-port",
        "host",
        "port",
        "root-path",
        "ssl-ca-certs",
        "ssl-cert-reqs",
        "ssl-certfile",
        "ssl-ciphers",
        "ssl-keyfile",
        "uds",
    ),
    _PLACE: (
        "data-parallel-address",
        "data-parallel-backend",
        "data-parallel-external-lb",
        "data-parallel-hybrid-lb",
        "data-parallel-multi-port-external-lb",
        "data-parallel-rank",
        "data-parallel-rpc-port",
        "data-parallel-size",
        "data-parallel-size-local",
        "data-parallel-start-rank",
        "data-parallel-supervisor-port",
        "device-ids",
        "headless",
        "master-addr",
        "master-port",
        "nnodes",
        "node-rank",
        "numa-bind",
        "numa-bind-cpus",
        "numa-bind-nodes",
    ),
    _CODE: (
        "additional-config",
        "compilation-config",
        "distributed-executor-backend",
        "ec-manager-config",
        "io-processor-plugin",
        "logging-config",
        "logits-processors",
        "middleware",
        "model-class-overrides",
        "reasoning-parser-plugin",
        "scheduler-cls",
        "structured-outputs-config",
        "tool-parser-plugin",
        "trust-remote-code",
        "worker-cls",
        "worker-extension-cls",
    ),
    _FILE: ("config", "log-config-file"),
    _SENDS: (
        "ec-transfer-config",
        "kv-events-config",
        "kv-transfer-config",
        "otlp-traces-endpoint",
        "tool-server",
        "weight-transfer-config",
    ),
    _ROUTE: (
        "elastic-ep-max-dp-size",
        "enable-elastic-ep",
        "enable-offline-docs",
        "enable-scale-out",
        "enable-server-load-tracking",
        "enable-sleep-mode",
        "enable-tokenizer-info-endpoint",
        "profiler-config",
        "tokens-only",
    ),
    _REQUEST: (
        "allowed-local-media-path",
        "allowed-media-domains",
        "enable-mm-embeds",
        "enable-prompt-embeds",
        "trust-request-chat-template",
        "trust-request-mm-kwargs",
    ),
    _LOGS: ("enable-log-deltas", "enable-log-outputs", "enable-log-requests"),
    _PLAN: (
        "cpu-offload-gb",
        "cpu-offload-params",
        "decode-context-parallel-size",
        "disable-hybrid-kv-cache-manager",
        "disable-sliding-window",
        "kv-cache-dtype-skip-layers",
        "kv-cache-memory-bytes",
        "kv-offloading-backend",
        "kv-offloading-size",
        "mm-ipc-gpu-memory-gb",
        "num-gpu-blocks-override",
        "offload-backend",
        "offload-group-size",
        "offload-num-in-group",
        "offload-params",
        "offload-prefetch-step",
        "prefill-context-parallel-size",
    ),
    _GUESS: ("spec-method", "spec-model", "spec-tokens"),
    _ADAPTER: (
        "default-mm-loras",
        "enable-lora",
        "lora-modules",
    ),
}

REFUSED = {name: reason for reason, names in _GROUPS.items() for name in names}
