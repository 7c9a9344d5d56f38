// The CUDA driver's functions that the runtime has no form of: contexts, tensor maps, and virtual memory, in which a
// buffer can grow where it lies. They are looked up when first asked for, so that the library loads where no driver is.
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
    decltype(&cuMemGetAllocationGranularity) mem_get_allocation_granularity;
    decltype(&cuMemAddressReserve) mem_address_reserve;
    decltype(&cuMemAddressFree) mem_address_free;
    decltype(&cuMemCreate) mem_create;
    decltype(&cuMemRelease) mem_release;
    decltype(&cuMemMap) mem_map;
    decltype(&cuMemUnmap) mem_unmap;
    decltype(&cuMemSetAccess) mem_set_access;
};

// Fails with UNAVAILABLE and the reason.
const CudaDriver& cuda_driver();

}  // namespace adze
