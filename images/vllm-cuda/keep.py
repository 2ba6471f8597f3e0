"""Keep the named packages and what they need; purge the others, which only the compiler needed.

    keep.py PACKAGE ...

Essential packages stay, and what they need.  dpkg has the last word: it removes nothing that a package
that stays depends on.  Exit code 1: a package that is to stay is not installed, or dpkg refused.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping

_FORM = "${Package}\t${Essential}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def main() -> int:
    """See above."""
    listed = subprocess.run(
        ["/usr/bin/dpkg-query", "--show", f"--showformat={_FORM}"], check=True, capture_output=True, text=True
    ).stdout
    wanted: dict[str, set[str]] = {}
    essential: set[str] = set()
    by_name: dict[str, set[str]] = {}
    for name, is_essential, provides, depends in (line.split("\t") for line in listed.splitlines()):
        wanted[name] = set(_names(depends.replace("|", ",").split(",")))
        essential |= {name} if is_essential == "yes" else set()
        for offered in (name, *_names(provides.split(","))):
            by_name.setdefault(offered, set()).add(name)
    named = set(sys.argv[1:])
    if missing := named - wanted.keys():
        sys.stderr.write(f"not installed: {' '.join(sorted(missing))}\n")
        return 1
    others = sorted(wanted.keys() - needed(named | essential, wanted, by_name))
    return subprocess.run(["/usr/bin/dpkg", "--purge", *others], check=False).returncode if others else 0


def needed(roots: set[str], wanted: Mapping[str, set[str]], by_name: Mapping[str, set[str]]) -> set[str]:
    """``roots`` and all that they need; of alternatives, each that is installed."""
    found: set[str] = set()
    left = list(roots)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [package for one in wanted[name] for package in by_name.get(one, ())]
    return found


def _names(relations: Iterable[str]) -> list[str]:
    """The names of ``libc6:any (>= 2.41)`` and the like."""
    return [match[0] for relation in relations if (match := _NAME.match(relation.strip()))]


if __name__ == "__main__":
    sys.exit(main())
