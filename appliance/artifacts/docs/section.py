"""What a definition says about one set of documents."""

from appliance.artifacts.base import ArtifactSection
from appliance.model.names import BundlePath


class DocsSection(ArtifactSection):
    """One entry under ``docs``; ``directory`` is relative to the definition."""

    directory: BundlePath
