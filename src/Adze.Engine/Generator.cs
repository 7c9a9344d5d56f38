using System.Diagnostics;

namespace Adze.Engine;

/// <summary>Computes a batch: stores its keys and values, and draws one token for each of its logit rows.</summary>
internal interface IStepRunner
{
    /// <summary>
    /// Runs the batch; <paramref name="nextIds"/> has one place per logit row, -1 where none could be drawn.
    /// </summary>
    void Run(StepBatch batch, Span<int> nextIds);
}

/// <summary>Runs steps until every sequence has ended. A step allocates nothing on the managed heap.</summary>
internal sealed class Generator
{
    private readonly Scheduler _scheduler;
    private readonly StepBatch _batch;
    private readonly IStepRunner _runner;
    private readonly TokenCallback _onToken;
    private readonly int[] _nextIds;
    private readonly long _start; // of the call
    private long _promptTokens;
    private long _generated;
    private long _steps;
    private long _prefillRows;
    private long _decodeRows;
    private double _prefillSeconds;
    private double _decodeSeconds;
    private TimeSpan _timeToFirstToken;

    public Generator(Scheduler scheduler, StepBatch batch, IStepRunner runner, int maxSequences, long start,
        TokenCallback onToken)
    {
        _start = start;
        _scheduler = scheduler;
        _batch = batch;
        _runner = runner;
        _onToken = onToken;
        _nextIds = new int[maxSequences];
    }

    public bool HasWork => _scheduler.HasWork;

    public void Step()
    {
        long start = Stopwatch.GetTimestamp();
        _scheduler.Schedule(_batch);
        Span<int> nextIds = _nextIds.AsSpan(0, _batch.NumLogits);
        _runner.Run(_batch, nextIds);
        _batch.MarkCached();
        Count(Stopwatch.GetElapsedTime(start).TotalSeconds);
        ReadOnlySpan<Sequence> sequences = _batch.LogitSequences;
        for (int i = 0; i < sequences.Length; i++)
            Deliver(sequences[i], nextIds[i]);
    }

    public GenerationStatistics Statistics() => new()
    {
        PromptTokens = _promptTokens,
        GeneratedTokens = _generated,
        Steps = _steps,
        Preemptions = _scheduler.Preemptions,
        TimeToFirstToken = _timeToFirstToken,
        Total = Stopwatch.GetElapsedTime(_start),
        PrefillTokensPerSecond = _prefillSeconds > 0 ? _prefillRows / _prefillSeconds : 0,
        DecodeTokensPerSecond = _decodeSeconds > 0 ? _decodeRows / _decodeSeconds : 0,
    };

    private void Deliver(Sequence sequence, int token)
    {
        if (token < 0)
        {
            throw new GenerationException(
                $"request {sequence.Index}: no token could be drawn at position {sequence.Count}: the model's logits "
                + "are not finite numbers");
        }
        if (_timeToFirstToken == default)
            _timeToFirstToken = Stopwatch.GetElapsedTime(_start);
        if (sequence.Generated == 0)
            _promptTokens += sequence.PromptLength;
        if (sequence.IsStop(token))
        {
            Finish(sequence, FinishReason.StopToken);
            return;
        }
        sequence.Append(token);
        _generated++;
        ReadOnlySpan<char> text = sequence.Decoder is null ? default : sequence.Decoder.Append(token);
        _onToken(new TokenEvent(sequence.Index, token, text, FinishReason.None));
        if (sequence.IsFull)
            Finish(sequence, sequence.EndReason);
    }

    private void Finish(Sequence sequence, FinishReason reason)
    {
        _scheduler.Remove(sequence);
        ReadOnlySpan<char> rest = sequence.Decoder is null ? default : sequence.Decoder.Flush();
        _onToken(new TokenEvent(sequence.Index, -1, rest, reason));
    }

    private void Count(double seconds)
    {
        _steps++;
        int decodeRows = _batch.NumTokens - _batch.NumPromptTokens;
        _prefillRows += _batch.NumPromptTokens;
        _decodeRows += decodeRows;
        _prefillSeconds += seconds * _batch.NumPromptTokens / _batch.NumTokens;
        _decodeSeconds += seconds * decodeRows / _batch.NumTokens;
    }
}
