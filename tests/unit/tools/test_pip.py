"""Which directories pip's configuration names."""

from pathlib import Path

import pytest

from appliance.tools import pip


def test_local_directories_are_told_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, home = tmp_path / "first", tmp_path / "second", tmp_path / "home"
    for folder in (first, second, home / "kept"):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    words = [second.as_uri(), "https://wheels.example/", "absent", "first", "~/kept"]
    monkeypatch.setenv("PIP_FIND_LINKS", " ".join(words))
    assert pip.wheel_directories() == (second, first, home / "kept")


@pytest.mark.parametrize("section", ["global", "install"])
def test_the_configuration_is_asked_where_the_environment_is_silent(
    section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        f"[{section}]\nfind-links =\n    {tmp_path.as_uri()}\n    /nowhere\nextra-index-url = https://wheels.example/simple\n"
    )
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    assert tmp_path in pip.wheel_directories()


def test_of_equal_names_the_first_counts(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a-1-py3-none-any.whl").touch()
    (tmp_path / "second" / "a-1.tar.gz").touch()
    found = pip.wheels_in([tmp_path / "first", tmp_path / "second"])
    assert found == {"a-1-py3-none-any.whl": tmp_path / "first" / "a-1-py3-none-any.whl"}
