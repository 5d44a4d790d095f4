"""Which attributes an answer has."""

from collections.abc import Mapping
from typing import Any, Final

import attrs
from pydantic import ValidationError
from scim2_models import Context, Resource, ResponseParameters

from ragwork_scim.protocol.error_format import query_invalid
from ragwork_scim.protocol.queries import Projection

MAX_NAMES: Final = 100


@attrs.frozen(kw_only=True)
class AttributeSelection:
    """The attributes that a client names, or those it does without. At most one of the two is there."""

    attributes: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: Projection) -> "AttributeSelection":
        """Raises ``Problem`` 400 when both are given, or a name is none."""
        if query.attributes and query.excludedAttributes:
            raise query_invalid("invalidValue", "attributes and excludedAttributes exclude each other")
        wanted = cls(attributes=_names(query.attributes), excluded=_names(query.excludedAttributes))
        try:
            wanted.parameters()
        except ValidationError:
            raise query_invalid("invalidPath", "what names an attribute is not one's name") from None
        return wanted

    @property
    def everything(self) -> bool:
        return not self.attributes and not self.excluded

    def includes(self, name: str) -> bool:
        """Whether the attribute ``name`` can be in the answer, in part at least."""
        if self.attributes:
            return any(_last(one).partition(".")[0] == name.lower() for one in self.attributes)
        return not any(_last(one) == name.lower() for one in self.excluded)

    def parameters(self) -> ResponseParameters[Any]:
        """The same for scim2-models."""
        names = {"attributes": list(self.attributes), "excluded_attributes": list(self.excluded)}
        return ResponseParameters.model_validate({key: value for key, value in names.items() if value})


def projected(
    model: type[Resource[Any]], resource: Mapping[str, Any], wanted: AttributeSelection
) -> Mapping[str, object]:
    """``resource`` with the attributes that are wanted, those that are always returned included.

    One member stands for all: a group may have tens of thousands, and what is wanted of one is wanted of each.
    """
    if wanted.everything:
        return resource
    members = resource.get("members", ())
    if len(members) > 1:
        resource = {**resource, "members": members[:1]}
    answer: dict[str, Any] = model.model_validate(resource, scim_ctx=Context.DEFAULT).model_dump(
        scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=wanted.parameters()
    )
    if "members" in answer:
        kept = answer["members"][0].keys()
        answer["members"] = [{key: member[key] for key in kept if key in member} for member in members]
    if "meta" in answer:
        # Times are written like everywhere else.
        answer["meta"] = {key: resource["meta"][key] for key in answer["meta"]}
    return answer


def _names(text: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    if len(names) > MAX_NAMES:
        raise query_invalid("invalidValue", f"more than {MAX_NAMES} attributes are named")
    return names


def _last(name: str) -> str:
    return name.rpartition(":")[2].lower()
