using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Adze.Models;
using Adze.Native;
using Adze.Text;

namespace Adze.Engine;

/// <summary>
/// A model folder, ready to generate: weights and a paged KV cache on one device, and the tokenizer. One generation at
/// a time; its requests run together.
/// </summary>
public sealed class LanguageModel : IDisposable
{
    private readonly EngineOptions _options;
    private readonly PageAllocator _pages;
    private readonly StepBatch _batch;
    private int _busy;
    private volatile bool _disposed;

    private LanguageModel(string directory, EngineOptions options, Checkpoint checkpoint, Tokenizer tokenizer,
        ModelRunner runner)
    {
        Directory = directory;
        Config = checkpoint.Config;
        Tokenizer = tokenizer;
        Runner = runner;
        _options = options;
        _pages = new PageAllocator(runner.NumPages);
        _batch = new StepBatch(options.MaxSequences, options.MaxBatchTokens, runner.NumPages, options.PageSize);
    }

    /// <summary>Loads a folder in Hugging Face's format.</summary>
    /// <param name="directory">With config.json, safetensors and tokenizer.json.</param>
    /// <param name="options">Null for the defaults.</param>
    /// <param name="progress">Told the share of the weights that is loaded, from 0 to 1.</param>
    /// <exception cref="ModelFormatException">The model's files cannot be used.</exception>
    /// <exception cref="TokenizerException">tokenizer.json cannot be read or used.</exception>
    /// <exception cref="AdzeException">The device is not there, or cannot hold the model.</exception>
    public static LanguageModel Load(
        string directory, EngineOptions? options = null, IProgress<double>? progress = null)
    {
        ArgumentNullException.ThrowIfNull(directory);
        options ??= new EngineOptions();
        options.Validate();
        using Checkpoint checkpoint = Checkpoint.Open(directory);
        Tokenizer tokenizer = Tokenizer.Load(Path.Combine(directory, "tokenizer.json"));
        ModelRunner runner = new(checkpoint, options, progress);
        try
        {
            return new LanguageModel(directory, options, checkpoint, tokenizer, runner);
        }
        catch
        {
            runner.Dispose();
            throw;
        }
    }

    /// <summary>The folder that was loaded.</summary>
    public string Directory { get; }

    /// <summary>The model's shape.</summary>
    public ModelConfig Config { get; }

    /// <summary>The model's tokenizer.</summary>
    public Tokenizer Tokenizer { get; }

    /// <summary>What the model runs on.</summary>
    public DeviceInfo Device => Runner.Device;

    /// <summary>Type of activations.</summary>
    public DType DType => Runner.DType;

    /// <summary>Type of the KV cache.</summary>
    public DType CacheDType => Runner.CacheDType;

    /// <summary>Pages of the KV cache that no sequence holds: all of them between generations.</summary>
    public int FreePages => _pages.NumFree;

    /// <summary>Pages of the KV cache.</summary>
    public int NumPages => _pages.NumPages;

    internal ModelRunner Runner { get; }

    internal EngineOptions Options => _options;

    internal PageAllocator Pages => _pages;

    internal StepBatch Batch => _batch;

