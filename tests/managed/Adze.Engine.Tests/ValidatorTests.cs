using System.Text;
using Adze.Engine.Validation;
using Adze.Models;

namespace Adze.Engine.Tests;

/// <summary>The validator passes what is right, and names what is not.</summary>
public sealed class ValidatorTests(OddModel odd) : IClassFixture<OddModel>
{
    private static readonly string s_reference = Repository.OddReference;

    [Fact]
    public void A_right_model_passes_in_every_row()
    {
        ValidationReport report = Validator.Run(odd.Model, s_reference);
        Assert.True(report.Passed);
        Assert.Equal(["embedding", "layer 1", "layer 2", "layer 3", "layer 4", "layer 5", "logits"],
            report.Errors.Select(row => row.Name));
        Assert.Equal(0, report.Errors[0].LargestError); // a table look-up is exact
        Assert.All(report.Errors.Skip(1), row => Assert.InRange(row.RelativeError, 1e-9, row.RelativeTolerance));
        Assert.Equal((8, 8), (report.Greedy.Right, report.Greedy.Total));
        Assert.Null(report.HeldOut);
    }

    [Theory]
    [InlineData(7, 4, 60)]
    [InlineData(33, 8, 20)]
    [InlineData(512, 1, 100)]
    public void Chunks_and_few_pages_change_nothing(int maxTokens, int maxSequences, int numPages)
    {
        using LanguageModel model = LanguageModel.Load(Repository.Mistral,
            OddModel.Small with
            {
                MaxBatchTokens = maxTokens,
                MaxSequences = maxSequences,
                NumPages = numPages,
                PageSize = 5,
            });
        ValidationReport report = Validator.Run(model, Path.Combine(Repository.Mistral, "reference.safetensors"));
        Assert.True(report.Passed, string.Join(", ", report.Errors.Where(row => !row.Passed)));
        Assert.Equal(model.NumPages, model.FreePages);
    }

    [Fact]
    public void The_bundled_model_answers_at_least_95_percent_of_the_held_out_prompts()
    {
        using LanguageModel model = LanguageModel.Load(Repository.Orders, new() { Backend = Native.Backend.Cpu });
        ValidationReport report = Validator.Run(model, Repository.OrdersReference);
        Assert.True(report.Passed);
        Assert.Equal(32, report.Greedy.Right);
        Assert.Equal(200, report.HeldOut!.Total);
        Assert.InRange(report.HeldOut.Right, 190, 200);
    }

    [Fact]
    public void Bf16_is_held_to_its_own_tolerances()
    {
        using LanguageModel model = LanguageModel.Load(Repository.Mistral,
            OddModel.Small with { DType = Native.DType.BF16 });
        ValidationReport report = Validator.Run(model, Path.Combine(Repository.Mistral, "reference.safetensors"));
        Assert.True(report.Passed, string.Join(", ", report.Errors.Where(row => !row.Passed)));
        Assert.InRange(report.Errors[^1].RelativeError, 1e-4, 1e-1);
        Assert.Equal(0, report.Greedy.RequiredShare); // rounding may swap two logits as close as these
    }

    [Fact]
    public void A_changed_weight_is_found_from_its_layer_on()
    {
        using ModelCopy copy = new(Repository.Odd);
        SafetensorsBytes.Scale(
            copy["model-00002-of-00002.safetensors"], "model.layers.3.self_attn.o_proj.weight", 1.001f);
        using LanguageModel model = LanguageModel.Load(copy.Directory, OddModel.Small);
        ValidationReport report = Validator.Run(model, s_reference);
        Assert.False(report.Passed);
        Assert.Equal(["layer 4", "layer 5", "logits"], report.Errors.Where(row => !row.Passed).Select(row => row.Name));
    }

    [Fact]
    public void One_greedy_token_that_differs_fails()
    {
        using ModelCopy copy = new(Repository.Odd);
        SafetensorsBytes.Increment(copy["reference.safetensors"], "greedy_ids", element: 30);
        ValidationReport report = Validator.Run(odd.Model, copy["reference.safetensors"]);
        Assert.Equal(7, report.Greedy.Right);
        Assert.False(report.Passed);
    }

