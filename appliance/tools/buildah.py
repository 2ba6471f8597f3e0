"""buildah: one image from a Containerfile, without a network and without traces.

Storage lies in a directory of our own, so neither the host's images nor its caches have
any part in the result.
"""

from pathlib import Path

from appliance.tools.namespace import offline
from appliance.tools.run import run

# As root it writes a cache below /var/lib, wherever its storage lies: give it an empty one.
# Steps see a host name: a constant one.
_HIDE_HOST = 'mount -t tmpfs none /var/lib && hostname localhost && exec "$@"'

_OPTIONS = (
    "--isolation",
    "chroot",
    "--network",
    "host",  # the namespace's own, which has nothing in it
    "--uts",
    "host",
    "--pull-never",
    "--no-cache",
    "--layers=false",
    "--force-rm",
    "--ulimit",
    "nofile=20000:20000",
    "--ulimit",
    "nproc=16384:16384",
    "--omit-history",
    "--timestamp",
    "0",
    "--identity-label=false",
    "--format",
    "oci",
    "--disable-compression=true",
)


def build(context: Path, wheels: Path, target: Path, work: Path) -> None:
    """Build ``context/Containerfile`` into ``target``, a ``dir:`` of skopeo.

    ``wheels`` is the additional build context of that name.  The image has one layer,
    uncompressed, because compressed bytes differ from one release of buildah to the next.
    """
    run(
        [
            *offline(),
            "sh",
            "-c",
            _HIDE_HOST,
            "sh",
            "buildah",
            "--root",
            work / "storage",
            "--runroot",
            work / "run",
            "--storage-driver",
            "vfs",  # works on any file system, and has no layers below to copy
            "build",
            *_OPTIONS,
            "--build-context",
            f"wheels={wheels}",
            "--tag",
            f"dir:{target}",
            "--file",
            context / "Containerfile",
            context,
        ],
        # It keeps configuration and caches in a home, too; the host's settings stay out of the image.
        env={"TMPDIR": str(work), "HOME": str(work), "CONTAINERS_CONF": "/dev/null"},
        called="buildah",
    )
