"""A week in an hour: nights, renewals, revocations, reboots, hung engines, full disks, kills, and clients all the time.

What happens comes in random order from a seed.  After each, all of it is back unattended
within a stated time, nobody without a right has reached a model, and every request that was
answered has its audit line.  ``WEEK_SEED`` and ``WEEK_EVENTS`` choose another week, or a
longer one.
"""

import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SUMMARY
from tests.site.hosts import CommandFailed, Host
from tests.site.model_side import long_prompts
from tests.site.operator import PROGRAMS, VARIABLES, Operator
from tests.site.running import Site, running_site
from tests.support.demo import Demo
from tests.support.processes import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.demo, pytest.mark.long]

SEED = int(os.environ.get("WEEK_SEED", "1"))
EVENTS = int(os.environ.get("WEEK_EVENTS", "24"))
LOGS = "/var/log/appliance-gateway"
FILLER = f"{LOGS}/filler"
MODELS = ("tiny-chat", "all-minilm-l6-v2")
CLIENTS, STEADY, RECORD = "steady", "/root/steady.py", "/root/steady.jsonl"
SPARE = tuple(f"spare-{number}" for number in range(EVENTS))
ROLES = {"operator": ["chat", "embedding"], "reader": ["embedding"]} | {name: ["chat"] for name in SPARE}
GIVEN: dict[str, Any] = {
    **VARIABLES,
    "pki_clients": list(ROLES),
    "gateway_clients": [{"name": name, "roles": roles} for name, roles in ROLES.items()],
}
# Seconds until all is back, beside what models take to load.
AT_ONCE, SOON, MINUTE = 10.0, 30.0, 60.0
PATIENCE = 1800.0  # seconds, for a busy machine, where models load slowly


@dataclass
class Week:
    """The site, its clients, and what came of each event."""

    site: Site
    operator: Operator
    chance: random.Random
    revoked: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def gpu1(self) -> Host:
        return self.site.gpu1

    def loads(self, since: float) -> float:
        """Seconds that the slowest of the models took to load which began after ``since`` (of the epoch)."""
        journal = self.gpu1.journal("--unit=vllm-*", "--output=cat", f"--since=@{since:.0f}")
        return max(map(float, re.findall(r"answers after ([0-9.]+) s", journal)), default=0.0)

    def begin_asking(self) -> None:
        """Let the clients ask, from the depot; they end with it.

        As a unit: nsenter stops with what it has started, so nobody reaps what a host's shutdown
        kills, and the shutdown waits for it for three minutes.
        """
        depot = self.site.depot
        depot.put(STEADY, Path(__file__).with_name("steady.py").read_text())
        command = [f"{PROGRAMS}/python", STEADY, "gpu1", RECORD]
        depot.run(["systemd-run", "--quiet", "--collect", f"--unit={CLIENTS}", *command])

    @property
    def asking(self) -> bool:
        """Whether the clients do."""
        return self.site.depot.attempt(["systemctl", "--quiet", "is-active", CLIENTS]).returncode == 0

    def lacks(self) -> str:
        """What is not as it should be: units that have failed, or an answer of a model through the gateway."""
        hosts = (self.site.depot, self.gpu1)
        failed = "".join(host.attempt(["systemctl", "--failed", "--plain", "--no-legend"]).stdout for host in hosts)
        return failed or self._unanswered("chat", "parts") or self._unanswered("embedding", "others")

    def _unanswered(self, task: str, part: str) -> str:
        try:
            answer = self.operator.ask("operator", task)
        except CommandFailed as error:
            return str(error)
        return "" if part in answer else f"{task}: {answer}"

    def recorded(self) -> list[dict[str, Any]]:
        """What the clients have written down."""
        return [json.loads(line) for line in self.site.depot.run(["cat", RECORD]).splitlines()]

    def audited(self) -> set[str]:
        """The ids of all requests that the gateway's log knows of, those of earlier nights too."""
        text = self.gpu1.run(["sh", "-c", f"zcat --force {LOGS}/audit.log*"])
        return set(re.findall(r'"id":"([0-9a-f]+)"', text))

    def processes(self, unit: str, name: str) -> list[str]:
        """Numbers of the processes of a unit whose command line begins with ``name``."""
        group = self.gpu1.run(["systemctl", "show", "--property=ControlGroup", "--value", unit]).strip()
        script = (
            'cat $(find "/sys/fs/cgroup$1" -name cgroup.procs) | while read -r number; do'
            ' case "$(tr "\\0" " " <"/proc/$number/cmdline")" in "$2"*) echo "$number";; esac; done'
        )
        return self.gpu1.run(["sh", "-c", script, "sh", group, name]).split()


@pytest.fixture(scope="module")
def week(demo: Demo) -> Iterator[Week]:
    with running_site(bundle=demo.path, small=[LOGS]) as site:
        operator = Operator(site.depot)
        operator.set_up(demo.root, GIVEN)
        week = Week(site, operator, random.Random(SEED))  # noqa: S311  # the same week again
        week.begin_asking()
        yield week


# What happens: each leaves the site to itself, and says within how many seconds it is back, beside models that load


def night(week: Week) -> float:
    """Logs are rotated."""
    week.gpu1.run(["logrotate", "--force", "/etc/logrotate.conf"], timeout=120)
    return AT_ONCE


