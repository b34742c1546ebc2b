"""Makes the certificates in this folder anew. Needs the ``cryptography`` package.

They are for tests alone and valid until 2124. The authority's key is thrown away. Each file holds a
key and its certificate, but ``client-rsa.key``, which is a key alone. The key of
``client-locked.pem`` is encrypted with `PASSWORD`.
"""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

HERE = Path(__file__).resolve().parent
BEGIN = datetime.datetime(2024, 1, 1)
END = datetime.datetime(2124, 1, 1)
Key = ec.EllipticCurvePrivateKey
PASSWORD = b"correct horse"


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(
    subject: str,
    key: Key,
    issuer: str,
    issuer_key: Key,
    names: list[x509.GeneralName],
    *,
    authority: bool = False,
    end: datetime.datetime = END,
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(BEGIN, end - datetime.timedelta(days=1)))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if authority:
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM)


def main() -> None:
    def new_key() -> Key:
        return ec.generate_private_key(ec.SECP256R1())

    def write(file: str, key: Key | rsa.RSAPrivateKey, pem: bytes, password: bytes = b"") -> None:
        lock = BestAvailableEncryption(password) if password else NoEncryption()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
        (HERE / file).write_bytes(private + pem)

    here: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    elsewhere: list[x509.GeneralName] = [x509.DNSName("elsewhere.example")]
    past = datetime.datetime(2001, 1, 1)
    root = new_key()
    ca = "Test authority"
    authority = certificate(ca, root, ca, root, [], authority=True)
    (HERE / "authority.pem").write_bytes(authority)
    key = new_key()
    write("localhost.pem", key, certificate("localhost", key, ca, root, here))
    key = new_key()
    write("elsewhere.pem", key, certificate("elsewhere", key, ca, root, elsewhere))
    key = new_key()
    write("expired.pem", key, certificate("localhost", key, ca, root, here, end=past))
    key = new_key()
    write("self-signed.pem", key, certificate("localhost", key, "localhost", key, here))
    key = new_key()
    client = certificate("client", key, ca, root, [])
    write("client.pem", key, client)
    write("client-locked.pem", key, client, PASSWORD)
    write("client-rsa.key", rsa.generate_private_key(65537, 2048), b"")


if __name__ == "__main__":
    main()
