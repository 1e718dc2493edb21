"""Migration as Ganeti calls it: methods of ``KVMHypervisor``, each one delegation."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from ganeti import constants, errors, objects

from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.lifecycle.guest_access import GuestAccess

from . import afterwards, capabilities, endless, incoming_nics, info, source, status, target
from .endless import Progress
from .side import monitor
from .status import tell_limit


class MigrationMethods(GuestAccess):
    """Mixed into the hypervisor; all raise ``errors.HypervisorError``."""

    def _LookAfterMigrations(self, names: Iterable[str]) -> None:
        """Settle what is left of migrations of these instances; nothing is raised."""
        guests = afterwards.concerned(map(self._Files, names))
        seams = self._Seams()
        afterwards.notice_each(
            Guest(objects.Instance(name=files.name), files, seams) for files in guests
        )

    def MigrationInfo(self, instance: objects.Instance) -> str:
        """Tell what the target has to know of a guest, as text for its methods below."""
        guest = self._Guest(instance)
        # a guest that was left paused is not to arrive paused
        afterwards.notice_each([guest])
        return info.make(guest)

    def AcceptInstance(self, instance: objects.Instance, info: str, target: str) -> None:
        """Start a QEMU that waits for the guest, at the address ``target`` of this node.

        Raises:
            errors.HypervisorError: what failed; nothing is left of the attempt.
        """
        if own := self._OwnClass(instance, _runtime_of(info)):
            own().AcceptInstance(instance, info, target)
            return
        settings.check()
        _accept(self._Guest(instance), info, target)

    def MigrateInstance(
        self, cluster_name: str, instance: objects.Instance, target: str, live_migration: bool
    ) -> None:
        """Begin to send a guest to ``target``; this returns while it is being sent.

        Raises:
            errors.HypervisorError: nothing is sent; or the error says that this is not certain.
        """
        settings.check()
        source.migrate(self._Guest(instance), target, live_migration)

    def GetMigrationStatus(self, instance: objects.Instance) -> objects.MigrationStatus:
        """Tell how far the migration is, as ``objects.MigrationStatus``.

        Raises:
            errors.HypervisorError: it ended without success; QEMU's reason.
        """
        guest = self._Guest(instance)
        told = status.get(guest)
        if told.status == constants.HV_MIGRATION_COMPLETED:
            afterwards.remember_if_left(guest)
        return told

    def FinalizeMigrationSource(
        self, instance: objects.Instance, success: bool, live: bool
    ) -> None:
        """End the stale QEMU after a migration, or keep the guest here after an abort.

        Raises:
            errors.HypervisorError: what was left as it was, why, and what a person has to do.
        """
        source.finalize(self._Guest(instance), success, live)

    def FinalizeMigrationDst(self, instance: objects.Instance, info: str, success: bool) -> None:
        """Take the guest over after a migration, or end the waiting QEMU after an abort.

        Raises:
            errors.HypervisorError: what was left as it was, why, and what a person has to do.
        """
        _finalize_target(self._Guest(instance), info, success)

    # Names that Ganeti's tests and site code reach

    def _ConfigureRoutedNICs(self, instance: objects.Instance, info: str) -> None:
        incoming_nics.after_arrival(self._Guest(instance), info)

    # the development version's name
    _ConfigureRoutedExtNICs = _ConfigureRoutedNICs

    def _SetInstanceMigrationCapabilities(self, instance: objects.Instance) -> None:
        with monitor(self._Guest(instance)) as qmp:
            capabilities.set_all(instance, qmp)

    def _ClearInstanceMigrationCapabilities(self, instance: objects.Instance) -> None:
        with monitor(self._Guest(instance)) as qmp:
            capabilities.clear_all(instance, qmp)

    @classmethod
    def _InstanceMigrationState(cls, instance_name: str) -> str:
        return cls._Files(instance_name).migration_state

    @classmethod
    def _ReadMigrationState(cls, instance_name: str) -> endless.Noted | None:
        return endless.read(cls._Files(instance_name))

    @classmethod
    def _WriteMigrationState(cls, instance_name: str, state: Mapping[str, object]) -> None:
        endless.write(cls._Files(instance_name), state)

    def _MaybeBumpMigrationDowntime(
        self,
        instance: objects.Instance,
        status: objects.MigrationStatus,
        query_migrate: Mapping[str, object],
    ) -> None:
        """Raise the limit of the downtime of a migration, over the connection ``self.qmp``."""
        active = query_migrate.get("status") == constants.HV_MIGRATION_ACTIVE
        if active and not status.postcopy_status:
            files = self._Files(instance.name)
            if raised := endless.raise_limit(
                files, instance, self._OpenQmp().SetMigrationDowntime, _progress(status)
            ):
                tell_limit(status, raised)

    def _MaybeCancelStuckMigration(
        self, instance: objects.Instance, status: objects.MigrationStatus
    ) -> bool:
        """Cancel a migration that has sent too much, over ``self.qmp``; tell whether it had.

        ``GetMigrationStatus`` has a safer way, which pauses the guest first (``source.give_up``).
        """
        if endless.too_much(instance, _progress(status)) is None:
            return False
        try:
            self._OpenQmp().CancelMigration()
        except errors.HypervisorError as err:
            logging.warning("The migration of %s was not cancelled: %s", instance.name, err)
        return True


def _progress(status: objects.MigrationStatus) -> Progress:
    return Progress(status.transferred_ram or 0, status.total_ram or 0)


# The methods' arguments "info" and "target", which Ganeti names so, hide the modules.
_accept = target.accept
_runtime_of = info.runtime_of
_finalize_target = target.finalize
