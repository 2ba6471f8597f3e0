"""``appliance``: flags to typed options to a step; the one place that ends a run.

Exit codes: 0 yes, 1 failed, 2 bad input or usage, 3 not trusted, 130 interrupted.
"""

import errno
import logging
import os
import signal
import sys
from types import FrameType

import typer

from appliance import __version__
from appliance.cli import audit, build, inspect, keys, log, override, receipt, root, sign, site, verify
from appliance.cli.main import EXIT_INTERRUPTED
from appliance.cli.output import err, out, show_error
from appliance.errors import ApplianceError, BadInput, Failed

app = typer.Typer(
    name="appliance",
    help="Build, sign, verify and inspect bundles for an air-gapped LLM appliance.",
    epilog="Exit codes: 0 yes, 1 failed, 2 bad input or usage, 3 not trusted, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("lock")(build.lock)
app.command("build")(build.build)
app.command("sign")(sign.sign)
app.command("verify")(verify.verify)
app.command("inspect")(inspect.inspect)
app.command("receipt")(receipt.receipt)
app.command("audit")(audit.audit)
app.command("import")(site.import_)
app.command("switch")(site.switch)
app.add_typer(keys.keys_app, name="keys")
app.add_typer(root.root_app, name="root")
app.add_typer(log.log_app, name="log")
app.add_typer(override.override_app, name="override")
app.add_typer(site.policy_app, name="policy")
app.add_typer(site.state_app, name="state")


@app.callback(invoke_without_command=True)
def _options(
    debug: bool = typer.Option(False, "--debug", help="Log every outside command that is run."),
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
        code = app(arguments, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except ApplianceError as error:
        return _fail(error, as_json=as_json)
    except typer.TyperException as error:
        usage = BadInput("usage", error.format_message(), hint="see appliance --help")
        return _fail(usage, as_json=as_json)
    except BrokenPipeError:
        return Failed.exit_code  # whoever reads has had enough
    except OSError as error:
        return _fail(_system_error(error), as_json=as_json)
    if code == EXIT_INTERRUPTED:
        err().print("interrupted; nothing half-made was left, run the same command to go on")
    return int(code or 0)


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
