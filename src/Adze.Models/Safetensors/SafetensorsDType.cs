namespace Adze.Models;

/// <summary>Element types that a safetensors file can name.</summary>
public enum SafetensorsDType
{
    /// <summary>BOOL, one byte.</summary>
    Bool,
    /// <summary>U8.</summary>
    U8,
    /// <summary>I8.</summary>
    I8,
    /// <summary>I16.</summary>
    I16,
    /// <summary>U16.</summary>
    U16,
    /// <summary>I32.</summary>
    I32,
    /// <summary>U32.</summary>
    U32,
    /// <summary>I64.</summary>
    I64,
    /// <summary>U64.</summary>
    U64,
    /// <summary>F4, two to a byte.</summary>
    F4,
    /// <summary>F6_E2M3, four to three bytes.</summary>
    F6E2M3,
    /// <summary>F6_E3M2, four to three bytes.</summary>
    F6E3M2,
    /// <summary>F8_E5M2.</summary>
    F8E5M2,
    /// <summary>F8_E4M3.</summary>
    F8E4M3,
    /// <summary>F8_E8M0.</summary>
    F8E8M0,
    /// <summary>F16.</summary>
    F16,
    /// <summary>BF16.</summary>
    BF16,
    /// <summary>F32.</summary>
    F32,
    /// <summary>F64.</summary>
    F64,
    /// <summary>C64, two F32.</summary>
    C64,
}

internal static class SafetensorsDTypes
{
    private static readonly (string Name, SafetensorsDType DType, int Bits)[] All =
    [
        ("BOOL", SafetensorsDType.Bool, 8), ("U8", SafetensorsDType.U8, 8), ("I8", SafetensorsDType.I8, 8),
        ("I16", SafetensorsDType.I16, 16), ("U16", SafetensorsDType.U16, 16), ("I32", SafetensorsDType.I32, 32),
        ("U32", SafetensorsDType.U32, 32), ("I64", SafetensorsDType.I64, 64), ("U64", SafetensorsDType.U64, 64),
        ("F4", SafetensorsDType.F4, 4), ("F6_E2M3", SafetensorsDType.F6E2M3, 6),
        ("F6_E3M2", SafetensorsDType.F6E3M2, 6), ("F8_E5M2", SafetensorsDType.F8E5M2, 8),
        ("F8_E4M3", SafetensorsDType.F8E4M3, 8), ("F8_E8M0", SafetensorsDType.F8E8M0, 8),
        ("F16", SafetensorsDType.F16, 16), ("BF16", SafetensorsDType.BF16, 16), ("F32", SafetensorsDType.F32, 32),
        ("F64", SafetensorsDType.F64, 64), ("C64", SafetensorsDType.C64, 64),
    ];

    public static bool TryParse(string name, out SafetensorsDType dtype)
    {
        int index = Array.FindIndex(All, entry => entry.Name == name);
        dtype = index < 0 ? default : All[index].DType;
        return index >= 0;
    }

    public static int Bits(this SafetensorsDType dtype) => Array.Find(All, entry => entry.DType == dtype).Bits;

    /// <summary>The name as the format spells it.</summary>
    public static string FormatName(this SafetensorsDType dtype) => Array.Find(All, entry => entry.DType == dtype).Name;
}
