"""Whether a text says something to whoever reads it, or only marks where something begins and ends.

Models read every language, and a sentence however it is laid out.  So words are counted as runs of letters; scripts
that put no spaces between words have letters counted (https://www.w3.org/TR/clreq/, https://www.unicode.org/reports/tr14/).
"""

import re
from collections.abc import Container, Iterator

_LETTERS = re.compile(r"[^\W\d_]+")
_WORD = re.compile(r"\S*[^\W\d_]{2}\S*")
# Thai, Lao, Tibetan, Burmese, Khmer; kana; Chinese characters.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff]"
)
_BRACKETED = re.compile(r"<[^\s<>]{1,80}>|\[[^\s\[\]]{1,80}\]")
_FRAMED = re.compile(r"[^\w\s]\S*[^\w\s]")
_ENOUGH = 3  # words with spaces between them are a sentence; fewer are names of roles
_ENOUGH_UNSPACED = 6  # letters
_MARKER_WORDS = 4  # <|START_OF_TURN_TOKEN|> has as many


def is_marker(text: str) -> bool:
    """Whether a text is like ``<s>``, ``[INST]`` or ``!``: in one piece, framed, and never a sentence."""
    runs = len(_LETTERS.findall(text))
    if runs == 0:
        return bool(text) and not re.search(r"\s", text)
    return bool(_FRAMED.fullmatch(text)) and runs <= _MARKER_WORDS and not _is_unspaced_sentence(text)


def without_markers(text: str) -> str:
    """``text`` with a new line for each marker in brackets."""
    return _BRACKETED.sub(lambda found: "\n" if is_marker(found.group()) else found.group(), text)


def is_sentence(text: str) -> bool:
    """Whether there are words enough in ``text`` for a sentence."""
    return len(_WORD.findall(text)) >= _ENOUGH or _is_unspaced_sentence(text)


def sentences(text: str, known: Container[str]) -> Iterator[str]:
    """Lines that are sentences, and all others as one if they make a sentence together.

    Of others, different words count, and none that is ``known`` (in small letters).
    """
    others = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if is_sentence(line):
            yield line
        else:
            others.append(line)
    rest = " ".join(others)
    if sum(word not in known for word in words(rest)) >= _ENOUGH or _is_unspaced_sentence(rest):
        yield rest


def words(text: str) -> frozenset[str]:
    """The different words of ``text``, in small letters."""
    return frozenset(word.casefold() for word in _LETTERS.findall(text))


def _is_unspaced_sentence(text: str) -> bool:
    return len(_UNSPACED.findall(text)) >= _ENOUGH_UNSPACED
