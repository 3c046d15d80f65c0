"""The decryption stage: AES-128-GCM with a 96-bit tag, as DLMS suite 0 and Luxembourg have it.

    IV   system title (8 bytes) + frame counter (4 bytes)
    AAD  security byte 30 + authentication key (16 bytes)

(Luxmetering P1 specification 1.1.3, clause 3.2.5; Green Book, general-glo-ciphering.) The library
hands plaintext out before it has checked the tag, so nothing may leave `open_gcm` before `finalize`.
The fixed authentication key of Luxembourg is public, so the tag proves that the sender knows the
encryption key, and that not one bit was changed.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, GCM

from smarty_gateway.protocol.frame import TAG_SIZE, Frame
from smarty_gateway.protocol.key_ring import MeterKey
from smarty_gateway.protocol.telegram import TEXT_BYTES, Checksum, is_text, parse_telegram

#: Random bytes are text with a chance of 0.38 each; damaged text is text for the most part.
_READABLE_SHARE: Final = 0.8
_READABLE_START: Final = 32


def decrypt(frame: Frame, key: MeterKey) -> bytes | None:
    """Give the plaintext if the tag verifies, None and nothing else if it does not."""
    return open_gcm(
        key.encryption_key.reveal(),
        initialisation_vector(frame),
        bytes([frame.security]) + key.authentication_key.reveal(),
        frame.ciphertext,
        frame.tag,
    )


def open_gcm(key: bytes, iv: bytes, aad: bytes, ciphertext: bytes, tag: bytes) -> bytes | None:
    """Decrypt AES-GCM with a 96-bit tag; None and nothing else if the tag does not verify."""
    decryptor = Cipher(AES(key), GCM(iv, tag, TAG_SIZE)).decryptor()
    decryptor.authenticate_additional_data(aad)
    plaintext = decryptor.update(ciphertext)
    try:
        decryptor.finalize()
    except InvalidTag:
        return None
    return plaintext


def read_by_crc(frame: Frame, key: MeterKey) -> bytes | None:
    """Return the plaintext if it is a telegram with a right CRC, whatever the tag says.

    For `crc-only`, which the user must ask for: a CRC finds errors, but anyone can forge it. Nothing vouches
    for the length of such a frame, so nothing but line ends may follow the telegram: a length that was
    damaged on the way would swallow what comes behind the frame.
    """
    plaintext = _apply_keystream(frame, key)
    telegram = parse_telegram(plaintext)
    if telegram is None or telegram.checksum is not Checksum.RIGHT:
        return None
    behind = plaintext[plaintext.index(telegram.raw) + len(telegram.raw) :]
    return None if behind.strip(b"\r\n\x00 ") else plaintext


def fits_encryption_key(frame: Frame, key: MeterKey) -> bool:
    """True if a telegram with a right CRC comes out: the encryption key is right, whatever the tag says."""
    telegram = parse_telegram(_apply_keystream(frame, key))
    return telegram is not None and telegram.checksum is Checksum.RIGHT


def reads_as_text(frame: Frame, key: MeterKey) -> bool:
    """Tell whether the keystream yields text, be it damaged, or text at least where it begins."""
    plaintext = _apply_keystream(frame, key)
    if is_text(plaintext[:_READABLE_START]):
        return True
    return len(plaintext.translate(None, TEXT_BYTES)) <= (1 - _READABLE_SHARE) * len(plaintext)


def _apply_keystream(frame: Frame, key: MeterKey) -> bytes:
    """Decrypt without any check: GCM is AES-CTR from counter block 2 on (NIST SP 800-38D, 7.2)."""
    first_block = initialisation_vector(frame) + (2).to_bytes(4, "big")
    return Cipher(AES(key.encryption_key.reveal()), CTR(first_block)).decryptor().update(frame.ciphertext)


def initialisation_vector(frame: Frame) -> bytes:
    """Give the nonce of a frame: system title and frame counter."""
    return frame.system_title + frame.frame_counter.to_bytes(4, "big")
