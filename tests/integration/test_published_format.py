"""docs/bundle-format.md's command, in the jq of Debian 12 and of Debian 13."""

from pathlib import Path

import pytest

from appliance.model.jsonform import parse_canonical
from tests.support.debian_root import debian_root
from tests.support.documents import commands

pytestmark = pytest.mark.integration

CANONICAL = (
    *(b"{}", b"[]", b"null", b"true", b"0", b"-1", b"9007199254740991", b"-9007199254740991", b'""', b'"~ /"'),
    *(rb'"\"\\"', b'{"A":[1,{"b":null}],"a":"x"}', b'{"a":{},"a b":[[]]}'),
)
NOT_CANONICAL = (
    *(b"", b"{}{}", b"{} ", b"{}\n", b" {}", b"\xef\xbb\xbf{}", b"{}\0", b"{", b"{}x", b'{"b":1,"a":2}'),
    *(b'{"a":1,"a":1}', b'{"a":1,"\\u0061":1}', b"1.5", b"[1.0]", b"1e2", b"-0", b"01", b"NaN", b"[1e999]"),
    *(b"9007199254740992", b"9007199254740993", b"[1,-9007199254740992]", b"100000000000000000000"),
    *(b'"\xc3\xa9"', b'"\\u00e9"', b'{"\xc3\xa9":1}', b'"\x7f"', b'"\\u007f"', b'"\\n"', b'"\n"', b'"\\/"', b'"\xff"'),
    *(b'{"a":{"b\\t":1}}', b'[{"a":1, "b":2}]', b'"\\u0041"'),
)


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_the_canonical_check_says_what_we_say(suite: str, tmp_path: Path) -> None:
    (block,) = commands("bundle-format.md", "Canonical JSON")
    documents = [*CANONICAL, *NOT_CANONICAL]
    for number, data in enumerate(documents):
        (tmp_path / f"{number}").write_bytes(data)
    loop = f'for n in $(seq 0 {len(documents) - 1}); do canonical /mnt/documents/$n && echo "$n is"; done; :'
    done = debian_root(suite, "jq", "openssl").run(
        ["sh", "-uc", f"umask 022; cd /tmp\n{block}\n{loop}"], mounts={"documents": tmp_path}
    )
    found = {documents[int(line.split()[0])] for line in done.stdout.splitlines() if line.endswith(" is")}
    assert found == set(CANONICAL), done.stderr


def test_the_documents_are_what_they_are_called() -> None:
    for data in CANONICAL:
        parse_canonical(data, limit=1000)
    for data in NOT_CANONICAL:
        with pytest.raises(ValueError):  # noqa: PT011 - whichever it is
            parse_canonical(data, limit=1000)
