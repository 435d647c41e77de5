"""Operations of older API versions that Azure has retired: they answer that, and not that nobody knows them.

Source: Azure Batch REST release notes; certificates were retired in February 2024, lifetime statistics in April 2023,
cloud service pools (RDP files, OS upgrades) in February 2024. What the real service answers is not recorded; here it is
400 InvalidUri with a message that says so.
"""

from batchctl.server.batch.call import Call, Handler, Reply
from batchctl.server.batch.errors import ServiceError
from batchctl.server.batch.routes import Operation


def _retired(what: str, since: str) -> Handler:
    def answer(_: Call) -> Reply:
        message = f"{what} were retired by Azure Batch on {since}. The requested URI does not exist any more."
        raise ServiceError("InvalidUri", ("Reason", message), message=message)

    return answer


_CERTIFICATES = _retired("Certificates", "2024-02-29")
_STATISTICS = _retired("Lifetime statistics", "2023-04-30")
_CLOUD_SERVICES = _retired("Operations on cloud service nodes", "2024-02-29")
_CERTIFICATE = "/certificates(thumbprintAlgorithm={algorithm},thumbprint={thumbprint})"

RETIRED = tuple(
    Operation(*row)
    for row in (
        ("GET", "/certificates", "list_certificates", _CERTIFICATES),
        ("POST", "/certificates", "add_certificate", _CERTIFICATES),
        ("GET", _CERTIFICATE, "get_certificate", _CERTIFICATES),
        ("DELETE", _CERTIFICATE, "delete_certificate", _CERTIFICATES),
        ("POST", f"{_CERTIFICATE}/canceldelete", "cancel_certificate_deletion", _CERTIFICATES),
        ("GET", "/lifetimepoolstats", "get_pool_lifetime_statistics", _STATISTICS),
        ("GET", "/lifetimejobstats", "get_job_lifetime_statistics", _STATISTICS),
        ("GET", "/pools/{poolId}/nodes/{nodeId}/rdp", "get_remote_desktop", _CLOUD_SERVICES),
        ("POST", "/pools/{poolId}/upgradeos", "upgrade_pool_os", _CLOUD_SERVICES),
    )
)
