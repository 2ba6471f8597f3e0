"""``controls.yaml``, which every installation has with it, and what OSCAL documents call that which it is about."""

import json
from importlib import resources

from appliance.formats.oscal import identifier
from appliance.model.documents.controls import Controls
from appliance.model.yamlform import read_yaml

TITLE = "The appliance for language models without a network"
DESCRIPTION = (
    "Builds, signs, carries and verifies bundles of models, container images, Python wheels and OS packages, and makes "
    "bare servers of a site serve these models behind a gateway."
)
COMPONENT = identifier("component")


def read_controls() -> Controls:
    """All controls that we say something of."""
    data = resources.files("appliance").joinpath("controls.yaml").read_bytes()
    return Controls.model_validate_json(json.dumps(read_yaml(data).data))
