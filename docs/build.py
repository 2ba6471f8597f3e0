"""Make the manual: every page of this repository for people, as one site that reads without a network.

    python docs/build.py OUTDIR

A link to a page that is not there is an error.  The same pages give the same bytes on every machine; files that
are up to date stay untouched, so two runs do not get into each other's way.

Exit codes: 0 the manual is there, 1 it could not be made, 2 bad arguments, 130 interrupted.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

_REPOSITORY = Path(__file__).resolve().parents[1]
_SPHINX = (sys.executable, "-I", "-m", "sphinx", "--builder=html", "--quiet", "--fail-on-warning", "--nitpicky")


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("outdir", type=Path, metavar="OUTDIR")
    target: Path = parser.parse_args().outdir
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent, prefix=".manual-") as work:
            made = Path(work, "manual")
            places = [f"--conf-dir={_REPOSITORY / 'docs'}", f"--doctree-dir={work}/read", str(_REPOSITORY), str(made)]
            subprocess.run([*_SPHINX, *places], check=True)
            (made / ".buildinfo").unlink()
            _replace(target, made)
    except subprocess.CalledProcessError:
        print("error: the manual was not made; Sphinx says why above", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _replace(target: Path, made: Path) -> None:
    """Make ``target`` hold the files of ``made`` alone."""
    files = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    for file in sorted(files):
        new, old = made / file, target / file
        if not old.is_file() or old.read_bytes() != new.read_bytes():
            old.parent.mkdir(parents=True, exist_ok=True)
            new.replace(old)
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(target) not in files:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
