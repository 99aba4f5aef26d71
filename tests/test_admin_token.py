"""Who may call the admin service: what a token file holds, and which addresses are private."""

import pytest
from twinhead.server.admin_token import is_loopback, read_token

TOKEN = "correct-horse-battery"


def test_the_space_around_a_token_is_not_part_of_it(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"  {TOKEN}\r\n\n")
    assert read_token(file) == TOKEN


def test_sixteen_characters_are_enough(tmp_path):
    file = tmp_path / "token"
    file.write_text("a" * 16)
    assert read_token(file) == "a" * 16


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"a" * 15,
        b"two words are not one token",
        b"one token\tof a line",
        b"first-line-of-two\nsecond-line-of-two",
        "schlüssel-mit-umlauten".encode(),
        b"\x00" * 20,
    ],
)
def test_what_no_header_can_carry_is_no_token(tmp_path, content):
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="must be 16 or more printable ASCII") as caught:
        read_token(file)
    # It is a secret, or was meant to be one.
    assert not content.strip() or content.decode().strip() not in str(caught.value)


def test_bytes_that_are_no_text(tmp_path):
    file = tmp_path / "token"
    file.write_bytes(b"\xff" * 32)
    with pytest.raises(ValueError, match=r"token file .*/token cannot be read"):
        read_token(file)


def test_a_file_that_is_not_there_or_none(tmp_path):
    with pytest.raises(ValueError, match=r"/missing cannot be read: .*No such file"):
        read_token(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"cannot be read: .*Is a directory"):
        read_token(tmp_path)


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "[::1]"]
)
def test_addresses_of_this_machine_only(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "::",
        "[::]",
        "10.0.0.1",
        "128.0.0.1",
        "fe80::1",
        "worker-3",
        "localhost.example.org",
        "127.0.0.1.example.org",
        # Old notations that some resolvers take: whoever means loopback can say so.
        "127.1",
        "2130706433",
        "",
    ],
)
def test_all_others_can_be_reached_by_others(host):
    assert not is_loopback(host)
