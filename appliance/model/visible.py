"""Which characters a reader sees, and how to show the others: for messages, and for texts that a lock keeps."""

import re

# Nothing to see: the rest of Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt),
# and a Braille pattern without dots.  For texts; no path may hold them.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def is_seen(text: str) -> bool:
    """Whether a reader sees every character, and none does anything to those beside it: control, format or filler."""
    return text.isprintable() and (text.isascii() or not _INVISIBLE.search(text))


def shown(text: str) -> str:
    """``text`` in one line, with an escape for each character that is not seen."""
    if is_seen(text):
        return text
    return "".join(
        character if is_seen(character) else character.encode("unicode_escape").decode() for character in text
    )
