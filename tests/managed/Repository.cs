using System.Runtime.CompilerServices;

namespace Adze.Tests;

/// <summary>Files of the source tree that these tests were compiled from.</summary>
internal static class Repository
{
    public static string Root { get; } = System.IO.Path.GetFullPath(System.IO.Path.Combine(ThisFile(), "..", "..", ".."));

    public static string Orders => Path("models/orders");

    public static string OrdersReference => Path("tests/reference/orders.safetensors");

    public static string Odd => Path("tests/reference/odd");

    public static string OddReference => Path("tests/reference/odd/reference.safetensors");

    public static string Mistral => Path("tests/reference/mistral");

    public static string MistralReference => Path("tests/reference/mistral/reference.safetensors");

    public static string Path(params string[] parts) => System.IO.Path.Combine([Root, .. parts]);

    private static string ThisFile([CallerFilePath] string path = "") => path;
}