    [Theory]
    [InlineData("error.float32.logits", "error.float32.logitz", "says nothing about float32")]
    [InlineData("\"hidden.5\"", "\"hidden.6\"", "'hidden.5' is missing")]
    [InlineData("\"greedy_indptr\"", "\"greedy_indptx\"", "'greedy_indptr' is missing")]
    [InlineData("\"8.067034006423006e-07 1.990795135498047e-05\"", "\"Infinity 1.990795135498047e-05             \"", "not a finite")]
    [InlineData("\"0.01594824030838815\"", "\"NaN                \"", "not a finite")]
    [InlineData("\"0.01594824030838815\"", "\"-1                 \"", "not a finite")]
    public void A_reference_that_lacks_something_is_refused(string old, string @new, string message)
    {
        using ModelCopy copy = new(Repository.Odd);
        SafetensorsBytes.ReplaceInHeader(copy["reference.safetensors"], old, @new);
        Refuse(copy["reference.safetensors"], message);
    }

    [Fact]
    public void Broken_row_bounds_are_refused()
    {
        using ModelCopy copy = new(Repository.Odd);
        SafetensorsBytes.Increment(copy["reference.safetensors"], "prompt_indptr", element: 0);
        Refuse(copy["reference.safetensors"], "prompt_indptr does not run from 0");
    }

    [Fact]
    public void A_reference_of_another_model_is_refused() =>
        Refuse(Path.Combine(Repository.Mistral, "reference.safetensors"), "hidden.0 is F32");

    [Fact]
    public void A_file_that_is_no_reference_is_refused()
    {
        Refuse(Path.Combine(Repository.Odd, "config.json"), "config.json");
        Refuse("/no/such/file", "/no/such/file");
    }

