"""What test_sdk.py lets the Python SDK do, in an interpreter that is new enough for it.

    python sdk_scenario.py URL KEY SECRET ZONE TEMPLATE OFFERING NETWORKOFFERING

Prints one JSON object.
"""

import json
import sys

from acs_sdk import ApacheCloudStack, ApacheCloudStackConfig
from acs_sdk.schemas.request.address import AssociateIpAddressRequest, DisassociateIpAddressRequest
from acs_sdk.schemas.request.firewall import CreateFirewallRuleRequest, DeleteFirewallRuleRequest
from acs_sdk.schemas.request.virtual_machine import (
    DeployVirtualMachineRequest,
    DestroyVirtualMachineRequest,
    ListVirtualMachinesRequest,
    StartVirtualMachineRequest,
    StopVirtualMachineRequest,
)
from acs_sdk.schemas.request.zone import ListZonesRequest

url, key, secret, zone, template, offering, networkoffering = sys.argv[1:]
acs = ApacheCloudStack(ApacheCloudStackConfig(api_endpoint=url, api_key=key, api_secret=secret))
told = {}


def call(command, **parameters):
    """Call what the SDK has no service for."""
    (content,) = acs.client.call(command, parameters).values()
    return content


def done(answer):
    """Wait for a job as the SDK does and return its result."""
    ended = acs.job.poll(answer.data["jobid"], interval=0.05).data
    if ended["status_label"] != "Success":
        raise RuntimeError(ended)
    return next(iter(ended["result"].values()))


made = call("createZone", name="sdk", networktype="Advanced", dns1="192.0.2.53", internaldns1="192.0.2.53")["zone"]
pod = call(
    "createPod", name="sdk", zoneid=made["id"], gateway="192.0.2.1", netmask="255.255.255.0", startip="192.0.2.9"
)
told["zones"] = sorted(each["name"] for each in acs.zone.list(ListZonesRequest(available=True)).data)
call("deletePod", id=pod["pod"]["id"])
call("deleteZone", id=made["id"])

network = call("createNetwork", name="sdk", displaytext="sdk", zoneid=zone, networkofferingid=networkoffering)[
    "network"
]
machine = done(
    acs.vm.deploy_vm(
        DeployVirtualMachineRequest(
            zoneid=zone, templateid=template, serviceofferingid=offering, networkids=[network["id"]], name="sdk-1"
        )
    )
)
told["deployed"] = machine["state"]
told["stopped"] = done(acs.vm.stop_vm(StopVirtualMachineRequest(id=machine["id"])))["state"]
told["started"] = done(acs.vm.start_vm(StartVirtualMachineRequest(id=machine["id"])))["state"]
address = done(acs.address.associate_ip_address(AssociateIpAddressRequest(networkid=network["id"])))
rule = done(
    acs.firewall.create_firewall_rule(
        CreateFirewallRuleRequest(ipAddressId=address["id"], protocol="tcp", startPort=80, endPort=80)
    )
)
told["rule"] = rule["state"]
done(acs.firewall.delete_firewall_rule(DeleteFirewallRuleRequest(id=rule["id"])))
done(acs.address.disassociate_ip_address(DisassociateIpAddressRequest(id=address["id"])))
done(acs.vm.destroy_vm(DestroyVirtualMachineRequest(id=machine["id"], expunge=True)))
told["left"] = acs.vm.list(ListVirtualMachinesRequest(name="sdk-1")).data
call("deleteNetwork", id=network["id"])
sys.stdout.write(json.dumps(told))
