"""All bundles that must be refused for what somebody with a key, or with others' signatures, wrote.

Bytes that change on the way are the other half of the attack list
(tests/integration/test_tamper.py).
"""

from tests.support import bad_lists, bad_roots, bad_statements
from tests.support.forging import Case

CASES: dict[str, Case] = {
    f"{group}: {case.name}": case
    for group, cases in (
        ("root chain", bad_roots.CHAINS),
        ("root envelope", bad_roots.ENVELOPES),
        ("root document", bad_roots.DOCUMENTS),
        ("signature", bad_statements.SIGNATURES),
        ("statement", bad_statements.STATEMENTS),
        ("path", bad_lists.PATHS),
        ("list", bad_lists.LINES),
        ("bundle.json", bad_lists.INDEXES),
    )
    for case in cases
}
