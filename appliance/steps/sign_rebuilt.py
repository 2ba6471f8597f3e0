"""``appliance sign --rebuilt``: a signature only for what the signer's own build came to as well.

What is the same is what two builds of one lock have alike: SHA256SUMS, and all that the statement says but its two
times, which say when somebody built it.  How long the bundle is to be used is the same too.
"""

import shlex
from datetime import datetime, timedelta
from pathlib import Path

from appliance.errors import BadInput, NotTrusted
from appliance.model.documents.bundle import STATEMENT, SUMS, Predicate, Statement
from appliance.model.limits import MAX_STATEMENT, MAX_SUMS
from appliance.model.progress import Silent
from appliance.store.tree import Tree
from appliance.trust.statement import parse_statement
from appliance.trust.sums import digest_of

_OF_ONE_BUILD = ("created", "expires")


def check_rebuilt(statement: Statement, path: Path, own: Path) -> None:
    """Raise unless ``own``, the directory of the signer's build, came to what ``statement``, in ``path``, says.

    NotTrusted (``rebuild-differs``) names the first difference; BadInput (``rebuild-unreadable``) is for what is no
    bundle, and ``usage`` where ``own`` holds the very statement that is to be signed.
    """
    with Tree(own, Silent()) as tree:
        try:
            sums, theirs = tree.read(SUMS, MAX_SUMS), parse_statement(tree.read(STATEMENT, MAX_STATEMENT))
        except (NotTrusted, ValueError) as error:
            raise BadInput(
                "rebuild-unreadable", f"this is not a bundle that was built: {error}", where=str(own)
            ) from None
    if (own / STATEMENT).samefile(path):
        raise BadInput(
            "usage",
            "a bundle is no second build of itself",
            where=str(own),
            hint="give --rebuilt the bundle that you have built on another machine, from the same lock",
        )
    _check_equal("SHA256SUMS", digest_of(sums), statement.subject[0].digest.model_dump(), own)
    mine, given = theirs.predicate, statement.predicate
    for name in Predicate.model_fields:
        if name not in _OF_ONE_BUILD:
            _check_equal(name, getattr(mine, name), getattr(given, name), own)
    _check_equal("time from created to expires", _lifetime(mine), _lifetime(given), own)


def _lifetime(predicate: Predicate) -> timedelta:
    return datetime.fromisoformat(predicate.expires) - datetime.fromisoformat(predicate.created)


def _check_equal(name: str, own: object, given: object, where: Path) -> None:
    if own != given:
        raise NotTrusted(
            "rebuild-differs",
            f"your build came out otherwise than what is to be signed: {name}",
            where=str(where),
            expected=_shown(own),
            found=_shown(given),
            hint=f"do not sign; see what differs: appliance compare BUNDLE {shlex.quote(str(where))}",
        )


def _shown(value: object) -> str:
    return str(value["sha256"]) if isinstance(value, dict) else str(value)