    [Theory]
    [InlineData("{\"prompt\": \"a\", \"answer\": \"b\"}\n{\"prompt\": 3}", "line 2")]
    [InlineData("{\"prompt\": \"a\"}", "line 1")]
    [InlineData("[]", "line 1")]
    [InlineData("{\"prompt\": ", "line 1")]
    public void Broken_held_out_lines_are_named(string lines, string message)
    {
        using ModelCopy copy = new(Repository.Odd);
        File.WriteAllText(copy["heldout.jsonl"], lines);
        using LanguageModel model = LanguageModel.Load(copy.Directory, OddModel.Small);
        ModelFormatException exception =
            Assert.Throws<ModelFormatException>(() => Validator.Run(model, s_reference));
        Assert.Contains(message, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_answer_counts_when_it_is_exact_and_ends()
    {
        GenerationRequest request = new("Once upon") { MaxTokens = 20 };
        int[] tokens = Output.Of(odd.Model, request).Tokens(0);
        int end = tokens[^1];
        int length = Array.IndexOf(tokens, end);
        string answer = odd.Model.Tokenizer.Decode(tokens.AsSpan(0, length));
        using ModelCopy copy = new(Repository.Odd);
        File.WriteAllText(copy["generation_config.json"], $$"""{"eos_token_id": {{end}}}""");
        File.WriteAllLines(copy["heldout.jsonl"], [Line(answer), Line(answer + "x"), Line(answer[..^1])]);
        using LanguageModel model = LanguageModel.Load(copy.Directory, OddModel.Small);
        ValidationReport report = Validator.Run(model, s_reference);
        Assert.Equal((1, 3), (report.HeldOut!.Right, report.HeldOut.Total));
        Assert.False(report.Passed);
        Assert.True(Validator.Run(model, s_reference, new ValidationOptions { MaxHeldOut = 1 }).Passed);
        Assert.Null(Validator.Run(model, s_reference, new ValidationOptions { MaxHeldOut = 0 }).HeldOut);

        static string Line(string text) => HeldOutLine("Once upon", text);
    }

    [Fact]
    public void An_answer_that_only_the_context_ends_does_not_count()
    {
        string prompt = string.Concat(Enumerable.Repeat("many words ", 20));
        int context = odd.Model.Encode(prompt).Length + 5; // room for the reference, too
        string answer = Output.Of(odd.Model, new GenerationRequest(prompt) { MaxTokens = 5 }).Text(0);
        using ModelCopy copy = new(Repository.Odd);
        copy.Edit("config.json", "\"max_position_embeddings\": 256", $"\"max_position_embeddings\": {context}");
        File.WriteAllText(copy["heldout.jsonl"], HeldOutLine(prompt, answer));
        using LanguageModel model = LanguageModel.Load(copy.Directory, OddModel.Small);
        Output output = Output.Of(model, new GenerationRequest(prompt));
        Assert.Equal((answer, FinishReason.ContextLimit), (output.Text(0), output.Reasons[0]));
        Assert.Equal(0, Validator.Run(model, s_reference).HeldOut!.Right);
    }

    [Fact]
    public void Nothing_that_is_not_a_number_passes()
    {
        ErrorMeasure measure = new();
        measure.Add([1, float.NaN, 3], [1, 2, 3]);
        measure.Add([1], [1]);
        Assert.True(double.IsNaN(measure.Relative) && double.IsNaN(measure.Largest));
        Assert.False(new ErrorRow("x", double.NaN, 1, 0, 1).Passed);
        Assert.False(new ErrorRow("x", 0, 1, double.NaN, 1).Passed);
        Assert.False(new ErrorRow("x", 0, 1, double.PositiveInfinity, 1).Passed);
    }

    [Fact]
    public void The_relative_error_is_that_of_the_norms()
    {
        ErrorMeasure measure = new();
        measure.Add([3, 4.5f], [3, 4]);
        Assert.Equal((0.1, 0.5), (measure.Relative, measure.Largest));
        ErrorMeasure zero = new();
        zero.Add([0, 0.5f], [0, 0]);
        Assert.Equal(double.PositiveInfinity, zero.Relative);
    }

    [Fact]
    public void Cancelling_leaves_the_model_ready()
    {
        using CancellationTokenSource source = new();
        source.Cancel();
        Assert.Throws<OperationCanceledException>(() => Validator.Run(odd.Model, s_reference, null, source.Token));
        Assert.Equal(odd.Model.NumPages, odd.Model.FreePages);
        Assert.NotEmpty(Output.Of(odd.Model, new GenerationRequest("a") { MaxTokens = 2 }).Tokens(0));
    }

    private static string HeldOutLine(string prompt, string answer) =>
        $$"""{"prompt": "{{prompt}}", "answer": {{System.Text.Json.JsonSerializer.Serialize(answer)}}}""";

    private void Refuse(string path, string message) => Assert.Contains(message,
        Assert.Throws<ModelFormatException>(() => Validator.Run(odd.Model, path)).Message, StringComparison.Ordinal);
}

/// <summary>Changes to safetensors files that leave their layout as it is.</summary>
internal static class SafetensorsBytes
{
    public static void Fill(string path, string tensor, byte value) =>
        Edit(path, tensor, (bytes, _) => bytes.Fill(value));

    public static void Scale(string path, string tensor, float factor) => Edit(path, tensor, (bytes, dtype) =>
    {
        Assert.Equal(SafetensorsDType.F16, dtype);
        foreach (ref Half value in System.Runtime.InteropServices.MemoryMarshal.Cast<byte, Half>(bytes))
            value = (Half)((float)value * factor);
    });

    public static void Increment(string path, string tensor, int element) => Edit(path, tensor, (bytes, _) =>
        System.Runtime.InteropServices.MemoryMarshal.Cast<byte, int>(bytes)[element]++);

    public static void ReplaceInHeader(string path, string old, string @new)
    {
        Assert.Equal(old.Length, @new.Length);
        byte[] bytes = File.ReadAllBytes(path);
        int at = bytes.AsSpan().IndexOf(Encoding.UTF8.GetBytes(old));
        Assert.True(at > 0);
        Encoding.UTF8.GetBytes(@new).CopyTo(bytes.AsSpan(at));
        File.WriteAllBytes(path, bytes);
    }

    private delegate void Change(Span<byte> bytes, SafetensorsDType dtype);

    private static void Edit(string path, string tensor, Change change)
    {
        SafetensorsEntry entry;
        using (SafetensorsFile file = SafetensorsFile.Open(path))
            entry = file[tensor];
        byte[] bytes = File.ReadAllBytes(path);
        change(bytes.AsSpan((int)entry.Offset, (int)entry.Bytes), entry.DType);
        File.WriteAllBytes(path, bytes);
    }
}
