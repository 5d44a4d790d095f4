"""Plugin ``pdf``: PDF files, by PDFium."""

from ragwork_hooks.plugin import PluginInfo, hookimpl


class PdfPlugin:
    """Registers the provider ``pdf`` of kind ``parser``. It has no settings."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="pdf",
            summary="Files: PDF with headings, tables as rows and page numbers",
        )


plugin = PdfPlugin()
