"""``appliance controls``: the OSCAL component definition, which says of each control what we do and how it is shown.

It is the same on every machine: it follows from ``controls.yaml`` alone.
"""

from collections.abc import Iterator

from appliance.formats.oscal import Entry, document, identifier, metadata, prop, resource
from appliance.model.documents.controls import CATALOGUE, Control, Controls
from appliance.steps.documents.controls import COMPONENT, DESCRIPTION, TITLE


def component_definition(controls: Controls) -> bytes:
    """The document: OSCAL's component definition in JSON."""
    standards = controls.standards
    return document(
        "component-definition",
        {
            "uuid": identifier("component-definition", controls.model_dump_json()),
            "metadata": metadata(f"{TITLE}: controls", controls.version, controls.modified),
            "components": [
                {
                    "uuid": COMPONENT,
                    "type": "software",
                    "title": TITLE,
                    "description": DESCRIPTION,
                    "control-implementations": [_implementation(controls)],
                }
            ],
            "back-matter": {
                "resources": [
                    resource(name, standard.title, standard.source, description=standard.read)
                    for name, standard in standards.items()
                ]
            },
        },
    )


def _implementation(controls: Controls) -> Entry:
    return {
        "uuid": identifier("control-implementation", CATALOGUE),
        "source": controls.standards[CATALOGUE].source,
        "description": "What the appliance does for each control, the tests that show it, and what stays the site's. "
        "It meets no control as a whole.",
        "implemented-requirements": [_requirement(control, controls) for control in controls.controls],
    }


def _requirement(control: Control, controls: Controls) -> Entry:
    return {
        "uuid": identifier("implemented-requirement", CATALOGUE, control.id),
        "control-id": control.id,
        "description": control.what,
        "props": list(_props(control, controls)),
        "remarks": f"What stays the site's: {control.site}",
    }


def _props(control: Control, controls: Controls) -> Iterator[Entry]:
    for name, identifiers in control.also.items():
        for one in identifiers:
            yield prop(name, one)
    for test in control.tests:
        yield prop("test", test)
    for material in control.needs:
        yield prop("evidence-of-a-site", material)
    for reference in sorted(controls.references(control)):
        yield prop("finding-against-it", reference)
