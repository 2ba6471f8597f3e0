"""Tables as CSV, RFC 4180: https://www.rfc-editor.org/rfc/rfc4180.  Every field stands in quotation marks.

A spreadsheet takes a field that begins with ``=``, ``+``, ``-`` or ``@`` for a formula and runs it, quoted or not
(https://owasp.org/www-community/attacks/CSV_Injection).  The words in our tables are other people's, so such a
character gets an apostrophe before it: at the start of a field, and after whatever a spreadsheet of another country
may take for the end of one.  What does not show on a page is written as an escape, a line's end too: a row is one line.

The page of an audit writes the same in its script: ``appliance/report.js``.
"""

import re
from collections.abc import Iterable, Sequence

from appliance.model.visible import shown

# Spreadsheets for East Asia read the wide forms of these characters as well.
_FORMULA = re.compile(r"""(^|[;,|"'])( *)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")


def csv_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Head and rows, each line with its end (CR LF)."""
    return "".join(",".join(map(_field, row)) + "\r\n" for row in (head, *rows))


def _field(text: str) -> str:
    guarded = _FORMULA.sub(r"\1\2'", shown(text))
    return '"' + guarded.replace('"', '""') + '"'
