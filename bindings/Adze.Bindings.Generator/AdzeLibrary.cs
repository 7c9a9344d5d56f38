using CppSharp;
using CppSharp.AST;
using CppSharp.AST.Extensions;
using CppSharp.Generators;
using CppSharp.Parser;
using CppSharp.Passes;
using ASTContext = CppSharp.AST.ASTContext;

namespace Adze.Bindings.Generator;

/// <summary>
/// Tells CppSharp how to see Adze's headers: C names as they are, structs as plain value types, handles as addresses,
/// and only the imports themselves. What callers see is written by hand over these.
/// </summary>
internal sealed class AdzeLibrary(string includeFolder, string outputFolder) : ILibrary
{
    /// <summary>The class that holds the imports.</summary>
    public const string ImportsClass = "NativeMethods";

    public void Setup(Driver driver)
    {
        driver.ParserOptions.LanguageVersion = LanguageVersion.C99_GNU;

        DriverOptions options = driver.Options;
        options.GeneratorKind = GeneratorKind.CSharp;
        options.OutputDir = outputFolder;
        options.OutputNewLineType = NewLineType.LF;
        options.PropertyDetectionMode = PropertyDetectionMode.None;
        options.GenerateFinalizers = false;
        options.Quiet = true;
        options.GenerateFreeStandingFunctionsClassName = _ => ImportsClass;

        Module module = options.AddModule("adze");
        module.OutputNamespace = "Adze.Native.Interop";
        module.IncludeDirs.Add(includeFolder);
        module.Headers.AddRange(Directory.GetFiles(includeFolder, "*.h").Select(file => Path.GetFileName(file)!)
            .Order(StringComparer.Ordinal));
    }

    public void SetupPasses(Driver driver)
    {
    }

    /// <summary>Before CppSharp's passes: types.</summary>
    public void Preprocess(Driver driver, ASTContext ctx)
    {
        foreach (TranslationUnit unit in OwnUnits(ctx))
        {
            foreach (Class type in unit.Classes.Where(type => !type.IsIncomplete))
            {
                type.Type = ClassType.ValueType;
            }

            foreach (Enumeration type in unit.Enums)
            {
                type.BuiltinType = new BuiltinType(PrimitiveType.Int);
                type.Type = type.BuiltinType;
            }

            foreach (Parameter parameter in unit.Functions.SelectMany(function => function.Parameters))
            {
                SetUsage(parameter);
            }
        }
    }

    /// <summary>After CppSharp's passes: names, and what is printed.</summary>
    public void Postprocess(Driver driver, ASTContext ctx)
    {
        List<TranslationUnit> units = [.. OwnUnits(ctx)];
        foreach (Declaration declaration in units.SelectMany(unit => unit.Declarations))
        {
            declaration.Name = declaration.OriginalName;
            // The headers are the documentation; CppSharp also hands comments to the wrong neighbours.
            declaration.Comment = null;
        }

        foreach (Class type in units.SelectMany(unit => unit.Classes))
        {
            // Handles would bring a global map of objects and the run-time package: their addresses are enough.
            // Of a struct only the layout is wanted, not a wrapper with properties.
            type.GenerationKind = type.IsIncomplete ? GenerationKind.None : GenerationKind.Internal;
        }

        foreach (Enumeration.Item item in units.SelectMany(unit => unit.Enums).SelectMany(type => type.Items))
        {
            item.Comment = null;
        }

        KeepImportsOnly(units);
    }

    // A class is printed for each header that has a function with a wrapper, so all of them move to the one header
    // whose simplest function, adze_version(), keeps its own.
    private static void KeepImportsOnly(List<TranslationUnit> units)
    {
        TranslationUnit home = units.Single(unit => unit.Functions.Any(function => function.Name == "adze_version"));
        foreach (TranslationUnit unit in units)
        {
            foreach (Function function in unit.Functions.ToList())
            {
                unit.Declarations.Remove(function);
                home.Declarations.Add(function);
                function.Namespace = home;
                function.GenerationKind =
                    function.Name == "adze_version" ? GenerationKind.Generate : GenerationKind.Internal;
            }
        }
    }

    // Without these CppSharp passes handles and structs that the callee fills by value, and they are lost.
    private static void SetUsage(Parameter parameter)
    {
        if (parameter.Type.Desugar() is not PointerType pointer)
        {
            return;
        }

        if (pointer.Pointee.Desugar() is PointerType)
        {
            parameter.QualifiedType = new QualifiedType(
                new PointerType(new QualifiedType(new BuiltinType(PrimitiveType.IntPtr))));
            parameter.Usage = ParameterUsage.Out;
        }
        else if (pointer.Pointee.Desugar() is TagType { Declaration: Class { IsIncomplete: false } }
                 && !pointer.QualifiedPointee.Qualifiers.IsConst)
        {
            parameter.Usage = ParameterUsage.InOut;
        }
    }

    private static IEnumerable<TranslationUnit> OwnUnits(ASTContext ctx) =>
        ctx.TranslationUnits.Where(unit => unit.IsValid && !unit.IsSystemHeader
            && unit.FileRelativePath is not null && unit.IsGenerated);
}
