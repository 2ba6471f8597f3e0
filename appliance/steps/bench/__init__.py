"""``appliance bench``: what a site can carry, measured through the gateway as its clients reach it.

Each step asks so many requests at a time for some seconds.  A step that is refused, by the
gateway or by the engine's queue, is a result; more at a time are not asked when more was
refused than answered.  What is kept when a run is interrupted are its whole steps.
"""

import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from appliance.errors import BadInput
from appliance.model.documents.bench import Bench, Load, Settings, Step, compare, step_of
from appliance.model.names import check_name
from appliance.model.progress import Progress
from appliance.model.serving.objectives import Objectives
from appliance.model.serving.tasks import Task
from appliance.steps.bench.figures import described
from appliance.steps.bench.kept import FOLDER, Served, check_folder, keep, last, served
from appliance.steps.bench.plan import Climb, Pace, Wanted, climbs
from appliance.steps.bench.questions import Gauge, Questions
from appliance.steps.host.clock import now
from appliance.steps.site.evidence import TOOL
from appliance.store.site import Site
from appliance.tools.gateway import Course, Gateway, client_context
from appliance.tools.link import NO_CONNECTION
from appliance.tools.status_page import StatusPage

__all__ = ["FOLDER", "INTERRUPTED", "LOST", "Done", "Options", "Wanted", "bench"]

INTERRUPTED = "interrupted"
LOST = "connection lost"
OUT_OF_TIME = "out of time"
_BUSY = 0.8  # of a core: from here on the asking itself may be what is measured


@dataclass(frozen=True)
class Options:
    """Whom to ask for what, and where it is kept (``folder``), if anywhere.

    ``certificates`` is a directory with client.pem and client.key.
    ``status_page`` is the address of one that knows how full KV caches are.
    ``tolerance`` is a part: 0.15 is 15 %.  Without ``objectives`` those of the signed profile count.
    """

    gateway: str
    certificates: Path
    authorities: Path
    model: str
    site: Site | None
    folder: Path | None
    wanted: Wanted
    seed: int = 1
    objectives: Objectives | None = None
    tolerance: float = 0.15
    status_page: str | None = None


@dataclass(frozen=True)
class Done:
    """What was measured, and the file that it is kept in."""

    bench: Bench
    path: Path | None


@dataclass
class _Course:
    """A run as far as it has come."""

    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ended: str | None = None


def bench(options: Options, progress: Progress) -> Done:
    """Measure, compare and keep.  An interruption ends it with what was measured until then.

    Raises BadInput: ``name-unsafe``, ``gateway-address``, ``certificate-unreadable``,
    ``certificate-refused``, ``gateway-unreachable``, ``model-not-served``, ``not-ready``,
    ``prompt-too-long``, ``not-writable``, ``status-page-address``, ``status-page-refused``;
    NotTrusted ``gateway-not-trusted``; Failed ``gateway-answer``.
    """
    began, time_of_day = time.monotonic(), now()
    gateway = _gateway(options)
    page = _status_page(options)
    known = served(options.site, options.model) if options.site else None
    if known and options.objectives is None:
        options = replace(options, objectives=known.profile.objectives)
    if options.folder:
        check_folder(options.folder)
    questions, gauge = _gauge(gateway, options, known)
    plan = climbs(options.wanted, questions.task, known.profile if known else None)
    settings = Settings(
        task=questions.task,
        quick=options.wanted.quick,
        seed=options.seed,
        step_seconds=options.wanted.pace.step,
        loads=tuple(load for climb in plan for load in climb),
    )
    course = _Course()
    if not known:
        course.notes.append(f"no bundle of this site serves {options.model}: what it takes was not known, but assumed")
    _measure(course, plan, _Asking(gateway, page, questions, gauge, options, began), progress)
    before = last(options.folder, options.model, settings, progress) if options.folder else None
    result = Bench(
        model=options.model,
        bundle=known.bundle if known else None,
        gateway=gateway.address,
        host=socket.gethostname(),
        time=time_of_day,
        tool=TOOL,
        settings=settings,
        objectives=options.objectives,
        ended=course.ended,
        notes=tuple(course.notes),
        steps=tuple(course.steps),
        comparison=compare(before, course.steps, options.tolerance) if before else None,
    )
    # Nothing was measured: nothing to keep, or to compare the next one with.
    path = keep(result, options.folder) if options.folder and course.steps else None
    return Done(result, path)


