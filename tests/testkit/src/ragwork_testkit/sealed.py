"""Keeping a contract whole: a subclass supplies the provider and can't change what is asked of it."""


class Sealed:
    """Base of the contract kits. A subclass that replaces one of the kit's ``test_*`` is refused."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        inherited = {name for base in cls.__mro__[1:] for name in vars(base) if name.startswith("test_")}
        replaced = sorted(inherited & set(vars(cls)))
        if replaced:
            raise TypeError(f"{cls.__qualname__} replaces tests of its contract: {', '.join(replaced)}")
