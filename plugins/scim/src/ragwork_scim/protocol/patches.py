"""PATCH: operations in the RFC's form and in those of the big identity providers, applied to users and groups."""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs
from scim2_models import AttributeBinding, Context, PatchOp, Path, Resource, SCIMException, ScimPolicy
from scim2_models.path import CompareOperator, Comparison, FilterNode, LogicalExpr, LogicalOperator

from ragwork_scim.protocol import payloads
from ragwork_scim.protocol.error_format import payload_invalid, wrong_schema
from ragwork_scim.protocol.models import Group, Person

PATCH_OP: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
MAX_OPERATIONS: Final = 1_000
#: Each operation on a user is checked against the whole user.
MAX_USER_OPERATIONS: Final = 100
MAX_PATH: Final = 1_000
#: What the server makes by itself, and clients send back with the rest of a resource.
_DERIVED: Final = ("schemas", "meta", "groups")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
#: What is not kept here is passed over, as in a POST; what Microsoft Entra needs beyond the RFC is granted.
_POLICY: Final = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
Verb = Literal["add", "replace", "remove"]


@attrs.frozen(kw_only=True)
class Operation:
    """One operation on one attribute. ``given`` tells a null from no value at all."""

    verb: Verb
    path: str
    value: object
    given: bool

    def plain(self) -> dict[str, object]:
        body: dict[str, object] = {"op": self.verb, "path": self.path}
        return {**body, "value": self.value} if self.given else body


def patched_user(user: Person, body: Mapping[str, Any]) -> Person:
    """``user`` after all operations; ``user`` itself is changed. Raises ``Problem`` 422."""
    found = operations(body, str(user.id))
    if len(found) > MAX_USER_OPERATIONS:
        raise payload_invalid("invalidValue", f"a user takes {MAX_USER_OPERATIONS} operations at once")
    plain = [kept.plain() for operation in found if (kept := _for_user(operation)) is not None]
    with payloads.refusing(), _POLICY:
        if plain:
            message = {"schemas": [PATCH_OP], "Operations": plain}
            PatchOp[Person].model_validate(message, scim_ctx=Context.RESOURCE_PATCH_REQUEST).patch(user)
    return payloads.checked_user(user)


def operations(body: Mapping[str, Any], resource_id: str) -> list[Operation]:
    """The operations, each on one attribute: those without a path are one for each key of their value.

    Clients repeat in there what is not theirs to set, such as the resource's id: that says nothing and is passed over.
    Members of an operation that the RFC does not know are, too.
    """
    payloads.check_texts(body)
    schemas = _get(body, "schemas")
    if not isinstance(schemas, list) or not any(str(s).lower() == PATCH_OP.lower() for s in schemas):
        raise wrong_schema(PATCH_OP)
    listed = _get(body, "operations")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_OPERATIONS:
        raise payload_invalid("invalidSyntax", f"Operations must be a list of 1 to {MAX_OPERATIONS}")
    return [operation for item in listed for operation in _parts(item, resource_id)]


def _parts(item: object, resource_id: str) -> list[Operation]:
    if not isinstance(item, dict):
        raise payload_invalid("invalidSyntax", "an operation must be an object")
    names = {key.lower() for key in item}
    if len(names) != len(item):
        raise payload_invalid("invalidSyntax", "an operation has op, path and value, each once")
    verb, path, value = _verb(_get(item, "op")), _get(item, "path"), _get(item, "value")
    if path is not None and not isinstance(path, str):
        raise payload_invalid("invalidPath", "path must be a text")
    if path and len(path) > MAX_PATH:
        raise payload_invalid("invalidPath", f"path has more than {MAX_PATH} characters")
    if path and path.strip():
        return [Operation(verb=verb, path=path.strip(), value=value, given="value" in names)]
    if verb == "remove":
        raise payload_invalid("noTarget", "a remove needs a path")
    if not isinstance(value, dict):
        raise payload_invalid("invalidValue", "without a path the value must be an object of attributes")
    return [
        Operation(verb=verb, path=key, value=part, given=True)
        for key, part in value.items()
        if not _says_nothing(verb, key, part, resource_id)
    ]


def _says_nothing(verb: Verb, key: str, value: object, resource_id: str) -> bool:
    name = key.lower()
    return name in _DERIVED or (name == "id" and value == resource_id) or (verb == "add" and value is None)


def _verb(op: object) -> Verb:
    name = op.lower() if isinstance(op, str) else op
    if name == "add" or name == "replace" or name == "remove":
        return name
    raise payload_invalid("invalidSyntax", f"{op!r} is no operation: add, replace or remove")


def _for_user(operation: Operation) -> Operation | None:
    """The operation with a value in the schema's form; ``None`` for an attribute that is not kept here."""
    found = resolved(Person, operation.path)
    if found is None or (found.binding is not None and found.binding.field_name == "groups"):
        return None  # memberships are the groups' own
    binding = found.binding
    if binding is None and isinstance(operation.value, dict):
        return attrs.evolve(operation, value=payloads.with_manager(operation.value))
    if binding is None or operation.verb == "remove" or binding.is_multivalued:
        return operation
    if binding.field_name == "manager" and binding.sub_field_name is None:
        return attrs.evolve(operation, value=payloads.manager(operation.value))
    if binding.target_type is bool or isinstance(operation.value, list):
        return attrs.evolve(operation, value=payloads.unwrapped(operation.value))
    return operation


