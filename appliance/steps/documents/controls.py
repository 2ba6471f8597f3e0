"""``controls.yaml``, which every installation has with it."""

import json
from importlib import resources

from appliance.model.documents.controls import Controls
from appliance.model.yamlform import read_yaml


def read_controls() -> Controls:
    """All controls that we say something of."""
    data = resources.files("appliance").joinpath("controls.yaml").read_bytes()
    return Controls.model_validate_json(json.dumps(read_yaml(data).data))
