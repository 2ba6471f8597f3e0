"""The file by which pip installs exactly the wheels that are carried."""

from collections.abc import Sequence

from packaging.utils import parse_wheel_filename

from appliance.model.documents.lock import LockedFile


def requirements_text(files: Sequence[LockedFile]) -> bytes:
    """One line a wheel, ``name==version --hash=sha256:...``, sorted, as pip reads it."""
    lines = []
    for file in files:
        name, version, _, _ = parse_wheel_filename(file.path)
        lines.append(f"{name}=={version} --hash=sha256:{file.sha256}\n")
    return "".join(sorted(lines)).encode("ascii")
