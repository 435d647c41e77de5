"""How many active jobs and job schedules an account holds. Batch itself does not tell; Azure Resource Manager does."""

from typing import TYPE_CHECKING

from batchctl.targets.azure_errors import azure_errors
from batchctl.targets.connect import account_of
from batchctl.targets.settings import TargetSettings

if TYPE_CHECKING:
    from azure.mgmt.batch import BatchManagementClient


def active_job_quota(target: TargetSettings) -> int | None:
    """As the target's `active_job_quota` says, else as Azure answers for its `subscription` and `resource_group`; None if it
    names neither.

    Raises TargetError if Azure does not answer.
    """
    if target.active_job_quota is not None or not target.subscription:
        return target.active_job_quota
    account = target.account or account_of(target.endpoint)
    with azure_errors(f"read the quota of the account {account}"), _client(target.subscription) as client:
        found = client.batch_account.get(target.resource_group, account)
    return found.properties.active_job_and_job_schedule_quota if found.properties else None


def _client(subscription: str) -> "BatchManagementClient":
    from azure.identity import DefaultAzureCredential
    from azure.mgmt.batch import BatchManagementClient

    return BatchManagementClient(DefaultAzureCredential(), subscription)