def renewal(week: Week) -> float:
    """Every certificate of a host is issued anew."""
    week.operator.play("--extra-vars", "pki_renew_days=398", name="certificates.yml")
    return AT_ONCE


def revocation(week: Week) -> float:
    """A client that was good is so no more, as soon as the run has ended."""
    client = SPARE[len(week.revoked)]
    assert "parts" in week.operator.ask(client, "chat")
    week.revoked.append(client)
    week.operator.write_inventory({**GIVEN, "pki_revoked": week.revoked})
    week.operator.play(name="certificates.yml")
    assert "certificate revoked" in week.operator.ask(client, "chat")["message"]
    return AT_ONCE


def reboot(week: Week) -> float:
    """The inference host starts again."""
    week.gpu1.reboot()
    return MINUTE


def reboot_of_the_depot(week: Week) -> float:
    """Models need it only for what is new."""
    week.site.depot.reboot()
    week.begin_asking()
    return SOON


def hang(week: Week) -> float:
    """An engine stands still, and nothing of it ends."""
    model = week.chance.choice(MODELS)
    (engine,) = week.processes(f"vllm-{model}.service", "VLLM::EngineCore")
    began = restarts(week, model)
    week.gpu1.run(["kill", "-STOP", engine])
    wait_for(lambda: restarts(week, model) > began, MINUTE + SOON, pause=1)
    return SOON


def restarts(week: Week, model: str) -> int:
    """How often systemd has started a model anew."""
    shown = ["systemctl", "show", "--property=NRestarts", "--value", f"vllm-{model}.service"]
    return int(week.gpu1.run(shown))


def kill_of_a_model(week: Week) -> float:
    """One process of a model ends as if the kernel had killed it."""
    unit = f"vllm-{week.chance.choice(MODELS)}.service"
    process = week.chance.choice(("/usr/bin/python3", "VLLM::EngineCore", "/usr/bin/conmon"))
    week.gpu1.run(["kill", "-KILL", week.processes(unit, process)[0]])
    return MINUTE


def kill_of_the_gateway(week: Week) -> float:
    """nginx or one of its workers is killed."""
    process = week.chance.choice(("nginx: master", "nginx: worker"))
    week.gpu1.run(["kill", "-KILL", week.processes("appliance-gateway.service", process)[0]])
    return AT_ONCE


def full_disk(week: Week) -> float:
    """No audit line can be written, so nobody is answered; and then there is room again."""
    room = week.gpu1.run(["stat", "--file-system", "--format=%f %S", LOGS]).split()
    week.gpu1.attempt(["dd", "if=/dev/zero", f"of={FILLER}", f"bs={room[1]}", f"count={int(room[0]) + 1}"])
    try:
        wait_for(lambda: week.operator.ask("operator", "chat").get("status") == 503, AT_ONCE, pause=0.5)
    finally:
        week.gpu1.run(["rm", FILLER])
    return AT_ONCE


def playbook(week: Week) -> float:
    """Somebody runs all of it once more."""
    assert {recap.failed for recap in week.operator.play().values()} == {0}
    return AT_ONCE


COMMON = (night, renewal, revocation, reboot, hang, kill_of_a_model, kill_of_the_gateway, full_disk)
EVERYTHING: tuple[Callable[[Week], float], ...] = (*COMMON, reboot_of_the_depot, playbook)


# What has to hold after each ------------------------------------------------------------------------------------


def check(week: Week) -> None:
    """Nobody without a right has reached a model, and every answer has its line."""
    recorded = week.recorded()
    assert [line for line in recorded if line["who"] != "operator" and line["status"] not in {0, 403, 503}] == []
    assert [line for line in recorded if line["status"] in {500, 502, 504}] == []
    assert long_prompts(week.gpu1) == 0, "a request without a right has reached the model"
    answered = {line["id"] for line in recorded if line["status"] == 200}
    wait_for(lambda: answered <= week.audited(), AT_ONCE, pause=0.5)


def test_everything_is_back_unattended_whatever_happens(
    week: Week, record_property: Callable[[str, object], None]
) -> None:
    # Everything once, and then what comes.
    course = week.chance.sample(EVERYTHING, min(EVENTS, len(EVERYTHING)))
    course += week.chance.choices(EVERYTHING, k=EVENTS - len(course))
    for number, event in enumerate(course, start=1):
        assert week.asking
        since = time.time()
        stated = event(week)
        began = time.monotonic()
        while lacks := week.lacks():
            assert time.monotonic() < began + PATIENCE, f"{event.__name__}: {lacks}"
            time.sleep(0.5)
        seconds = time.monotonic() - began
        stated += week.loads(since)
        week.told.append(f"{number:3}  {event.__name__:22} back after {seconds:5.1f} s, stated {stated:5.1f} s")
        assert seconds < stated + AT_ONCE, "\n".join(week.told)
        check(week)
        record_property("event", week.told[-1])
        print(week.told[-1], flush=True)
    recorded = week.recorded()
    counted = {status: sum(line["status"] == status for line in recorded) for status in (200, 403, 503, 0)}
    week.told.append(f"requests by status, 0 without an answer: {counted}")
    record_property(SUMMARY, "\n".join((f"a week from seed {SEED}:", *week.told)))
