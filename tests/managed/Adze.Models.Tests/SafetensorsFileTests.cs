using System.Runtime.InteropServices;

namespace Adze.Models.Tests;

public sealed class SafetensorsFileTests : IDisposable
{
    private readonly TestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ReadsTensorsAndMetadata()
    {
        using SafetensorsFile file = Open("""
            {"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,3],"data_offsets":[2,26]},
            "a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}  
            """, 26);
        Assert.Equal("pt", file.Metadata["format"]);
        Assert.Equal(2, file.Entries.Count);
        Assert.Equal("F32 [2, 3]", file["b"].Description);
        Assert.Equal(6, file["b"].ElementCount);
        Assert.Equal(Enumerable.Range(2, 24).Select(i => (byte)i), file.GetData("b").Slice(0, 24).ToArray());
        Assert.Equal([5, 6], file.GetData("b").Slice(3, 2).ToArray());
    }

    [Fact]
    public void ReadsTensorsAtAnyAddress()
    {
        byte[] values = MemoryMarshal.AsBytes<float>([1.5f, -2, 3]).ToArray();
        for (int before = 0; before < 5; before++)
        {
            string path = _folder.Write("x.safetensors", Safetensors.File(
                [("pad", "U8", [before], new byte[before]), ("x", "F32", [3], values)]));
            using SafetensorsFile file = SafetensorsFile.Open(path);
            Assert.Equal(file["x"].Offset % 4 == 0, file.GetData("x").IsAlignedTo(4));
            Assert.Equal(values, file.GetData("x").Slice(0, 12).ToArray());
            Assert.Equal([1.5f, -2, 3], file.CopyFloats("x"));
        }
    }

