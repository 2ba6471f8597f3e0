"""What a review of a model's files found: in the lock, for those who review it.

A finding stops nothing: what must not be carried is refused by the content gate.  It says in plain words what a
person has to know before the model is served, and where that is explained.
"""

from typing import Annotated, Literal

from pydantic import Field

from appliance.model.base import Strict
from appliance.model.files import Content
from appliance.model.limits import MAX_FINDING
from appliance.model.names import BundlePath, Sha256

Text = Annotated[str, Field(min_length=1, max_length=MAX_FINDING)]


class Finding(Strict):
    """One thing that a reader of the lock should know of one file.

    ``rule`` is its stable name, ``see`` the address of a page that explains it.  What concerns the model as a whole
    has no ``path``.
    """

    rule: str = Field(pattern=r"^[a-z]+(-[a-z]+)*$", max_length=64)
    path: BundlePath | Literal[""] = ""
    what: Text
    see: str = Field(pattern=r"^https://\S+$", max_length=300)

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" if self.path else self.what


class RenderedTemplate(Strict):
    """What a chat template makes of the conversations of ``artifacts/weights/conversations``.

    ``name`` tells several templates of one file apart.  ``template`` is the SHA-256 of its text; ``rendered`` and
    ``size`` (bytes) are those of everything that it wrote, which a diff of two locks is made of.
    """

    path: BundlePath
    name: str = Field(default="", max_length=200)
    template: Sha256
    rendered: Sha256
    size: int = Field(ge=0)

    @property
    def content(self) -> Content:
        """What was rendered, as a sink knows it."""
        return Content(sha256=self.rendered, size=self.size)

    @property
    def where(self) -> str:
        """The template, for people."""
        return f"{self.path} ({self.name})" if self.name else self.path


class Review(Strict):
    """All that was found of one set of weights, sorted by path and rule."""

    templates: tuple[RenderedTemplate, ...] = ()
    findings: tuple[Finding, ...] = ()
