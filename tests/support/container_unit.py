"""The unit of a model's container, rendered for a model and a host."""

from collections.abc import Mapping
from typing import Any

from tests.support.role_files import filters, render


def weight_set(listed: str, store: str, place: str, adapter: str | None = None) -> dict[str, str | None]:
    """As the filter appliance_models tells of one: its list, its directory, its place in the container."""
    return {"list": listed, "adapter": adapter, "in_bundle": f"models/{store}", "in_store": store, "place": place}


MODEL = {
    "name": "tiny-chat",
    "task": "chat",
    "gpus": 0,
    "memory_utilization": 0.2,
    "devices": [],
    "arguments": ["--served-model-name", "tiny-chat"],
    "image": "vllm-cpu@sha256:" + "ab" * 32,
    "weights_bytes": 2,
    "weight_sets": [weight_set("tiny-chat", "tiny-abc", "/srv/model")],
    "bundle": "demo-1.2.0",
}
_SIZES = {"shm": "8g", "tmp": "512m", "cache": "4g"}


def unit_beside(*beside: Mapping[str, str | None], **changes: object) -> str:
    """The unit of ``MODEL`` with more sets of weights beside its own, on a host with two cores."""
    model: dict[str, Any] = {**MODEL, **changes}
    model["weight_sets"] = [*model["weight_sets"], *beside]
    return container_unit({"cores": [0, 1], "memory": 16 << 30}, model)


def container_unit(
    host: Mapping[str, Any], model: Mapping[str, Any] = MODEL, *, sizes: Mapping[str, str] = _SIZES, memory: int = 0
) -> str:
    """Of ``model`` on ``host`` (cores, memory), where the site gives it ``memory`` GiB, or says nothing about that."""
    return render(
        "vllm",
        "vllm.container.j2",
        model=model,
        inventory_hostname="gpu1",
        groups={"depot": ["depot1"]},
        vllm_registry="depot:5443",
        vllm_uid=10001,
        vllm_max_n=16,
        vllm_start_timeout=1800,
        vllm_stop_timeout=60,
        __vllm_place="/srv/appliance/models",
        __vllm_shares=filters("shares").shares([model], host, sizes, {model["name"]: memory}),
    )
