import pytest
from notification_service.domain import hosts


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",  # noqa: S104
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.8",
        "192.88.99.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "100::1",
    ],
)
def test_an_address_that_is_not_of_the_open_internet_is_known(address: str) -> None:
    assert not hosts.is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8"]
)
def test_an_address_of_the_open_internet_is_known(address: str) -> None:
    assert hosts.is_public(address)


BAD_URLS = [
    "http://shop.example/hook",
    "ftp://shop.example/hook",
    "https://",
    "https:///hook",
    "https://user@shop.example/",
    "https://user:password@shop.example/",
    "https://@shop.example/",
    "https://shop.example/#part",
    "https://shop.example:0/",
    "https://shop.example:99999/",
    "https://shop.example:port/",
    "https://shop.example/\r\nHost: other",
    "https://shop.example/ä",
    "https://[::1",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://db.localhost/",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://127.0.0.1./",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[fe80::1%25eth0]/",
    "https://100.100.100.200/",
    "https://shop.example/" + "a" * 2048,
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_that_could_lead_inside_is_refused(url: str) -> None:
    assert hosts.objection(url, private_allowed=False) is not None


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hook",
        "https://shop.example:8443/hook?shop=1",
        "https://93.184.216.34/hook",
        "https://[2606:2800:220:1:248:1893:25c8:1946]/hook",
        "https://xn--bcher-kva.example/",
        "https://3com.example/",
    ],
)
def test_a_url_of_the_open_internet_is_taken(url: str) -> None:
    assert hosts.objection(url, private_allowed=False) is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/hook", "https://localhost/hook"])
def test_a_test_may_call_itself(url: str) -> None:
    assert hosts.objection(url, private_allowed=True) is None
