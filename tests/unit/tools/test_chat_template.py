"""Real templates and hostile ones, rendered by the real renderer in its own process."""

from pathlib import Path
from typing import Any

import pytest

from appliance.tools import chat_template
from appliance.tools.chat_template import Rendering, render

ASKED = [{"messages": [{"role": "user", "content": "Hello."}], "add_generation_prompt": True}]


def rendered(template: str, folder: Path, given: Any = ASKED) -> Rendering:
    return render(template, {"bos_token": "<s>", "eos_token": "</s>"}, given, folder)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m['content'] }}{% endfor %}", "<s>[user] Hello."),
        ("{% if add_generation_prompt %}\n  {{ 'x' }}\n  {% endif %}\ny", "  x\ny"),  # blocks are trimmed
        ("{% for m in messages %}{% break %}{% endfor %}-", "-"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}", "Hello."),
        ("{{ messages | tojson }}", '[{"role": "user", "content": "Hello."}]'),
        ("{{ '<&>' | tojson(indent=2) }}", '"<&>"'),
        ("{{ strftime_now('%Y-%m-%d') }}", "2000-01-02"),
    ],
)
def test_a_template_renders_as_a_server_renders_it(template: str, text: str, tmp_path: Path) -> None:
    found = rendered(template, tmp_path)
    assert (found.texts, found.failed) == ((text,), ("",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ raise_exception('roles must alternate') }}", "TemplateError: roles must alternate"),
        ("written{{ nothing.at.all }}", "UndefinedError: 'nothing' is undefined"),
        ("{% include '/etc/passwd' %}", "TypeError: no loader for this environment specified"),
        ("{% if %}", "TemplateSyntaxError: Expected an expression, got 'end of statement block'"),
    ],
)
def test_a_template_that_makes_nothing_of_a_conversation_says_why_beside_it(
    template: str, why: str, tmp_path: Path
) -> None:
    found = rendered(template, tmp_path)
    assert (found.texts, found.failed) == (("",), (why,))


def test_what_a_template_writes_is_never_taken_for_a_failure(tmp_path: Path) -> None:
    found = rendered("[no text: x]", tmp_path)
    assert (found.texts, found.failed) == (("[no text: x]",), ("",))


@pytest.mark.parametrize("template", ["{{ range(10 ** 4) | random }}", "{{ lipsum() }}"])
def test_chance_gives_the_same_each_time(template: str, tmp_path: Path) -> None:
    found = rendered(template, tmp_path, ASKED * 2)
    assert found.chance
    assert found.texts[0] == found.texts[1] != ""
    assert found == rendered(template, tmp_path, ASKED * 2)
    assert not rendered("{{ 'random' }}", tmp_path).chance


def test_its_own_texts_are_told_and_what_only_an_error_says_is_not(tmp_path: Path) -> None:
    found = rendered("a {{ 'b' if x == 'c' else raise_exception('d' ~ 'e') }}", tmp_path)
    assert set(found.words) == {"a ", "b", "c"}
    assert not found.clock
    assert rendered("{% if strftime_now('%Y') > '2030' %}x{% endif %}", tmp_path).clock


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ messages['__cla' ~ 'ss__'].mro() }}", "reaches for what the sandbox does not give"),
        ("{{ messages.append(1) }}", "reaches for what the sandbox does not give"),
        ("{{ raise_exception.__globals__.json }}", "reaches for what the sandbox does not give"),
        ("{{ '%s' | format(1) * 10 ** 10 }}", "bytes of memory"),
        ("{{ messages[0].content * 10 ** 8 }}", "bytes of memory"),  # 600 MB, which a host would have
        ("{% for a in range(99999) %}{{ 'a' * 99 }}{% endfor %}", "writes more than 1048576 characters"),
        ("{% for a in range(100001) %}{% endfor %}", "counts further than the sandbox lets it"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "calls itself without an end"),
        ("{{" + "(" * 5000 + "1" + ")" * 5000 + "}}", "calls itself without an end"),
    ],
)
def test_a_template_that_must_not_be_used(template: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=reason):
        rendered(template, tmp_path)


def test_a_template_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "CPU_SECONDS", 1)
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% set x = a * b %}{% endfor %}{% endfor %}"
    with pytest.raises(ValueError, match="is not rendered within 1 s"):
        rendered(endless, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_renderer_sees_no_secret_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And takes no module from where the caller's Python would."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    (tmp_path / "jinja2.py").write_text("raise SystemExit('taken from the wrong place')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert rendered("{{ messages[0].content }}", tmp_path).texts == ("Hello.",)
