"""Billing events as signed webhooks."""

from ragwork_hooks.audit import AuditLog
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_billing.areas import AREAS
from ragwork_billing.config import BillingConfig
from ragwork_billing.delivery import BillingSink, DeliveryAudit
from ragwork_billing.routes import WebhookTest


class BillingPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="billing",
            summary="Signed billing webhooks and their test",
            optional=(AuditLog,),
            config=BillingConfig,
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[BillingConfig]) -> Contribution:
        services, config = context.services, context.config
        delivery_audit, target = DeliveryAudit(services, services.use_optional(AuditLog)), config.target
        return Contribution(
            areas=AREAS,
            routes=WebhookTest(services, target, delivery_audit).routes(),
            sinks=() if target is None else (BillingSink(services, target.url, delivery_audit),),
        )


plugin = BillingPlugin()
