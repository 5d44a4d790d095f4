"""Plugin ``bedrock``: retrieval from Amazon Bedrock knowledge bases, and chat on Bedrock models."""

from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

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

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[BedrockConfig]) -> Contribution:
        secret = context.services.secrets.value
        regions = (context.config.region, secret("AWS_REGION"), secret("AWS_DEFAULT_REGION"))
        return Contribution(off=None if any(regions) else "set BEDROCK_REGION, or AWS_REGION")


plugin = BedrockPlugin()
