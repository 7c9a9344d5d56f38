namespace Adze.Cli;

/// <summary>Progress that is told at once, on the working thread; <see cref="Progress{T}"/> would post it.</summary>
internal sealed class DirectProgress<T>(Action<T> report) : IProgress<T>
{
    public void Report(T value) => report(value);
}
