"""Small files, written whole or not at all."""

import os
import tempfile
from pathlib import Path

from appliance.errors import BadInput


def write_whole(path: Path, data: bytes, *, mode: int, replace: bool = True) -> None:
    """Write beside the target, sync, rename.

    Raises BadInput: ``not-writable``, or ``file-exists`` when ``replace`` is False.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        if replace:
            Path(temporary).rename(path)
        else:
            os.link(temporary, path)  # unlike a rename it never replaces
    except FileExistsError:
        raise BadInput("file-exists", "the file exists and is not overwritten", where=str(path)) from None
    except OSError as error:
        raise BadInput("not-writable", f"cannot write: {error.strerror}", where=str(path)) from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
