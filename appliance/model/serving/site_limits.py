"""What a site may change of a signed serving profile: make it smaller.

A site knows its hosts and its clients, so it may give a model less than the profile says;
what the signers measured and approved is never exceeded.  The narrowed profile is a
profile again and has passed all its checks.
"""

from pydantic import Field, ValidationError

from appliance.errors import BadInput
from appliance.model.base import Strict
from appliance.model.names import Name
from appliance.model.serving.profile import ServingProfile


class SiteLimits(Strict):
    """Figures of a profile that a site sets lower; what is None stays as it was signed."""

    max_model_len: int | None = Field(default=None, ge=16)
    max_num_seqs: int | None = Field(default=None, ge=1)
    max_num_batched_tokens: int | None = Field(default=None, ge=16)
    max_num_queued_reqs: int | None = Field(default=None, ge=1)
    gpu_memory_utilization: float | None = Field(default=None, ge=0.1)


def narrow(profile: ServingProfile, limits: SiteLimits, name: Name) -> ServingProfile:
    """``profile`` with the figures of ``limits``, for the model served as ``name``.

    Raises BadInput when a limit is wider than the signed figure, has no signed figure to
    compare with, or leaves a profile that does not work.
    """
    changes = limits.model_dump(exclude_none=True)
    for field, wanted in changes.items():
        signed = getattr(profile, field)
        if signed is None or wanted > signed:
            raise BadInput(
                "limit-wider-than-signed",
                f"the site asks for {field} {wanted}, but the signed profile of {name} "
                + ("sets none" if signed is None else f"allows at most {signed}"),
                hint="lower it or leave it out: a site may narrow a profile, never widen it; a wider one needs a new, "
                "signed bundle",
            )
    try:
        return ServingProfile.model_validate({**profile.model_dump(), **changes})
    except ValidationError as error:
        raise BadInput(
            "limits-leave-no-profile",
            f"with the site's limits the profile of {name} does not work: "
            + "; ".join(str(problem["msg"]).removeprefix("Value error, ") for problem in error.errors()),
            hint="change or leave out the limits of this model",
        ) from error
