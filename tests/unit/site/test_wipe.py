"""What is wiped is overwritten before it is removed: another link to the same file shows it."""

import fnmatch
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.role_files import SITE, role_file

WIPE = role_file("decommission", "wipe.py")
PARTS = runpy.run_path(str(WIPE))


def wipe(*patterns: object) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-I", WIPE, *map(str, patterns)], capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told["files"], told["bytes"]


def test_files_are_overwritten_counted_and_removed(tmp_path: Path) -> None:
    place, witness = tmp_path / "tls with a space", tmp_path / "witness"
    (place / "deep").mkdir(parents=True)
    (place / "deep/host.key").write_bytes(b"secret" * 1000)
    (place / "-rf").write_bytes(b"public")
    (place / "deep/host.key").chmod(0)
    os.link(place / "deep/host.key", witness)
    assert wipe(place, tmp_path / "not there") == (2, 6006)
    assert not place.exists()
    witness.chmod(0o600)
    assert b"secret" not in witness.read_bytes()
    assert wipe(place) == (0, 0)


def test_patterns_name_what_goes_and_nothing_else(tmp_path: Path) -> None:
    for name in ("vllm-chat.container", "vllm-embed.container", "other.container"):
        (tmp_path / name).write_text(name)
    assert wipe(tmp_path / "vllm-*")[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["other.container"]


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    kept, place = tmp_path / "kept", tmp_path / "models"
    kept.mkdir()
    (kept / "file").write_text("kept")
    place.mkdir()
    (place / "a folder").symlink_to(kept)
    (place / "a file").symlink_to(kept / "file")
    (tmp_path / "itself").symlink_to(kept)
    (tmp_path / "nowhere").symlink_to("/nonexistent/file")
    assert wipe(place, tmp_path / "itself", tmp_path / "now*") == (0, 0)
    assert (kept / "file").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("layers", [(), ("dm-0",), ("dm-1", "dm-0")], ids=["a partition", "LUKS", "LVM on LUKS"])
def test_the_disk_below_partitions_and_mappings_is_found(tmp_path: Path, layers: tuple[str, ...]) -> None:
    """As /sys has them."""
    disk = tmp_path / "devices/nvme0n1"
    (disk / "queue").mkdir(parents=True)
    (disk / "nvme0n1p2").mkdir()
    (disk / "nvme0n1p2/partition").touch()
    device = disk / "nvme0n1p2"
    for name in reversed(layers):
        upper = tmp_path / "devices" / name
        (upper / "slaves").mkdir(parents=True)
        (upper / "queue").mkdir()
        (upper / "slaves" / device.name).symlink_to(device)
        device = upper
    (tmp_path / "253:0").symlink_to(device)
    assert [found.name for found in PARTS["below"](tmp_path / "253:0")] == ["nvme0n1"]
    assert list(PARTS["below"](tmp_path / "0:99")) == []


STAYS = ("depot", "egress")  # the depot is not wiped, and the packet filter stays in force


def written(role: Path) -> Iterator[str]:
    """Files and links below /etc that a role's tasks name; what a loop or the inventory names is not among them."""
    known: dict[str, Any] = {}
    for folder in ("defaults", "vars"):
        if (role / folder / "main.yml").exists():
            known |= yaml.safe_load((role / folder / "main.yml").read_text()) or {}
    entries = [yaml.safe_load(file.read_text()) for file in sorted(role.glob("tasks/*.yml"))]
    while entries:
        entry = entries.pop()
        entries += entry if isinstance(entry, list) else entry.values() if isinstance(entry, dict) else ()
        made = isinstance(entry, dict) and {"template", "copy", "content", "link"} & entry.keys()
        # A mask only keeps something from starting.
        if made and "path" in entry and entry.get("link") != "/dev/null":
            path = re.sub(r"{{ (\w+) }}", lambda found: str(known.get(found[1], found[0])), entry["path"])
            yield from [path] if path.startswith("/etc/") and "{{" not in path else []


@pytest.mark.parametrize("role", sorted({path.name for path in SITE.glob("roles/*")} - {*STAYS}))
def test_what_a_role_writes_below_etc_goes_with_the_host(role: str) -> None:
    wiped = yaml.safe_load((SITE / "roles/decommission/defaults/main.yml").read_text())["decommission_wiped"]
    patterns = [form for pattern in wiped for form in (pattern, f"{pattern}/*")]
    left = [path for path in written(SITE / "roles" / role) if not any(fnmatch.fnmatch(path, one) for one in patterns)]
    assert left == []
