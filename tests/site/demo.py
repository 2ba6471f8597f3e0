"""``make demo``: the whole path told on the terminal, from ``make bundle`` to an answered request.

The site then stays up until Ctrl-C.  Whenever that comes, everything is cleared but the bundle.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import pytest

from appliance.tools.interrupts import held_back
from tests.site.course import Course
from tests.site.hosts import CommandFailed, Host
from tests.site.operator import CLIENT, CLIENTS, PROGRAMS, REHEARSAL, SITE, VARIABLES, Operator, playbook
from tests.site.outside import EVERY_WAY_OUT
from tests.site.plan import REPOSITORY
from tests.site.probe import reached
from tests.site.running import Site, SiteFailed, running_site, why_not
from tests.site.story import Story
from tests.support.processes import below, wait_for

_INTERRUPTED = 130
_OWN = f"{CLIENTS}/operator"
_CURL = f"curl --cacert /etc/appliance/pki/ca.pem --cert {_OWN}/client.pem --key {_OWN}/client.key https://gpu1/v1"
_CHAT = (
    """--json '{"model": "tiny-chat", "max_tokens": 40, "messages": [{"role": "user", "content": "Good morning"}]}'"""
)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.site.demo", description=__doc__)
    parser.add_argument("--name", default="demo", help="the site's name (default: %(default)s)")
    name = parser.parse_args().name
    if problem := why_not():
        print(f"error: this machine cannot run a site: {problem}", file=sys.stderr)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):  # the first is ignored in what a script starts in the background
        signal.signal(number, _interrupt)
    try:
        with Story() as story:
            _tell(story, name)
    except KeyboardInterrupt:
        print("\nended: nothing is left of the site")
        return _INTERRUPTED
    except (CommandFailed, SiteFailed, pytest.skip.Exception) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tell(story: Story, name: str) -> None:
    story.step("The connected side: fetch by digest, check, list, sign")
    bundle = Path(_run(story, "make", "bundle", "BUNDLE=bundles/demo.yaml").splitlines()[-1])
    story.say(f"{bundle}: {sum(1 for _ in (bundle / 'SHA256SUMS').open())} files, signed")

    story.step("Across the gap: verify with openssl, jq and coreutils alone")
    root = Path(os.environ.get("ROOT") or Path(os.environ.get("KEY") or "keys/demo.pem").with_suffix(".root.json"))
    _run(story, "sh", "appliance/verify.sh", str(bundle), "--root", str(root))

    story.step("Two bare hosts boot: Debian 13 with systemd, SSH and Python, in a network of their own")
    with running_site(bundle=bundle, name=name) as site:
        operator = Operator(site.depot)
        story.say(site.description)
        _try_ways_out(story, site)
        _set_up(story, operator, root)
        _ask(story, operator, site.gpu1)
        story.step("Nothing gets out any more")
        _try_ways_out(story, site)
        story.step("Rehearse, before users arrive: rotate, renew, boot, and see that all comes back")
        rehearsed = _play(story, operator, REHEARSAL)
        story.say(next(line for line in rehearsed.splitlines() if "All came back" in line).partition("msg: ")[2])
        story.end()
        _explain(story, site)
        site.wait_for_end()


def _set_up(story: Story, operator: Operator, root: Path) -> None:
    operator.take_root(root)
    story.step("Bootstrap: from the carried disk to a control environment, with the depot's own Python")
    argv = operator.bootstrap_command()
    story.command("depot", argv)
    _check(argv, operator.depot.follow(argv, story.say, timeout=600))

    story.step("Playbook: the depot serves the bundle, gpu1 runs the models, all else is forbidden")
    operator.write_inventory(VARIABLES)
    _play(story, operator, SITE)


def _play(story: Story, operator: Operator, name: str) -> str:
    """What the playbook said."""
    argv = playbook(name=name)
    story.command("depot", argv[-1])
    course = Course(on_begin=story.doing, on_end=story.did, on_wait=story.say)
    done = operator.depot.follow(argv, course.line, timeout=1500)
    _check(argv, done)
    return done.stdout


def _ask(story: Story, operator: Operator, gpu1: Host) -> None:
    story.step("Ask, with the stock OpenAI client and a client certificate")
    operator.take_client()
    embedding = operator.ask("operator", "embedding")
    story.say(f"embeddings: '{embedding['sentence']}'")
    for other, cosine in embedding["others"].items():
        story.say(f"            '{other}' is near it by {cosine:.2f}")
    answer = operator.ask("operator", "chat")
    story.say(
        f"chat, streamed in {len(answer['parts'])} parts by a model of random weights: {''.join(answer['parts'])!r}"
    )
    refusal = operator.ask_with("none", "chat")
    story.say(f"without a certificate: {refusal['status']}, {refusal['message']}")
    story.say("the gateway's audit line of that:")
    lines = gpu1.run(["cat", "/var/log/appliance-gateway/audit.log"]).splitlines()
    story.say(next(line for line in lines if refusal["id"] in line))


def _try_ways_out(story: Story, site: Site) -> None:
    for host in site.hosts:
        ways = len(reached(host.run, EVERY_WAY_OUT))
        story.say(f"{host.name} reaches what stands for the internet in {ways} of {len(EVERY_WAY_OUT)} ways")


def _explain(story: Story, site: Site) -> None:
    site.depot.run(["apt-get", "install", "--yes", "curl", "jq"], timeout=120)
    enter = f".venv/bin/python -m tests.site --name {site.plan.name} run"
    story.say("The site stays up; Ctrl-C here ends it. In another terminal, in this directory:")
    story.command("", f"{enter} depot")
    story.command("", f"{enter} gpu1 tail --follow /var/log/appliance-gateway/audit.log")
    story.say("On the depot, to ask with curl and with the OpenAI client:")
    story.command("depot", f"{_CURL}/models | jq")
    story.command("depot", f"{_CURL}/chat/completions {_CHAT} | jq")
    story.command("depot", f"{PROGRAMS}/python {CLIENT} {_OWN} chat 'Good morning'")


def _run(story: Story, *argv: str) -> str:
    """Run a command here; what it printed as its result.  Raises CommandFailed, after it has said what is wrong."""
    story.command("", argv)
    with (
        held_back() as let_in,
        subprocess.Popen(
            argv,
            cwd=REPOSITORY,
            env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        ) as process,
    ):
        try:
            let_in()
            said, _ = process.communicate()
        except BaseException:
            # Make, and a shell, end when what they run has ended, so all of them are told; a shell
            # does not wait for those of its pipelines, so they are awaited one by one.
            running = below(process.pid)
            os.killpg(process.pid, signal.SIGINT)
            process.wait()
            wait_for(lambda: not any(child.alive for child in running))
            raise
    if process.returncode != 0:
        raise CommandFailed(f"{shlex.join(argv)} ended with {process.returncode}")
    return said


def _check(argv: Sequence[str], done: "subprocess.CompletedProcess[str]") -> None:
    if done.returncode != 0:
        raise CommandFailed(f"{shlex.join(argv)} ended with {done.returncode}:\n{done.stdout}")


if __name__ == "__main__":
    sys.exit(main())
