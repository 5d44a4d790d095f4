"""Keeping a contract whole: a subclass supplies the provider and can't change what is asked of it."""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest
from ragwork_hooks.errors import NotSupported


class Contract:
    """Base of the contract kits.

    A subclass whose ``test_*``, or helper with a leading underscore, is not the kit's own is refused, also when a
    mixin brings it. A class attribute of a kit that is ``True`` or ``False`` is a capability flag: a subclass may
    say the other of the two. Where a flag is off, the kit asserts that the provider refuses (see ``unsupported``).
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        check(cls)


def check(cls: type[Contract]) -> None:
    """Raises ``TypeError`` naming what of its kits ``cls`` has replaced."""
    if cls.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return  # a kit that builds on another
    replaced = sorted(name for name, own in _parts(cls).items() if _replaced(cls, name, own))
    if replaced:
        raise TypeError(f"{cls.__qualname__} replaces parts of its contract: {', '.join(replaced)}")
    wrong = sorted({name for kit in _kits(cls) for name in vars(kit) if _no_flag(cls, kit, name)})
    if wrong:
        raise TypeError(f"{cls.__qualname__}: a capability flag is True or False: {', '.join(wrong)}")


async def unsupported(call: Awaitable[object]) -> None:
    """Assert that ``call`` is refused for good: what a provider can't do must neither be ignored nor retried."""
    with pytest.raises(NotSupported) as caught:
        await call
    assert not caught.value.retryable
    assert caught.value.message


def weakened(items: Sequence[pytest.Item]) -> Iterator[str]:
    """How collected tests of kits were weakened: replaced, skipped by a mark, or excused without a reason."""
    classes: dict[type[Contract], None] = {}
    for item in items:
        if kit_test(item) is None:
            continue
        classes[item.cls] = None  # type: ignore[attr-defined]  # a kit's test has a class
        if any(item.iter_markers("skip")) or any(item.iter_markers("skipif")):
            yield f"{item.nodeid} is skipped: a contract has capability flags for what a provider can't do"
        if any(not mark.kwargs.get("reason") for mark in item.iter_markers("xfail")):
            yield f"{item.nodeid} is marked xfail without a reason"
    for cls in classes:
        try:
            check(cls)
        except TypeError as error:
            yield str(error)


def _kits(cls: type) -> list[type]:
    """The contracts among the bases. A class that pytest collects is no contract but keeps one."""
    return [
        base
        for base in cls.__mro__[1:]
        if issubclass(base, Contract) and base is not Contract and not base.__name__.startswith("Test")
    ]


def _parts(cls: type) -> dict[str, object]:
    """What the contracts of ``cls`` consist of, by name: the most derived one's wins."""
    parts: dict[str, object] = {}
    for kit in reversed(_kits(cls)):
        parts.update(vars(kit))
    return parts


def _replaced(cls: type, name: str, own: object) -> bool:
    is_sealed = name.startswith("test_") or (name.startswith("_") and inspect.isfunction(own))
    is_special = name.startswith("__")
    return is_sealed and not is_special and inspect.getattr_static(cls, name, None) is not own


def _no_flag(cls: type, kit: type, name: str) -> bool:
    is_flag = isinstance(vars(kit)[name], bool) and not name.startswith("__")
    return is_flag and not isinstance(inspect.getattr_static(cls, name), bool)


def kit_test(item: pytest.Item) -> Callable[..., object] | None:
    """The kit's test that ``item`` runs, ``None`` when it is not a kit's."""
    cls = getattr(item, "cls", None)
    if not (isinstance(cls, type) and issubclass(cls, Contract)):
        return None
    test: Callable[..., object] | None = _parts(cls).get(getattr(item, "originalname", item.name))  # type: ignore[assignment]
    return test
