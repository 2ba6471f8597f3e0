"""The README of each role, made from what its ``meta/argument_specs.yml`` says.

python -m tests.role_readmes      # writes them; tests/unit/test_ansible.py holds them equal
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).parents[1] / "ansible/appliance_site/roles"
_MARKUP = re.compile(r"\b[CVOFM]\(([^)]*)\)")


def readme(role: Path) -> str:
    """The text of ``roles/<name>/README.md``."""
    specification = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    lines = [f"# {role.name}", "", f"{specification['short_description']}.", ""]
    for paragraph in specification.get("description", []):
        lines += [_plain(paragraph), ""]
    options = specification.get("options", {})
    if options:
        lines += ["## Variables", "", *_listed(options, ""), ""]
    lines.append("Made from `meta/argument_specs.yml` by `python -m tests.role_readmes`.")
    return "\n".join(lines) + "\n"


def _listed(options: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, option in options.items():
        kind = f"{option['type']} of {option['elements']}" if "elements" in option else option["type"]
        facts = [kind]
        if option.get("required"):
            facts.append("required")
        if "choices" in option:
            facts.append(f"one of {', '.join(map(str, option['choices']))}")
        if "default" in option:
            facts.append(f"default {_code(option['default'])}")
        yield f"{indent}- `{name}` ({'; '.join(facts)}): {_plain(option['description'])}"
        yield from _listed(option.get("options", {}), f"{indent}  ")


def _code(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return f"`{text}`" if text else "empty"


def _plain(text: Any) -> str:
    paragraphs = text if isinstance(text, list) else [text]
    return " ".join(_MARKUP.sub(r"`\1`", " ".join(str(paragraph).split())) for paragraph in paragraphs)


if __name__ == "__main__":
    for place in sorted(ROLES.iterdir()):
        if place.is_dir():
            (place / "README.md").write_text(readme(place))
