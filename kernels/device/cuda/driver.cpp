#include "device/cuda/driver.h"

#include <dlfcn.h>

#include "runtime/check.h"

namespace adze {
namespace {

// cuGetProcAddress as of CUDA 12; older drivers have the form without the last argument, under the plain name.
using GetProcAddress = CUresult (*)(const char*, void**, int, cuuint64_t, CUdriverProcAddressQueryResult*);
using OldGetProcAddress = CUresult (*)(const char*, void**, int, cuuint64_t);

class DriverLibrary {
public:
    DriverLibrary() : library_(dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)) {  // stays loaded, as the runtime's does
        if (library_ == nullptr) fail(ADZE_ERROR_UNAVAILABLE, "the CUDA driver does not load: %s", dlerror());
        look_up_ = reinterpret_cast<GetProcAddress>(dlsym(library_, "cuGetProcAddress_v2"));
        old_look_up_ = reinterpret_cast<OldGetProcAddress>(dlsym(library_, "cuGetProcAddress"));
        if (look_up_ == nullptr && old_look_up_ == nullptr) {
            fail(ADZE_ERROR_UNAVAILABLE, "the CUDA driver is older than CUDA 11.3: it has no cuGetProcAddress");
        }
    }

    // `version`: the CUDA version whose form of the function is meant. `status`: of its absence.
    template <class Function>
    void find(Function& function, const char* name, int version, adze_status status = ADZE_ERROR_UNAVAILABLE) const {
        void* address = nullptr;
        const CUresult result = look_up_ != nullptr
                                    ? look_up_(name, &address, version, CU_GET_PROC_ADDRESS_DEFAULT, nullptr)
                                    : old_look_up_(name, &address, version, CU_GET_PROC_ADDRESS_DEFAULT);
        if (result != CUDA_SUCCESS || address == nullptr) {
            fail(status, "the CUDA driver has no %s of CUDA %d.%d; a newer driver is needed", name, version / 1000,
                 version % 1000 / 10);
        }
        function = reinterpret_cast<Function>(address);
    }

private:
    void* library_;
    GetProcAddress look_up_;
    OldGetProcAddress old_look_up_;
};

CudaDriver load() {
    const DriverLibrary library;
    CudaDriver driver{};
    library.find(driver.get_error_name, "cuGetErrorName", 6000);
    library.find(driver.device_get, "cuDeviceGet", 2000);
    library.find(driver.device_primary_ctx_retain, "cuDevicePrimaryCtxRetain", 7000);
    library.find(driver.ctx_get_current, "cuCtxGetCurrent", 4000);
    library.find(driver.ctx_set_current, "cuCtxSetCurrent", 4000);
    library.find(driver.tensor_map_encode_tiled, "cuTensorMapEncodeTiled", 12000);
    return driver;
}

CudaVirtualMemory load_virtual_memory() {
    const DriverLibrary library;
    CudaVirtualMemory memory{};
    const auto find = [&](auto& function, const char* name) {
        library.find(function, name, 10020, ADZE_ERROR_NOT_SUPPORTED);
    };
    find(memory.get_allocation_granularity, "cuMemGetAllocationGranularity");
    find(memory.address_reserve, "cuMemAddressReserve");
    find(memory.address_free, "cuMemAddressFree");
    find(memory.create, "cuMemCreate");
    find(memory.release, "cuMemRelease");
    find(memory.map, "cuMemMap");
    find(memory.unmap, "cuMemUnmap");
    find(memory.set_access, "cuMemSetAccess");
    return memory;
}

}  // namespace

const CudaDriver& cuda_driver() {
    static const CudaDriver driver = load();
    return driver;
}

const CudaVirtualMemory& cuda_virtual_memory() {
    static const CudaVirtualMemory memory = load_virtual_memory();
    return memory;
}

}  // namespace adze
