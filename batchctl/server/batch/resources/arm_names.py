"""Names of Azure resources that pools refer to: their form is checked, whether they are there nobody here knows.

Source: Azure Batch REST, BatchVmImageReference.virtualMachineImageId, NetworkConfiguration.subnetId; recorded answers.
"""

import re

from batchctl.server.batch.errors import invalid_value
from batchctl.server.batch.wire import Doc

_GROUP = r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers"
_IMAGE = re.compile(
    rf"{_GROUP}/Microsoft\.Compute/(galleries/[^/]+/images/[^/]+(/versions/[^/]+)?|images/[^/]+)",
    re.IGNORECASE,
)
_SUBNET = re.compile(
    rf"{_GROUP}/Microsoft\.(Classic)?Network/virtualNetworks/[^/]+/subnets/[^/]+", re.IGNORECASE
)


def check_arm_names(pool: Doc) -> None:
    """Raise InvalidPropertyValue for the id of an image or a subnet, of a new or a patched pool, that cannot be one."""
    image = pool.get("virtualMachineConfiguration", {}).get("imageReference", {})
    subnet = pool.get("networkConfiguration", {})
    for name, part, form in (("virtualMachineImageId", image, _IMAGE), ("subnetId", subnet, _SUBNET)):
        if name in part and not form.fullmatch(part[name]):
            raise invalid_value(name, part[name], f"The specified {name} is in an invalid format.")
