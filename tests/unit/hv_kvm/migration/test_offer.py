"""Who decides whether a guest goes encrypted: the table of docs/migration.md."""

from __future__ import annotations

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.migration import offer
from ganeti_hv_kvm.hv_kvm.migration.offer import Offer, Wish

NUMBER = "ab" * 32
OFF, PREFER, REQUIRE = Wish.OFF, Wish.PREFER, Wish.REQUIRE


def able(wish: Wish) -> Offer:
    return Offer(wish, NUMBER, 8202)


ENCRYPTED, PLAIN, LOGGED, REFUSED = "encrypted", "plain", "plain, logged", "refused"
TABLE = [
    # source, target, what the target lacks, outcome
    (offer.NONE, OFF, "", PLAIN),
    (offer.NONE, PREFER, "", LOGGED),
    (offer.NONE, REQUIRE, "", REFUSED),
    (able(PREFER), OFF, "", LOGGED),
    (able(PREFER), PREFER, "", ENCRYPTED),
    (able(PREFER), REQUIRE, "", ENCRYPTED),
    (able(REQUIRE), OFF, "", REFUSED),
    (able(REQUIRE), PREFER, "", ENCRYPTED),
    (able(REQUIRE), REQUIRE, "", ENCRYPTED),
    (Offer(PREFER), OFF, "", LOGGED),
    (Offer(PREFER), PREFER, "", LOGGED),
    (Offer(PREFER), REQUIRE, "", REFUSED),
    (Offer(REQUIRE), OFF, "", REFUSED),
    (Offer(REQUIRE), PREFER, "", REFUSED),
    (Offer(REQUIRE), REQUIRE, "", REFUSED),
    (able(PREFER), PREFER, "no TLS", LOGGED),
    (able(PREFER), REQUIRE, "no TLS", REFUSED),
    (able(REQUIRE), PREFER, "no TLS", REFUSED),
    (able(REQUIRE), REQUIRE, "no TLS", REFUSED),
]


@pytest.mark.parametrize(("offered", "here", "lack", "outcome"), TABLE)
def test_the_target_decides(caplog, offered, here, lack, outcome):
    if outcome == REFUSED:
        with pytest.raises(errors.HypervisorError, match="requires that it comes encrypted") as err:
            offer.take("web", offered, here, lack)
        assert lack in str(err.value)
        return
    assert offer.take("web", offered, here, lack) == (outcome == ENCRYPTED)
    assert ("web comes unencrypted" in caplog.text) == (outcome == LOGGED)
    assert lack in caplog.text


def test_nobody_who_requires_it_gets_less():
    for offered, here, _, outcome in TABLE:
        if REQUIRE in (offered.wish, here):
            assert outcome in (ENCRYPTED, REFUSED)


@pytest.mark.parametrize("offered", [able(PREFER), Offer(REQUIRE), Offer(PREFER, NUMBER, 8202, 4)])
def test_it_travels(offered):
    assert offer.read(offered.as_told()) == offered


def test_ganetis_own_module_offers_nothing():
    assert offer.read(None) == offer.NONE
    assert not offer.NONE


GOOD = able(PREFER).as_told()


@pytest.mark.parametrize(
    "told",
    [
        7,
        "prefer",
        [],
        {},
        {**GOOD, "tls": "perhaps"},
        {**GOOD, "tls": ["require"]},
        {**GOOD, "number": "ab"},
        {**GOOD, "number": None},
        {**GOOD, "port": 0},
        {**GOOD, "port": 65536},
        {**GOOD, "port": -1},
        {**GOOD, "port": "8202"},
        {**GOOD, "port": True},
        {**GOOD, "channels": -1},
        {**GOOD, "channels": 256},
        {**GOOD, "channels": None},
    ],
)
def test_what_is_no_offer_is_no_absence_of_one(told):
    with pytest.raises(errors.HypervisorError, match="cannot be understood"):
        offer.read(told)


@pytest.mark.parametrize(("port", "beside"), [(8102, 8202), (65435, 65535), (65436, 65336)])
def test_the_port_of_its_own(port, beside):
    assert offer.port_of(port) == beside
