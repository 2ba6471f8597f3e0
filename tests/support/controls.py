"""The page docs/controls.md, made from ``appliance/controls.yaml``.

``python -m tests.support.controls``, or ``make controls``.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator

from appliance.model.documents.controls import MATERIALS, Control, Controls
from appliance.steps.documents.controls import read_controls
from tests.support.documents import DOCS

PAGE = DOCS / "controls.md"

_HEAD = """\
# Controls

With this page you can say in a security plan which controls the appliance helps with, what shows it, and what is left
for you. Nothing here meets a control as a whole: each has a part that stays the site's.

## As OSCAL

The same is there for programs, in [OSCAL](https://pages.nist.gov/OSCAL/) 1.2.1. The component definition says what this
page says, and is the same on every machine:

```sh
appliance controls --oscal component-definition.json
```

An audit writes what holds on a site, as assessment results:

```sh
appliance audit --site /srv/appliance --root root.json --key site.pub.pem --head head.json --oscal results.json
```

- For each control that an audit can judge, it writes an objective of ours, what it looked at, and whether that
  objective is satisfied. It never says that of the control's own statement.
- Satisfied means that the audit had everything that the control needs (below), and that no finding speaks against it.
  Bring the site's key, a head of the log and `--base`, or nothing is said of some controls.
- Where a bundle is refused or the log is damaged, no control that needs it counts as satisfied, because the audit has
  seen a part of it only. What hosts run is read from the log, so this holds for controls that need hosts too.
- Evidence is there by digest: each bundle's `SHA256SUMS`, each receipt and head, the log's last line. With `--out`, so
  is the report for people. Links are relative to the file: carry it together with what they name.
- A problem that no control names counts against every control that an audit judges.
- The tests below are ours, and an audit does not run them. `.ci/run` and `make site-test` do, in the repository.

## Where identifiers come from

| name in OSCAL | standard | what was read |
| --- | --- | --- |
"""

_AFTER = """
Requirements of IEC 62443 and of the BSI stand beside a control where they ask for what we do; nobody but us has judged
that. Those of NIST SP 800-171 are the ones that NIST itself derives from the control, and tasks of the SSDF those that
name what we do. SP 800-171 revision 2 has other numbers, and is not listed.

## What an audit looks at

| name | what |
| --- | --- |
"""

_GROUPS = """
Some findings are named together. Each of these is a problem of an audit:

"""

_GLANCE = """
## At a glance

| control | title | judged by an audit |
| --- | --- | --- |
"""


def page(controls: Controls) -> str:
    """All of it."""
    text = "".join(
        [
            _HEAD,
            *(f"| `{name}` | [{one.title}]({one.source}) | {one.read} |\n" for name, one in controls.standards.items()),
            _AFTER,
            *(f"| `{name}` | {what} |\n" for name, what in MATERIALS.items()),
            _GROUPS,
            *(_paragraph(f"**{name}**: {_words(found)}.") for name, found in controls.groups.items()),
            _GLANCE,
            *(f"| {_link(one)} | {_title(one)} | {'yes' if one.needs else 'no'} |\n" for one in controls.controls),
            *("".join(_section(control, controls)) for control in controls.controls),
        ]
    )
    return re.sub("\n{3,}", "\n\n", text).rstrip("\n") + "\n"


def _title(control: Control) -> str:
    return control.title.replace(" | ", ": ")


def _link(control: Control) -> str:
    heading = f"{control.label} {_title(control)}".lower()
    anchor = "".join(letter for letter in heading if letter.isalnum() or letter in "-_ ").replace(" ", "-")
    return f"[{control.label}](#{anchor})"


def _section(control: Control, controls: Controls) -> Iterator[str]:
    yield f"\n## {control.label} {_title(control)}\n\n"
    yield _paragraph(control.what)
    yield _paragraph(f"**Stays the site's:** {control.site}")
    yield "Shown by\n\n"
    yield from (f"- `{test}`\n" for test in control.tests)
    yield "\n"
    if control.needs:
        yield _paragraph(
            f"An audit needs {_words(control.needs)}. These findings speak against it: {_words(control.checks)}."
        )
    also = (f"{controls.standards[name].title}: {', '.join(found)}" for name, found in control.also.items())
    if told := "; ".join(also):
        yield _paragraph(f"See also {told}.")


def _paragraph(text: str) -> str:
    return textwrap.fill(text, width=130, break_long_words=False, break_on_hyphens=False) + "\n\n"


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page(read_controls()), encoding="utf-8")
