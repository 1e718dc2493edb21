"""The exit statuses of every command; the man page has this table."""

from __future__ import annotations

WELL, WRONG, USAGE, FAILED, WRONG_SETTING, INTERRUPTED = 0, 1, 2, 3, 4, 130

MEANINGS = {
    WELL: "all is well",
    WRONG: "answered, and something is wrong; status: Ganeti gets its own KVM module",
    USAGE: "wrong usage; nothing was done",
    FAILED: "failed: stderr says why (with --json, the object on stdout)",
    WRONG_SETTING: "status alone: Ganeti gets ganeti-hv-kvm's module, and a setting is wrong",
    INTERRUPTED: "interrupted by Ctrl-C",
}
