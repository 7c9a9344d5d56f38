using Adze.Native;

namespace Adze.Models;

/// <summary>Watches a forward pass, layer by layer. What it is shown is valid during the call only: read it on the
/// stream that was given to <see cref="LlamaModel.Forward"/>.</summary>
public interface IForwardObserver
{
    /// <summary>Called with the residual stream, before any norm: index 0 is the embedding, index i the state after
    /// layer i, counted from 1.</summary>
    /// <param name="index">Which state, from 0 to the number of layers.</param>
    /// <param name="hidden">[tokens, hidden size] F32.</param>
    void OnHidden(int index, DeviceTensor hidden) { }

    /// <summary>Called with what a layer's attention multiplies for its logits, rotated to their positions.</summary>
    /// <param name="layer">Which layer, from 0.</param>
    /// <param name="q">[tokens, query heads · head dim], of the activations' type.</param>
    /// <param name="k">[tokens, KV heads · head dim], likewise: the batch's own keys.</param>
    void OnAttention(int layer, DeviceTensor q, DeviceTensor k) { }
}
