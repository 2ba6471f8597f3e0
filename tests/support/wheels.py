"""Small wheels, good and bad, made in memory."""

import io
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def members(
    name: str, version: str, *, requires: Sequence[str] = (), files: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What a wheel of pure Python holds, in the order of writing."""
    module = canonicalize_name(name).replace("-", "_")
    info = f"{module}-{version}.dist-info"
    contents = dict(files if files is not None else {f"{module}.py": f"version = {version!r}\n"})
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
    contents[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    contents[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
    return contents


def pack(contents: Mapping[str, str | bytes] | Sequence[tuple[str, str | bytes]]) -> bytes:
    """A zip file with these members; a sequence may hold a name twice."""
    buffer = io.BytesIO()
    pairs = contents.items() if isinstance(contents, Mapping) else contents
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # a name that is there twice is what some tests want
        for name, data in pairs:
            member = zipfile.ZipInfo(name, ZIP_TIME)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, data)
    return buffer.getvalue()


def write_wheel(
    folder: Path, name: str, version: str = "1.0", *, requires: Sequence[str] = (), tag: str = "py3-none-any"
) -> Path:
    """Write ``<name>-<version>-<tag>.whl``, whose module says its version."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{canonicalize_name(name).replace('-', '_')}-{version}-{tag}.whl"
    path.write_bytes(pack(members(name, version, requires=requires)))
    return path
