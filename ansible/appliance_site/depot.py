"""``python -m appliance_site.depot``: make the depot's files from imported bundles.

Indexes are those of one bundle, the registry has the images of all, so that a host may
still pull what it ran before.  The import has verified each bundle and root alone can
write it, so it is read here without another look at its signatures.

One line of JSON on standard output lists what changed, or with ``--check`` what would.
"""

import argparse
import json
import sys
from pathlib import Path

from appliance.model.documents.bundle import BundleIndex
from appliance.model.jsonform import strict_json
from appliance_site.converge import Converge
from appliance_site.depot_index import depot_files
from appliance_site.registry_tree import RegistryTree

_LARGEST_INDEX = 256 * 1024 * 1024


def main() -> int:
    """Exit code 0, or 2 with one line on standard error."""
    parser = argparse.ArgumentParser(prog="appliance_site.depot", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="directory with bundles/ and current/")
    parser.add_argument("--bundle", required=True, help="name of the bundle whose indexes to serve")
    parser.add_argument("--check", action="store_true", help="change nothing")
    given = parser.parse_args()
    try:
        converge = Converge(check=given.check)
        index = _read(given.root / "current" / given.bundle)
        converge.tree(given.root / "www" / index.name, depot_files(index))
        registry = RegistryTree()
        for bundle in sorted((given.root / "bundles").iterdir()):
            if not bundle.name.startswith("."):  # those are being imported
                registry.add(_read(bundle), bundle)
        converge.tree(given.root / "registry", registry.files, registry.blobs)
    except (OSError, ValueError) as error:
        print(f"the depot's files could not be made from {given.root}: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"changed": converge.changed}))
    return 0


def _read(bundle: Path) -> BundleIndex:
    data = (bundle / "bundle.json").read_bytes()
    strict_json(data, limit=_LARGEST_INDEX)
    return BundleIndex.model_validate_json(data)


if __name__ == "__main__":
    sys.exit(main())
