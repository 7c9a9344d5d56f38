using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;

namespace Adze.Native.Tests;

/// <summary>
/// The committed declarations against the library that is loaded (its symbols and its own table of layouts) and
/// against the headers' text, each both ways.
/// </summary>
public sealed class DriftTests
{
    private static readonly Assembly Bindings = typeof(AdzeLibrary).Assembly;

    private static readonly Type[] Generated =
        [.. Bindings.GetTypes().Where(type => type.Namespace == "Adze.Native.Interop")];

    private static readonly string[] Table = AdzeLibrary.AbiLayout.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    private static readonly MethodInfo[] Imports =
        [.. from type in Bindings.GetTypes()
            from method in type.GetMethods(BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.Public)
            where method.GetCustomAttribute<DllImportAttribute>()?.Value == NativeLoader.LibraryName
            select method];

    [Fact]
    public void Every_export_has_an_import_and_the_reverse()
    {
        SortedSet<string> exports = ElfExports.Read(Path.Combine(AppContext.BaseDirectory, "libadze.so"));
        AssertSame(exports, Imports.Select(EntryPoint));
        Assert.All(Imports, import => Assert.Equal(EntryPoint(import), import.Name));
    }

    [Fact]
    public void Every_function_of_the_headers_has_an_import_of_its_types()
    {
        var expected = Headers.Functions().Select(function => $"{function.Name}: {Names(function.Parameters)}" +
            $" -> {ManagedName(function.Result)}");
        var actual = Imports.Select(import =>
            $"{import.Name}: {string.Join(", ", import.GetParameters().Select(p => AbiName(p.ParameterType)))}" +
            $" -> {AbiName(import.ReturnType)}");
        AssertSame(expected, actual);

        static string Names(string[] types) => string.Join(", ", types.Select(ManagedName));
    }

    [Fact]
    public void Structs_and_fields_are_where_the_library_has_them()
    {
        HashSet<string> actual = [];
        foreach (Type type in Layouts())
        {
            actual.Add($"struct {type.DeclaringType!.Name} {Marshal.SizeOf(type)}");
            foreach (FieldInfo field in Fields(type))
            {
                actual.Add($"field {type.DeclaringType.Name}.{field.Name} {Marshal.OffsetOf(type, field.Name)} " +
                    $"{SizeOf(field.FieldType)}");
            }
        }

        AssertSame(Table.Where(line => !line.StartsWith("value ", StringComparison.Ordinal)), actual);
    }

    [Fact]
    public void Enum_values_and_constants_are_the_librarys()
    {
        var actual = GeneratedEnumerators()
            .Append(("ADZE_ABI_VERSION", AdzeLibrary.ExpectedAbiVersion))
            .Append(("ADZE_CONTEXT_DETERMINISTIC", AdzeContext.DeterministicFlag))
            .Append(("ADZE_CONTEXT_CHECK_INDICES", AdzeContext.CheckIndicesFlag))
            .Append(("ADZE_VERSION", Pack(AdzeLibrary.Version)))
            .Select(item => $"value {item.Item1} {item.Item2}");
        AssertSame(Table.Where(line => line.StartsWith("value ", StringComparison.Ordinal)), actual);
    }

    [Fact]
    public void Headers_say_what_the_library_says()
    {
        HashSet<string> expected = [];
        expected.UnionWith(Headers.Enumerators().Select(item => $"value {item.Key} {item.Value}"));
        expected.UnionWith(Headers.Constants().Select(item => $"value {item.Key} {item.Value}"));
        expected.UnionWith(Headers.Structs().Select(type => $"struct {type.Key}"));
        expected.UnionWith(from type in Headers.Structs() from field in type.Value select $"field {type.Key}.{field}");
        AssertSame(expected, Table.Select(WithoutPlace));

        static string WithoutPlace(string line) =>
            line.Split(' ') is ["value", ..] ? line : string.Join(' ', line.Split(' ')[..2]);
    }

    [Fact]
    public void Fields_have_the_headers_order()
    {
        foreach ((string name, string[] fields) in Headers.Structs())
        {
            Type type = Layouts().Single(type => type.DeclaringType!.Name == name);
            Assert.Equal(fields, Fields(type).OrderBy(field => Marshal.OffsetOf(type, field.Name)).Select(field => field.Name));
        }
    }

