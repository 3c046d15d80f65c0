"""The page of symptoms says what the findings of doctor say."""

from smarty_gateway.doctor.kinds import KINDS, LUXEMBOURG_CONTACTS, Code
from tests.docs.troubleshooting import PAGE, page

WRITTEN = PAGE.read_text("utf-8")


def test_the_page_is_what_the_findings_make_of_it() -> None:
    assert page() == WRITTEN, "type: python -m tests.docs.troubleshooting"


def test_every_symptom_stands_once_with_its_advice() -> None:
    for kind in KINDS.values():
        expected = 0 if kind.code is Code.HEALTHY else 1
        assert WRITTEN.count(f"### {kind.symptom}\n\n{kind.meaning}\n\n**What to do:** ") == expected


def test_addresses_stand_on_the_page_of_the_operators_only() -> None:
    assert "@" not in WRITTEN
    operators = (PAGE.parent / "operators.md").read_text("utf-8")
    addresses = [word.strip(",;.") for word in LUXEMBOURG_CONTACTS.split() if "@" in word]
    assert len(addresses) == 7
    assert [address for address in addresses if address not in operators] == []