    /// <summary>The ids of a prompt, with the special tokens that tokenizer.json's post-processor adds, and no others.</summary>
    public int[] Encode(string prompt)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        return Tokenizer.Encode(prompt);
    }

    /// <summary>
    /// Continues all prompts together. Each request's events come in order and end with one that says why it ended; the
    /// events of different requests interleave. Once the requests are set up, generating allocates nothing on the
    /// managed heap.
    /// </summary>
    /// <param name="requests">The prompts; indices in this list name them in the events.</param>
    /// <param name="onToken">Called on this thread.</param>
    /// <param name="cancellationToken">Looked at before every step.</param>
    /// <exception cref="ArgumentException">A request's settings are out of range.</exception>
    /// <exception cref="GenerationException">A request cannot be served; none was begun. Or the model's logits are not
    /// numbers.</exception>
    /// <exception cref="OperationCanceledException">Cancelled. The model is ready for the next generation.</exception>
    /// <exception cref="InvalidOperationException">A generation is under way.</exception>
    public GenerationStatistics Generate(IReadOnlyList<GenerationRequest> requests, TokenCallback onToken,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(requests);
        ArgumentNullException.ThrowIfNull(onToken);
        long start = Stopwatch.GetTimestamp();
        Enter();
        try
        {
            Sequence[] sequences = new Sequence[requests.Count];
            for (int i = 0; i < sequences.Length; i++)
                sequences[i] = CreateSequence(i, requests[i]);
            return Run(sequences, start, onToken, cancellationToken);
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>
    /// <see cref="Generate"/> as a stream. The work runs on another thread; leaving the enumeration early cancels it.
    /// </summary>
    /// <param name="requests">The prompts; indices in this list name them in the tokens.</param>
    /// <param name="cancellationToken">Ends the enumeration with an <see cref="OperationCanceledException"/>.</param>
    public async IAsyncEnumerable<GeneratedToken> GenerateAsync(IReadOnlyList<GenerationRequest> requests,
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Channel<GeneratedToken> channel = Channel.CreateUnbounded<GeneratedToken>(
            new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
        Task work = Task.Factory.StartNew(() => Produce(requests, channel.Writer, stop.Token, cancellationToken), CancellationToken.None,
            TaskCreationOptions.LongRunning, TaskScheduler.Default);
        try
        {
            // Until the producer completes, which it does when it is cancelled, too.
            IAsyncEnumerable<GeneratedToken> tokens = channel.Reader.ReadAllAsync(CancellationToken.None);
            await foreach (GeneratedToken token in tokens.ConfigureAwait(false))
                yield return token;
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await work.ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Frees the device memory. A generation that is under way on another thread ends with an
    /// <see cref="ObjectDisposedException"/> before its next step, and frees it then.
    /// </summary>
    public void Dispose()
    {
        _disposed = true;
        if (Interlocked.Exchange(ref _busy, 1) == 0)
            Runner.Dispose();
    }

    /// <summary>Takes the model for one thread; until <see cref="Leave"/>, <see cref="Dispose"/> only marks it.</summary>
    internal void Enter()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (Interlocked.CompareExchange(ref _busy, 1, 0) != 0)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            throw new InvalidOperationException("a generation is under way on this model");
        }
    }

    internal void Leave()
    {
        Interlocked.Exchange(ref _busy, 0); // a full fence: either we see the mark, or Dispose sees that we left
        if (_disposed)
            Dispose();
    }

    private GenerationStatistics Run(ReadOnlySpan<Sequence> sequences, long start, TokenCallback onToken,
        CancellationToken cancellationToken)
    {
        bool ownChunks = _options.Deterministic && Device.Backend != Backend.Cpu;
        Scheduler scheduler = new(_pages, _options.MaxSequences, _options.MaxBatchTokens, sequences, ownChunks);
        Generator generator = new(scheduler, _batch, Runner, _options.MaxSequences, start, onToken);
        try
        {
            while (generator.HasWork)
            {
                cancellationToken.ThrowIfCancellationRequested();
                ObjectDisposedException.ThrowIf(_disposed, this);
                generator.Step();
            }
        }
        finally
        {
            scheduler.Clear();
            _batch.Clear();
        }
        return generator.Statistics();
    }

    internal Sequence CreateSequence(int index, GenerationRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        request.Validate();
        int[]? encoded = request.Prompt is { } text ? Encode(text) : null;
        ReadOnlySpan<int> prompt = encoded ?? request.PromptIds.Span;
        SequenceLimits limits = new(Config.MaxPositionEmbeddings, _options.PageSize, _pages.NumPages);
        if (limits.Refuse(prompt.Length, request.MaxTokens) is { } obstacle)
            throw new GenerationException(obstacle);
        StreamingDecoder decoder = Tokenizer.CreateStreamingDecoder(skipSpecialTokens: true);
        foreach (int id in prompt)
        {
            if ((uint)id >= (uint)Config.VocabularySize)
                throw new GenerationException(
                    $"the prompt has token {id}; the model's vocabulary ends at {Config.VocabularySize - 1}");
            decoder.Append(id); // The completion is in the middle of a text, and keeps the space that it begins with.
        }
        int[] endTokens = [.. Config.EosTokenIds];
        return new Sequence(index, request, prompt, limits, endTokens, decoder);
    }

    private void Produce(IReadOnlyList<GenerationRequest> requests, ChannelWriter<GeneratedToken> writer,
        CancellationToken stop, CancellationToken callers)
    {
        try
        {
            Generate(requests, (in TokenEvent token) =>
                writer.TryWrite(new GeneratedToken(token.Request, token.TokenId, token.Text.ToString(), token.Finish)),
                stop);
            writer.Complete();
        }
        catch (OperationCanceledException) when (callers.IsCancellationRequested)
        {
            writer.Complete(new OperationCanceledException(callers));
        }
        catch (Exception exception)
        {
            writer.Complete(exception);
        }
    }
}