    [Fact]
    public void ConvertsHalfTypesAndIntegers()
    {
        string path = _folder.Write("x.safetensors", Safetensors.File(
        [
            ("half", "F16", [2], MemoryMarshal.AsBytes<Half>([(Half)0.5f, Half.NegativeInfinity]).ToArray()),
            ("brain", "BF16", [2], MemoryMarshal.AsBytes<ushort>([0x3FC0, 0xC000]).ToArray()),
            ("wide", "I64", [2], MemoryMarshal.AsBytes<long>([-7, int.MaxValue]).ToArray()),
            ("wider", "I64", [1], MemoryMarshal.AsBytes<long>([1L << 31]).ToArray()),
        ]));
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.Equal([0.5f, float.NegativeInfinity], file.CopyFloats("half"));
        Assert.Equal([1.5f, -2f], file.CopyFloats("brain"));
        Assert.Equal([-7, int.MaxValue], file.CopyInt32s("wide"));
        Assert.Contains("2147483648, which is no 32-bit integer", Refused.By(() => file.CopyInt32s("wider")));
        Assert.Contains("'wide' is I64; expected F32", Refused.By(() => file.CopyFloats("wide")));
        Assert.Contains("'half' is F16; expected I32", Refused.By(() => file.CopyInt32s("half")));
        Assert.Contains("tensor 'none' is missing", Refused.By(() => file.GetData("none")));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"a":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"I8","shape":[3,0],"data_offsets":[0,0]}}""")]
    public void FilesWithoutDataWork(string header)
    {
        using SafetensorsFile file = Open(header, 0);
        foreach (string name in file.Entries.Keys)
        {
            Assert.Equal(0, file.GetData(name).Slice(0, 0).Length);
            file.CopyBytes(name, 0, []);
            Assert.Throws<ArgumentOutOfRangeException>(() => file.GetData(name).Slice(0, 1).Length);
        }
    }

    [Fact]
    public void EmptyTensorsMayStandBetweenOthers()
    {
        using SafetensorsFile file = Open("""
            {"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"e":{"dtype":"F32","shape":[0],"data_offsets":[1,1]},
            "b":{"dtype":"F4","shape":[4],"data_offsets":[1,3]}}
            """, 3);
        Assert.Equal(1, file["a"].ElementCount);
        Assert.Empty(file.CopyFloats("e"));
        Assert.Equal([1, 2], file.GetData("b").Slice(0, 2).ToArray());
    }

    [Fact]
    public void ReadsBeyondTwoGibibytes()
    {
        const long bytes = 3L << 30;
        string header = $$"""
            {"big":{"dtype":"U8","shape":[3,{{bytes / 3}}],"data_offsets":[0,{{bytes}}]},
            "tail":{"dtype":"F32","shape":[2],"data_offsets":[{{bytes}},{{bytes + 8}}] } }
            """;
        string path = _folder.Write("x.safetensors", Safetensors.File(header, 0));
        using (FileStream stream = new(path, FileMode.Open))     // a hole: takes no space on disk
        {
            stream.Position = stream.Length + bytes - 2;
            stream.Write([7, 8]);
            stream.Write(MemoryMarshal.AsBytes<float>([1, 2]));
        }
        using SafetensorsFile file = SafetensorsFile.Open(path);
        TensorData big = file.GetData("big");
        Assert.Equal(bytes, big.Bytes);
        Assert.Equal([0, 7, 8], big.Slice(bytes - 3, 3).ToArray());
        byte[] end = new byte[3];
        file.CopyBytes("big", bytes - 3, end);
        Assert.Equal([0, 7, 8], end);
        Assert.Equal([1f, 2f], file.CopyFloats("tail"));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.GetData("big").Slice(bytes - 2, 3).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => file.GetData("big").Slice(-1, 1).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => file.GetData("big").Slice(long.MaxValue, 1).Length);
        Assert.Contains("is too large for an array", Refused.By(() => CopyAll(file)));

        static void CopyAll(SafetensorsFile file) => file.Copy<byte>("big");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(-1)]
    public void FileThatShrinksInUseIsRefused(int newLength)
    {
        string path = _folder.Write("x.safetensors", Safetensors.File(
            [("first", "U8", [9], new byte[9]), ("x", "U8", [20000], new byte[20000])]));
        using SafetensorsFile file = SafetensorsFile.Open(path);
        TensorData before = file.GetData("x");
        using (FileStream writer = new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
            writer.SetLength(newLength < 0 ? writer.Length - 1 : newLength);
        Assert.Contains("shortened to", Refused.By(() => file.GetData("x")));
        Assert.Contains("shortened to", Refused.By(() => file.GetData("first")));
        Assert.Contains("shortened to", Refused.By(() => file.CopyBytes("x", 0, new byte[20000])));
        Assert.Contains("shortened to", Refused.By(() => file.CopyBytes("x", 19999, new byte[1])));
        string? message = null;
        try
        {
            _ = before.Slice(19999, 1)[0];
        }
        catch (ModelFormatException exception)
        {
            message = exception.Message;
        }
        Assert.Contains("shortened to", message);
    }

    [Fact]
    public void FileThatIsReplacedOrDeletedStaysReadable()
    {
        string path = _folder.Write("x.safetensors", Safetensors.File([("x", "U8", [3], [1, 2, 3])]));
        using SafetensorsFile file = SafetensorsFile.Open(path);
        File.Move(_folder.Write("other", "no tensors"), path, overwrite: true);
        Assert.Equal([1, 2, 3], file.GetData("x").Slice(0, 3).ToArray());
        File.Delete(path);
        Assert.Equal([1, 2, 3], file.GetData("x").Slice(0, 3).ToArray());
    }

    [Fact]
    public void DisposedFileThrows()
    {
        SafetensorsFile file = Open("""{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}""", 1);
        file.Dispose();
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => file.GetData("a").Bytes);
        Assert.Throws<ObjectDisposedException>(() => file.CopyBytes("a", 0, new byte[1]));
    }

    [Fact]
    public void UnreadablePathsAreNamed()
    {
        Assert.Contains("no such file", Refused.By(() => SafetensorsFile.Open(_folder.File("none"))));
        Assert.Contains("no such file", Refused.By(() => SafetensorsFile.Open(_folder.File("none/none"))));
        Assert.Contains("is a folder", Refused.By(() => SafetensorsFile.Open(_folder.Path)));
        Assert.Contains("cannot be read", Refused.By(() => SafetensorsFile.Open("a\0b")));
        File.CreateSymbolicLink(_folder.File("loop"), _folder.File("loop"));
        Refused.By(() => SafetensorsFile.Open(_folder.File("loop")));
    }

    [Fact]
    public void FileWithoutPermissionIsNamed()
    {
        if (Environment.IsPrivilegedProcess || OperatingSystem.IsWindows())
            return;     // who may read everything cannot be denied
        string path = _folder.Write("x.safetensors", Safetensors.File("{}", 0));
        File.SetUnixFileMode(path, UnixFileMode.None);
        Assert.Contains("permission denied", Refused.By(() => SafetensorsFile.Open(path)));
    }

    private SafetensorsFile Open(string header, int dataBytes) =>
        SafetensorsFile.Open(_folder.Write("x.safetensors", Safetensors.File(header, dataBytes)));
}
