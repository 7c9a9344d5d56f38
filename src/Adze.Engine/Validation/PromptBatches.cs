namespace Adze.Engine.Validation;

/// <summary>
/// Packs prompts into batches in their order, each token once: where a batch is full, a prompt continues in the next
/// one. So the rows of all batches, one after another, are the tokens of all prompts.
/// </summary>
internal sealed class PromptBatches
{
    private readonly LanguageModel _model;
    private readonly Action<ModelRunner, StepBatch> _run;
    private readonly List<Sequence> _open = [];
    private readonly StepBatch _batch;
    private readonly CancellationToken _cancellationToken;

    private PromptBatches(LanguageModel model, Action<ModelRunner, StepBatch> run, CancellationToken cancellationToken)
    {
        (_model, _run, _batch, _cancellationToken) = (model, run, model.Batch, cancellationToken);
    }

    /// <summary>Calls <paramref name="run"/> for every batch, which is on the device by then.</summary>
    public static void Run(LanguageModel model, int[][] prompts, Action<ModelRunner, StepBatch> run,
        CancellationToken cancellationToken)
    {
        model.Enter();
        PromptBatches batches = new(model, run, cancellationToken);
        try
        {
            for (int i = 0; i < prompts.Length; i++)
                batches.Add(model.CreateSequence(i, new GenerationRequest(prompts[i]) { MaxTokens = 1 }));
            batches.Flush();
        }
        finally
        {
            batches.Release();
            model.Leave();
        }
    }

    private void Add(Sequence sequence)
    {
        if (_model.Pages.NumFree < sequence.MissingPages)
            Flush();
        for (int missing = sequence.MissingPages; missing > 0; missing--)
            sequence.AddPage(_model.Pages.Rent());
        _open.Add(sequence);
        while (sequence.Pending > 0)
        {
            int room = _model.Options.MaxBatchTokens - _batch.NumTokens;
            int count = Math.Min(sequence.Pending, room);
            _batch.Add(sequence, count);
            if (count < sequence.Pending || count == room || _batch.NumSequences == _model.Options.MaxSequences)
                Flush();
            else
                return;
        }
    }

    private void Flush()
    {
        if (_batch.NumSequences > 0)
        {
            _cancellationToken.ThrowIfCancellationRequested();
            _model.Runner.Upload(_batch);
            _run(_model.Runner, _batch);
            _batch.MarkCached();
        }
        _batch.Clear();
        foreach (Sequence sequence in _open)
        {
            if (sequence.Pending == 0)
                _model.Pages.Return(sequence.Pages);
        }
        _open.RemoveAll(sequence => sequence.Pending == 0);
    }

    private void Release()
    {
        _batch.Clear();
        foreach (Sequence sequence in _open)
            _model.Pages.Return(sequence.Pages);
        _open.Clear();
    }
}
