"""The unit of a model's container: what stands in it, and what one of its lines does to a disk that failed."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.container_unit import container_unit, unit_beside, weight_set

pytestmark = pytest.mark.integration

# Full is not enough: what was written has to be lost on its way to the disk, as when a host's own disk is full.
LOSE_A_WRITE = """
mount -t tmpfs -o size=20m tmpfs "$1"; cd "$1"; mkdir file_system place; truncate -s 100M disk
mkfs.ext4 -q -F -O ^has_journal disk; mount -o loop disk file_system; cd file_system; mkdir lower upper work
container() {
    rm -rf work/work; mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work,volatile overlay ../place
}
container; head --bytes 40M /dev/urandom > ../place/lost; umount ../place; sync; rm -f upper/lost
mount -o remount,size=200m "$1"
container && echo allowed || echo refused
eval "$2" || true
container && echo allowed || echo refused
umount ../place; cd ..; umount file_system; cd /; umount "$1"
"""


@pytest.fixture
def unit() -> str:
    return container_unit({"cores": [0, 1], "memory": 16 << 30})


def values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


def test_nothing_that_can_be_written_is_without_a_size(unit: str) -> None:
    assert values(unit, "ReadOnly") == ["true"]
    assert values(unit, "ReadOnlyTmpfs") == ["false"]
    places = dict(place.split(":") for place in values(unit, "Tmpfs"))
    assert places.keys() == {"/dev/shm", "/tmp", "/var/cache/vllm"}
    assert all(re.search(r",size=\d+[kmg],", how) for how in places.values())
    writable = [volume for volume in values(unit, "Volume") if not volume.split(":")[2].startswith("ro,")]
    assert writable == ["/run/appliance/vllm/tiny-chat:/run/vllm:rw,nosuid,nodev,noexec"], "which is a mount of its own"


def test_no_engine_is_in_development(unit: str) -> None:
    assert "VLLM_SERVER_DEV_MODE" not in unit


def test_weights_that_guess_are_mounted_to_be_read_and_hashed_before_each_start() -> None:
    unit = unit_beside(weight_set("tiny-chat+draft", "guess-abc", "/srv/draft"))
    assert values(unit, "Volume")[:2] == [
        "/srv/appliance/models/tiny-abc:/srv/model:ro,nosuid,nodev,noexec",
        "/srv/appliance/models/guess-abc:/srv/draft:ro,nosuid,nodev,noexec",
    ]
    (wanted,) = values(unit, "RequiresMountsFor")
    assert "/srv/appliance/models/guess-abc" in wanted.split()
    checks = [shlex.split(line) for line in values(unit, "ExecStartPre") if " check " in line]
    assert [line[4:6] for line in checks] == [
        ["/etc/appliance/vllm/tiny-chat.sha256", "/srv/appliance/models/tiny-abc"],
        ["/etc/appliance/vllm/tiny-chat+draft.sha256", "/srv/appliance/models/guess-abc"],
    ]
    assert len({line[-1] for line in checks}) == 2, "each has a record of its own"


def test_adapters_are_read_only_beside_the_model_and_checked_before_each_start(unit: str) -> None:
    own = unit_beside(weight_set("tiny-legal", "legal-1", "/srv/adapters/tiny-legal", "tiny-legal"))
    place = "/srv/appliance/models/legal-1"
    assert f"{place}:/srv/adapters/tiny-legal:ro,nosuid,nodev,noexec" in values(own, "Volume")
    words = shlex.split(values(own, "Exec")[0])
    assert words[words.index("--lora-modules") + 1 :][:2] == [
        "tiny-legal=/srv/adapters/tiny-legal",
        "--served-model-name",
    ]
    checks = [line for line in values(own, "ExecStartPre") if "weights.py check" in line]
    assert len(checks) == 2
    assert f" check /etc/appliance/vllm/tiny-legal.sha256 {place} --record " in checks[1]
    assert place in values(own, "RequiresMountsFor")[0].split()
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=0" in values(unit, "Environment")
    assert "lora-modules" not in unit


def test_a_container_is_held_to_its_plan(unit: str) -> None:
    assert values(unit, "MemoryMax") == [f"{int((4 + 16 * 0.2 + 1 + 0.5 + 4) * 1024)}M"]
    assert values(unit, "TasksMax") == ["1048"]
    assert values(unit, "Slice") == ["vllm.slice"]
    assert "Environment=VLLM_CPU_OMP_THREADS_BIND=0\n" in unit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if shutil.which("mkfs.ext4") is None or not Path("/dev/loop-control").exists():
        pytest.skip("needs loop devices and e2fsprogs")
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("needs root: a mount namespace")
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def test_a_container_begins_again_after_its_disk_was_full(unit: str, folder: Path) -> None:
    (line,) = (line for line in values(unit, "ExecStartPre") if "sync" in line)
    command = shlex.split(line.removeprefix("-"))
    assert command.pop() == "/var/lib/containers/storage"
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", LOSE_A_WRITE, "sh", str(folder)]
    done = subprocess.run([*argv, shlex.join([*command, "."])], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["refused", "allowed"], done.stderr