    [Theory]
    [InlineData(typeof(Backend), "ADZE_BACKEND_")]
    [InlineData(typeof(CpuIsa), "ADZE_CPU_ISA_")]
    [InlineData(typeof(DType), "ADZE_DTYPE_")]
    [InlineData(typeof(AdzeStatus), "ADZE_ERROR_")]
    [InlineData(typeof(RopeScalingKind), "ADZE_ROPE_SCALING_")]
    [InlineData(typeof(Softmax), "ADZE_SOFTMAX_")]
    public void Public_enums_mirror_the_generated(Type type, string prefix)
    {
        var expected = GeneratedEnumerators().Where(item =>
            item.Name.StartsWith(prefix, StringComparison.Ordinal) || (prefix == "ADZE_ERROR_" && item.Name == "ADZE_OK"));
        var actual = Enum.GetNames(type).Select(name =>
            (name == "Ok" ? "ADZE_OK" : prefix + CName(type, name), Convert.ToInt64(Enum.Parse(type, name), null)));
        Assert.Equal(expected, actual);
    }

    [Fact]
    public void Sampling_parameters_are_laid_out_as_the_device_reads_them()
    {
        Type native = typeof(Interop.adze_sampling_params.__Internal);
        Assert.Equal(Marshal.SizeOf(native), Marshal.SizeOf<SamplingParams>());
        Assert.Equal(
            Fields(native).Select(field => (field.Name.Replace("_", ""), Marshal.OffsetOf(native, field.Name), field.FieldType)),
            Fields(typeof(SamplingParams)).Select(field => (
                field.Name[1..field.Name.IndexOf('>')].ToLowerInvariant(),
                Marshal.OffsetOf<SamplingParams>(field.Name),
                field.FieldType)));
    }

    [Fact]
    public void Generated_types_are_internal_and_need_no_package()
    {
        Assert.NotEmpty(Generated);
        Assert.DoesNotContain(Generated, type => type.IsPublic);
        Assert.All(
            Bindings.GetReferencedAssemblies(),
            name => Assert.StartsWith("System.", name.Name, StringComparison.Ordinal));
    }

    [Fact]
    public void Library_and_bindings_have_one_version()
    {
        Version version = Bindings.GetName().Version!;
        Assert.Equal(new Version(version.Major, version.Minor, version.Build), AdzeLibrary.Version);
        Assert.Contains($"adze {AdzeLibrary.Version}", AdzeLibrary.BuildInfo, StringComparison.Ordinal);
    }

    // As sets, with a message that names the differences only.
    private static void AssertSame(IEnumerable<string> expected, IEnumerable<string> actual)
    {
        HashSet<string> left = [.. expected], right = [.. actual];
        Assert.NotEmpty(left);
        Assert.True(
            left.SetEquals(right),
            $"missing: {string.Join("; ", left.Except(right))}\nunexpected: {string.Join("; ", right.Except(left))}");
    }

    private static string EntryPoint(MethodInfo import) => import.GetCustomAttribute<DllImportAttribute>()!.EntryPoint!;

    private static IEnumerable<Type> Layouts() =>
        Generated.Where(type => type.IsNested && type.IsValueType && type.DeclaringType != typeof(Interop.NativeMethods));

    private static FieldInfo[] Fields(Type type) =>
        type.GetFields(BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public);

    private static int SizeOf(Type type) => Marshal.SizeOf(type.IsEnum ? Enum.GetUnderlyingType(type) : type);

    private static IEnumerable<(string Name, long Value)> GeneratedEnumerators() =>
        from type in Generated
        where type.IsEnum
        from name in Enum.GetNames(type)
        select (name, Convert.ToInt64(Enum.Parse(type, name), null));

    private static long Pack(Version version) => version.Major << 16 | version.Minor << 8 | version.Build;

    // InvalidArgument -> INVALID_ARGUMENT; DType's names are C's already.
    private static string CName(Type type, string name)
    {
        StringBuilder result = new();
        foreach (char letter in name)
        {
            bool begins = char.IsUpper(letter) && result.Length > 0 && type != typeof(DType);
            result.Append(begins ? "_" : "").Append(char.ToUpperInvariant(letter));
        }

        return result.ToString();
    }

    // Numbers and enums by their own type; pointers are pointers.
    private static string ManagedName(string type) => type switch
    {
        _ when type.EndsWith('*') => "pointer",
        "uint8_t" => nameof(Byte),
        "int32_t" => nameof(Int32),
        "uint32_t" => nameof(UInt32),
        "int64_t" => nameof(Int64),
        "uint64_t" => nameof(UInt64),
        _ => type,
    };

    private static string AbiName(Type type) => type.IsPointer || type == typeof(nint) ? "pointer" : type.Name;
}
