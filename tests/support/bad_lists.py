"""Bundles whose SHA256SUMS or bundle.json is rightly signed and must be refused all the same."""

from typing import Any

from tests.support.bundles import FILES, PLAIN
from tests.support.forging import Case, EditBytes, delete, doubled, listing, put

_DIGEST = b"0" * 64


def _sums(name: str, change: EditBytes) -> Case:
    return Case(name, "sums-malformed", PLAIN.but(sums=change))


def _listed(name: str, path: bytes) -> Case:
    """A path that is listed; no file can be there."""
    return _sums(name, listing(path))


def _path(name: str, path: str, *, script: bool = True) -> Case:
    """A file that is there and listed: nothing but its name is wrong."""
    return Case(name, "sums-malformed", PLAIN.but(files={**FILES, path: b""}), script=script)


def _lines(change: EditBytes) -> EditBytes:
    """Change the first line."""

    def edit(sums: bytes) -> bytes:
        first, rest = sums.split(b"\n", 1)
        return change(first) + b"\n" + rest

    return edit


PATHS = (
    _listed("leads up", b"../x"),
    _listed("leads up in the middle", b"models/../../x"),
    _listed("absolute", b"/etc/passwd"),
    _listed("dot", b"./x"),
    _listed("dot in the middle", b"models/./tiny/empty.txt"),
    _listed("two slashes", b"models//tiny/empty.txt"),
    _listed("slash at the end", b"models/tiny/"),
    _listed("NUL", b"models/x\0y"),
    _listed("not UTF-8", b"models/\xff"),
    _listed("overlong UTF-8", b"models/\xc0\xaf"),
    _listed("surrogate", b"models/\xed\xa0\x80"),
    _listed("long component", b"models/" + b"x" * 256),
    _listed("file and directory", b"models/tiny"),
    _listed("file below a file", b"models/tiny/empty.txt/x"),
    _listed("the list itself", b"SHA256SUMS"),
    _listed("the statement", b"statement.json"),
    _listed("a root document", b"trust/1.root.json"),
    _listed("a signature", b"sigs/x"),
    _path("backslash", "models\\x"),
    _path("option", "-rf"),
    _path("option in the middle", "models/--help"),
    _path("space in front", "models/ x"),
    _path("space at the end", "models/x "),
    _path("dot at the end", "models/x."),
    _path("colon", "models/x:stream"),
    _path("wildcard", "models/*"),
    _path("question mark", "models/?"),
    _path("quote", 'models/"x"'),
    _path("pipe", "models/x|y"),
    _path("tab", "models/a\tb"),
    _path("line break", "models/a\nb"),
    _path("carriage return", "models/x\r"),
    _path("escape sequence", "models/\x1b[2Jx"),
    _path("delete", "models/x\x7f"),
    _path("C1 control", "models/\u009bx"),
    _path("turned round", "models/\u202egnp.exe"),
    _path("zero width", "models/x\u200by"),
    _path("line separator", "models/x\u2028y"),
    _path("private use", "models/\ue000"),
    _path("unassigned", "models/\u0378"),
    _path("device", "models/nul"),
    _path("device with an ending", "models/Aux.txt"),
    _path("device as a directory", "com1/x"),
    _path("long path", "models/" + "/".join(["x" * 100] * 11)),
    _path("deep", "/".join(["d"] * 33)),
    _path("other case", "models/tiny/Empty.txt"),
    _path("other case of a directory", "Models/other"),
    _path("other case of a file and a directory", "EVIDENCE"),
    _path("not in normal form C", "models/e\u0301", script=False),
    _path("other case beyond ASCII", "models/tiny/MOD\u00c8LE \u00c1\u0401.json", script=False),
    _path("compatible form", "models/tiny/empty.t\uff58t", script=False),
)

LINES = (
    _sums("empty", lambda sums: b""),
    _sums("no line break at the end", lambda sums: sums[:-1]),
    _sums("empty line at the end", lambda sums: sums + b"\n"),
    _sums("empty line in front", lambda sums: b"\n" + sums),
    _sums("DOS line breaks", lambda sums: sums.replace(b"\n", b"\r\n")),
    _sums("unsorted", lambda sums: b"".join(reversed(sums.splitlines(keepends=True)))),
    _sums("line twice", lambda sums: sums.splitlines(keepends=True)[0] + sums),
    _sums("path twice", lambda sums: _DIGEST + sums.splitlines(keepends=True)[0][64:] + sums),
    _sums("escaped line", _lines(lambda line: b"\\" + line)),
    _sums("binary mark", _lines(lambda line: line[:64] + b" *" + line[66:])),
    _sums("one space", _lines(lambda line: line[:64] + b" " + line[66:])),
    _sums("three spaces", _lines(lambda line: line[:64] + b"   " + line[66:])),
    _sums("no path", _lines(lambda line: line[:66])),
    _sums("digest in capitals", _lines(lambda line: b"A" * 64 + line[64:])),
    _sums("short digest", _lines(lambda line: line[1:])),
    _sums("digest is not ASCII", _lines(lambda line: "\u0660".encode() * 32 + line[64:])),
    _sums("BSD format", _lines(lambda line: b"SHA256 (" + line[66:] + b") = " + line[:64])),
    _sums("comment", lambda sums: b"# made by hand\n" + sums),
)


def _index(name: str, change: Any, reference: str = "index-mismatch", *, script: bool = True) -> Case:
    return Case(name, reference, PLAIN.but(index=change), script=script)


def _bytes(name: str, change: EditBytes) -> Case:
    return Case(name, "index-malformed", PLAIN.but(index_bytes=change))


INDEXES = (
    _index("a file is not explained", delete("shared/0")),
    _index("an artifact's file is not explained", delete("artifacts/0/files/1")),
    _index("a file that is not there", put("shared/0/path", "evidence/other.txt")),
    _index("another digest", put("shared/0/sha256", "0" * 64)),
    _index("another size", put("shared/0/size", 1)),
    _index(
        "one file explained in two ways",
        lambda index: index["shared"].append({**index["shared"][0], "size": index["shared"][0]["size"] + 1}),
    ),
    _index("describes itself", lambda index: index["shared"].append({**index["shared"][0], "path": "bundle.json"})),
    _index("another bundle's name", put("name", "other")),
    _index("another version", put("version", "1.0.1")),
    _index("another schema", put("schema", "appliance.bundle/v2"), "index-malformed"),
    _index("no artifacts", delete("artifacts"), "index-malformed"),
    _index("an unknown key", put("comment", "x"), "index-malformed", script=False),
    _index("a profile for nothing", put("serving", {"chat": {}}), "index-malformed", script=False),
    _bytes("empty", lambda data: b""),
    _bytes("no JSON", lambda data: b"name: tiny\n"),
    _bytes("two values", doubled),
    _bytes("a list", lambda data: b"[" + data + b"]"),
    _bytes("key twice", lambda data: data.replace(b'"version":', b'"version": "9.9.9",\n "version":')),
    _bytes(
        "key twice with objects",
        lambda data: data.replace(b'"serving": {}', b'"serving": {"a": {}},\n "serving": {}'),
    ),
    Case(
        "not there",
        "index-malformed",
        PLAIN.but(omitted=("bundle.json",)),
    ),
)
