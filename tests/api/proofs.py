"""Which test shows the effect of which setting: it changes the setting as operators do and sees what then is other.

``conftest`` holds the tests that are named here to it: one that does not change its setting by updateConfiguration
fails.
"""

from __future__ import annotations

from pileus.identity.limits.types import KINDS

_EFFECTS = "test_settings_effects.py"
_MORE = "test_settings_at_work.py"
_BASIC = "test_configuration.py"
_MAIL = "test_mail.py"
_PURGING = "test_purging.py"
_ALERTED = f"{_EFFECTS}::test_each_threshold_raises_its_own_alert"
_BURSTS = f"{_EFFECTS}::test_bursts_of_disks_are_as_long_as_the_settings_let_them"
_RATES = f"{_EFFECTS}::test_disks_are_as_fast_as_the_settings_let_them"
_OLD = f"{_EFFECTS}::test_old_records_are_deleted_when_operators_want_it"
_RULE = "test_password_policy.py::test_a_rule_holds_for_every_way_to_a_password"
_TOKEN = "test_mail.py::test_tokens_for_new_passwords_go_by_tls_too"
_INVITED = "test_projects.py::test_an_invitation_is_mailed_with_a_token"
_OVERCOMMIT = f"{_BASIC}::test_overcommit_of_new_clusters_and_pools"
_SILENT = f"{_MORE}::test_a_host_may_be_silent_as_long_as_the_settings_say"
_PURGED = f"{_PURGING}::test_settings_say_what_is_purged_regularly"
_BEGUN = f"{_MORE}::test_purges_go_on_by_themselves"
_THROTTLED = "test_rates.py::test_calls_of_an_account_are_limited"
_ALERT_MAIL = "test_alerts.py::test_alerts_are_mailed_once"
_LDAP = "test_ldap_settings.py"
_DIRECTORIES = "test_ldap.py::test_each_domain_has_its_own_directory"
_PEOPLE = f"{_LDAP}::test_people_are_read_by_the_attributes_that_the_settings_name"
_GROUPS = f"{_LDAP}::test_groups_are_what_the_settings_say"
_NESTED = f"{_LDAP}::test_groups_in_groups_are_asked_for_by_the_rule_of_active_directory"
_TRUST = f"{_LDAP}::test_servers_are_believed_by_the_trust_store"
_EXTRA = "test_machine_options.py::test_extra_configuration_is_for_those_who_are_let"
_MTU = "test_network_options.py::test_users_choose_mtus_when_they_are_let"
_LARGEST_OFFERING = "test_offering_effects.py::test_the_largest_service_offering"

