"""Stands in for Ganeti's ``ganeti.hypervisor.hv_kvm``."""
