// The CUDA driver's functions that the runtime has no form of: contexts, tensor maps, and virtual memory. They are looked up
// when first asked for, so that the library loads where no driver is.
#pragma once

#include <cuda.h>

namespace adze {

struct CudaDriver {
    decltype(&cuGetErrorName) get_error_name;
    decltype(&cuDeviceGet) device_get;
    decltype(&cuDevicePrimaryCtxRetain) device_primary_ctx_retain;
    decltype(&cuCtxGetCurrent) ctx_get_current;
    decltype(&cuCtxSetCurrent) ctx_set_current;
    decltype(&cuTensorMapEncodeTiled) tensor_map_encode_tiled;
};

struct CudaVirtualMemory {
    decltype(&cuMemGetAllocationGranularity) get_allocation_granularity;
    decltype(&cuMemAddressReserve) address_reserve;
    decltype(&cuMemAddressFree) address_free;
    decltype(&cuMemCreate) create;
    decltype(&cuMemRelease) release;
    decltype(&cuMemMap) map;
    decltype(&cuMemUnmap) unmap;
    decltype(&cuMemSetAccess) set_access;
};

// Fails with UNAVAILABLE and the reason.
const CudaDriver& cuda_driver();
// Fails with NOT_SUPPORTED: a device without it does all else.
const CudaVirtualMemory& cuda_virtual_memory();

}  // namespace adze
