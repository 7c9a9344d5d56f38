using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Adze.Text.Tests;

/// <summary>The four normalisation forms against Python's unicodedata.</summary>
public class NormalizationTests
{
    private static readonly JsonElement s_golden = Golden.Read("normalization");

    [Theory]
    [InlineData("NFC", 0)]
    [InlineData("NFD", 1)]
    [InlineData("NFKC", 2)]
    [InlineData("NFKD", 3)]
    public void NormalizesTexts(string form, int column)
    {
        var failures = new List<string>();
        int count = 0;
        foreach (JsonElement row in s_golden.GetProperty("cases").EnumerateArray())
        {
            count++;
            string ours = Normalize(row[0].GetString()!, form);
            if (ours != row[1 + column].GetString())
                failures.Add($"{Golden.Show(row[0].GetString()!)}: {Golden.Show(ours)}");
        }

        Golden.AssertNone(failures, count);
    }

    [Theory]
    [InlineData("NFC")]
    [InlineData("NFD")]
    [InlineData("NFKC")]
    [InlineData("NFKD")]
    public void NormalizesEveryCharacter(string form)
    {
        using var digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (int point in Golden.CodePoints(s_golden.GetProperty("assigned")))
            digest.AppendData(Encoding.UTF8.GetBytes(Normalize(new Rune(point).ToString(), form) + "\n"));
        string expected = s_golden.GetProperty("digests").GetProperty(form).GetString()!;
        Assert.Equal(expected, Convert.ToHexStringLower(digest.GetHashAndReset()));
    }

    private static string Normalize(string text, string form) =>
        UnicodeNormalization.Instance.Normalize(text, compose: form[^1] == 'C', compatibility: form[2] == 'K');
}
