using System.Diagnostics;
using FsCheck;
using FsCheck.Fluent;

namespace Adze.Text.Tests;

public class BpeTests
{
    /// <summary>Whatever the merges and the length: the same as merging by the book, one pair at a time.</summary>
    [Fact]
    public void MergesLikeTheDefinition()
    {
        Gen<string[]> merges = Gen.ArrayOf(Gen.Elements("aa", "ab", "ba", "bb", "aab", "abb", "aaaa", "abab", "bab", "abba"), 8);
        Gen<string> text = Gen.OneOf(Gen.Choose(0, 12), Gen.Choose(35, 45), Gen.Choose(100, 300))
            .SelectMany(length => Gen.ArrayOf(Gen.Elements('a', 'b'), length)).Select(chars => new string(chars));
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(600), Prop.ForAll(
            merges.Zip(text).ToArbitrary(),
            pair =>
            {
                (string[] tokens, string input) = pair;
                List<(string, string)> rules = Rules(tokens);
                string[] vocabulary = [.. rules.Select(rule => rule.Item1 + rule.Item2).Prepend("b").Prepend("a").Distinct()];
                Tokenizer tokenizer = Build.Parse(
                    $"{{\"model\":{{\"vocab\":{Build.Vocab(vocabulary)},\"merges\":[{string.Join(',', rules.Select(rule => $"\"{rule.Item1} {rule.Item2}\""))}]}}}}");
                return tokenizer.Encode(input).Select(id => vocabulary[id]).SequenceEqual(ByDefinition(rules, input));
            }));
    }

    [Fact]
    public void ALongPieceTakesLittleTime()
    {
        string[] powers = [.. Enumerable.Range(0, 12).Select(power => new string('a', 1 << power))];
        string merges = string.Join(',', powers.SkipLast(1).Select(token => $"\"{token} {token}\""));
        Tokenizer tokenizer = Build.Parse($"{{\"model\":{{\"vocab\":{Build.Vocab(powers)},\"merges\":[{merges}]}}}}");
        var watch = Stopwatch.StartNew();
        int[] ids = tokenizer.Encode(new string('a', 1_000_000));
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(10), $"took {watch.Elapsed}"); // n² would take hours
        Assert.Equal(1_000_000 / 2048, ids.Count(id => id == 11));
        Assert.Equal(1_000_000, ids.Sum(id => 1 << id));
    }

    /// <summary>Each token made of the two best halves that exist when it comes.</summary>
    private static List<(string Left, string Right)> Rules(string[] tokens)
    {
        var known = new HashSet<string> { "a", "b" };
        var rules = new List<(string, string)>();
        foreach (string token in tokens)
        {
            for (int cut = 1; cut < token.Length; cut++)
            {
                if (!known.Contains(token[..cut]) || !known.Contains(token[cut..]) || rules.Contains((token[..cut], token[cut..])))
                    continue;
                rules.Add((token[..cut], token[cut..]));
                known.Add(token);
            }
        }

        return rules;
    }

    private static List<string> ByDefinition(List<(string Left, string Right)> rules, string text)
    {
        List<string> symbols = [.. text.Select(c => c.ToString())];
        while (true)
        {
            int best = int.MaxValue, at = -1;
            for (int i = 0; i + 1 < symbols.Count; i++)
            {
                int rank = rules.IndexOf((symbols[i], symbols[i + 1]));
                if (rank >= 0 && rank < best)
                    (best, at) = (rank, i);
            }

            if (at < 0)
                return symbols;
            symbols[at] += symbols[at + 1];
            symbols.RemoveAt(at + 1);
        }
    }
}