def _gateway(options: Options) -> Gateway:
    """Reached, with the certificate, and with the model in its list."""
    try:
        check_name(options.model)
    except ValueError as error:
        raise BadInput("name-unsafe", str(error)) from None
    folder = options.certificates
    context = client_context(options.authorities, folder / "client.pem", folder / "client.key")
    gateway = Gateway(options.gateway, context, timeout=options.wanted.pace.answer)
    names = gateway.models()
    if options.model not in names:
        raise BadInput(
            "model-not-served",
            f"the gateway serves this client no model {options.model}",
            where=gateway.address,
            expected=f"one of: {', '.join(sorted(names))}" if names else "",
            hint="give one of these: --model" if names else "give the client a role in gateway_clients",
        )
    return gateway


def _status_page(options: Options) -> StatusPage | None:
    """Asked once, so that a run does not find out at its end."""
    if options.status_page is None:
        return None
    folder = options.certificates
    context = client_context(options.authorities, folder / "client.pem", folder / "client.key")
    page = StatusPage(options.status_page, context)
    page.kv_cache(options.model, 60)
    return page


def _gauge(gateway: Gateway, options: Options, known: Served | None) -> tuple[Questions, Gauge]:
    """What the model is for, which the gateway tells by its paths, and how it counts."""
    tasks: Sequence[Task] = [known.profile.task] if known else get_args(Task)
    salt = secrets.token_urlsafe(32)
    for task in tasks:
        questions = Questions(options.model, task, options.seed, salt)
        few, more = (gateway.ask(question) for question in questions.gauge())
        # Not served on this path, or a role that this client does not have.
        if few.error in ("403", "404") and task != tasks[-1]:
            continue
        for answer in (few, more):
            if answer.error:
                raise gateway.refused(answer)
        return questions, Gauge.of(few, more)
    raise AssertionError("unreachable")


@dataclass(frozen=True)
class _Asking:
    """What all steps of a run share; ``began`` is by the monotonic clock."""

    gateway: Gateway
    page: StatusPage | None
    questions: Questions
    gauge: Gauge
    options: Options
    began: float

    @property
    def pace(self) -> Pace:
        """Of the steps."""
        return self.options.wanted.pace

    def fits(self) -> bool:
        """Whether there is time for a whole step."""
        if self.pace.whole is None:
            return True
        longest = self.pace.answer + self.pace.step + self.pace.grace
        return time.monotonic() - self.began + longest <= self.pace.whole

    def step(self, load: Load) -> Step:
        """Ask, and count."""
        course = Course(load.concurrency, self.pace.step, self.pace.grace)
        loaded = self.gateway.load(course, self.questions.of(load, self.gauge))
        bounds = self.options.objectives
        step = step_of(load, loaded.asked, unfinished=loaded.unfinished, asker_cpu=loaded.cpu, objectives=bounds)
        return step.model_copy(update={"kv_cache": self._kv_cache(step)})

    def _kv_cache(self, step: Step) -> float | None:
        """What was measured is not lost because the page is: then it is not known."""
        try:
            return self.page.kv_cache(self.options.model, step.seconds) if self.page else None
        except BadInput:
            return None


def _measure(course: _Course, plan: Sequence[Climb], asking: _Asking, progress: Progress) -> None:
    count = sum(map(len, plan))
    number = 0
    try:
        for climb in plan:
            for load in climb:
                if not asking.fits():
                    course.ended = OUT_OF_TIME
                    return
                progress.step(f"step {number + climb.index(load) + 1} of {count}: {described(load)}")
                with progress.task("asking", None):
                    step = asking.step(load)
                course.steps.append(step)
                _note(course, step, asking)
                if not step.answered and set(step.errors) == {NO_CONNECTION}:
                    course.ended = LOST
                    return
                if load != climb[-1] and step.answered <= (step.asked + step.unfinished) / 2:
                    course.notes.append(f"{described(load)}: half or less was answered; more at a time were not asked")
                    break
            number += len(climb)
    except KeyboardInterrupt:
        course.ended = INTERRUPTED


def _note(course: _Course, step: Step, asking: _Asking) -> None:
    if asking.page and step.kv_cache is None:
        course.notes.append(f"{described(step.load)}: Prometheus did not look at the KV cache in that time")
    if step.asker_cpu > _BUSY:
        course.notes.append(
            f"{described(step.load)}: the asking itself took {step.asker_cpu:.2f} of a core; the times may be its own"
        )
