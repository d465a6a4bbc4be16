"""Zip containers, before anybody unpacks them: how much would come out, and whether it is locked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sourcebook.errors import Damaged, Encrypted, TooLarge
from sourcebook.parse.base import Limits

if TYPE_CHECKING:
    import zipfile

_RATIO_HEEDED = 10_000_000
_MAX_MEMBERS = 65_000
_ODF_MANIFEST = "META-INF/manifest.xml"


def check_archive(data: bytes, limits: Limits) -> None:
    """Raise what stands against unpacking it. Errors: Damaged, Encrypted, TooLarge."""
    import io
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_size(members, len(data), limits)
            if any(member.flag_bits & 1 for member in members) or _locked_odf(archive):
                raise locked()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise Damaged(
            f"Its zip container is broken: {error}", remedy="Fetch the file again, or repair it with its application"
        ) from error


def locked() -> Encrypted:
    """The error of a document that opens only with a password."""
    return Encrypted("It is protected by a password", remedy="Save a copy without the password")


def nested_too_deep() -> TooLarge:
    """The error of a document whose parts stand in each other too many times."""
    return TooLarge("Its parts are nested too deep", remedy="Flatten the document")


def _check_size(members: list[zipfile.ZipInfo], packed: int, limits: Limits) -> None:
    unpacked = sum(member.file_size for member in members)
    if unpacked > limits.max_expansion:
        raise TooLarge(
            f"It would unpack to {unpacked:,} bytes",
            remedy="If that is as it should be, raise the setting parse.max_expansion",
        )
    if unpacked > _RATIO_HEEDED and unpacked > packed * limits.max_ratio:
        raise TooLarge(
            f"It would unpack to {unpacked / packed:,.0f} times its size, as archive bombs do",
            remedy="If that is as it should be, raise the setting parse.max_ratio",
        )
    if len(members) > _MAX_MEMBERS:
        raise TooLarge(f"It holds {len(members):,} members", remedy="Split the document")


def _locked_odf(archive: zipfile.ZipFile) -> bool:
    if _ODF_MANIFEST not in archive.namelist():
        return False
    with archive.open(_ODF_MANIFEST) as manifest:
        return b"encryption-data" in manifest.read(1_000_000)
