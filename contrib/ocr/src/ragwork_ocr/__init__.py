"""Plugin ``ocr``: text recognition in images and scans, by Tesseract."""

from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_ocr.config import OcrConfig


class OcrPlugin:
    """Registers the provider ``ocr`` of kind ``parser``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="ocr",
            summary="Files: the text of images and of scanned PDF files, by Tesseract",
            config=OcrConfig,
        )


plugin = OcrPlugin()
