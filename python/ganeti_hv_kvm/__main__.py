"""``python3 -m ganeti_hv_kvm`` is the operator's command."""

import sys

from ganeti_hv_kvm.cli import main

sys.exit(main())
