"""``python3 BUNDLE/wheels/NAME/appliance-VERSION-py3-none-any.whl/appliance/bootstrap``.

Python runs a directory inside a wheel as it would a zip file, and then does not know of
the package around it.
"""

import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - whoever has an older one gets here before anything that it cannot read
    sys.stderr.write("error: Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "\n")
    sys.exit(2)
if not __package__:
    sys.path[0] = str(Path(__file__).parents[2])

from appliance.bootstrap.command import main

sys.exit(main(sys.argv[1:]))
