"""A site to play with: ``python -m tests.site up``, and in another terminal ``... run depot``."""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.site.plan import MEDIUM
from tests.site.running import HOSTS, Site, SiteFailed, find_site, running_site, why_not

_NAME = "local"
_INTERRUPTED = 130


def main() -> int:
    options = _parser().parse_args()
    if problem := why_not():
        print(f"error: this machine cannot run a site: {problem}", file=sys.stderr)
        return 2
    if options.verb == "up":
        return _up(options.name, options.bundle, tuple(options.host or HOSTS))
    site = find_site(options.name)
    if site is None:
        print(f"error: no site {options.name} is up\n  do: python -m tests.site up", file=sys.stderr)
        return 2
    if options.verb == "down":
        return _down(site)
    return _run(site, options.host, options.command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.site", description=__doc__)
    parser.add_argument("--name", default=_NAME, help="the site's name (default: %(default)s)")
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start a site, and keep it up until Ctrl-C")
    up.add_argument("--bundle", type=_directory, help=f"a directory that the first host sees at {MEDIUM}")
    up.add_argument("--host", action="append", help="boot these hosts instead of depot and gpu1")
    run = verbs.add_parser("run", help="run a command on a host as root, or a shell")
    run.add_argument("host")
    run.add_argument("command", nargs=argparse.REMAINDER)
    verbs.add_parser("down", help="end a site")
    return parser


def _up(name: str, bundle: Path | None, hosts: tuple[str, ...]) -> int:
    try:
        with running_site(bundle=bundle, hosts=hosts, name=name) as site:
            print(site.description)
            for host in site.hosts:
                print(f"python -m tests.site --name {name} run {host.name}")
            print("ready; Ctrl-C ends the site", flush=True)
            site.wait_for_end()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (SiteFailed, pytest.skip.Exception) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _directory(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no directory")
    return Path(text)


def _down(site: Site) -> int:
    os.kill(site.keeper, signal.SIGTERM)
    while site.plan.scratch.exists() and Path("/proc", str(site.keeper)).exists():
        time.sleep(0.05)
    return 0


def _run(site: Site, host: str, command: list[str]) -> int:
    if host not in site.plan.host_names:
        print(f"error: no host {host}; there are: {', '.join(site.plan.host_names)}", file=sys.stderr)
        return 2
    argv = site.host(host).command(command or ["bash", "--login"], f"TERM={os.environ.get('TERM', 'dumb')}")
    return subprocess.run(argv, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
