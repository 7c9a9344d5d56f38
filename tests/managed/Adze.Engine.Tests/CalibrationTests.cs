using System.Globalization;
using System.Text.RegularExpressions;
using Adze.Engine.Calibration;
using Adze.Engine.Validation;
using Adze.Models;
using Adze.Native;

namespace Adze.Engine.Tests;

/// <summary>Calibration counts every logit that attention sees, and puts phi in the middle of its maxima.</summary>
public sealed class CalibrationTests(OddModel odd) : IClassFixture<OddModel>
{
    private static readonly Random s_random = new(7);

    [Theory]
    [InlineData("odd", DType.F32)]
    [InlineData("odd", DType.F16)]
    [InlineData("mistral", DType.BF16)] // with a window shorter than the pieces
    public void Every_visible_logit_is_counted_and_each_parts_maximum(string name, DType dtype)
    {
        string directory = name == "odd" ? Repository.Odd : Repository.Mistral;
        using LanguageModel model = LanguageModel.Load(directory, OddModel.Small with { DType = dtype });
        int[][] pieces = [Tokens(model, 200), Tokens(model, 1), Tokens(model, 129)];
        CalibrationReport report = AttentionCalibrator.Run(model, new CalibrationText("t", pieces));
        Assert.Equal(330, report.Tokens);
        NaiveCount naive = new(model);
        foreach (int[] piece in pieces)
            PromptBatches.Run(model, [piece], (runner, _) => runner.Forward([], naive), default);
        Assert.Equal(model.Config.NumLayers * model.Config.NumHeads, report.Heads.Count);
        foreach (HeadLogits head in report.Heads)
        {
            (List<double> logits, List<double> maxima) = naive.Of(head.Layer, head.Head);
            ExpectSame(logits, head.Logits);
            ExpectSame(maxima, head.Maxima);
        }
        Assert.Equal(model.NumPages, model.FreePages);

        static void ExpectSame(List<double> expected, LogitHistogram actual)
        {
            Assert.Equal(expected.Count, actual.Count);
            Assert.Equal(expected.Min(), actual.Least, 1e-4);
            Assert.Equal(expected.Max(), actual.Greatest, 1e-4);
            expected.Sort();
            Assert.Equal(expected[expected.Count / 2], actual.Quantile(0.5), 0.25);
        }
    }

    [Fact]
    public void Phi_is_in_the_middle_of_the_maxima_and_goes_to_the_file()
    {
        CalibrationReport report = AttentionCalibrator.Run(odd.Model, new CalibrationText("t", [Tokens(odd.Model, 100)]));
        AttentionCalibration calibration = report.Calibration;
        Assert.Equal(odd.Model.Config.NumLayers, calibration.Phi.Count);
        for (int i = 0; i < report.Heads.Count; i++)
        {
            (HeadLogits head, HeadPhi phi) = (report.Heads[i], report.Phi[i]);
            Assert.Equal((float)phi.Phi, calibration.Phi[head.Layer][head.Head]);
            Assert.Equal(1, phi.Within);
            double below = head.Maxima.Least - (phi.Phi - AttentionCalibrator.Below);
            double above = phi.Phi + AttentionCalibrator.Above - head.Maxima.Greatest;
            Assert.InRange(below - above, -0.51, 0.51);
        }
    }

    [Fact]
    public void The_bounds_are_those_of_the_kernels()
    {
        string kernel = File.ReadAllText(Repository.Path("kernels/attention/attention_softmax.cuh"));
        Assert.Equal((AttentionCalibrator.Below, AttentionCalibrator.Above), (Constant("kMostBelowPhi"), Constant("kMostAbovePhi")));

        float Constant(string name) =>
            float.Parse(Regex.Match(kernel, $@"{name} = ([\d.]+)f").Groups[1].ValueSpan, CultureInfo.InvariantCulture);
    }

    [Fact]
    public void The_interval_holds_the_most_and_leaves_equal_margins()
    {
        LogitHistogram histogram = new();
        foreach (float logit in (float[])[-3, -2.9f, 1, 2, 9.9f])
            histogram.Add(logit);
        (double begin, double share) = histogram.BestInterval(20);
        Assert.Equal(1, share);
        Assert.Equal(-3 - begin, begin + 20 - 10, 0.26);
        (begin, share) = histogram.BestInterval(5.25); // -3 to 2
        Assert.Equal(0.8, share);
        Assert.InRange(begin, -3.01, -2.99);
        (begin, share) = histogram.BestInterval(0.5);
        Assert.Equal(0.4, share);
        Assert.InRange(begin, -3.25, -3);
    }

    [Fact]
    public void Logits_beyond_the_bins_are_counted_at_the_ends()
    {
        LogitHistogram histogram = new();
        Assert.True(double.IsNaN(histogram.Quantile(0.5)));
        Assert.True(double.IsNaN(histogram.BestInterval(10).Share));
        foreach (float logit in (float[])[1e30f, -1e30f, 600, -600, 0])
            histogram.Add(logit);
        Assert.Equal((5, 1e30f, -1e30f), (histogram.Count, histogram.Greatest, histogram.Least));
        Assert.Equal(0, histogram.Quantile(0.5), 0.25);
        Assert.Equal(0.4, histogram.BestInterval(50).Share);
    }

    [Fact]
    public void Quantiles_are_those_of_the_values()
    {
        LogitHistogram histogram = new();
        float[] values = [.. Enumerable.Range(0, 1000).Select(_ => s_random.NextSingle() * 40 - 20)];
        foreach (float value in values)
            histogram.Add(value);
        Array.Sort(values);
        foreach (double share in (double[])[0, 0.01, 0.5, 0.99, 1])
            Assert.Equal(values[Math.Max(0, (int)Math.Ceiling(share * 1000) - 1)], histogram.Quantile(share), 0.126);
    }

