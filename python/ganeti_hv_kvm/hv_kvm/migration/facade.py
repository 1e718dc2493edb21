"""Migration as Ganeti calls it: methods of ``KVMHypervisor``, each one delegation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ganeti import constants, objects

from ganeti_hv_kvm.hv_kvm import settings

from . import afterwards, capabilities, incoming_nics, info, source, status, target
from .view import MigratingGuest

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.instance_files import InstanceFiles
    from ganeti_hv_kvm.hv_kvm.launch import Hooks


class MigrationMethods:
    """Mixed into the hypervisor; all raise ``errors.HypervisorError``."""

    if TYPE_CHECKING:

        @classmethod
        def _Files(cls, instance_name: str) -> InstanceFiles: ...
        def _Hooks(self) -> Hooks: ...
        def _ReadKVMRuntime(self, instance_name: str) -> str: ...
        def _WriteKVMRuntime(self, instance_name: str, data: str | bytes) -> None: ...
        def CleanupInstance(self, instance_name: str) -> None: ...
        def _OwnClass(self, instance: Any, serialized_runtime: Any = None) -> Any: ...

    def _Migrating(self, instance: Any) -> MigratingGuest:
        return MigratingGuest(instance, self._Files(instance.name), self._Hooks())

    def _LookAfterMigrations(self, names: Iterable[str]) -> None:
        """Settle what is left of migrations of these instances; nothing is raised."""
        guests = afterwards.concerned(map(self._Files, names))
        afterwards.notice_each(
            MigratingGuest(objects.Instance(name=files.name), files, self._Hooks())
            for files in guests
        )

    def _ReconcileDevices(self, instance: Any) -> None:
        """Bring the runtime file up to date with QEMU's devices."""

    def MigrationInfo(self, instance: Any) -> str:
        """Tell what the target has to know of a guest, as text for its methods below."""
        guest = self._Migrating(instance)
        # a guest that was left paused is not to arrive paused
        afterwards.notice_each([guest])
        return info.make(
            guest,
            self._ReadKVMRuntime,
            lambda: self._ReconcileDevices(instance),
        )

    def AcceptInstance(self, instance: Any, info: str, target: str) -> None:
        """Start a QEMU that waits for the guest, at the address ``target`` of this node.

        Raises:
            errors.HypervisorError: what failed; nothing is left of the attempt.
        """
        if own := self._OwnClass(instance, _runtime_of(info)):
            own().AcceptInstance(instance, info, target)
            return
        settings.check()
        guest = self._Migrating(instance)
        _accept(guest, info, target, self._WriteKVMRuntime, self.CleanupInstance)

    def MigrateInstance(
        self, cluster_name: str, instance: Any, target: str, live_migration: bool
    ) -> None:
        """Begin to send a guest to ``target``; this returns while it is being sent.

        Raises:
            errors.HypervisorError: nothing is sent; or the error says that this is not certain.
        """
        settings.check()
        source.migrate(self._Migrating(instance), target, live_migration)

    def GetMigrationStatus(self, instance: Any) -> Any:
        """Tell how far the migration is, as ``objects.MigrationStatus``.

        Raises:
            errors.HypervisorError: it ended without success; QEMU's reason.
        """
        guest = self._Migrating(instance)
        told = status.get(guest)
        if told.status == constants.HV_MIGRATION_COMPLETED:
            afterwards.remember_if_left(guest)
        return told

    def FinalizeMigrationSource(self, instance: Any, success: bool, live: bool) -> None:
        """End the stale QEMU after a migration, or keep the guest here after an abort.

        Raises:
            errors.HypervisorError: what was left as it was, why, and what a person has to do.
        """
        source.finalize(self._Migrating(instance), success, live, self.CleanupInstance)

    def FinalizeMigrationDst(self, instance: Any, info: str, success: bool) -> None:
        """Take the guest over after a migration, or end the waiting QEMU after an abort.

        Raises:
            errors.HypervisorError: what was left as it was, why, and what a person has to do.
        """
        guest = self._Migrating(instance)
        _finalize_target(guest, info, success, self._WriteKVMRuntime, self.CleanupInstance)

    # Names that Ganeti's tests and site code reach

    def _ConfigureRoutedNICs(self, instance: Any, info: str) -> None:
        incoming_nics.after_arrival(self._Migrating(instance), info)

    # the development version's name
    _ConfigureRoutedExtNICs = _ConfigureRoutedNICs

    def _SetInstanceMigrationCapabilities(self, instance: Any) -> None:
        with self._Migrating(instance).monitor() as qmp:
            capabilities.set_all(instance, qmp)

    def _ClearInstanceMigrationCapabilities(self, instance: Any) -> None:
        with self._Migrating(instance).monitor() as qmp:
            capabilities.clear_all(instance, qmp)


# The methods' arguments "info" and "target", which Ganeti names so, hide the modules.
_accept = target.accept
_runtime_of = info.runtime_of
_finalize_target = target.finalize
