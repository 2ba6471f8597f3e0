"""The rules of a review, each with the page that explains it; and how a finding of one is made."""

from collections.abc import Mapping

from appliance.model.findings import Finding
from appliance.model.limits import MAX_FINDING
from appliance.model.visible import shown

_HIDDEN_INSTRUCTIONS = "https://arxiv.org/abs/2602.04653"
_TOKENIZERS = "https://developer.nvidia.com/blog/secure-llm-tokenizers-to-maintain-application-integrity/"
_UNSEEN = "https://cwe.mitre.org/data/definitions/1007.html"
_PICKLES = "https://huggingface.co/docs/hub/security-pickle"

SEE: Mapping[str, str] = {
    "template-adds-text": _HIDDEN_INSTRUCTIONS,
    "template-unseen-text": _HIDDEN_INSTRUCTIONS,
    "template-address": _HIDDEN_INSTRUCTIONS,
    "template-alters-text": "https://cwe.mitre.org/data/definitions/1336.html",
    "template-invisible": _UNSEEN,
    "template-clock": "https://cwe.mitre.org/data/definitions/511.html",
    "template-chance": "https://cwe.mitre.org/data/definitions/511.html",
    "template-fails": "https://huggingface.co/docs/transformers/chat_templating_writing",
    "template-allowed": "https://nvd.nist.gov/vuln/detail/CVE-2024-34359",
    "tokenizer-word": _TOKENIZERS,
    "tokenizer-invisible": _UNSEEN,
    "tokenizer-number": _TOKENIZERS,
    "tokenizer-overlap": _TOKENIZERS,
    "tokenizer-replaces": _TOKENIZERS,
    "tokenizer-adds": _TOKENIZERS,
    "config-address": "https://cwe.mitre.org/data/definitions/829.html",
    "allowed-file": _PICKLES,
    "licence-restricts": "",  # the address of its text
    "licence-unknown": "https://huggingface.co/docs/hub/repositories-licenses",
    "licence-differs": "https://huggingface.co/docs/hub/repositories-licenses",
}


def finding(rule: str, path: str, what: str, see: str = "") -> Finding:
    """A finding in one line, with an escape for what is not seen; cut where it is too long."""
    line = shown(" ".join(what.split()))
    if len(line) > MAX_FINDING:
        line = f"{line[: MAX_FINDING - 4]} ..."
    return Finding(rule=rule, path=path, what=line, see=see or SEE[rule])