    [Fact]
    public void A_logit_that_is_no_number_is_named()
    {
        using ModelCopy copy = new(Repository.Odd);
        SafetensorsBytes.Fill(copy["model-00001-of-00002.safetensors"], "model.layers.0.self_attn.q_proj.weight", 0x7e);
        using LanguageModel model = LanguageModel.Load(copy.Directory, OddModel.Small);
        Exception exception = Assert.ThrowsAny<Exception>(
            () => AttentionCalibrator.Run(model, new CalibrationText("t", [[1, 2, 3]])));
        Assert.Contains("layer 0, query head", exception.GetBaseException().Message, StringComparison.Ordinal);
        Assert.IsType<GenerationException>(exception);
        Assert.Equal(model.NumPages, model.FreePages);
    }

    [Fact]
    public void A_text_is_cut_into_sequences_that_begin_alike()
    {
        using ModelCopy copy = new(Repository.Orders);
        File.Delete(copy["heldout.jsonl"]);
        File.WriteAllText(copy["text.txt"], string.Concat(Enumerable.Repeat("many words ", 400)));
        using LanguageModel model = LanguageModel.Load(copy.Directory, OddModel.Small with { MaxBatchTokens = 50 });
        CalibrationText text = CalibrationText.Load(model, copy["text.txt"]);
        Assert.Equal("text.txt", text.Name);
        int[] whole = model.Encode(File.ReadAllText(copy["text.txt"]));
        int[] begin = [model.Config.BosTokenId!.Value];
        Assert.Equal(begin, whole[..1]);
        Assert.All(text.Pieces, piece => Assert.InRange(piece.Length, 1, 50));
        Assert.All(text.Pieces, piece => Assert.Equal(begin, piece[..begin.Length]));
        Assert.Equal(whole, (int[])[.. begin, .. text.Pieces.SelectMany(piece => piece[begin.Length..])]);
        Assert.Equal(50, text.Pieces[0].Length);
        Refused("/no/such/file", "/no/such/file");
        Refused(null, "has no heldout.jsonl");
        File.WriteAllText(copy["text.txt"], "");
        Refused(copy["text.txt"], "is empty");

        void Refused(string? path, string message) => Assert.Contains(message,
            Assert.Throws<ModelFormatException>(() => CalibrationText.Load(model, path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_default_text_is_the_held_out_prompts_with_their_answers()
    {
        using ModelCopy copy = new(Repository.Odd);
        File.WriteAllText(copy["heldout.jsonl"], """{"prompt": "Once", "answer": " upon"}""");
        using LanguageModel model = LanguageModel.Load(copy.Directory, OddModel.Small);
        int[] answer = model.Tokenizer.Encode(" upon", addSpecialTokens: false);
        Assert.Equal((int[])[.. model.Encode("Once"), .. answer], Assert.Single(CalibrationText.Load(model, null).Pieces));
    }

    [Fact]
    public void The_bundled_models_file_is_what_calibration_finds()
    {
        using LanguageModel model = LanguageModel.Load(Repository.Orders, OddModel.Small);
        CalibrationReport report = AttentionCalibrator.Run(model, CalibrationText.Load(model, null));
        AttentionCalibration expected = AttentionCalibration.Load(Repository.Orders, model.Config)!;
        AttentionCalibration found = report.Calibration;
        foreach ((float a, float b) in expected.Phi.SelectMany(phi => phi).Zip(found.Phi.SelectMany(phi => phi)))
            Assert.Equal(a, b, 0.26f); // a bin, on a machine whose sums end otherwise
    }

    private static int[] Tokens(LanguageModel model, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => s_random.Next(model.Config.VocabularySize))];

    private sealed class NaiveCount(LanguageModel model) : IForwardObserver
    {
        private readonly Dictionary<(int, int), (List<double> Logits, List<double> Maxima)> _heads = [];

        public (List<double> Logits, List<double> Maxima) Of(int layer, int head) => _heads[(layer, head)];

        public void OnAttention(int layer, DeviceTensor q, DeviceTensor k)
        {
            ModelConfig config = model.Config;
            float[] queries = Read(q), keys = Read(k);
            for (int head = 0; head < config.NumHeads; head++)
            {
                _heads.TryAdd((layer, head), ([], []));
                (List<double> logits, List<double> maxima) = _heads[(layer, head)];
                int kvHead = head * config.NumKvHeads / config.NumHeads;
                for (int i = 0; i < q.Rows; i++)
                {
                    int first = Math.Max(0, i + 1 - (config.SlidingWindow ?? int.MaxValue));
                    double[] row = [.. Enumerable.Range(first, i + 1 - first).Select(j => Enumerable.Range(0, config.HeadDim).Sum(d =>
                        (double)queries[(i * config.NumHeads + head) * config.HeadDim + d]
                        * keys[(j * config.NumKvHeads + kvHead) * config.HeadDim + d]) / Math.Sqrt(config.HeadDim))];
                    logits.AddRange(row);
                    maxima.AddRange(row.Select((logit, at) => (logit, Part: (first + at) / 128))
                        .GroupBy(pair => pair.Part, pair => pair.logit).Select(part => part.Max()));
                }
            }
        }

        private float[] Read(DeviceTensor tensor)
        {
            float[] values = new float[tensor.Rows * tensor.Columns];
            model.Runner.Read(tensor, values);
            return values;
        }
    }
}
