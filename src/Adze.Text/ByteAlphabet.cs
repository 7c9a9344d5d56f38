using System.Buffers;
using System.Text;

namespace Adze.Text;

/// <summary>
/// GPT-2's spelling of bytes as characters: printable Latin-1 stands for itself, the other 68 bytes are U+0100 and up in order.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] s_charOfByte = MakeChars();
    private static readonly short[] s_byteOfChar = MakeBytes();

    public static char CharOf(byte value) => s_charOfByte[value];

    /// <summary>Spells bytes as UTF-8 of their characters; returns how much was written (at most twice as much).</summary>
    public static int Spell(ReadOnlySpan<byte> bytes, Span<byte> spelled)
    {
        int length = 0;
        foreach (byte value in bytes)
        {
            char c = s_charOfByte[value];
            if (c < 0x80)
            {
                spelled[length++] = (byte)c;
                continue;
            }

            spelled[length++] = (byte)(0xC0 | (c >> 6));
            spelled[length++] = (byte)(0x80 | (c & 0x3F));
        }

        return length;
    }

    /// <summary>Reads a spelled token back into bytes; false where a character stands for no byte.</summary>
    public static bool TryRead(ReadOnlySpan<byte> spelled, Span<byte> bytes, out int length)
    {
        length = 0;
        while (!spelled.IsEmpty)
        {
            if (Rune.DecodeFromUtf8(spelled, out Rune rune, out int used) != OperationStatus.Done
                || rune.Value >= s_byteOfChar.Length || s_byteOfChar[rune.Value] < 0)
                return false;
            bytes[length++] = (byte)s_byteOfChar[rune.Value];
            spelled = spelled[used..];
        }

        return true;
    }

    private static char[] MakeChars()
    {
        var chars = new char[256];
        int next = 256;
        for (int b = 0; b < 256; b++)
            chars[b] = b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF) ? (char)b : (char)next++;
        return chars;
    }

    private static short[] MakeBytes()
    {
        var bytes = new short[256 + 68];
        bytes.AsSpan().Fill(-1);
        for (int b = 0; b < 256; b++)
            bytes[s_charOfByte[b]] = (short)b;
        return bytes;
    }
}
