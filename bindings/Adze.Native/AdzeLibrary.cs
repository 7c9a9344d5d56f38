using System.Runtime.InteropServices;

namespace Adze.Native;

/// <summary>What a context runs on.</summary>
/// <param name="Backend">Never <see cref="Native.Backend.Auto"/>.</param>
/// <param name="Device">Index among the backend's devices.</param>
/// <param name="Name">The device's name.</param>
/// <param name="Architecture">Such as "avx512" or "sm_90a".</param>
/// <param name="NumProcessors">Cores, multiprocessors or compute units.</param>
/// <param name="MemoryBytes">Memory of the device.</param>
/// <param name="SharedMemoryPerBlock">In bytes; 0 on cpu.</param>
/// <param name="WarpSize">Threads of a warp; 1 on cpu.</param>
public sealed record DeviceInfo(
    Backend Backend,
    int Device,
    string Name,
    string Architecture,
    int NumProcessors,
    ulong MemoryBytes,
    ulong SharedMemoryPerBlock,
    int WarpSize)
{
    internal static unsafe DeviceInfo From(in adze_device_info info) => new(
        (Backend)info.backend,
        info.device,
        Marshal.PtrToStringUTF8(info.name) ?? "",
        Marshal.PtrToStringUTF8(info.architecture) ?? "",
        info.num_processors,
        info.memory_bytes,
        info.shared_memory_per_block,
        info.warp_size);
}

/// <summary>The native library that is loaded.</summary>
public static unsafe class AdzeLibrary
{
    /// <summary>ADZE_ABI_VERSION of the headers that the bindings were generated from.</summary>
    internal const uint ExpectedAbiVersion = 0;

    /// <summary>Its version.</summary>
    public static Version Version
    {
        get
        {
            uint version = adze_version();
            return new Version((int)(version >> 16), (int)(version >> 8 & 0xff), (int)(version & 0xff));
        }
    }

    /// <summary>Version of its ABI: equal numbers are compatible both ways.</summary>
    public static uint AbiVersion => adze_abi_version();

    /// <summary>One line on how it was built: version, backends, instruction sets, architectures, compiler.</summary>
    public static string BuildInfo => Marshal.PtrToStringUTF8((nint)adze_build_info()) ?? "";

    /// <summary>Its structs, fields and enum values as compiled: the table that the bindings are tested with.</summary>
    public static string AbiLayout => Marshal.PtrToStringUTF8((nint)adze_abi_layout()) ?? "";

    /// <summary>Number of devices of a backend.</summary>
    /// <param name="backend">A backend; Auto counts the devices of the one that Auto chooses.</param>
    /// <returns>How many there are.</returns>
    /// <exception cref="AdzeException">The backend is not built or its plug-in is not found.</exception>
    public static int DeviceCount(Backend backend)
    {
        int count = 0;
        NativeCall.Check(adze_device_count((adze_backend)backend, &count));
        return count;
    }

    /// <summary>Describes a device.</summary>
    /// <param name="backend">A backend.</param>
    /// <param name="device">Index among its devices.</param>
    /// <returns>The description.</returns>
    /// <exception cref="AdzeException">There is no such backend or device.</exception>
    public static DeviceInfo GetDeviceInfo(Backend backend, int device)
    {
        adze_device_info info = new() { struct_size = (uint)sizeof(adze_device_info) };
        NativeCall.Check(adze_device_info_get((adze_backend)backend, device, (nint)(&info)));
        return DeviceInfo.From(info);
    }
}
