"""A flood of refusals in the text lines."""

from backend.contract.events import Reason, Refused, Via
from codetainer_tui.plain import Lines


def unlisted(name: str, count: int = 1) -> Refused:
    return Refused(Via.DNS, Reason.NOT_LISTED, count, "dns", name)


def lines_of(lines: Lines, names: list[str], at: float = 0.0) -> list[str]:
    return [text for name in names if (text := lines.text(unlisted(name), at))]


def test_a_flood_below_a_domain_becomes_a_few_counts() -> None:
    lines = Lines(folded=True)
    flood = lines_of(lines, [f"x{number}.flood.example" for number in range(520)])
    assert flood[:8] == [f"refused x{number}.flood.example: not on the allowlist" for number in range(8)]
    assert flood[8:] == [
        f"refused more names below flood.example: not on the allowlist ({count} refusals this hour without a line)"
        for count in (8, 16, 32, 64, 128, 256, 512)
    ]


def test_names_with_a_line_keep_it_during_a_flood() -> None:
    lines = Lines(folded=True)
    lines_of(lines, ["pypi.example", *(f"x{number}.flood.example" for number in range(520))])
    assert lines_of(lines, ["pypi.example", "x1.flood.example"]) == [
        "refused pypi.example: not on the allowlist", "refused x1.flood.example: not on the allowlist",
    ]  # fmt: skip


def test_a_flood_over_many_domains_is_folded_by_top_level_domain_and_then_altogether() -> None:
    lines = Lines(folded=True)
    below = lines_of(lines, [f"x{number}.example" for number in range(32)])
    assert len(below) == 25
    assert below[24] == "refused more names below example: not on the allowlist (8 refusals this hour without a line)"
    rest = lines_of(lines, [f"x.y{number}" for number in range(24 + 8)])
    assert len(rest) == 25
    assert rest[24] == "refused more other names: not on the allowlist (8 refusals this hour without a line)"


def test_a_count_of_many_is_printed_at_once() -> None:
    lines = Lines(folded=True)
    lines_of(lines, [f"x{number}.flood.example" for number in range(8)])
    assert "(40 refusals" in lines.text(unlisted("y.flood.example", 40), 0.0)
    assert lines.text(unlisted("z.flood.example", 23), 0.0) == ""
    assert "(64 refusals" in lines.text(unlisted("z.flood.example"), 0.0)


def test_addresses_and_ports_are_folded_too() -> None:
    lines = Lines(folded=True)
    addresses = [Refused(Via.FIREWALL, Reason.NEVER_RESOLVED, 1, "tcp", "", f"192.0.2.{n}", 22) for n in range(32)]
    texts = [text for event in addresses if (text := lines.text(event, 0.0))]
    assert texts[24:] == ["refused more addresses: no DNS lookup (8 refusals this hour without a line)"]
    ports = [Refused(Via.FIREWALL, Reason.PORT_NOT_LISTED, 1, "tcp", "a.example", "192.0.2.1", n) for n in range(1, 17)]
    texts = [text for event in ports if (text := lines.text(event, 0.0))]
    assert texts[8:] == ["refused more ports of a.example: port not listed (8 refusals this hour without a line)"]


def test_a_serious_refusal_is_never_folded() -> None:
    lines = Lines(folded=True)
    lines_of(lines, [f"x{number}.flood.example" for number in range(520)])
    foreign = [Refused(Via.GATE, Reason.NOT_OURS, 1, "tcp", f"x{n}.flood.example", "192.0.2.1", 443) for n in range(100)]
    assert all(lines.text(event, 0.0).startswith("SERIOUS refused") for event in foreign)


def test_the_next_hour_names_what_is_new() -> None:
    lines = Lines(folded=True)
    lines_of(lines, [f"x{number}.flood.example" for number in range(520)])
    assert lines_of(lines, ["new.flood.example"], 3599.0) == []
    assert lines_of(lines, ["new.flood.example"], 3600.0) == ["refused new.flood.example: not on the allowlist"]
