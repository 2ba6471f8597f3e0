"""A site's own key: it signs what the site says of itself, receipts and heads of its log.

``state/site.pem`` is made at first need and has no passphrase, because nobody is there to
type one.  It vouches for nothing but that this site has said it: no root names it.  Its
public half lies with what it signs, ``receipts/site.pub.pem``, for everybody to read;
auditors take a copy on the day that the site is set up.
"""

from pathlib import Path

from appliance.errors import BadInput
from appliance.steps.keys import read_private_key
from appliance.store.disk import make_directory
from appliance.store.site import Site
from appliance.store.whole import changing, write_whole
from appliance.trust.keys import PrivateKey

_STATE_MODE = 0o700


def site_key(site: Site) -> PrivateKey:
    """The key of ``site``; made when there is none yet.  Raises BadInput (``key-*``)."""
    path = site.root / "state" / "site.pem"
    if not path.exists():
        _make(path)
    key = read_private_key(path, None)
    public = public_key_path(site)
    if not public.exists():
        make_directory(public.parent)
        with changing(public.parent, public.name):
            write_whole(public, key.public.pem(), mode=0o644)
    return key


def public_key_path(site: Site) -> Path:
    """Where everybody finds the public half."""
    return receipts_folder(site) / "site.pub.pem"


def receipts_folder(site: Site) -> Path:
    """Where receipts lie."""
    return site.root / "receipts"


def _make(path: Path) -> None:
    path.parent.mkdir(mode=_STATE_MODE, exist_ok=True)
    try:
        with changing(path.parent, path.name):
            write_whole(path, PrivateKey.generate().pem(None), mode=0o600, replace=False)
    except BadInput as error:
        if error.reference != "file-exists":  # another process was first
            raise
