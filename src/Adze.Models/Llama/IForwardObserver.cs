using Adze.Native;

namespace Adze.Models;

/// <summary>Watches a forward pass, layer by layer.</summary>
public interface IForwardObserver
{
    /// <summary>Called with the residual stream, before any norm: index 0 is the embedding, index i the state after
    /// layer i, counted from 1.</summary>
    /// <param name="index">Which state, from 0 to the number of layers.</param>
    /// <param name="hidden">[tokens, hidden size] F32. Valid during the call only: read it on the stream that was
    /// given to <see cref="LlamaModel.Forward"/>.</param>
    void OnHidden(int index, DeviceTensor hidden);
}
