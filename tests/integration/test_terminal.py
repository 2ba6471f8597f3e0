"""What an operator sees of a failure: one block in plain words, and once more at the end."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.role_files import SITE

pytestmark = pytest.mark.integration

PLAYBOOK = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Demand disk space
      ansible.builtin.assert:
        that: false
        quiet: true
        fail_msg: >-
          /srv is full.

          do: make room

          as it is
          line by line
      when: inventory_hostname in ["full1", "full2"]
    - name: Ask a program
      ansible.builtin.command: {argv: [sh, -c, "echo first >&2; echo second >&2; exit 3"]}
      when: inventory_hostname == "several"
    - name: Ask a program of ours
      ansible.builtin.command: {argv: [sh, -c, "echo it is not there >&2; exit 2"]}
      when: inventory_hostname == "one"
    - name: Use what nobody has set
      ansible.builtin.debug: {msg: "{{ nobody_has_set }}"}
      when: inventory_hostname == "unset"
    - name: Try several
      ansible.builtin.assert: {that: item < 2, quiet: true, fail_msg: "{{ item }} is too much.\\ndo: take less"}
      loop: [1, 2]
      when: inventory_hostname == "item"
    - name: Keep a secret
      ansible.builtin.command: {argv: [sh, -c, "echo password >&2; exit 1"]}
      no_log: true
      when: inventory_hostname == "secret"
    - name: Do without
      ansible.builtin.assert: {that: false, quiet: true, fail_msg: not needed}
      ignore_errors: true
      when: inventory_hostname == "ignored"
"""
TOLD = {
    "full1": """\
        error: /srv is full.
          as it is line by line
          do:       make room
          where:    full1, full2, in the task [Demand disk space]
        """,
    "several": """\
        error: a command ended with 3
          first
          second
          do:       fix that, then run the same command again: it continues from there
          where:    several, in the task [Ask a program]
        """,
    "one": """\
        error: it is not there
          do:       fix that, then run the same command again: it continues from there
          where:    one, in the task [Ask a program of ours]
        """,
    "unset": """\
        error: 'nobody_has_set' is undefined
          do:       fix that, then run the same command again: it continues from there
          where:    unset, in the task [Use what nobody has set]
        """,
    "item": """\
        error: 2 is too much.
          do:       take less
          where:    item, in the task [Try several]
        """,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    return play(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def verbose(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    return play(tmp_path_factory.mktemp("verbose"), "--verbose", "--limit", "one,secret")


def play(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("needs ansible-playbook: it is among the development requirements")
    (folder / "play.yml").write_text(PLAYBOOK)
    hosts = ("full1", "full2", "several", "one", "unset", "item", "secret", "ignored")
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (folder / "hosts.yml").write_text(json.dumps({"all": {"hosts": dict.fromkeys(hosts, here)}}))
    return subprocess.run(
        [program, "--inventory", str(folder / "hosts.yml"), *options, str(folder / "play.yml")],
        cwd=SITE,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("host", TOLD)
def test_a_failure_is_one_block_at_the_end(host: str, run: "subprocess.CompletedProcess[str]") -> None:
    block = dedent(TOLD[host])
    assert run.stderr.count(block) == 1
    assert block.splitlines()[0] in run.stdout  # where it happened, too


def test_nothing_but_blocks_is_on_standard_error(run: "subprocess.CompletedProcess[str]") -> None:
    assert run.returncode == 2
    assert [line for line in run.stderr.splitlines() if line and not line.startswith(("error: ", "  "))] == []
    assert "Traceback" not in run.stdout + run.stderr
    assert "fatal:" not in run.stdout


def test_what_does_not_matter_is_a_line_where_it_happened(run: "subprocess.CompletedProcess[str]") -> None:
    assert "ignored: not needed; continuing\n" in run.stdout
    assert "not needed" not in run.stderr


def test_a_secret_stays_one(
    run: "subprocess.CompletedProcess[str]", verbose: "subprocess.CompletedProcess[str]"
) -> None:
    for output in (run, verbose):
        assert "[Keep a secret]" in output.stderr
        assert "password" not in output.stdout + output.stderr


def test_who_asks_for_more_gets_ansibles_own_form_as_well(verbose: "subprocess.CompletedProcess[str]") -> None:
    assert "fatal: [one]: FAILED! => " in verbose.stdout
    assert dedent(TOLD["one"]) in verbose.stderr
