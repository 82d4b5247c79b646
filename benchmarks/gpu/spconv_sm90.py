"""Make spconv small: of spconv-cu126 keep the sm_90 kernels, of cumm leave the compiler out.

The wheels are 67.2 and 25.4 MiB; most of it is machine code for other GPUs and libnvrtc, which is
only needed to compile kernels at run time. What is left is 15 MiB:

    python spconv_sm90.py FOLDER_OF_WHEELS NEW_FOLDER

Needs gcc and binutils. The kernels that stay are the published ones, byte by byte. For a check on
Hopper GPUs only: never install the result anywhere else.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

MAGIC, CUBIN, ARCH = 0xBA55ED50, 2, 90


def slim(path: Path) -> tuple[int, int]:
    """In each fat binary keep the cubin for sm_90 alone, at its place; bytes before and after."""
    data = bytearray(path.read_bytes())
    start, length = fat_binaries(path)
    at, end, kept = start, start + length, 0
    while at < end - 16:
        if struct.unpack_from("<I", data, at)[0] != MAGIC:
            at += 8
            continue
        _, _, header, size = struct.unpack_from("<IHHQ", data, at)
        stop = at + header + size
        found = cubin(data, at + header, stop)
        if found is None:  # stubs of a few bytes
            assert size < 4096, f"{path.name}: a fat binary at {at:#x} has no code for sm_{ARCH}"
            kept += size
        else:
            data[at + header : stop] = found + bytes(size - len(found))
            struct.pack_into("<Q", data, at + 8, len(found))
            kept += len(found)
        at = stop
    path.write_bytes(data)
    return length, kept


def fat_binaries(path: Path) -> tuple[int, int]:
    """Offset and length of the section that holds GPU code."""
    done = subprocess.run(["readelf", "-SW", path], capture_output=True, text=True, check=True)
    (line,) = (text for text in done.stdout.splitlines() if " .nv_fatbin " in text)
    fields = line.split("]")[1].split()
    return int(fields[3], 16), int(fields[4], 16)


def cubin(data: bytearray, entry: int, stop: int) -> bytes | None:
    """The machine code for this architecture among the entries of a fat binary."""
    found = None
    while entry < stop:
        kind, _, head, payload = struct.unpack_from("<HHIQ", data, entry)
        (arch,) = struct.unpack_from("<I", data, entry + 28)
        if kind == CUBIN and arch == ARCH:
            found = bytes(data[entry : entry + head + payload])
        entry += head + payload
    return found


def stub_nvrtc(folder: Path) -> None:
    """Libraries of the same names that refuse to compile, with the symbols that cumm asks for."""
    compiler = next(folder.glob("libnvrtc-[a-f0-9]*.so*"))
    builtins = next(folder.glob("libnvrtc-builtins*.so*"))
    command = ["nm", "-D", "--defined-only", compiler]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    words = [text.split() for text in listed.stdout.splitlines() if " T " in text]
    names = sorted({word[-1].split("@")[0] for word in words})
    with tempfile.TemporaryDirectory() as place:
        source, script = Path(place) / "stub.c", Path(place) / "stub.map"
        source.write_text(
            "".join(
                f"int {name}(void) {{ return 11; }}\n" for name in names if name.startswith("nvrtc")
            )
        )
        script.write_text("libnvrtc.so.12 { global: *; };\n")
        for target, more in (
            (compiler, [source, f"-Wl,--version-script={script}"]),
            (builtins, ["-x", "c", "/dev/null"]),
        ):
            name = f"-Wl,-soname,{target.name}"
            subprocess.run(["gcc", "-shared", "-fPIC", "-o", target, name, *more], check=True)


def repack(folder: Path, out: Path) -> None:
    """A wheel with the same name and a new RECORD."""
    (record,) = folder.glob("*.dist-info/RECORD")
    lines = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and p != record):
            name, content = path.relative_to(folder).as_posix(), path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
            lines.append(f"{name},sha256={digest.rstrip(b'=').decode()},{len(content)}")
            wheel.writestr(name, content)
        name = record.relative_to(folder).as_posix()
        wheel.writestr(name, "\n".join([*lines, f"{name},,"]) + "\n")


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(source.glob("*.whl")):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            with zipfile.ZipFile(wheel) as given:
                given.extractall(folder)
            if wheel.name.startswith("spconv"):
                before, after = slim(next(folder.glob("spconv/core_cc*.so")))
                print(f"GPU code: {before / 2**20:.1f} MiB, of it kept {after / 2**20:.1f}")
            elif wheel.name.startswith("cumm"):
                stub_nvrtc(next(folder.glob("cumm*.libs")))
            repack(folder, target / wheel.name)
        sizes = (path.stat().st_size / 2**20 for path in (wheel, target / wheel.name))
        print("{}: {:.1f} MiB, now {:.1f}".format(wheel.name, *sizes))


if __name__ == "__main__":
    main()