PROOFS = {
    "host.stats.interval": "test_hosts.py::test_agents_measure_as_often_as_the_setting_says",
    "alert.email.addresses": _ALERT_MAIL,
    "alert.email.sender": _ALERT_MAIL,
    "alert.purge.delay": _OLD,
    "alert.purge.interval": _OLD,
    "alert.smtp.connectiontimeout": f"{_MAIL}::test_a_silent_server_is_waited_for_no_longer_than_the_settings_say",
    "alert.smtp.enabledSecurityProtocols": f"{_MAIL}::test_the_versions_of_tls_are_those_of_the_setting",
    "alert.smtp.host": _ALERT_MAIL,
    "alert.smtp.password": _ALERT_MAIL,
    "alert.smtp.port": _ALERT_MAIL,
    "alert.smtp.timeout": f"{_MAIL}::test_a_silent_server_is_waited_for_no_longer_than_the_settings_say",
    "alert.smtp.useAuth": _ALERT_MAIL,
    "alert.smtp.useStartTLS": f"{_MAIL}::test_starttls_comes_before_the_password",
    "alert.smtp.username": _ALERT_MAIL,
    "allow.additional.vm.configuration.list.kvm": _EXTRA,
    "allow.end.users.to.specify.vr.mtu": _MTU,
    "allow.domain.admins.to.create.tagged.offerings": (
        f"{_EFFECTS}::test_domain_admins_tag_offerings_when_a_setting_lets_them"
    ),
    "allow.non.rfc1918.compliant.ips": f"{_BASIC}::test_network_settings",
    "allow.user.create.projects": "test_projects.py::test_users_create_projects_where_they_may",
    "allow.user.expunge.recover.vm": f"{_BASIC}::test_machine_settings",
    "allow.user.view.all.domain.accounts": (
        "test_list_scopes.py::test_users_see_the_accounts_of_their_domain_when_a_setting_says_so"
    ),
    "allow.user.view.destroyed.vm": f"{_BASIC}::test_machine_settings",
    "api.allowed.source.cidr.list": "test_origin.py::test_an_account_calls_from_its_networks_only",
    "api.key.access": "test_states.py::test_api_keys_can_be_forbidden",
    "api.source.cidr.checks.enabled": "test_origin.py::test_an_account_calls_from_its_networks_only",
    "api.throttling.cachesize": f"{_EFFECTS}::test_a_server_remembers_the_calls_of_so_many_accounts",
    "api.throttling.enabled": _THROTTLED,
    "api.throttling.interval": _THROTTLED,
    "api.throttling.max": _THROTTLED,
    "ca.framework.background.task.delay": "test_certificates.py::test_certificates_are_renewed_before_they_end",
    "ca.framework.cert.automatic.renewal": (
        "test_certificates.py::test_operators_are_told_where_renewal_is_off_or_fails"
    ),
    "ca.framework.cert.expiry.alert.period": "test_certificates.py::test_certificates_are_renewed_before_they_end",
    "ca.framework.cert.validity.period": (
        "test_certificates.py::test_certificates_are_issued_with_and_without_a_request"
    ),
    "capacity.check.period": "test_alerts.py::test_capacity_above_its_threshold_is_told",
    "cloud.identifier": "test_catalogue.py::test_the_cloud_s_identifier_is_signed",
    "cluster.cpu.allocated.capacity.notificationthreshold": _ALERTED,
    "cluster.localStorage.capacity.notificationthreshold": _ALERTED,
    "cluster.memory.allocated.capacity.notificationthreshold": _ALERTED,
    "cluster.storage.allocated.capacity.notificationthreshold": _ALERTED,
    "cluster.storage.capacity.notificationthreshold": _ALERTED,
    "cpu.overprovisioning.factor": _OVERCOMMIT,
    "custom.diskoffering.size.max": f"{_BASIC}::test_disk_sizes",
    "custom.diskoffering.size.min": f"{_BASIC}::test_disk_sizes",
    "default.page.size": f"{_EFFECTS}::test_pages_are_as_large_as_the_setting_says",
    "default.ui.page.size": f"{_BASIC}::test_disk_sizes",
    "enable.additional.vm.configuration": _EXTRA,
    "enable.secure.session.cookie": "test_sessions.py::test_cookies_can_be_held_to_encrypted_connections",
    "enable.user.2fa": f"{_MORE}::test_second_factors_are_where_they_are_switched_on",
    "event.purge.delay": _OLD,
    "event.purge.interval": _OLD,
    "expunge.delay": f"{_EFFECTS}::test_destroyed_machines_are_looked_for_as_often_as_the_setting_says",
    "expunge.interval": f"{_EFFECTS}::test_destroyed_machines_are_looked_for_as_often_as_the_setting_says",
    "expunged.resource.purge.job.delay": (f"{_PURGING}::test_machines_of_an_offering_leave_no_record_when_it_says_so"),
    "expunged.resources.purge.batch.size": _PURGED,
    "expunged.resources.purge.delay": _BEGUN,
    "expunged.resources.purge.enabled": _BEGUN,
    "expunged.resources.purge.interval": _BEGUN,
    "expunged.resources.purge.keep.past.days": _PURGED,
    "expunged.resources.purge.resources": _PURGED,
    "expunged.resources.purge.start.time": _PURGED,
    "guest.domain.suffix": f"{_BASIC}::test_network_settings",
    "host": f"{_MORE}::test_agents_are_told_of_the_servers_that_the_settings_name",
    "host.maintenance.local.storage.strategy": "test_maintenance.py::test_the_operator_may_have_machines_stopped",
    "indirect.agent.lb.algorithm": f"{_MORE}::test_agents_are_told_of_the_servers_that_the_settings_name",
    "indirect.agent.lb.check.interval": f"{_MORE}::test_agents_are_told_of_the_servers_that_the_settings_name",
    "image.store.imbalance.threshold": "test_image_stores.py::test_stores_are_balanced_as_the_setting_says",
    "instance.lease.enabled": "test_leases.py::test_switched_off_leases_have_no_effect",
    "instance.lease.expiryevent.daysbefore": f"{_EFFECTS}::test_the_end_of_a_lease_is_told_so_many_days_before",
    "job.cancel.threshold.minutes": f"{_EFFECTS}::test_jobs_are_kept_and_may_take_as_long_as_the_settings_say",
    "job.expire.minutes": f"{_EFFECTS}::test_jobs_are_kept_and_may_take_as_long_as_the_settings_say",
    "ldap.basedn": _DIRECTORIES,
    "ldap.bind.password": _DIRECTORIES,
    "ldap.bind.principal": _DIRECTORIES,
    "ldap.email.attribute": _PEOPLE,
    "ldap.firstname.attribute": _PEOPLE,
    "ldap.group.object": _GROUPS,
    "ldap.group.user.uniquemember": _GROUPS,
    "ldap.lastname.attribute": _PEOPLE,
    "ldap.nested.groups.enable": _NESTED,
    "ldap.provider": _NESTED,
    "ldap.read.timeout": f"{_LDAP}::test_a_silent_server_is_waited_for_as_long_as_the_setting_says",
    "ldap.request.page.size": "test_ldap.py::test_the_directory_is_listed_and_imported",
    "ldap.search.group.principle": _GROUPS,
    "ldap.truststore": _TRUST,
    "ldap.truststore.password": _TRUST,
    "ldap.user.memberof.attribute": _GROUPS,
    "ldap.user.object": _PEOPLE,
    "ldap.username.attribute": _PEOPLE,
    "management.server.maintenance.timeout": (
        f"{_EFFECTS}::test_maintenance_of_a_server_waits_for_its_jobs_as_long_as_the_setting_says"
    ),
    "mandate.user.2fa": "test_second_factor.py::test_sessions_of_before_a_mandate_are_for_the_set_up_only",
    "max.template.iso.size": f"{_EFFECTS}::test_a_template_may_be_as_large_as_the_setting_says",
    "mem.overprovisioning.factor": _OVERCOMMIT,
    "password.policy.allowPasswordToContainUsername": _RULE,
    "password.policy.minimum.digits": _RULE,
    "password.policy.minimum.length": _RULE,
    "password.policy.minimum.lowercase.letters": _RULE,
    "password.policy.minimum.special.characters": _RULE,
    "password.policy.minimum.uppercase.letters": _RULE,
    "password.policy.regex": _RULE,
    "ping.interval": _SILENT,
    "ping.timeout": _SILENT,
    "project.email.sender": _INVITED,
    "project.invite.required": _INVITED,
    "project.invite.timeout": "test_projects.py::test_an_invitation_expires",
    "project.smtp.enabledSecurityProtocols": f"{_MAIL}::test_invitations_go_by_tls_too",
    "project.smtp.host": _INVITED,
    "project.smtp.password": _INVITED,
    "project.smtp.port": _INVITED,
    "project.smtp.useAuth": _INVITED,
    "project.smtp.useStartTLS": f"{_MAIL}::test_invitations_go_by_tls_too",
    "project.smtp.username": _INVITED,
    "proxy.cidr": "test_origin.py::test_a_proxy_is_believed_when_it_is_one_of_ours",
    "proxy.header.names": "test_origin.py::test_a_proxy_is_believed_when_it_is_one_of_ours",
    "proxy.header.verify": "test_origin.py::test_a_proxy_is_believed_when_it_is_one_of_ours",
    "resource.count.running.vms.only": "test_limits_by_tag.py::test_only_running_machines_count_when_a_setting_says_so",
    "resource.limit.host.tags": "test_limits_by_tag.py::test_what_offerings_with_a_tag_give_counts_for_the_tag",
    "resource.limit.storage.tags": "test_limits_by_tag.py::test_what_offerings_with_a_tag_give_counts_for_the_tag",
    "secstorage.allowed.internal.sites": "test_downloads.py::test_a_name_that_leads_inside_is_refused_by_the_download",
    "secstorage.proxy": "test_downloads.py::test_the_proxy_of_the_setting_is_used",
    "session.timeout": "test_sessions.py::test_the_length_of_a_session_is_a_setting",
    "storage.max.volume.size": f"{_BASIC}::test_disk_sizes",
    "storage.overprovisioning.factor": _OVERCOMMIT,
    "user.2fa.default.provider": (
        "test_second_factor.py::test_the_default_provider_and_the_issuer_are_settings_of_the_domain"
    ),
    "user.2fa.issuer": "test_second_factor.py::test_the_default_provider_and_the_issuer_are_settings_of_the_domain",
    "user.password.reset.email.sender": f"{_MORE}::test_the_mail_for_a_new_password_is_as_the_settings_say",
    "user.password.reset.enabled": f"{_MORE}::test_the_mail_for_a_new_password_is_as_the_settings_say",
    "user.password.reset.mail.domain.url": f"{_MORE}::test_the_mail_for_a_new_password_is_as_the_settings_say",
    "user.password.reset.mail.template": "test_password_reset.py::test_the_link_leads_to_the_web_interface",
    "user.password.reset.smtp.enabledSecurityProtocols": _TOKEN,
    "user.password.reset.smtp.host": _TOKEN,
    "user.password.reset.smtp.password": _TOKEN,
    "user.password.reset.smtp.port": _TOKEN,
    "user.password.reset.smtp.useAuth": _TOKEN,
    "user.password.reset.smtp.useStartTLS": _TOKEN,
    "user.password.reset.smtp.username": _TOKEN,
    "user.password.reset.ttl": "test_password_reset.py::test_a_token_ends_by_itself_and_by_a_new_one",
    "vm.deploy.tries": f"{_EFFECTS}::test_so_many_hosts_are_tried",
    "vm.deployment.planner": "test_leases.py::test_planners_choose_the_pod",
    "vm.destroy.forcestop": f"{_BASIC}::test_how_long_a_guest_has_to_shut_down",
    "vm.disk.bytes.maximum.read.length": _BURSTS,
    "vm.disk.bytes.maximum.write.length": _BURSTS,
    "vm.disk.iops.maximum.read.length": _BURSTS,
    "vm.disk.iops.maximum.write.length": _BURSTS,
    "vm.disk.throttling.bytes_read_rate": _RATES,
    "vm.disk.throttling.bytes_write_rate": _RATES,
    "vm.disk.throttling.iops_read_rate": _RATES,
    "vm.disk.throttling.iops_write_rate": _RATES,
    "vm.password.length": f"{_BASIC}::test_machine_settings",
    "vm.serviceoffering.cpu.cores.max": _LARGEST_OFFERING,
    "vm.serviceoffering.ram.size.max": _LARGEST_OFFERING,
    "vm.stop.timeout": f"{_BASIC}::test_how_long_a_guest_has_to_shut_down",
    "vm.userdata.max.length": f"{_BASIC}::test_machine_settings",
    "vr.private.interface.max.mtu": _MTU,
    "vr.public.interface.max.mtu": _MTU,
    "zone.secstorage.capacity.notificationthreshold": _ALERTED,
    "zone.virtualnetwork.publicip.capacity.notificationthreshold": _ALERTED,
    "zone.vlan.capacity.notificationthreshold": _ALERTED,
}
"""Setting -> the test, as FILE::FUNCTION."""

_LIMITS = [
    each for facts in KINDS.values() for each in (facts.account, facts.domain, facts.project) if each is not None
]
PROOFS |= {each.name: f"{_EFFECTS}::test_default_limits_hold" for each in _LIMITS}


def of_module(file: str) -> dict[str, set[str]]:
    """Return the tests of a file that show settings: function -> settings."""
    found: dict[str, set[str]] = {}
    for setting, test in PROOFS.items():
        name, _, function = test.partition("::")
        if name == file:
            found.setdefault(function, set()).add(setting)
    return found
