"""Which versions of glibc do programs and libraries need?

    python tests/symbols_check.py [--glibc 2.17] FILE...

Reads ELF files, also those inside of wheels and .tar.gz archives, by their dynamic section, as the
loader does: the symbol versions that each names, and the libraries that it loads. Exits with 1 if one
needs a later glibc than `--glibc`, or, without it, than the platform in a wheel's name promises
(`manylinux_2_17`, `manylinux2014`), or if no ELF file was found. Needs nothing but Python.
"""

import argparse
import pathlib
import re
import struct
import sys
import tarfile
import zipfile

PT_LOAD, PT_DYNAMIC = 1, 2
DT_NEEDED, DT_STRTAB, DT_VERNEED, DT_VERNEEDNUM = 1, 5, 0x6FFFFFFE, 0x6FFFFFFF
# The glibc of the platform tags that are not numbers themselves.
FORMER_TAGS = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glibc", type=version, help="the oldest one to run on")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    failed = False
    for path in arguments.files:
        limit = arguments.glibc or promised(path.name)
        found = False
        for name, content in members(path):
            found = True
            versions, libraries = needs(content)
            needed = max((version(v[6:]) for v in versions if re.fullmatch(r"GLIBC_[\d.]+", v)), default=(0,))
            is_late = limit is not None and needed > limit
            failed |= is_late
            promise = f" (promised: {text(limit)})" if limit else ""
            print(f"{'TOO LATE ' if is_late else ''}{name}: glibc {text(needed)}{promise}; "
                  f"loads {', '.join(libraries)}")
        if not found:
            print(f"{path}: no ELF file in it")
            failed = True
    sys.exit(1 if failed else 0)


def version(name):
    return tuple(int(part) for part in name.split("."))


def text(numbers):
    return ".".join(map(str, numbers))


def promised(name):
    """The glibc that a wheel's platform tag promises: the oldest of several; None if it says nothing."""
    if not name.endswith(".whl"):
        return None
    found = [(int(major), int(minor)) for major, minor in re.findall(r"manylinux_(\d+)_(\d+)_", name)]
    found += [glibc for tag, glibc in FORMER_TAGS.items() if f"{tag}_" in name]
    return min(found, default=None)


def members(path):
    """Names and contents of the ELF files that a file is or holds."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            files = [(f"{path.name}: {entry}", archive.read(entry)) for entry in archive.namelist()]
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            entries = [entry for entry in archive if entry.isfile()]
            files = [(f"{path.name}: {entry.name}", archive.extractfile(entry).read()) for entry in entries]
    else:
        files = [(str(path), path.read_bytes())]
    return [(name, content) for name, content in files if content[:4] == b"\x7fELF"]


def needs(content):
    """The symbol versions and the libraries that an ELF file names."""
    is_64, is_little = content[4] == 2, content[5] == 1
    if not (is_64 and is_little):
        sys.exit("only 64-bit little-endian files are read")
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    segments = [struct.unpack_from("<IIQQQQQQ", content, table + number * size) for number in range(count)]
    loads = [(address, offset, length) for kind, _, offset, address, _, length, _, _ in segments if kind == PT_LOAD]

    def place(address):
        return next(offset + address - start for start, offset, length in loads if start <= address < start + length)

    dynamic = []
    for kind, _, offset, _, _, length, _, _ in segments:
        if kind == PT_DYNAMIC:
            dynamic += struct.iter_unpack("<QQ", content[offset:offset + length])
    entries = dict(dynamic)
    if DT_STRTAB not in entries:
        return set(), []
    strings = place(entries[DT_STRTAB])

    def string(at):
        return content[strings + at:content.index(b"\0", strings + at)].decode()

    libraries = [string(value) for tag, value in dynamic if tag == DT_NEEDED]
    versions = set()
    at = place(entries[DT_VERNEED]) if DT_VERNEED in entries else 0
    for _ in range(entries.get(DT_VERNEEDNUM, 0)):
        _, auxiliaries, _, first, following = struct.unpack_from("<HHIII", content, at)
        inner = at + first
        for _ in range(auxiliaries):
            _, _, _, name, further = struct.unpack_from("<IHHII", content, inner)
            versions.add(string(name))
            inner += further
        at += following
    return versions, libraries


if __name__ == "__main__":
    main()
