"""What roles learn from a bundle and the inventory, and how wrong inventories are told."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import BadInput
from tests.support.role_files import filters

SERVING = filters("serving")
DIGEST = "sha256:" + "ab" * 32
HEX = "0123456789abcdef" * 4

LAYERS = {"layers": 2, "kv_heads": 2, "head_dim": 32}
MEMORY = {"gpu_gib": 39.5, "overhead_gib": 4.0, "weights_bytes": 1 << 30, "attention": [LAYERS]}
ON_GPU = {"gpus": 1, "gpu_memory_utilization": 0.9, "max_num_batched_tokens": 8192, "memory": MEMORY}


def profile(**changes: object) -> dict[str, object]:
    return {
        "weights": "tiny",
        "image": "vllm-cpu",
        "task": "chat",
        "gpus": 0,
        "max_model_len": 4096,
        "enable_prefix_caching": True,
        "enable_chunked_prefill": True,
        "max_num_seqs": 16,
        "max_num_queued_reqs": 64,
        **changes,
    }


def bundle() -> str:
    return json.dumps(
        {
            "schema": "appliance.bundle/v1",
            "name": "demo",
            "version": "1.2.0",
            "description": "",
            "serving": {"tiny-chat": profile(), "other": profile(task="embedding")},
            "artifacts": [
                {
                    "kind": "weights",
                    "name": "tiny",
                    "licence": "CC0-1.0",
                    "source": {},
                    "details": {"path": "models/tiny"},
                    "files": [{"path": "models/tiny/a b/config.json", "sha256": HEX, "size": 2}],
                },
                {
                    "kind": "images",
                    "name": "vllm-cpu",
                    "licence": "various",
                    "source": {},
                    "details": {"manifest_digest": DIGEST},
                    "files": [],
                },
            ],
        }
    )


def refusal(call: Any, *arguments: object, **options: object) -> str:
    with pytest.raises(BadInput) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_a_model_is_told_with_all_that_a_unit_needs() -> None:
    (model,) = SERVING.models(bundle(), ["tiny-chat"], {"tiny-chat": {"max_model_len": 128}})
    assert model["image"] == f"vllm-cpu@{DIGEST}"
    (own,) = model["weight_sets"]
    assert own["files"] == [{"path": "a b/config.json", "sha256": HEX}]
    assert (own["in_bundle"], model["bundle"]) == ("models/tiny", "demo-1.2.0")
    assert model["arguments"][model["arguments"].index("--max-model-len") + 1] == "128"


def with_draft() -> str:
    """The bundle, where tiny-chat has weights that guess its tokens."""
    index = json.loads(bundle())
    guessing = {"method": "draft_model", "num_speculative_tokens": 3, "weights": "guess"}
    index["serving"]["tiny-chat"]["speculative_config"] = guessing
    files = [{"path": "models/guess/config.json", "sha256": HEX[::-1], "size": 40}]
    index["artifacts"].append(
        {**index["artifacts"][0], "name": "guess", "details": {"path": "models/guess"}, "files": files}
    )
    return json.dumps(index)


def test_weights_that_guess_are_fetched_and_checked_as_those_of_the_model() -> None:
    other, model = SERVING.models(with_draft(), [])
    ((own,), (same, draft)) = other["weight_sets"], model["weight_sets"]
    assert draft["in_bundle"] == "models/guess"
    assert draft["in_store"].startswith("guess-")
    assert f'"model":"{draft["place"]}"' in model["arguments"][model["arguments"].index("--speculative-config") + 1]
    assert model["weights_bytes"] == 2 + 40
    assert [one["list"] for one in (own, same, draft)] == ["other", "tiny-chat", "tiny-chat+draft"]
    assert draft["files"] == [{"path": "config.json", "sha256": HEX[::-1]}]
    assert own["files"] == same["files"] != draft["files"]
    assert len(SERVING.served([model])) == 1, "clients do not ask for what guesses"


def test_what_guesses_has_to_be_in_the_bundle() -> None:
    index = json.loads(with_draft())
    del index["artifacts"][-1]
    assert "demo 1.2.0 has no weights guess" in refusal(SERVING.models, json.dumps(index), ["tiny-chat"])


def test_no_name_means_all_models() -> None:
    assert [model["name"] for model in SERVING.models(bundle(), [])] == ["other", "tiny-chat"]


def with_adapter() -> str:
    index = json.loads(bundle())
    adapter = {"path": "models/legal/adapter_config.json", "sha256": HEX[::-1], "size": 5}
    own = {"name": "legal", "details": {"path": "models/legal"}, "files": [adapter]}
    index["artifacts"].append({**index["artifacts"][0], **own})
    told = {"max_loras": 1, "max_lora_rank": 16, "lora_target_modules": ["q_proj"]}
    index["serving"]["tiny-chat"] |= {"adapters": {"tiny-legal": "legal"}} | told
    return json.dumps(index)


def test_an_adapter_is_told_as_weights_of_its_own() -> None:
    other, model = SERVING.models(with_adapter(), [])
    assert len(other["weight_sets"]) == 1
    ((_, adapter), digest) = model["weight_sets"], HEX[::-1]
    listed = hashlib.sha256(f"{digest}  adapter_config.json\n".encode()).hexdigest()
    assert adapter == {
        "list": "tiny-legal",
        "adapter": "tiny-legal",
        "weights": "legal",
        "in_bundle": "models/legal",
        "in_store": f"legal-{listed[:16]}",
        "place": "/srv/adapters/tiny-legal",
        "files": [{"path": "adapter_config.json", "sha256": digest}],
    }
    assert model["weights_bytes"] == 2 + 5
    assert SERVING.served([other, model]) == [
        {"name": "other", "task": "embedding", "engine": "other"},
        {"name": "tiny-chat", "task": "chat", "engine": "tiny-chat"},
        {"name": "tiny-legal", "task": "chat", "engine": "tiny-chat"},
    ]


def test_clients_may_be_held_to_names_that_the_bundle_serves() -> None:
    def told(*names: str, roles: tuple[str, ...] = ("chat", "embedding")) -> Any:
        entry = {"name": "a", "fingerprint": HEX, "roles": list(roles), "models": list(names)}
        return SERVING.clients([entry], "/nowhere", index=with_adapter())

    assert told("tiny-legal", "other")[0]["models"] == ["tiny-legal", "other"]
    with pytest.raises(BadInput, match="lets a use legal, which is no model and no adapter of the bundle"):
        told("legal")
    with pytest.raises(BadInput, match="models of a names other 2 times"):
        told("other", "other")
    with pytest.raises(BadInput, match=r"gateway_clients\[0\].models"):
        told()
    # An adapter does what its model does.
    for name, task, roles, said in (
        ("tiny-legal", "chat", ("embedding",), "embedding"),
        ("other", "embedding", ("chat", "rerank"), "chat, rerank"),
        ("tiny-chat", "chat", (), "none"),
    ):
        with pytest.raises(BadInput) as refused:
            told(name, roles=roles)
        assert str(refused.value) == (
            f"gateway_clients lets a use {name}, which has the task {task}, but its roles are {said}\n"
            f"do: add {task} to the roles of a, or take {name} off its models"
        )


def test_gateways_are_told_from_the_inventory_alone() -> None:
    index = json.loads(bundle())
    exporter = {**index["artifacts"][1], "name": "dcgm-exporter"}
    index["serving"]["tiny-chat"] |= ON_GPU
    hosts = [{"inventory_hostname": "gpu1"}, {"inventory_hostname": "gpu2", "appliance_models": ["other"]}]
    served = [{"host": "gpu1", "models": ["other", "tiny-chat"]}, {"host": "gpu2", "models": ["other"]}]
    without = [gateway | {"exporter": False} for gateway in served]
    assert SERVING.gateways(json.dumps(index), hosts) == without
    index["artifacts"].append(exporter)
    assert SERVING.gateways(json.dumps(index), hosts) == [without[0] | {"exporter": True}, without[1]]


def test_wrong_inventories_are_told_by_their_variable() -> None:
    said = refusal(SERVING.models, bundle(), ["gpt"])
    assert said == (
        "appliance_models names gpt, which bundle demo 1.2.0 does not serve\n"
        "do: correct it; the bundle serves other, tiny-chat"
    )
    assert refusal(SERVING.models, bundle(), [], {"gpt": {}}).startswith("vllm_limits names gpt")
    assert refusal(SERVING.models, bundle(), ["tiny-chat"] * 2).startswith("appliance_models names tiny-chat 2 times")
    said = refusal(SERVING.models, bundle(), [], {"tiny-chat": {"max_model_len": 8192}})
    assert "max_model_len 8192" in said
    assert "allows at most 4096" in said
    assert "vllm_limits.tiny-chat.max_len: is not known" in refusal(
        SERVING.models, bundle(), [], {"tiny-chat": {"max_len": 1}}
    )
    said = refusal(SERVING.models, bundle(), [], None, {"tiny-chat": [0, 1]})
    assert said == "vllm_devices gives tiny-chat 2 GPUs, but its signed profile takes 0\ndo: leave tiny-chat out"
    said = refusal(SERVING.models, bundle(), [], None, {"tiny-chat": [0, 0]})
    assert said == "vllm_devices of tiny-chat names 0 2 times\ndo: name it once"


def test_a_model_gets_gpus_by_number_and_slices_as_cdi_calls_them() -> None:
    index = json.loads(bundle())
    index["serving"]["tiny-chat"] |= ON_GPU | {"gpu": "H100-80-3g.40gb"}

    def devices(*said: object) -> tuple[object, object]:
        (model,) = SERVING.models(json.dumps(index), ["tiny-chat"], None, {"tiny-chat": list(said)})
        return model["devices"], model["slice"]

    assert devices("mig1:0") == (["1:0"], "3g.40gb")
    assert devices(1) == ([1], "3g.40gb")
    index["serving"]["tiny-chat"] |= {"gpu": "H100-80", "kv_cache_dtype": "fp8"}
    assert devices() == ([], "")
    assert SERVING.models(json.dumps(index), ["tiny-chat"])[0]["kv_cache_dtype"] == "fp8"
    for wrong in ("1:0", "mig1", "0", "all", "mig0:0,1", "mig00:0", "mig0:01", -1):
        said = refusal(SERVING.models, json.dumps(index), ["tiny-chat"], None, {"tiny-chat": [wrong]})
        assert said.startswith(f"vllm_devices gives tiny-chat {wrong!r}, which is no GPU\ndo: write the number")


def test_fingerprints_are_taken_as_openssl_prints_them() -> None:
    printed = ":".join(HEX.upper()[place : place + 2] for place in range(0, 64, 2))
    (client,) = SERVING.clients([{"name": "a", "fingerprint": printed, "roles": ["chat"]}], "/nowhere", index=bundle())
    assert client == {"name": "a", "fingerprint": HEX, "roles": ["chat"], "models": None}


def test_a_client_of_the_sites_own_authority_needs_no_fingerprint(tmp_path: Path) -> None:
    assert "add a to pki_clients" in refusal(
        SERVING.clients, [{"name": "a", "roles": []}], str(tmp_path), index=bundle()
    )
    assert SERVING.clients([{"name": "a", "roles": []}], str(tmp_path), promised=["a"], index=bundle()) == []
    (tmp_path / "a").mkdir()
    key, certificate = tmp_path / "key.pem", tmp_path / "a" / "client.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", "/CN=a", "-days", "2", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    printed = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (client,) = SERVING.clients([{"name": "a", "roles": ["chat"]}], str(tmp_path), index=bundle())
    assert client["fingerprint"] == printed.partition("=")[2].strip().replace(":", "").lower()


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ({"name": "a", "fingerprint": "AB:CD", "roles": []}, "not a SHA-256"),
        ({"name": 'a"; inject', "fingerprint": HEX, "roles": []}, "gateway_clients[0].name"),
        ({"name": "a", "fingerprint": HEX, "roles": ["admin"]}, "gateway_clients[0].roles[0]"),
        ({"name": "a", "fingerprint": HEX}, "gateway_clients[0].roles"),
    ],
)
def test_wrong_clients_are_refused(client: dict[str, object], said: str) -> None:
    assert said in refusal(SERVING.clients, [client], "/nowhere", index=bundle())


def test_one_certificate_is_one_client() -> None:
    two = [{"name": name, "fingerprint": HEX, "roles": []} for name in "ab"]
    assert refusal(SERVING.clients, two, "/nowhere", index=bundle()) == (
        f"gateway_clients names {HEX} 2 times\ndo: name it once"
    )


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("--dtype", "--dtype"),
        ("two words", '"two words"'),
        ('{"a":1}', '"{\\"a\\":1}"'),
        ("100%", '"100%%"'),
        ("$HOME", '"$$HOME"'),
        ("back\\slash", '"back\\\\slash"'),
    ],
)
def test_words_of_a_command_line_stay_what_they_are(word: str, written: str) -> None:
    assert SERVING.systemd_word(word) == written
