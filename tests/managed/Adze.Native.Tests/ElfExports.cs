using System.Buffers.Binary;
using System.Text;

namespace Adze.Native.Tests;

/// <summary>Reads what a 64-bit little-endian ELF library exports.</summary>
internal static class ElfExports
{
    private const uint DynamicSymbols = 11;

    public static SortedSet<string> Read(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        Assert.Equal("\u007fELF\u0002\u0001"u8, file.AsSpan(0, 6));
        long sections = (long)U64(file, 0x28);
        int entry = U16(file, 0x3a), count = U16(file, 0x3c);
        for (int i = 0; i < count; i++)
        {
            long section = sections + (long)i * entry;
            if (U32(file, section + 4) == DynamicSymbols)
            {
                long strings = (long)U64(file, sections + U32(file, section + 0x28) * (long)entry + 0x18);
                return Symbols(file, (long)U64(file, section + 0x18), (long)U64(file, section + 0x20), strings);
            }
        }

        throw new InvalidDataException($"{path} has no .dynsym");
    }

    private static SortedSet<string> Symbols(byte[] file, long offset, long size, long strings)
    {
        SortedSet<string> names = new(StringComparer.Ordinal);
        for (long symbol = offset; symbol < offset + size; symbol += 24)
        {
            bool defined = U16(file, symbol + 6) != 0, local = file[symbol + 4] >> 4 == 0;
            if (defined && !local)
            {
                ReadOnlySpan<byte> name = file.AsSpan((int)(strings + U32(file, symbol)));
                names.Add(Encoding.ASCII.GetString(name[..name.IndexOf((byte)0)]));
            }
        }

        return names;
    }

    private static ushort U16(byte[] file, long at) => BinaryPrimitives.ReadUInt16LittleEndian(file.AsSpan((int)at));

    private static uint U32(byte[] file, long at) => BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan((int)at));

    private static ulong U64(byte[] file, long at) => BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan((int)at));
}
