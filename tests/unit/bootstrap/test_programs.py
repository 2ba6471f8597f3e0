from pathlib import Path

import pytest

from appliance.bootstrap.problem import FAILED, Problem
from appliance.bootstrap.programs import run


def test_output_comes_back_and_errors_pass_by(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["sh", "-c", "echo result; echo told >&2"]) == "result\n"
    assert capfd.readouterr().err == "told\n"


def test_secrets_and_settings_of_this_host_do_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("APPLIANCE_KEY_PASSPHRASE", "PYTHONPATH", "PIP_INDEX_URL", "HF_TOKEN"):
        monkeypatch.setenv(name, "secret")
    environment = run(["env"])
    assert "secret" not in environment
    assert "PIP_CONFIG_FILE=/dev/null" in environment


@pytest.mark.parametrize("code", [1, 2, 3, 130])
def test_the_exit_code_is_the_program_s_own(code: int) -> None:
    with pytest.raises(Problem) as caught:
        run(["sh", "-c", f"exit {code}"])
    assert (caught.value.exit_code, caught.value.what) == (code, "")


def test_a_program_that_was_killed_is_told() -> None:
    with pytest.raises(Problem, match="ended by signal 9") as caught:
        run(["sh", "-c", "kill -KILL $$"])
    assert caught.value.exit_code == FAILED


def test_an_interrupt_waits_until_the_program_has_cleared_up(tmp_path: Path) -> None:
    # More than a pipe holds: when that is through and the reader sleeps, it waits for more.
    heard = "head --bytes=1000000 /dev/zero; until grep --quiet '^State:.S' /proc/$PPID/status; do :; done"
    script = f"trap 'kill $!; sleep 0.1; touch cleared; exit 0' TERM; {heard}; kill -INT $PPID; sleep 60 & wait"
    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", f"cd '{tmp_path}' && {script}"])
    assert (tmp_path / "cleared").exists()
