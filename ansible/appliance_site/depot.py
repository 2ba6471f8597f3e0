"""``python -m appliance_site.depot``: make the depot's files from an imported bundle.

The import has verified the bundle and root alone can write it, so it is read here without
another look at its signatures.  One line of JSON on standard output lists what changed,
or with ``--check`` what would.
"""

import argparse
import json
import sys
from pathlib import Path

from appliance.model.bundle import BundleIndex
from appliance.model.jsonform import strict_json
from appliance_site.converge import Converge
from appliance_site.depot_index import depot_files
from appliance_site.registry_tree import fill

_LARGEST_INDEX = 256 * 1024 * 1024


def main() -> int:
    """Exit code 0, or 2 with one line on standard error."""
    parser = argparse.ArgumentParser(prog="appliance_site.depot", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="directory of the imported bundle")
    parser.add_argument("--www", type=Path, required=True, help="where the indexes go, in a directory of the bundle")
    parser.add_argument("--registry", type=Path, required=True, help="storage of the image registry")
    parser.add_argument("--check", action="store_true", help="change nothing")
    given = parser.parse_args()
    try:
        bundle = given.bundle.resolve(strict=True)
        data = (bundle / "bundle.json").read_bytes()
        strict_json(data, limit=_LARGEST_INDEX)
        index = BundleIndex.model_validate_json(data)
        converge = Converge(check=given.check)
        converge.tree(given.www / index.name, depot_files(index))
        converge.directory(given.registry)
        fill(converge, index, bundle, given.registry)
    except (OSError, ValueError) as error:
        print(f"the depot's files could not be made from {given.bundle}: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"changed": converge.changed}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
