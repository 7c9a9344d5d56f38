using System.Numerics;

namespace Adze.Text;

/// <summary>
/// Token texts by id and ids by token text. The texts are UTF-8 as tokenizer.json spells them, in one block of memory;
/// a look-up hashes a span and makes no string.
/// </summary>
internal sealed class Vocabulary
{
    /// <summary>The largest id that is believed; real vocabularies stay below 300,000.</summary>
    public const int LargestId = (1 << 22) - 1;

    private byte[] _text;
    private int _textLength;
    private Entry[] _entries;
    private int[] _slots; // id + 1, 0 is free

    public Vocabulary(int expected)
    {
        _text = new byte[Math.Max(expected, 16) * 8];
        _entries = new Entry[Math.Max(expected, 16)];
        _slots = new int[BitOperations.RoundUpToPowerOf2((uint)Math.Max(expected, 16)) * 2];
    }

    private struct Entry
    {
        public int Start;
        public int Length;
        public int Hash;
        public bool Present;
        public bool Added;
    }

    /// <summary>One more than the largest id.</summary>
    public int Size { get; private set; }

    /// <summary>How many tokens there are; less than <see cref="Size"/> where ids were left out.</summary>
    public int Count { get; private set; }

    public bool Contains(int id) => (uint)id < (uint)Size && _entries[id].Present;

    /// <summary>Whether the token is one of the model's own, and not only an added one.</summary>
    public bool IsModels(int id) => Contains(id) && !_entries[id].Added;

    public ReadOnlySpan<byte> this[int id] =>
        Contains(id) ? _text.AsSpan(_entries[id].Start, _entries[id].Length) : default;

    public bool TryGet(ReadOnlySpan<byte> token, out int id)
    {
        int hash = Hash(token);
        int mask = _slots.Length - 1;
        for (int slot = hash & mask; _slots[slot] != 0; slot = (slot + 1) & mask)
        {
            id = _slots[slot] - 1;
            ref readonly Entry entry = ref _entries[id];
            if (entry.Hash == hash && token.SequenceEqual(_text.AsSpan(entry.Start, entry.Length)))
                return true;
        }

        id = -1;
        return false;
    }

    /// <summary>Adds a token; the caller has checked that neither the id nor the text is taken.</summary>
    public void Add(ReadOnlySpan<byte> token, int id, bool added = false)
    {
        while (_text.Length - _textLength < token.Length)
            Array.Resize(ref _text, checked(_text.Length * 2));
        if (id >= _entries.Length)
            Array.Resize(ref _entries, Math.Max(id + 1, Math.Min(_entries.Length * 2, LargestId + 1)));
        if ((Count + 1) * 2 > _slots.Length)
            Rehash();

        token.CopyTo(_text.AsSpan(_textLength));
        _entries[id] = new Entry
        {
            Start = _textLength,
            Length = token.Length,
            Hash = Hash(token),
            Present = true,
            Added = added,
        };
        _textLength += token.Length;
        Size = Math.Max(Size, id + 1);
        Count++;
        Place(id);
    }

    private void Place(int id)
    {
        int mask = _slots.Length - 1;
        int slot = _entries[id].Hash & mask;
        while (_slots[slot] != 0)
            slot = (slot + 1) & mask;
        _slots[slot] = id + 1;
    }

    private void Rehash()
    {
        _slots = new int[_slots.Length * 2];
        for (int id = 0; id < Size; id++)
            if (_entries[id].Present)
                Place(id);
    }

    private static int Hash(ReadOnlySpan<byte> token)
    {
        var hash = default(HashCode); // seeded anew in each process, so that no file can be made to collide
        hash.AddBytes(token);
        return hash.ToHashCode();
    }
}
