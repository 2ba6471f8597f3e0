"""The JSON Schemas in docs/schemas, made from the types: ``python -m tests.support.schemas``, or ``make schemas``.

They are JSON Schema 2020-12.  What a schema cannot say (times that are dates, keys that are
their ids, paths) docs/bundle-format.md says.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from appliance.model.base import Strict
from appliance.model.documents.bench import Bench
from appliance.model.documents.bundle import BundleIndex, Statement
from appliance.model.documents.cost import CostScenario
from appliance.model.documents.log import LogEntry
from appliance.model.documents.override import Override
from appliance.model.documents.policy import SitePolicy
from appliance.model.documents.root import RootDocument
from appliance.model.documents.vulnerabilities import VulnerabilityReport
from appliance.trust.evidence import HeadStatement, ReceiptStatement
from tests.support.documents import DOCS

SCHEMAS = DOCS / "schemas"
_FORMS: Mapping[str, type[Strict]] = {
    "bench": Bench,
    "bundle": BundleIndex,
    "cost": CostScenario,
    "head": HeadStatement,
    "log": LogEntry,
    "override": Override,
    "policy": SitePolicy,
    "receipt": ReceiptStatement,
    "root": RootDocument,
    "statement": Statement,
    "vulnerabilities": VulnerabilityReport,
}


def schemas() -> dict[str, dict[str, Any]]:
    """Each schema by the name of its file."""
    return {f"{name}.schema.json": _schema(name, form) for name, form in _FORMS.items()}


def _schema(name: str, form: type[Strict]) -> dict[str, Any]:
    made = _plain(form.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:appliance:schema:{name}:v1",
        **made,
    }


def _plain(value: Any, *, names: bool = False) -> Any:
    """Fit for readers of other languages; with ``names`` the keys are fields and no words of JSON Schema."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if names:
        return {key: _plain(item) for key, item in value.items()}
    found = {key: _plain(item, names=key in ("properties", "$defs")) for key, item in value.items()}
    found.pop("title", None)  # pydantic makes it of the name
    if "description" in found:
        found["description"] = found["description"].replace("``", "`")
    if "pattern" in found:
        found["pattern"] = re.sub(r"^\\A(.*)\\z$", r"^\1$", found["pattern"])
    if patterns := found.pop("patternProperties", None):
        # pydantic lets all other names pass
        ((pattern, found["additionalProperties"]),) = patterns.items()
        found["propertyNames"] = {**found.get("propertyNames", {}), "pattern": pattern}
    return found


def as_text(schema: Mapping[str, Any]) -> str:
    """As it lies in the file."""
    return json.dumps(schema, indent=1) + "\n"


if __name__ == "__main__":
    SCHEMAS.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (SCHEMAS / name).write_text(as_text(schema))
