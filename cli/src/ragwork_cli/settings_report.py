"""Report of the settings: every value, and the layer that set it."""

from collections.abc import Sequence

import attrs
from ragwork_hooks.settings import settings_of
from ragwork_kernel.base.config import Settings
from ragwork_kernel.base.layers import Layer, SettingsLayers


@attrs.frozen(kw_only=True)
class SettingReport:
    """One setting. ``value`` is masked when secret."""

    env: str
    section: str
    field: str
    value: str
    layer: Layer
    help: str


def explain(configuration: Settings) -> list[SettingReport]:
    """Every setting with its value and layer. Raises ``ConfigError`` with all that is wrong in a section."""
    return [row for section in configuration.classes for row in _explain_section(configuration, section)]


def _explain_section(configuration: Settings, section: str) -> list[SettingReport]:
    values = configuration.section(section)
    rows = []
    for field, info in settings_of(configuration.classes[section]).items():
        value = getattr(values, field)
        rows.append(
            SettingReport(
                env=info.env,
                section=section,
                field=field,
                value="********" if info.secret and value is not None else repr(value),
                layer=configuration.layer(section, field),
                help=info.help,
            )
        )
    return rows


def sources(layers: SettingsLayers) -> Sequence[str]:
    """What was read, for people."""
    files = [str(file.path.absolute()) for file in (layers.toml, layers.dotenv) if file.exists]
    secrets = [str(layers.secrets_dir)] if layers.secrets_dir.is_dir() else []
    return [*files, "environment", *secrets]
