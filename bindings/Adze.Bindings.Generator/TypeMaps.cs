using CppSharp.AST;
using CppSharp.Generators;
using CppSharp.Types;
using Type = CppSharp.AST.Type;

namespace Adze.Bindings.Generator;

/// <summary>
/// <c>const char*</c> stays a pointer: CppSharp's UTF-8 marshaller lives in a run-time package and is not AOT-safe.
/// </summary>
[TypeMap("const char*", GeneratorKindID = GeneratorKind.CSharp_ID)]
public sealed class RawConstChar : TypeMap
{
    /// <inheritdoc/>
    public override Type SignatureType(TypePrinterContext ctx) => new CustomType("byte*");

    /// <inheritdoc/>
    public override void MarshalToNative(MarshalContext ctx) => ctx.Return.Write(ctx.Parameter.Name);

    /// <inheritdoc/>
    public override void MarshalToManaged(MarshalContext ctx) => ctx.Return.Write($"(byte*) {ctx.ReturnVarName}");
}

/// <summary><c>size_t</c> is as wide as a pointer on every target.</summary>
[TypeMap("size_t", GeneratorKindID = GeneratorKind.CSharp_ID)]
public sealed class NativeSize : TypeMap
{
    /// <inheritdoc/>
    public override Type SignatureType(TypePrinterContext ctx) => new CustomType("nuint");
}
