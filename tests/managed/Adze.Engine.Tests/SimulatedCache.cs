using Adze.Native;

namespace Adze.Engine.Tests;

/// <summary>
/// A model whose next token is a hash of its whole context, which it reads back from a paged cache as attention would:
/// a page that is shared, lost, or read before it was written gives other tokens.
/// </summary>
internal sealed class SimulatedCache(int numPages, int pageSize, int maxTokens, int maxSequences) : IStepRunner
{
    public const int Vocabulary = 1000;

    private const int Poison = -7;

    private readonly int[] _cache = Enumerable.Repeat(Poison, numPages * pageSize).ToArray();

    public int Steps { get; private set; }

    public int MostSequences { get; private set; }

    public int MostTokens { get; private set; }

    /// <summary>Steps that computed both prompts and generated tokens.</summary>
    public int MixedSteps { get; private set; }

    /// <summary>Every chunk that was computed: a hash of the tokens up to its end, and its rows.</summary>
    public HashSet<(uint Context, int Rows)> Chunks { get; } = [];

    public static int Next(ReadOnlySpan<int> context, SamplingParams sampling)
    {
        uint hash = Hash(context);
        if (sampling.Temperature > 0)
            hash = (hash ^ (uint)sampling.Seed ^ ((uint)sampling.Position << 8)) * 16777619;
        return (int)(hash % Vocabulary);
    }

    public void Run(StepBatch batch, Span<int> nextIds)
    {
        Steps++;
        MostSequences = Math.Max(MostSequences, batch.NumSequences);
        MostTokens = Math.Max(MostTokens, batch.NumTokens);
        MixedSteps += batch.NumPromptTokens > 0 && batch.NumPromptTokens < batch.NumTokens ? 1 : 0;
        Assert.InRange(batch.NumTokens, 1, maxTokens);
        Assert.InRange(batch.NumSequences, 1, maxSequences);
        Assert.Equal(batch.NumLogits, nextIds.Length);
        int logit = 0;
        for (int s = 0; s < batch.NumSequences; s++)
        {
            int first = batch.QoIndptr[s], end = batch.QoIndptr[s + 1];
            ReadOnlySpan<int> pages = batch.KvIndices[batch.KvIndptr[s]..batch.KvIndptr[s + 1]];
            Assert.InRange(batch.KvLastPageLen[s], 1, pageSize);
            int kvLength = (pages.Length - 1) * pageSize + batch.KvLastPageLen[s];
            for (int row = first; row < end; row++)
            {
                int position = kvLength - (end - row); // as attention and append define it
                Assert.Equal(position, batch.Positions[row]);
                _cache[pages[position / pageSize] * pageSize + position % pageSize] = batch.Ids[row];
            }
            Chunks.Add((Hash(Read(pages, kvLength)), end - first));
            if (logit < batch.NumLogits && batch.LogitRows[logit] == end - 1)
            {
                nextIds[logit] = Next(Read(pages, kvLength), batch.Sampling[logit]);
                logit++;
            }
        }
        Assert.Equal(batch.NumLogits, logit);
    }

    private static uint Hash(ReadOnlySpan<int> context)
    {
        uint hash = 2166136261;
        foreach (int token in context)
            hash = (hash ^ (uint)token) * 16777619;
        return hash;
    }

    private int[] Read(ReadOnlySpan<int> pages, int length)
    {
        int[] context = new int[length];
        for (int i = 0; i < length; i++)
            context[i] = _cache[pages[i / pageSize] * pageSize + i % pageSize];
        Assert.DoesNotContain(Poison, context);
        return context;
    }
}
