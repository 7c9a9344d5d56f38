using System.Buffers.Binary;
using System.Text;

namespace Adze.Models.Tests;

/// <summary>Mutates correct files 10,000 times. Each result opens, and then describes ranges within the file only, or
/// is refused with one line. Repeat a failure with its seed: it is in the message.</summary>
public sealed class SafetensorsFuzzTests : IDisposable
{
    private static readonly string[] Splices =
    [
        "{", "}", "[", "]", ",", ":", "\"", "-", "0", "1", "-1", "1e9", "4.5", "null", "true", "9223372036854775807",
        "18446744073709551615", "4294967296", "\"a\":", "\"shape\":[2],", "\"dtype\":\"F64\",", "\"F16\"", "\\ud800",
        "\\u0000", "[[[[[[[[[[", "\"__metadata__\":{},", "\"data_offsets\":[0,8]", " ", "\n", "\u00ff",
    ];

    private readonly TestFolder _folder = TestFolder.InMemory();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void TenThousandMutationsNeverCrash()
    {
        byte[] whole = Safetensors.File(
        [
            ("model.a", "F32", [2, 3], new byte[24]), ("model.b", "BF16", [5], new byte[10]),
            ("model.c", "U8", [], new byte[1]), ("model.d", "I64", [0, 4], []),
        ]);
        int opened = 0;
        for (int seed = 0; seed < 10_000; seed++)
            opened += OpensOrIsRefused(Mutate(whole, new Random(seed)), seed) ? 1 : 0;
        // Both outcomes must have been seen, else the mutations are too weak or too strong.
        Assert.InRange(opened, 100, 9_000);
    }

    private bool OpensOrIsRefused(byte[] bytes, int seed)
    {
        string path = _folder.Write("x.safetensors", bytes);
        try
        {
            using SafetensorsFile file = SafetensorsFile.Open(path);
            foreach (SafetensorsEntry entry in file.Entries.Values)
                CheckRange(file, entry, bytes);
            long covered = file.Entries.Values.Sum(entry => entry.Bytes);
            Assert.Equal(bytes.Length, 8 + (long)BinaryPrimitives.ReadUInt64LittleEndian(bytes) + covered);
            return true;
        }
        catch (ModelFormatException refused)
        {
            Assert.True(refused.Message.StartsWith(path, StringComparison.Ordinal) && !refused.Message.Contains('\n'),
                $"seed {seed}: {refused.Message}");
            return false;
        }
        catch (Exception exception)
        {
            throw new InvalidOperationException($"seed {seed}", exception);
        }
    }

    private static void CheckRange(SafetensorsFile file, SafetensorsEntry entry, byte[] bytes)
    {
        Assert.InRange(entry.Offset, 8, bytes.Length);
        Assert.InRange(entry.Offset + entry.Bytes, entry.Offset, bytes.Length);
        Assert.Equal(entry.Bytes * 8, entry.ElementCount * entry.DType.Bits());
        TensorData data = file.GetData(entry.Name);
        byte[] expected = bytes.AsSpan((int)entry.Offset, (int)entry.Bytes).ToArray();
        Assert.Equal(expected, data.Slice(0, (int)data.Bytes).ToArray());
    }

    private static byte[] Mutate(byte[] whole, Random random)
    {
        List<byte> file = [.. whole];
        for (int times = random.Next(1, 4); times > 0 && file.Count > 0; times--)
            MutateOnce(file, random);
        // Half of the time the length is put right again, so that the JSON behind it is looked at.
        int headerBytes = file.LastIndexOf((byte)'}') + 1 - 8;
        if (random.Next(2) == 0 && headerBytes > 0)
        {
            byte[] length = new byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(length, headerBytes);
            file.RemoveRange(0, 8);
            file.InsertRange(0, length);
        }
        return [.. file];
    }

    private static void MutateOnce(List<byte> file, Random random)
    {
        int at = random.Next(file.Count);
        switch (random.Next(7))
        {
            case 0:
                file[at] ^= (byte)(1 << random.Next(8));
                break;
            case 1:
                file.RemoveRange(at, file.Count - at);
                break;
            case 2:
                file.InsertRange(at, Encoding.UTF8.GetBytes(Splices[random.Next(Splices.Length)]));
                break;
            case 3:
                file.RemoveRange(at, Math.Min(random.Next(1, 12), file.Count - at));
                break;
            case 4:
                file.InsertRange(at, file.GetRange(at, Math.Min(random.Next(1, 60), file.Count - at)));
                break;
            case 5:
                SwapNumbers(file, random);
                break;
            default:
                file[random.Next(Math.Min(9, file.Count))] = (byte)random.Next(256);
                break;
        }
    }

    private static void SwapNumbers(List<byte> file, Random random)
    {
        int[] digits = [.. Enumerable.Range(0, file.Count).Where(i => file[i] is >= (byte)'0' and <= (byte)'9')];
        if (digits.Length < 2)
            return;
        (int a, int b) = (digits[random.Next(digits.Length)], digits[random.Next(digits.Length)]);
        (file[a], file[b]) = (file[b], file[a]);
    }
}
