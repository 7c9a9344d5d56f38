using System.Text;

namespace Adze.Models.Tests;

/// <summary>Every way in which a safetensors header can lie gives its own line.</summary>
public sealed class SafetensorsHeaderTests : IDisposable
{
    private readonly TestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(new byte[0], "is 0 bytes")]
    [InlineData(new byte[] { 2, 0, 0, 0, 0, 0, 0 }, "is 7 bytes")]
    [InlineData(new byte[] { 0, 0, 0, 0, 0, 0, 0, 0 }, "does not begin with '{'")]
    [InlineData(new byte[] { 2, 0, 0, 0, 0, 0, 0, 0 }, "header length 2 reaches beyond the file, which is 8 bytes")]
    [InlineData(new byte[] { 3, 0, 0, 0, 0, 0, 0, 0, (byte)'{', (byte)'}' }, "header length 3 reaches beyond")]
    [InlineData(new byte[] { 1, 0, 0, 0, 0, 0, 0, 0, (byte)'{', (byte)'}' }, "not valid JSON")]
    [InlineData(new byte[] { 1, 225, 245, 5, 0, 0, 0, 0 }, "header length 100000001 is above the format's limit")]
    [InlineData(new byte[] { 0, 0, 0, 0, 0, 0, 0, 0x80 }, "header length 9223372036854775808 is above")]
    [InlineData(new byte[] { 255, 255, 255, 255, 255, 255, 255, 255 }, "header length 18446744073709551615 is above")]
    [InlineData(new byte[] { 2, 0, 0, 0, 0, 0, 0, 0, (byte)'{', 0xFF }, "not UTF-8")]
    public void WrongLengths(byte[] file, string expected) =>
        Assert.Contains(expected, Refused.By(() => SafetensorsFile.Open(_folder.Write("x.safetensors", file))));

    [Theory]
    [InlineData(" {}", "does not begin with '{'")]
    [InlineData("[]", "does not begin with '{'")]
    [InlineData("{", "not valid JSON")]
    [InlineData("{}{}", "not valid JSON")]
    [InlineData("{} x", "not valid JSON")]
    [InlineData("{\"a\":NaN}", "not valid JSON")]
    [InlineData("{\"a\":1,}", "not valid JSON")]
    [InlineData("{\"\\ud800\":1}", "not valid JSON")]
    [InlineData("{\"a\":1}", "'a': is not an object")]
    [InlineData("{\"a\":{}}", "'a': has no dtype")]
    [InlineData("{\"__metadata__\":3}", "__metadata__ is not an object")]
    [InlineData("{\"__metadata__\":{\"x\":3}}", "__metadata__: 'x' is not a string")]
    [InlineData("{\"__metadata__\":{\"x\":\"\\udc00\"}}", "not valid JSON")]
    [InlineData("{\"__metadata__\":{},\"__metadata__\":{}}", "not valid JSON")]
    [InlineData("{\"a\":[[[[[[[[[[[1]]]]]]]]]]]}", "not valid JSON")]
    [InlineData("{\"line\\nbreak\":1}", "'line\\u000abreak': is not an object")]
    public void WrongJson(string header, string expected) => Check(header, 0, expected);

    [Theory]
    [InlineData("\"dtype\":3,\"shape\":[4],\"data_offsets\":[0,4]", "has no dtype")]
    [InlineData("\"dtype\":\"u8\",\"shape\":[4],\"data_offsets\":[0,4]", "has unknown dtype 'u8'")]
    [InlineData("\"dtype\":\"Q3_K\",\"shape\":[4],\"data_offsets\":[0,4]", "has unknown dtype 'Q3_K'")]
    [InlineData("\"dtype\":\"\\ud800\",\"shape\":[4],\"data_offsets\":[0,4]", "not valid JSON")]
    [InlineData("\"dtype\":\"U8\",\"data_offsets\":[0,4]", "has no shape")]
    [InlineData("\"dtype\":\"U8\",\"shape\":4,\"data_offsets\":[0,4]", "has no shape")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[-4],\"data_offsets\":[0,4]", "shape holds '-4'")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[-2,-2],\"data_offsets\":[0,4]", "shape holds '-2'")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[4.5],\"data_offsets\":[0,4]", "shape holds '4.5'")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[4e0],\"data_offsets\":[0,4]", "shape holds '4e0'")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[\"4\"],\"data_offsets\":[0,4]", "; expected whole numbers from 0")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[null],\"data_offsets\":[0,4]", "; expected whole numbers from 0")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[18446744073709551620],\"data_offsets\":[0,4]", "; expected whole numbers from 0")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]", "overflows")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[9223372036854775807,9223372036854775807,0],\"data_offsets\":[0,4]", "overflows")]
    [InlineData("\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]", "needs 18446744073709551616 bytes")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,4]", "U8 [5] needs 5 bytes; data_offsets give it 4")]
    [InlineData("\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,4]", "F32 [4] needs 16 bytes")]
    [InlineData("\"dtype\":\"F4\",\"shape\":[7],\"data_offsets\":[0,4]", "F4 [7] is no whole number of bytes")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[4]", "has no data_offsets")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0]", "data_offsets has 1 numbers; expected 2")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4,8]", "data_offsets has 3 numbers")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,0]", "end before they begin")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[-4,0]", "; expected whole numbers from 0")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]", "reach beyond the file, which has 4 bytes")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]", "reach beyond the file")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[9223372036854775803,9223372036854775807]", "reach beyond")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]", "1 bytes after the last tensor belong to none")]
    [InlineData("\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[1,4]", "leaves a hole of 1 bytes before it")]
    [InlineData("\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]", "not valid JSON")]
    public void WrongEntries(string entry, string expected) => Check($"{{\"a\":{{{entry}}}}}", 4, expected);

    [Theory]
    [InlineData(0, 4, 3, 8, "'b': overlaps tensor 'a'")]
    [InlineData(0, 8, 2, 4, "'b': overlaps tensor 'a'")]
    [InlineData(0, 8, 0, 8, "overlaps tensor")]
    [InlineData(0, 3, 4, 8, "'b': leaves a hole of 1 bytes before it")]
    [InlineData(0, 4, 4, 7, "1 bytes after the last tensor")]
    public void WrongNeighbours(int begin, int end, int begin2, int end2, string expected) => Check($$"""
        {"a":{"dtype":"U8","shape":[{{end - begin}}],"data_offsets":[{{begin}},{{end}}]},
        "b":{"dtype":"U8","shape":[{{end2 - begin2}}],"data_offsets":[{{begin2}},{{end2}}] } }
        """, 8, expected);

    [Fact]
    public void RepeatedNamesAreRefused()
    {
        const string entry = """{"dtype":"U8","shape":[4],"data_offsets":[0,4]}""";
        Check($$"""{"a":{{entry}},"a":{{entry}}}""", 4, "not valid JSON");
        Check($$"""{"a":{{entry}},"\u0061":{{entry}}}""", 4, "not valid JSON");
    }

    [Fact]
    public void DeepNestingIsRefused() =>
        Check("{\"a\":" + new string('[', 1_000_000), 0, "not valid JSON");

    [Fact]
    public void LongNamesAndShapesAreCut()
    {
        string message = Refused.By(() => Open($$"""{"{{new string('n', 100_000)}}":{ } }""", 0));
        Assert.Contains("nnn...': has no dtype", message);
        string twice = $"\"{new string('n', 100_000)}\":1";
        Refused.By(() => Open($"{{{twice},{twice}}}", 0));
        string shape = string.Join(',', Enumerable.Repeat("1", 100_000));
        message = Refused.By(() => Open($$"""{"a":{"dtype":"U8","shape":[{{shape}}],"data_offsets":[0,4]} }""", 4));
        Assert.Contains("1, and 99992 more] needs 1 bytes", message);
    }

    [Fact]
    public void UnknownKeysOfAnEntryAreIgnoredLikeInTheReference()
    {
        using SafetensorsFile file =
            Open("""{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"later":{"version":2}}}""", 4);
        Assert.Equal(4, file["a"].Bytes);
    }

    [Fact]
    public void TruncatedAnywhereIsRefused()
    {
        byte[] whole = Safetensors.File(Encoding.UTF8.GetBytes(
            """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"""), 8);
        for (int length = 0; length < whole.Length; length++)
            Refused.By(() => SafetensorsFile.Open(_folder.Write("x.safetensors", whole[..length])));
    }

    private SafetensorsFile Open(string header, int dataBytes) =>
        SafetensorsFile.Open(_folder.Write("x.safetensors", Safetensors.File(header, dataBytes)));

    private void Check(string header, int dataBytes, string expected)
    {
        string message = Refused.By(() => Open(header, dataBytes));
        Assert.StartsWith(_folder.File("x.safetensors"), message);
        Assert.Contains(expected, message);
    }
}
