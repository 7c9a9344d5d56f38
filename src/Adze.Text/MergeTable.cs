using System.Numerics;
using System.Security.Cryptography;

namespace Adze.Text;

/// <summary>For a pair of neighbouring tokens: the rank of the merge that joins them, and the token that they become.</summary>
internal sealed class MergeTable
{
    /// <summary>What a pair that no merge joins has: more than every rank.</summary>
    public const ulong None = ulong.MaxValue;

    private readonly ulong[] _pairs;
    private readonly ulong[] _merges;
    private readonly int _shift;
    private readonly ulong _seed = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) | 1;

    public MergeTable(int expected)
    {
        int size = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(expected, 8) * 2);
        _pairs = new ulong[size];
        _merges = new ulong[size];
        _merges.AsSpan().Fill(None);
        _shift = 64 - BitOperations.Log2((uint)size);
    }

    public static int Rank(ulong merge) => (int)(merge >> 32);

    public static int Token(ulong merge) => (int)merge;

    /// <summary>Ranks the pair; a pair that is listed again takes its later rank, as in the reference.</summary>
    public void Set(int left, int right, int rank, int token)
    {
        ulong pair = Pair(left, right);
        int slot = Find(pair);
        _pairs[slot] = pair;
        _merges[slot] = ((ulong)(uint)rank << 32) | (uint)token;
    }

    /// <summary>The pair's rank in the upper half and the new token in the lower, or <see cref="None"/>.</summary>
    public ulong Get(int left, int right) => _merges[Find(Pair(left, right))];

    private int Find(ulong pair)
    {
        int mask = _pairs.Length - 1;
        int slot = (int)((pair * _seed * 0x9E3779B97F4A7C15) >> _shift);
        while (_merges[slot] != None && _pairs[slot] != pair)
            slot = (slot + 1) & mask;
        return slot;
    }

    private static ulong Pair(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;
}
