"""The paths of an artifact's files, before any of them is fetched or kept."""

from collections.abc import Sequence

from appliance.errors import BadInput
from appliance.model.names import collision_key, path_problem


def check_paths(paths: Sequence[str], artifact: str, leave_out: str) -> None:
    """Refuse what may not stand in a bundle, and two names that are one file on some file systems.

    ``artifact`` is ``kind/name``; ``leave_out`` tells a person how to do without a file.
    Raises BadInput (``<kind>-path-unsafe``).
    """
    reference = f"{artifact.partition('/')[0]}-path-unsafe"
    seen: dict[str, str] = {}
    for path in paths:
        if problem := path_problem(path):
            raise BadInput(reference, f"the path {path!r} {problem}", where=artifact)
        if (other := seen.setdefault(collision_key(path), path)) != path:
            what = f"{other!r} and {path!r} are one file on some file systems"
            raise BadInput(reference, what, where=artifact, hint=leave_out)
