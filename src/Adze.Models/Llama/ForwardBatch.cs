using Adze.Native;

namespace Adze.Models;

/// <summary>A ragged batch of one step: the tokens of all sequences, one after the other, as the plan was told
/// (<see cref="AttentionPlan.Update"/>). Their keys and values go to the cache.</summary>
public readonly record struct ForwardBatch
{
    /// <summary>[1, T] I32: token ids. T is at most <see cref="LlamaModel.MaxTokens"/>.</summary>
    public required DeviceTensor Ids { get; init; }

    /// <summary>[1, T] I32: the position of each token in its sequence.</summary>
    public required DeviceTensor Positions { get; init; }

    /// <summary>[1, R] I32: the rows among the T that want logits, at most <see cref="LlamaModel.MaxLogitRows"/>;
    /// absent for none.</summary>
    public DeviceTensor LogitRows { get; init; }

    /// <summary>[1, pages] I32: the page ids of all sequences.</summary>
    public required DeviceTensor KvIndices { get; init; }

    /// <summary>The plan, updated for this batch; from <see cref="LlamaModel.CreatePlan"/>.</summary>
    public required AttentionPlan Plan { get; init; }

    /// <summary>The cache; from <see cref="LlamaModel.CreateCache"/>.</summary>
    public required PagedKvCache Cache { get; init; }

    /// <summary>At least <see cref="AttentionPlan.WorkspaceBytes"/> of the plan; null where that is 0.</summary>
    public DeviceBuffer? AttentionWorkspace { get; init; }
}