@attrs.frozen
class Resolved:
    """A path and the attribute that it names; none for a whole extension."""

    path: Path[Any]
    binding: AttributeBinding | None


def resolved(model: type[Resource[Any]], text: str) -> Resolved | None:
    """What a path names; ``None`` for what is not kept here, as a POST passes it over.

    Raises ``Problem`` 422 invalidPath for a path that begins with one of our attributes and can't be read.
    """
    try:
        path = Path.__class_getitem__(model)(text)
        if path.model is not None:
            return Resolved(path, None)
        binding = path.resolve()
    except SCIMException as error:
        if _begins_with_ours(model, text):
            raise payload_invalid("invalidPath", error.detail) from None
        return None
    return None if binding is None else Resolved(path, binding)


def _begins_with_ours(model: type[Resource[Any]], text: str) -> bool:
    own = f"{model.__schema__}:"
    name = _NAME.match(text[len(own) :] if text.lower().startswith(own.lower()) else text)
    return name is not None and Path.__class_getitem__(model)(name[0]).resolve() is not None


@attrs.define
class GroupChange:
    """What operations make of a group, without its members at hand: there may be tens of thousands.

    ``cleared`` comes before ``added`` and ``removed``, which have nobody in common.
    """

    display_name: str
    external_id: str | None
    cleared: bool = False
    added: set[str] = attrs.field(factory=set)
    removed: set[str] = attrs.field(factory=set)

    def apply(self, operation: Operation) -> None:
        """Raises ``Problem`` 422."""
        found = resolved(Group, operation.path)
        if found is None or found.binding is None:
            return
        binding = found.binding
        if binding.field_name == "members":
            self._members(operation, found.path, binding)
        elif binding.field_name == "display_name":
            if operation.verb == "remove":
                raise payload_invalid("mutability", "displayName is required")
            self.display_name = payloads.group_name(payloads.unwrapped(operation.value))
        elif binding.field_name == "external_id":
            self.external_id = None if operation.verb == "remove" else _text(operation.value)
        else:
            raise payload_invalid("mutability", f"{operation.path!r} is read-only")

    def _members(self, operation: Operation, path: Path[Any], binding: AttributeBinding) -> None:
        if binding.sub_field_name is not None:
            raise payload_invalid(
                "mutability", "what is known of a member can't be changed; remove and add it"
            )
        if path.value_filter is not None:
            if operation.verb != "remove":
                raise payload_invalid("invalidPath", "add and replace take members as their value")
            self._remove(selected(path.value_filter))
        elif operation.verb == "remove":
            if operation.value is None:
                self._clear()
            else:
                self._remove(member_ids(operation.value))
        else:
            if operation.verb == "replace":
                self._clear()
            elif operation.value is None:
                raise payload_invalid("invalidValue", "value is required for add operations")
            ids = member_ids(operation.value)
            self.added |= ids
            self.removed -= ids

    def _clear(self) -> None:
        self.cleared = True
        self.added.clear()
        self.removed.clear()

    def _remove(self, ids: set[str]) -> None:
        self.added -= ids
        self.removed |= ids


def member_ids(value: object) -> set[str]:
    """The ids in a list of members, one member, or none. Raises ``Problem`` 422."""
    if value is None:
        return set()
    items = value if isinstance(value, list) else [value]
    found: set[str] = set()
    for item in items:
        member = _get(item, "value") if isinstance(item, dict) else item
        kind = _get(item, "type") if isinstance(item, dict) else None
        if not isinstance(member, str) or not member:
            raise payload_invalid("invalidValue", "a member needs the id of a user as its value")
        if kind is not None and str(kind).lower() != "user":
            raise payload_invalid("invalidValue", "only users can be members")
        found.add(member)
    return found


def selected(node: FilterNode) -> set[str]:
    """The ids that ``value eq "a" or value eq "b"`` names. Raises ``Problem`` 422 for any other filter."""
    if isinstance(node, LogicalExpr) and node.op == LogicalOperator.or_:
        return set().union(*(selected(term) for term in node.terms))
    if isinstance(node, Comparison) and node.op == CompareOperator.eq and isinstance(node.value, str):
        attribute = node.attr_path
        if attribute.attr.lower() == "value" and attribute.sub_attr is None:
            return {node.value}
    raise payload_invalid("invalidFilter", 'members are selected by value eq "id", joined by or')


def _text(value: object) -> str | None:
    value = payloads.unwrapped(value)
    if value is not None and not isinstance(value, str):
        raise payload_invalid("invalidValue", "externalId must be a text")
    return payloads.external_id(value)


def _get(body: Mapping[str, Any], name: str) -> Any:
    if name in body:
        return body[name]
    return next((value for key, value in body.items() if key.lower() == name), None)
