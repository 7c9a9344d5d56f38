using Adze.Native;

namespace Adze.Models;

/// <summary>Watches a forward pass, layer by layer.</summary>
public interface IForwardObserver
{
    /// <summary>Called with the residual stream: index 0 is the embedding, index i the state after layer i (counted
    /// from 1), before the final norm; index <c>NumLayers + 1</c> is the final norm's output.</summary>
    /// <param name="index">Which state, from 0 to NumLayers + 1.</param>
    /// <param name="hidden">[tokens, hidden size]: F32, or for the final norm the model's type. Valid during the
    /// call only: read it on the stream that was given to <see cref="LlamaModel.Forward"/>.</param>
    void OnHidden(int index, DeviceTensor hidden);
}
