"""``/usr/bin/python3 -I BUNDLE/wheels/NAME/appliance-VERSION-py3-none-any.whl/appliance/bootstrap``.

Python runs a directory inside a wheel as it would a zip file, and then does not know of
the package around it.  Without ``-I`` it would look for modules where its caller's
environment says, so it is started once more with it, before anything is imported.
"""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - whoever has an older one gets here before anything that it cannot read
    sys.stderr.write("error: Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "\n")
    sys.exit(2)
if not sys.flags.isolated:
    os.execv(sys.executable, [sys.executable, "-I", *sys.argv])  # noqa: S606 - itself
if not __package__:
    sys.path[0] = __file__.rsplit(os.sep, 3)[0]

from appliance.bootstrap.command import main

sys.exit(main(sys.argv[1:]))
