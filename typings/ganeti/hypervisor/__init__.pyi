"""Where Ganeti finds the class of a hypervisor by its name."""

from ganeti.hypervisor.hv_base import BaseHypervisor

def GetHypervisorClass(ht_kind: str) -> type[BaseHypervisor]: ...
