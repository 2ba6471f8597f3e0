"""``appliance``: flags to typed options to a step; the one place that ends a run.

Exit codes: 0 yes, 1 failed, 2 bad input or usage, 3 not trusted, 130 interrupted.
"""

import errno
import logging
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from types import FrameType

import typer

from appliance import __version__
from appliance.cli.main import EXIT_INTERRUPTED
from appliance.cli.output import err, out, show_error
from appliance.errors import ApplianceError, BadInput, Failed

_COMPLETION = "_APPLIANCE_COMPLETE"  # how Typer's completion is asked

# Where each verb is, and what the overview says of it.  Only the verb that is asked for is imported: all of them
# together take longer than many verifications.
VERBS: Mapping[str, tuple[str, str]] = {
    "lock": ("build:lock", "Resolve every reference of a definition to digests and sizes."),
    "build": ("build:build", "Build a bundle: fetch what the lock says, check it, list it, sign it."),
    "sign": ("sign:sign", "Add signatures, now or later, made here or on another machine."),
    "sign-modules": (
        "sign_modules:sign_modules",
        "Build the kernel modules of a definition, and sign them for Secure Boot.",
    ),
    "verify": (
        "verify:verify",
        "Verify a bundle: root chain, policy, signatures, list, every file, nothing beside them.",
    ),
    "compare": (
        "compare:compare",
        "Say whether two builders got the same bundle, and which artifacts and files differ.",
    ),
    "inspect": ("inspect:inspect", "Show what a bundle, a definition or a lock holds, without contacting any source."),
    "plan": (
        "plan:plan",
        "Say which GPUs a definition's models fit on, and what to expect, before anything is bought.",
    ),
    "cost": ("cost:cost", "Work out what a million tokens cost, and from when on that is less than an API asks."),
    "receipt": ("receipt:receipt", "Check a receipt's signature, and show what it says."),
    "audit": ("audit:audit", "Put a site's bundles, receipts and log into one report, and say what does not fit."),
    "controls": ("controls:controls", "Say which security controls this helps with, and what shows it."),
    "bench": (
        "bench:bench",
        "Measure what a site can carry: ask a model through its gateway, more and more at a time.",
    ),
    "import": ("site:import_", "Import a bundle into the site, verified while it is copied."),
    "switch": ("site:switch", "Switch to a version that the site already holds; nothing is copied."),
    "keys": ("keys:keys_app", "Make and read keys."),
    "root": ("root:root_app", "Make, change and read root chains: who may sign what."),
    "log": ("log:log_app", "Read, check and export a site's log."),
    "override": (
        "override:override_app",
        "Make and read overrides: signed permission for one site to use one bundle that it refuses.",
    ),
    "policy": ("site:policy_app", "Show what the site demands."),
    "state": ("site:state_app", "Show or rebuild what the site remembers."),
}


def command(*wanted: str) -> typer.Typer:
    """The command line, with the verbs that are ``wanted`` and the names of the others."""
    app = typer.Typer(
        name="appliance",
        help="Build, sign, verify and inspect bundles for an air-gapped LLM appliance.",
        epilog="Exit codes: 0 yes, 1 failed, 2 bad input or usage, 3 not trusted, 130 interrupted.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_options)
    for verb, (place, summary) in VERBS.items():
        if verb not in wanted:
            app.command(verb, help=summary)(_only_named)
            continue
        module, _, name = place.partition(":")
        found = getattr(import_module(f"appliance.cli.{module}"), name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=verb)
        else:
            app.command(verb)(found)
    return app


def _only_named() -> None:
    raise Failed("verb-not-loaded", "nothing was done: this verb was not recognised in the arguments")


def _options(
    debug: bool = typer.Option(False, "--debug", help="Log every outside command that runs."),
    version: bool = typer.Option(False, "--version", is_eager=True, help="Show the version and exit."),
) -> None:
    if version:
        out(f"appliance {__version__}")
        raise typer.Exit
    if debug:
        logging.basicConfig(format="%(message)s", stream=sys.stderr)
        logging.getLogger("appliance").setLevel(logging.DEBUG)


def run(arguments: list[str]) -> int:
    """Run with ``arguments``; returns the exit code."""
    os.umask(0o022)  # bundles are there to be read; private keys state their own mode
    as_json = "--json" in arguments
    try:
        _listen()
        code = command(*_wanted(arguments))(arguments, prog_name="appliance", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        err().print("interrupted; nothing half-made is left: run the same command again to continue")
        return EXIT_INTERRUPTED
    except ApplianceError as error:
        return _fail(error, as_json=as_json)
    except typer.TyperException as error:
        place = getattr(getattr(error, "ctx", None), "command_path", "appliance")
        usage = BadInput("usage", error.format_message() or "no command is given", hint=f"see {place} --help")
        return _fail(usage, as_json=as_json)
    except BrokenPipeError:
        return Failed.exit_code  # whoever reads has had enough
    except OSError as error:
        return _fail(_system_error(error), as_json=as_json)
    return int(code or 0)


def _wanted(arguments: Sequence[str]) -> Iterable[str]:
    """The verb that ``arguments`` name; all of them where a shell asks what could follow, which it does without any."""
    if not arguments:
        return VERBS if _COMPLETION in os.environ else ()
    # It would end with 0 and have verified nothing.
    os.environ.pop(_COMPLETION, None)
    return [word for word in arguments if not word.startswith("-")][:1]


def _fail(error: ApplianceError, *, as_json: bool) -> int:
    try:
        show_error(error, as_json=as_json)
    except (Failed, OSError):
        show_error(error, as_json=False)  # nobody reads the standard output
    return error.exit_code


def _listen() -> None:
    """Let SIGTERM, and SIGINT unless whoever started us has it ignored, end what is being done in good order."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _system_error(error: OSError) -> ApplianceError:
    where = str(error.filename or "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BadInput(
            "disk-full",
            "the disk is full",
            where=where,
            hint="free some space and run it again: what was fetched is kept",
        )
    if error.errno == errno.EBADF:
        return Failed("output-lost", "the result cannot be written: standard output is closed")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return BadInput("not-permitted", str(error.strerror), where=where)
    return Failed("system-error", str(error.strerror or error), where=where)
