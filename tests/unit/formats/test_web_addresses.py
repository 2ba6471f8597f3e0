import pytest

from appliance.formats.web_addresses import addresses, addresses_in


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see https://evil.example/a?b=1, or (http://x.example).", ["https://evil.example/a?b=1", "http://x.example"]),
        ("![x](https://evil.example/${secret}.png)", ["https://evil.example/$"]),
        ("go to www.evil.example/pay", ["www.evil.example/pay"]),
        ("WSS://evil.example", ["WSS://evil.example"]),
        ("https:// and http", []),
        ("a.b.c is no address", []),
    ],
)
def test_addresses_of_a_text(text: str, found: list[str]) -> None:
    assert list(addresses(text)) == found


def test_addresses_in_json() -> None:
    value = {"a": [{"b": "http://one.example"}], "http://two.example": 1, "license_link": "http://three.example"}
    assert list(addresses_in(value, {"license_link"})) == ["http://one.example", "http://two.example"]
    deep: object = "http://deep.example"
    for _ in range(5000):
        deep = [deep]
    assert list(addresses_in(deep, ())) == []
