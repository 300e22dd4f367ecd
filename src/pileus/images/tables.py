"""Tables of images: image stores, templates, guest operating systems."""

from __future__ import annotations

import sqlalchemy as sa

from pileus.core.database import identity, metadata, type_id

image_store = sa.Table(
    "image_store",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), index=True),
    sa.Column("provider", sa.String(64), nullable=False),
    sa.Column("protocol", sa.String(16), nullable=False),  # file, nfs, sim ...
    sa.Column("url", sa.String(1024), nullable=False),
    sa.Column("read_only", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("details", sa.JSON, nullable=False, default=dict),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)

os_category = sa.Table(
    "os_category",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("is_featured", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("sort_key", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created", sa.Float),
    sa.Column("removed", sa.Float),
)

os_type = sa.Table(
    "os_type",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("category_id", type_id, sa.ForeignKey("os_category.id"), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("short_name", sa.String(255)),
    sa.Column("is_user_defined", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("display", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("details", sa.JSON, nullable=False, default=dict, server_default="{}"),
    sa.Column("removed", sa.Float),
)

os_mapping = sa.Table(
    "os_mapping",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("os_type_id", type_id, sa.ForeignKey("os_type.id"), nullable=False, index=True),
    sa.Column("hypervisor", sa.String(32), nullable=False),
    sa.Column("hypervisor_version", sa.String(32), nullable=False),
    sa.Column("os_name", sa.String(255), nullable=False),  # as the hypervisor calls it
    sa.Column("is_user_defined", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created", sa.Float, nullable=False),
    sa.UniqueConstraint("os_type_id", "hypervisor", "hypervisor_version"),
)

template = sa.Table(
    "template",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("display_text", sa.String(4096), nullable=False),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), nullable=False, index=True),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False, server_default="template"),  # template | iso
    sa.Column("type", sa.String(16), nullable=False, server_default="USER"),  # USER BUILTIN SYSTEM
    sa.Column("format", sa.String(16), nullable=False),  # QCOW2 RAW ISO ...
    sa.Column("hypervisor", sa.String(32), nullable=False),
    sa.Column("architecture", sa.String(16), nullable=False, server_default="x86_64"),
    sa.Column("url", sa.String(2048), nullable=False),
    sa.Column("checksum", sa.String(255)),  # as given by the caller
    sa.Column("os_type_id", type_id, sa.ForeignKey("os_type.id")),
    sa.Column("is_public", sa.Boolean, nullable=False),
    sa.Column("is_featured", sa.Boolean, nullable=False),
    sa.Column("is_extractable", sa.Boolean, nullable=False),
    sa.Column("password_enabled", sa.Boolean, nullable=False),
    sa.Column("ssh_key_enabled", sa.Boolean, nullable=False),
    sa.Column("requires_hvm", sa.Boolean, nullable=False),
    sa.Column("dynamically_scalable", sa.Boolean, nullable=False),
    sa.Column("bits", sa.Integer, nullable=False, server_default="64"),
    sa.Column("tag", sa.String(255)),
    sa.Column("details", sa.JSON, nullable=False, default=dict),
    sa.Column("user_data_id", type_id),
    sa.Column("user_data_policy", sa.String(16)),  # ALLOWOVERRIDE APPEND DENYOVERRIDE
    sa.Column("state", sa.String(16), nullable=False),  # Active Inactive
    sa.Column("size", sa.BigInteger, nullable=False, server_default="0"),  # bytes of the disk
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)

template_permission = sa.Table(  # accounts (of projects too) that may use a template beside its owner
    "template_permission",
    metadata,
    sa.Column("template_id", type_id, sa.ForeignKey("template.id"), primary_key=True),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), primary_key=True, index=True),
)

template_copy = sa.Table(
    "template_copy",
    metadata,
    identity(),
    sa.Column("template_id", type_id, sa.ForeignKey("template.id"), nullable=False),
    sa.Column("store_id", type_id, sa.ForeignKey("image_store.id"), nullable=False, index=True),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id")),
    sa.Column("state", sa.String(32), nullable=False),  # Allocated Creating Ready Destroyed Failed (ObjectInDataStore)
    sa.Column(
        "download_state", sa.String(32), nullable=False
    ),  # NOT_DOWNLOADED DOWNLOAD_IN_PROGRESS DOWNLOADED DOWNLOAD_ERROR
    sa.Column("percent", sa.Integer, nullable=False, server_default="0"),
    sa.Column("path", sa.String(1024), nullable=False, server_default=""),
    sa.Column("sha256", sa.String(64), nullable=False, server_default=""),
    sa.Column("physical_size", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("virtual_size", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
    sa.Column("created", sa.Float, nullable=False),
    sa.UniqueConstraint("template_id", "store_id"),
)

download_certificate = sa.Table(
    "download_certificate",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), nullable=False),
    sa.Column("hypervisor", sa.String(32), nullable=False),
    sa.Column("alias", sa.String(255), nullable=False),
    sa.Column("certificate", sa.Text, nullable=False),  # PEM: what servers of templates are trusted by
    sa.Column("created", sa.Float, nullable=False),
    sa.UniqueConstraint("zone_id", "hypervisor", "alias"),
)

image_selector = sa.Table(
    "image_selector",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("description", sa.String(4096), nullable=False),
    sa.Column("type", sa.String(16), nullable=False),  # TEMPLATE ISO SNAPSHOT VOLUME
    sa.Column("rule", sa.Text, nullable=False),  # see images/rules
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)
sa.Index(
    "uq_image_selector_of_zone",
    image_selector.c.zone_id,
    image_selector.c.type,
    unique=True,
    sqlite_where=image_selector.c.removed.is_(None),
    postgresql_where=image_selector.c.removed.is_(None),
)
