"""The development version's own wrapper."""

from bitarray import bitarray as bitarray
