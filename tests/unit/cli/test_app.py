"""The verbs: each is there, says of itself what the overview says, and brings only what it needs."""

import inspect
import subprocess
import sys

import pytest
import typer

from appliance.cli.app import VERBS, command

# What takes long to import, and serves other verbs.
HEAVY = {"jinja2", "httpx2", "huggingface_hub", "packaging", "appliance.artifacts.kinds", "pkcs11"}


@pytest.mark.parametrize("verb", VERBS)
def test_the_overview_says_of_a_verb_what_it_says_itself(verb: str) -> None:
    app = command(verb)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        assert (group.name, group.typer_instance.info.help) == (verb, VERBS[verb][1])
    itself = [each for each in app.registered_commands if each.help is None]
    assert len(itself) + len(app.registered_groups) == 1
    for each in itself:
        assert each.callback is not None
        said, _, _ = (inspect.getdoc(each.callback) or "").partition("\n\n")
        assert (each.name, " ".join(said.split())) == (verb, VERBS[verb][1])


def test_all_verbs_at_once_are_those_of_the_overview() -> None:
    every = typer.main.get_command(command(*VERBS))
    assert isinstance(every, typer.core.TyperGroup)
    assert set(every.commands) == set(VERBS)


@pytest.mark.parametrize("arguments", [["--help"], ["verify", "--help"], ["--version"]])
def test_nothing_is_imported_for_other_verbs(arguments: list[str]) -> None:
    program = (
        "import sys; from appliance.cli.main import run; code = run(sys.argv[2:]);"
        " print([name for name in sys.argv[1].split() if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, " ".join(sorted(HEAVY)), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")
