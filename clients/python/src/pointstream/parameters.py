"""The parameters of a session, and a webhook for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict


class SessionParameters(TypedDict, total=False):
    """What a new session can be told. The server's defaults apply to what is missing.

    docs/protocol.md gives the ranges. The server refuses names that it does not know, and says
    which one may be meant.
    """

    max_images: int
    process_res: int
    process_res_method: Literal[
        "upper_bound_resize", "lower_bound_resize", "upper_bound_crop", "lower_bound_crop"
    ]
    conf_thresh_percentile: float
    num_max_points: int
    show_cameras: bool
    window: int
    finalize_mode: Literal["auto", "refine", "whole"]
    filter_edges: bool
    voxel_size: float
    filter_black_bg: bool
    filter_white_bg: bool
    glb_compression: Literal["none", "quantized", "meshopt"]


@dataclass(frozen=True)
class Webhook:
    """A URL that the server tells of results and of the end of the session."""

    url: str
    # All events if it is None.
    events: Sequence[str] | None = None
    # `whsec_...`; if it is None, the server makes one: see `Session.webhook_secret`.
    secret: str | None = field(default=None, repr=False)

    def body(self) -> dict[str, Any]:
        """The body of a request for a new session."""
        fields: dict[str, Any] = {"url": self.url}
        if self.events is not None:
            fields["events"] = list(self.events)
        if self.secret is not None:
            fields["secret"] = self.secret
        return {"webhook": fields}


def query(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as the query of a URL writes them; None counts as missing."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in given.items()
    }
