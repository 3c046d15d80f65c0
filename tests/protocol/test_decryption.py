"""AES-GCM with a shortened tag gives what a library's own decryption with such a tag gives."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.protocol.decryption import open_gcm

SIXTEEN = st.binary(min_size=16, max_size=16)
TWELVE = st.binary(min_size=12, max_size=12)


def opened_by_the_library(key: bytes, iv: bytes, aad: bytes, ciphertext: bytes, tag: bytes) -> bytes | None:
    decryptor = Cipher(AES(key), GCM(iv, tag, 12)).decryptor()
    decryptor.authenticate_additional_data(aad)
    plaintext = decryptor.update(ciphertext)
    try:
        return plaintext + decryptor.finalize()
    except InvalidTag:
        return None


@given(key=SIXTEEN, iv=TWELVE, aad=st.binary(max_size=40), text=st.binary(max_size=100), tag=TWELVE)
def test_a_frame_opens_as_the_library_opens_it(
    key: bytes, iv: bytes, aad: bytes, text: bytes, tag: bytes
) -> None:
    sealed = AESGCM(key).encrypt(iv, text, aad)
    ciphertext, right_tag = sealed[:-16], sealed[-16:-4]
    assert open_gcm(key, iv, aad, ciphertext, right_tag) == text
    for parts in (
        (key, iv, aad, ciphertext, tag),
        (tag + iv[:4], iv, aad, ciphertext, right_tag),
        (key, tag, aad, ciphertext, right_tag),
        (key, iv, aad + b"x", ciphertext, right_tag),
        (key, iv, aad, ciphertext + b"x", right_tag),
    ):
        assert open_gcm(*parts) == opened_by_the_library(*parts)


@given(bit=st.integers(0, 95))
def test_each_bit_of_the_tag_counts(bit: int) -> None:
    sealed = AESGCM(bytes(16)).encrypt(bytes(12), b"text", b"aad")
    tag = (int.from_bytes(sealed[-16:-4], "big") ^ 1 << bit).to_bytes(12, "big")
    assert open_gcm(bytes(16), bytes(12), b"aad", sealed[:-16], tag) is None


def test_a_tag_of_another_length_is_refused() -> None:
    sealed = AESGCM(bytes(16)).encrypt(bytes(12), b"text", b"aad")
    tag = sealed[-16:]
    for size in (0, 1, 11, 13, 16):
        assert open_gcm(bytes(16), bytes(12), b"aad", sealed[:-16], tag[:size]) is None
    assert open_gcm(bytes(16), bytes(12), b"aad", sealed[:-16], tag[:12]) == b"text"
