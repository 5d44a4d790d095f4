"""Plugin ``bedrock``: retrieval from Amazon Bedrock knowledge bases, and chat on Bedrock models."""

from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_bedrock.config import BedrockConfig


class BedrockPlugin:
    """Registers the retriever ``aws_bedrock_kb`` and the chat model ``bedrock``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="bedrock",
            summary="Amazon Bedrock: knowledge bases and chat models",
            config=BedrockConfig,
            reads=("AWS_<NAME>", "BEDROCK_CREDENTIALS<NAME>"),
        )


plugin = BedrockPlugin()
